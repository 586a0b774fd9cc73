"""Shared fixtures."""

import pytest

import mxopt


@pytest.fixture(autouse=True)
def same_threads():
    """Leave the number of threads as it was."""
    setting = mxopt.kernels.get_num_threads_setting()
    yield
    mxopt.kernels.set_num_threads(setting)
