"""Shared fixtures."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import mxopt

# Nothing here is timed: a busy machine draws and runs examples slowly.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items):
    """Refuse test ids that differ between processes: workers could not share such tests out."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid} has an address in its name; give the parameter an id")


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
