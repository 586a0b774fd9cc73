"""`skip_nonfinite`: a call with a gradient that is not finite leaves no trace but a count."""

import contextlib
import copy

import ml_dtypes
import numpy as np
import pytest

import mxopt
from mxopt import RowSparseArray

SHAPE = (40, 7)
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


def flat(tree):
    if isinstance(tree, (tuple, list)):
        return [array for part in tree for array in flat(part)]
    return [] if tree is None else [tree]


def everything(optimizer, updater, weights):
    """The bits of everything that a step may change."""
    arrays = [array for state in updater.states.values() for array in flat(state)]
    return (
        [array.tobytes() for array in (*weights, *arrays)],
        list(updater.states),
        copy.deepcopy(optimizer._all_index_update_counts),
        optimizer.num_update,
    )


def gradient(kind, dtype, rng):
    values = rng.standard_normal(SHAPE).astype(dtype)
    if kind == "strided":
        return np.repeat(values, 2, axis=1)[:, ::2]
    if kind == "rows":
        return RowSparseArray(values[:9].copy(), np.arange(0, 36, 4), SHAPE)
    return values


def spoil(grad, value, where):
    array = grad.data if isinstance(grad, RowSparseArray) else grad
    array[np.unravel_index(where % array.size, array.shape)] = value


def train(name, dtype, **settings):
    """An updater after two ordinary calls with three tensors each, and a function that makes gradients."""
    rng = np.random.default_rng(7)
    with pytest.warns(UserWarning) if np.dtype(dtype).itemsize == 2 else contextlib.nullcontext():
        optimizer = mxopt.create(name, skip_nonfinite=True, **settings)
        updater = mxopt.get_updater(optimizer)
        weights = [rng.standard_normal(SHAPE).astype(dtype) for _ in range(3)]
        for _ in range(2):
            updater([0, 1, 2], [gradient("dense", dtype, rng) for _ in range(3)], weights)
    return optimizer, updater, weights, rng


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan], ids=["inf", "-inf", "nan"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("kind", ["dense", "strided", "rows"])
@pytest.mark.parametrize("lazy", [True, False], ids=["lazy", "standard"])
def test_nothing_changes_but_the_count(kind, dtype, value, lazy):
    optimizer, updater, weights, rng = train("adam", dtype, lazy_update=lazy)
    before = everything(optimizer, updater, weights)
    for where in (0, 61, 62, 279):
        grads = [gradient(kind, dtype, rng) for _ in range(3)]
        spoil(grads[where % 3], value, where)
        updater([0, 1, 2], grads, weights)
    assert everything(optimizer, updater, weights) == before
    assert optimizer.skipped == 4


@pytest.mark.parametrize("name", sorted(mxopt.optimizer.opt_registry))
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_every_optimizer_skips(name, fused):
    optimizer, updater, weights, rng = train(name, np.float32, use_fused_step=fused)
    before = everything(optimizer, updater, weights)
    grads = [gradient("dense", np.float32, rng) for _ in range(3)]
    spoil(grads[2], np.nan, 5)
    updater([0, 1, 2], grads, weights)
    optimizer.update_multi_precision([0, 1, 2], weights, grads, [updater.states[i] for i in range(3)])
    assert everything(optimizer, updater, weights) == before
    assert optimizer.skipped == 2


def test_finite_extremes_are_not_skipped():
    optimizer, updater, weights, _ = train("sgd", np.float32)
    extreme = np.full(SHAPE, np.finfo(np.float32).max, np.float32)
    extreme[::2] = 1e-45  # subnormal
    extreme[1::4] = -0.0
    updater([0, 1, 2], [extreme] * 3, weights)
    assert (optimizer.skipped, optimizer.num_update) == (0, 3)


def test_a_skipped_first_call_leaves_no_state():
    updater = mxopt.get_updater(mxopt.create("adam", skip_nonfinite=True))
    updater(0, np.full(3, np.nan, np.float32), np.ones(3, np.float32))
    assert (updater.states, updater.optimizer.skipped) == ({}, 1)


def test_a_custom_class_is_skipped_too():
    class Plain(mxopt.Optimizer):
        def update(self, index, weight, grad, state):
            weight[:] -= grad

    updater = mxopt.get_updater(Plain(skip_nonfinite=True))
    weight = np.ones(3, np.float32)
    updater(0, np.array([1, np.inf, 0], np.float32), weight)
    updater(0, np.array([1, 0, 0], np.float32), weight)
    np.testing.assert_array_equal(weight, [0, 1, 1])
    assert updater.optimizer.skipped == 1


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_one_bad_element_is_found_in_a_large_list(threads):
    rng = np.random.default_rng(3)
    sizes = [0, 5, 40_000, 1, 16_384, 33_333]
    updater = mxopt.get_updater(mxopt.create("sgd", skip_nonfinite=True))
    weights = [np.ones(n, np.float32) for n in sizes]
    grads = [np.zeros(n, np.float32) for n in sizes]
    calls = 0
    with mxopt.num_threads(threads):
        for tensor, n in enumerate(sizes):
            for where in {0, n // 2, n - 1, *rng.integers(0, max(n, 1), 5)} if n else ():
                grads[tensor][where] = np.nan
                updater(list(range(len(sizes))), grads, weights)
                grads[tensor][where] = 0
                calls += 1
    assert not updater.states
    assert updater.optimizer.skipped == calls > 20
    assert all((w == 1).all() for w in weights)


def test_off_by_default():
    optimizer = mxopt.create("sgd")
    optimizer.update(0, np.ones(2, np.float32), np.array([np.nan, 1], np.float32), None)
    assert (optimizer.skip_nonfinite, optimizer.skipped, optimizer.num_update) == (False, 0, 1)
