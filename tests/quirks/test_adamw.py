"""MXNet's habits in AdamW and AdaBelief: which are kept, which are not."""

import numpy as np
import pytest
from runs import assert_same_bits, everything

import mxopt as mx

both = pytest.mark.parametrize("name", ["adamw", "adabelief"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
GRAD = np.array([0.5, -0.25, 1.0], np.float32)


def trained(name, rescales, dtype=np.float32, **keywords):
    optimizer = mx.create(name, learning_rate=0.1, wd=0.1, **keywords)
    updater = mx.get_updater(optimizer)
    weight = np.array([1.0, -2.0, 3.0], dtype)
    for rescale in rescales:
        optimizer.rescale_grad = rescale
        updater(0, GRAD.astype(dtype), weight)
    return updater, weight


@both
@pytest.mark.parametrize("rescale", [0, 0.0, -0.0, np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_overflowed_step_is_skipped_but_counted(name, rescale, dtype):
    once, weight = trained(name, [1.0], dtype)
    skipped, same = trained(name, [1.0, rescale], dtype)
    assert_same_bits(everything(skipped, [same]), everything(once, [weight]))
    assert skipped.optimizer._index_update_count == {0: 2}


@both
def test_an_overflowed_step_leaves_master_and_weight(name):
    once, weight = trained(name, [0.5], np.float16, multi_precision=True)
    skipped, same = trained(name, [0.5, np.inf, np.nan], np.float16, multi_precision=True)
    assert_same_bits(everything(skipped, [same]), everything(once, [weight]))


@both
def test_step_does_not_skip(name):
    _, weight = trained(name, [1.0], use_fused_step=False)
    _, moved = trained(name, [1.0, 0.0], use_fused_step=False)
    assert (weight != moved).all()


@both
@either_way
def test_rescale_grad_stays_a_float(name, fused):
    updater, _ = trained(name, [0.5, 0.25], use_fused_step=fused)
    assert type(updater.optimizer.rescale_grad) is float
    assert updater.optimizer.rescale_grad == 0.25


@both
@either_way
@pytest.mark.parametrize("rescale", [np.array([0.5], np.float32), np.array(0.5), np.float32(0.5)], ids=repr)
def test_rescale_grad_may_be_a_one_element_array(name, fused, rescale):
    """As MXNet's AdamW leaves it, and its files hold it."""
    expected, weight = trained(name, [0.5, 0.5], use_fused_step=fused)
    updater, same = trained(name, [rescale, rescale], use_fused_step=fused)
    assert_same_bits(everything(updater, [same]), everything(expected, [weight]))


@both
@pytest.mark.parametrize("stype", ["dense", "row_sparse"])
def test_gradients_are_not_overwritten(name, stype):
    """MXNet's single-tensor kernels leave the clipped gradient in it."""
    weight, grad = np.ones((2, 3), np.float32), np.full((2, 3), 4.0, np.float32)
    given = grad.copy() if stype == "dense" else mx.RowSparseArray(grad.copy(), [0, 1], (2, 3))
    mx.get_updater(mx.create(name, clip_gradient=0.5, rescale_grad=0.25))(0, given, weight)
    np.testing.assert_array_equal(given if stype == "dense" else given.data, grad)


@both
def test_one_tensor_alone_has_the_bits_of_a_list(name):
    """MXNet uses another kernel, with other roundings, for a single tensor without aggregation."""
    results = []
    for aggregate_num in (None, 1, 50):
        optimizer = mx.create(name, aggregate_num=aggregate_num, wd=0.1)
        assert optimizer.aggregate_num == 4
        updater, weight = mx.get_updater(optimizer), np.linspace(-1, 1, 3, dtype=np.float32)
        updater(0, GRAD, weight)
        results.append(everything(updater, [weight]))
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


def test_the_corrected_rate_scales_the_decay():
    lr, wd = 0.1, 0.5
    weight = np.ones(1, np.float64)
    mx.get_updater(mx.create("adamw", learning_rate=lr, wd=wd))(0, np.zeros(1), weight)
    corrected = lr * (1 - 0.999) ** 0.5 / (1 - 0.9)
    np.testing.assert_allclose(weight, 1 - corrected * wd, rtol=1e-12)


def test_step_decays_the_weight_that_has_moved():
    settings = {"learning_rate": 0.1, "wd": 0.5, "correct_bias": False}
    moved = np.ones(1)
    mx.get_updater(mx.create("adamw", **{**settings, "wd": 0.0}, use_fused_step=False))(0, np.ones(1), moved)
    fused, step = np.ones(1), np.ones(1)
    mx.get_updater(mx.create("adamw", **settings))(0, np.ones(1), fused)
    mx.get_updater(mx.create("adamw", **settings, use_fused_step=False))(0, np.ones(1), step)
    np.testing.assert_allclose(fused, moved - 0.05, rtol=1e-12)
    np.testing.assert_allclose(step, moved * 0.95, rtol=1e-12)
