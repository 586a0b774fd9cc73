"""``.npz`` between MXNet 2 and mxopt, both ways."""

import mxnet
import numpy as np
import pytest

import mxopt
from oracle.comparison import dialects_here

pytestmark = pytest.mark.skipif("1.x" in dialects_here(), reason="MXNet 1.x has no npz")

ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "number": np.array(2.5, np.float64),
    "half": np.ones((0, 3), np.float16),
    "small": np.arange(3, dtype=np.int8),
}


def same(found):
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name].asnumpy().reshape(array.shape), array)


def test_mxnet_reads_what_mxopt_writes(tmp_path):
    path = str(tmp_path / "arrays.params")
    mxopt.nd.save(path, ARRAYS, format="npz")
    with mxnet.util.np_shape(True):
        same(mxnet.npx.load(path))


def test_mxopt_reads_what_mxnet_writes(tmp_path):
    path = str(tmp_path / "arrays.params")
    with mxnet.util.np_shape(True), mxnet.util.np_array(True):
        mxnet.npx.savez(path, **{name: mxnet.np.array(x, dtype=x.dtype) for name, x in ARRAYS.items()})
    same(mxopt.nd.load(path))


def test_a_net_of_mxnet_2(tmp_path):
    path = str(tmp_path / "net.params")
    with mxnet.util.np_shape(True), mxnet.util.np_array(True):
        net = mxnet.gluon.nn.Dense(2, in_units=3)
        net.initialize()
        net.save_parameters(path)
        weights = {name: x.data().asnumpy() for name, x in net.collect_params().items()}
    found = mxopt.nd.load(path)
    assert set(found) == set(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)
