"""What the optimizers with norms (LARS, LAMB and LANS) have in common."""

import ml_dtypes
import numpy as np
import pytest
from runs import assert_same_bits, trained

import mxopt as mx
import mxopt.v1 as v1
from mxopt import kernels

either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


@either_way
@pytest.mark.parametrize("name", ["lamb", "lans", "lars"])
@pytest.mark.parametrize("aggregate_num", [1, 4])
def test_masters_move_and_weights_are_their_rounding(rng, name, fused, aggregate_num):
    weight = rng.standard_normal(50).astype(np.float16)
    keywords = {"use_fused_step": fused, "aggregate_num": aggregate_num, "multi_precision": True}
    updater, moved = trained(mx, name, weight, weight[::-1].copy(), updates=3, learning_rate=0.1, **keywords)
    master = updater.states[0][0]
    assert master.dtype == np.float32
    assert (master != weight).all()
    assert_same_bits([moved], [master.astype(np.float16)])


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("size", [300, 40_000])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_v1_norms_of_16_bit_weights(rng, dtype, size, large):
    """1.9 rounds their squares to float16. From 256 on they are infinite there, and here float32."""
    values = rng.uniform(1 / 16, 1, (2, size)) * np.where(
        np.arange(size) == size // 2, 300 if large else 1, 1
    )
    weight, grad = values.astype(dtype)

    def norm(array):
        squares = np.square(array.astype(np.float32))
        with np.errstate(over="ignore"):
            rounded = squares.astype(np.float16).astype(np.float32)
        if dtype == "float16":
            squares = np.where(np.isfinite(rounded), rounded, squares)
        if size > kernels.WHOLE_SUM:
            return np.sqrt(squares.sum(dtype=np.float64))
        return np.sqrt(np.add.accumulate(squares)[-1])

    updater, _ = trained(v1, "lars", weight, grad, learning_rate=0.5, eta=0.25, multi_precision=True)
    rate = 0.5 * 0.25 * norm(weight) / norm(grad)
    expected = weight.astype(np.float32) - np.float32(rate) * grad.astype(np.float32)
    np.testing.assert_allclose(updater.states[0][1], expected, rtol=2e-6, atol=2e-7)

    updater, _ = trained(v1, "lamb", weight, grad, learning_rate=0.5, epsilon=0.0, multi_precision=True)
    # The first direction is the gradient's sign.
    expected = weight.astype(np.float32) - 0.5 * norm(weight) / size**0.5
    np.testing.assert_allclose(updater.states[0][0], expected, rtol=3e-5, atol=3e-5)


@either_way
@pytest.mark.parametrize("name", ["lamb", "lans", "lars"])
def test_a_weight_of_zeros_leaves_zero(name, fused):
    keywords = {"use_fused_step": fused, "learning_rate": 0.5}
    _, moved = trained(mx, name, np.zeros(3, np.float32), np.ones(3, np.float32), **keywords)
    assert np.isfinite(moved).all() and (moved < 0).all()


@pytest.mark.parametrize("name", ["lamb", "lans"])
def test_lazy_updates_are_refused_with_the_reason(name):
    with pytest.raises(ValueError, match="cannot update lazily: its step length depends on the norm"):
        mx.create(name, lazy_update=True)


@pytest.mark.parametrize("name", ["lamb", "lans"])
def test_an_upper_bound_of_zero_is_none(name):
    weight, grad = np.full(3, 2.0, np.float32), np.ones(3, np.float32)
    _, bounded = trained(mx, name, weight, grad, upper_bound=0, lower_bound=0)
    _, free = trained(mx, name, weight, grad)
    assert_same_bits([bounded], [free])


@pytest.mark.parametrize("name", ["lars", "lamb", "lans"])
@pytest.mark.parametrize("size", [16384, 16385, 100_003])
def test_sums_of_any_size_have_the_same_bits_on_every_path(rng, name, size):
    weight, grad = rng.standard_normal((2, size)).astype(np.float32)
    keywords = {"eta": 0.1} if name == "lars" else {}
    results = []
    for threads in (1, 2, 3):
        with mx.num_threads(threads):
            results.append(trained(mx, name, weight, grad, **keywords)[1])
    strided = np.zeros((size, 2), np.float32)[:, 0]
    strided[:] = weight
    updater = mx.get_updater(mx.create(name, **keywords))
    updater([3, 0], [grad[:7], grad], [weight[:7].copy(), strided])
    assert_same_bits(results[1:] + [np.ascontiguousarray(strided)], [results[0]] * 3)
    exact = trained(mx, name, weight.astype(np.float64), grad.astype(np.float64), **keywords)[1]
    np.testing.assert_allclose(results[0], exact, rtol=1e-5, atol=1e-6)
