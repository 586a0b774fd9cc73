"""Files of real MXNet, and the older and stranger forms that MXNet wrote in other years."""

import mxnet_files
import pytest

from mxopt.states import DamagedStateFile, StateFileError, mxnet


@pytest.mark.parametrize("name", mxnet_files.NAMES)
def test_every_file_reads_exactly(name):
    expected = mxnet_files.Expected(name)
    got = mxnet.read(mxnet_files.data(name))
    mxnet_files.assert_same(got.states, expected.states)
    if expected.optimizer is None:
        assert got.optimizer is None
    else:
        mxnet_files.assert_same(got.optimizer, expected.optimizer, "optimizer")
        attributes = got.optimizer.attributes
        assert attributes["_index_update_count"] is attributes["_all_index_update_counts"][0]


@pytest.mark.parametrize("name", mxnet_files.NAMES)
def test_every_truncation_is_noticed(name):
    data = mxnet_files.data(name)
    for length in range(len(data)):
        with pytest.raises(DamagedStateFile, match="cut|at least"):
            mxnet.read(data[:length])


@pytest.mark.parametrize("name", mxnet_files.NAMES)
def test_nothing_may_follow(name):
    with pytest.raises(StateFileError, match="left over"):
        mxnet.read(mxnet_files.data(name) + b"\0")
