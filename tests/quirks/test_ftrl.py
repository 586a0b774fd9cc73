"""MXNet's habits in Ftrl: which are kept, which are not."""

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
SHAPE = (4, 2)


def sparse():
    return mx.RowSparseArray(np.ones((1, 2), np.float32), [2], SHAPE)


@packages
@either_way
@pytest.mark.parametrize("gradient", ["dense", "row_sparse"])
def test_elements_without_gradient_become_zero(package, fused, gradient):
    weight = np.ones(SHAPE, np.float32)
    grad = sparse() if gradient == "row_sparse" else sparse().todense()
    package.get_updater(package.create("ftrl", use_fused_step=fused))(0, grad, weight)
    assert (weight[[0, 1, 3]] == 0).all()
    assert (weight[2] != 0).all()


@packages
def test_lazily_they_stay(package):
    weight = np.ones(SHAPE, np.float32)
    package.get_updater(package.create("ftrl", lazy_update=True))(0, sparse(), weight)
    assert (weight[[0, 1, 3]] == 1).all()
    assert (weight[2] != 1).all()


@packages
@either_way
def test_a_rate_of_zero_is_refused(package, fused):
    """MXNet divides by it, and every weight is NaN."""
    optimizer = package.create("ftrl", use_fused_step=fused, param_idx2name={0: "a", 1: "b"})
    optimizer.set_lr_mult({"b": 0.0})
    updater = package.get_updater(optimizer)
    weights = [np.ones(SHAPE, np.float32) for _ in range(2)]
    with pytest.raises(
        ValueError, match=r"learning_rate of index 1 \('b'\) must be above 0, since Ftrl divides"
    ):
        updater([0, 1], [np.ones(SHAPE, np.float32)] * 2, weights)
    assert all((w == 1).all() for w in weights)
    assert (updater.states, optimizer.num_update) == ({}, 0)


def test_order_of_arguments_is_the_dialects():
    assert (mx.optimizer.Ftrl(0.5, 0.25).lr, mx.optimizer.Ftrl(0.5, 0.25).lamda1) == (0.5, 0.25)
    assert (v1.optimizer.Ftrl(0.5, 0.25).lr, v1.optimizer.Ftrl(0.5, 0.25).lamda1) == (0.25, 0.5)


def test_v1_leaves_the_scheduler_its_rate():
    scheduler = v1.lr_scheduler.FactorScheduler(10, 0.5, base_lr=0.5)
    optimizer = v1.create("ftrl", lr_scheduler=scheduler)
    assert (scheduler.base_lr, optimizer.lr, optimizer.learning_rate) == (0.5, 0.1, 0.5)
    with pytest.warns(UserWarning, match="replaces base_lr"):
        mx.create("ftrl", lr_scheduler=scheduler)
    assert scheduler.base_lr == 0.1
