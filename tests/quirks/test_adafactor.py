"""Adafactor: moments by row and column."""

import numpy as np
import pytest

import mxopt as mx
from mxopt import kernels


def array(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 5), (700, 130), (2, 3, 40, 7), (5, 20001), (1, 1)])
def test_sums_run_along_both_axes(shape, dtype):
    grad = array(*shape, dtype=dtype)
    rows, columns = kernels.Factored(grad, 0.5, 0.4).sums()
    clipped = np.square(np.clip(grad.astype(float) * 0.5, -0.4, 0.4))
    np.testing.assert_allclose(rows, clipped.sum(axis=-1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(columns, clipped.sum(axis=-2, keepdims=True), rtol=1e-6)


def test_any_number_of_threads_gives_the_same_bits():
    weights = []
    for threads in (1, 2, 3):
        mx.set_num_threads(threads)
        try:
            weight, updater = array(700, 900), mx.get_updater(mx.create("adafactor"))
            for step in range(3):
                updater(0, array(700, 900, seed=step), weight)
            weights.append(weight)
        finally:
            mx.set_num_threads(None)
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[0], weights[2])


def test_memory_is_that_of_a_row_and_a_column():
    state = mx.create("adafactor").create_state(0, array(300, 200))
    assert sum(part.size for part in state) == 500


def test_wrong_arguments_are_refused_and_change_nothing():
    for wrong, message in (
        ({"clip_threshold": 0.5}, "clip_threshold must be at least 1"),
        ({"beta2_decay": 0.8}, "beta2_decay must be within"),
        ({"lazy_update": True}, "rows and columns"),
    ):
        with pytest.raises(ValueError, match=message):
            mx.create("adafactor", **wrong)
    opt, weight = mx.create("adafactor"), array(4, 3)
    row, col, var = opt.create_state(0, weight)
    before = weight.copy()
    for state, kind, message in (
        ((row, col), TypeError, r"must be \(row, col, var\)"),
        ((row, row, var), ValueError, r"col of index 0 must have shape \(1, 3\)"),
        ((row, np.broadcast_to(np.float32(0), (1, 3)), var), ValueError, "read-only"),
    ):
        with pytest.raises(kind, match=message):
            opt.update(0, weight, array(4, 3), state)
        np.testing.assert_array_equal(weight, before)
    assert opt.num_update == 0


def test_a_gradient_that_fits_no_weight_changes_none():
    opt, weights = mx.create("adafactor"), [array(4, 3), array(5)]
    updater = mx.get_updater(opt)
    before = [w.copy() for w in weights]
    with pytest.raises(ValueError, match="gradient of index 1"):
        updater([0, 1], [array(4, 3), array(4)], weights)
    for weight, old in zip(weights, before):
        np.testing.assert_array_equal(weight, old)
    assert not updater.states
