"""Collects the live comparison only where MXNet is installed, and prints its table at the end."""

import os

import pytest

from oracle.comparison import Table, mxnet_version

# The tox environments of the comparison say which MXNet they want: there, its absence is an error.
REQUIRED = os.environ.get("MXOPT_REQUIRE_MXNET")
RUNS = int(os.environ.get("MXOPT_ORACLE_RUNS", "6"))

if REQUIRED and mxnet_version() != REQUIRED:
    raise pytest.UsageError(
        f"MXOPT_REQUIRE_MXNET asks for mxnet {REQUIRED}, got {mxnet_version()}; "
        f'pip install "mxnet=={REQUIRED}" "numpy==1.23.5"'
    )

collect_ignore_glob = [] if mxnet_version() else ["test_*.py"]

table = Table()


@pytest.fixture(scope="session")
def deviations():
    """Where the tests put what they measured."""
    return table


def pytest_terminal_summary(terminalreporter):
    if table.found:
        terminalreporter.section(f"mxopt against MXNet {mxnet_version()}")
        terminalreporter.write_line(str(table))


def pytest_configure(config):
    # MXNet was written for older NumPys and Pythons.
    config.addinivalue_line("filterwarnings", "ignore:::mxnet")
