"""Shared fixtures."""

import numpy as np
import pytest

import mxopt


@pytest.fixture(autouse=True)
def same_threads():
    """Leave the number of threads as it was."""
    setting = mxopt.kernels.get_num_threads_setting()
    yield
    mxopt.kernels.set_num_threads(setting)


@pytest.fixture
def rng():
    """Numbers that are the same in whatever order the tests run."""
    return np.random.default_rng(7)
