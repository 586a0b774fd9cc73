"""Row-sparse weights: stepped where their values lie, with states of the storage that MXNet gives them."""

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt import nd

dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])
SHAPE = (5, 2)
ROWS = [1, 3]


def drawn(seed):
    return np.random.RandomState(seed).normal(size=SHAPE).astype(np.float32)


def gradient():
    dense = drawn(1)
    dense[[0, 2, 4]] = 0
    return nd.array(dense).tostype("row_sparse")


@dialects
@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad", "rmsprop", "signum", "lamb", "adadelta", "nadam"])
def test_a_row_sparse_weight_is_stepped_as_its_values_are(mx, name):
    dense, weight = drawn(0), nd.array(drawn(0)).tostype("row_sparse")
    updaters = [mx.optimizer.get_updater(mx.optimizer.create(name, learning_rate=0.1)) for _ in range(2)]
    for _ in range(3):
        updaters[0](0, gradient(), dense)
        updaters[1](0, gradient(), weight)
    assert weight.stype == "row_sparse"
    np.testing.assert_array_equal(weight.asnumpy(), dense)


@dialects
@pytest.mark.parametrize(
    ("name", "options", "stype"),
    [
        ("sgd", {"momentum": 0.9, "lazy_update": True}, "row_sparse"),
        ("sgd", {"momentum": 0.9, "lazy_update": False}, "default"),
        ("adam", {"lazy_update": True}, "row_sparse"),
        ("adam", {"lazy_update": False}, "default"),
        ("adagrad", {}, "row_sparse"),
        ("rmsprop", {}, "row_sparse"),
        ("nag", {"momentum": 0.9}, "default"),
        ("adadelta", {}, "default"),
    ],
)
def test_states_have_the_storage_that_mxnet_gives_them(mx, name, options, stype):
    weight = nd.array(drawn(0)).tostype("row_sparse")
    opt = mx.optimizer.create(name, **options)
    made, updater = opt.create_state(0, weight), mx.optimizer.get_updater(opt)
    updater(0, gradient(), weight)
    for state in (made, updater.states[0]):
        for array in state if isinstance(state, tuple) else (state,):
            assert array.stype == stype
            assert array.shape == SHAPE
            assert array.tostype("default").stype == "default"


@dialects
def test_ftrl_leaves_rows_without_a_gradient_alone_where_the_weight_is_row_sparse(mx):
    weight, dense = nd.array(drawn(0)).tostype("row_sparse"), drawn(0)
    updater = mx.optimizer.get_updater(mx.optimizer.create("ftrl"))
    for _ in range(2):
        updater(0, gradient(), weight)
        updater("dense", gradient(), dense)
    others = [0, 2, 4]
    np.testing.assert_array_equal(weight.asnumpy()[others], drawn(0)[others])
    np.testing.assert_array_equal(weight.asnumpy()[ROWS], dense[ROWS])
    assert not np.array_equal(dense[others], drawn(0)[others])
    both = nd.array(drawn(0)).tostype("row_sparse"), drawn(0)
    updater = mx.optimizer.get_updater(mx.optimizer.create("ftrl"))
    for _ in range(2):
        updater([0, "dense"], [gradient()] * 2, both)
    np.testing.assert_array_equal(both[0].asnumpy(), weight.asnumpy())
    np.testing.assert_array_equal(both[1], dense)


def test_absent_rows_are_stored_when_a_weight_is_stepped():
    weight = nd.sparse.row_sparse_array((np.ones((1, 2), np.float32), [3]), shape=SHAPE)
    mxopt.get_updater(mxopt.create("sgd", learning_rate=1.0, wd=0.0))(0, gradient(), weight)
    expected = np.zeros(SHAPE, np.float32)
    expected[3] = 1
    np.testing.assert_array_equal(weight.asnumpy(), expected - gradient().asnumpy())
    assert weight.indices.tolist() == list(range(5))


def test_a_custom_class_is_handed_the_row_sparse_weight():
    class Half(mxopt.Optimizer):
        def create_state(self, index, weight):
            assert weight.stype == "row_sparse"
            return nd.zeros(weight.shape, stype="row_sparse")

        def update(self, index, weight, grad, state):
            weight[:] = weight - 0.5 * grad

    weight = nd.array(drawn(0)).tostype("row_sparse")
    mxopt.get_updater(Half())(0, gradient(), weight)
    np.testing.assert_array_equal(weight.asnumpy(), drawn(0) - 0.5 * gradient().asnumpy())
