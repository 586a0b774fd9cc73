"""MXNet's habits in LARS, LAMB and LANS: which are kept, which are not."""

import ml_dtypes
import numpy as np
import pytest
from runs import assert_same_bits

import mxopt as mx
import mxopt.v1 as v1
from mxopt import kernels

either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
RNG = np.random.default_rng(7)


def trained(package, name, weight, grads, updates=1, **keywords):
    updater = package.get_updater(package.create(name, **keywords))
    weight = weight.copy()
    for _ in range(updates):
        updater(0, grads, weight)
    return updater, weight


@either_way
@pytest.mark.parametrize("aggregate_num", [1, 4])
def test_lamb_counts_a_step_once(fused, aggregate_num):
    keywords = {"use_fused_step": fused, "aggregate_num": aggregate_num}
    updater, _ = trained(mx, "lamb", np.ones(3, np.float32), np.ones(3, np.float32), updates=3, **keywords)
    assert updater.optimizer.num_update == 3
    assert updater.optimizer._index_update_count == {0: 3}


@either_way
@pytest.mark.parametrize("name", ["lamb", "lans", "lars"])
@pytest.mark.parametrize("aggregate_num", [1, 4])
def test_masters_move_and_weights_are_their_rounding(name, fused, aggregate_num):
    weight = RNG.standard_normal(50).astype(np.float16)
    keywords = {"use_fused_step": fused, "aggregate_num": aggregate_num, "multi_precision": True}
    updater, moved = trained(mx, name, weight, weight[::-1].copy(), updates=3, learning_rate=0.1, **keywords)
    master = updater.states[0][0]
    assert master.dtype == np.float32
    assert (master != weight).all()
    assert_same_bits([moved], [master.astype(np.float16)])


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("size", [300, 40_000])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_v1_norms_of_16_bit_weights(dtype, size, large):
    """1.9 rounds their squares to float16. From 256 on they are infinite there, and here float32."""
    values = RNG.uniform(1 / 16, 1, (2, size)) * np.where(
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
def test_lans_takes_a_gradient_of_zeros_for_zero(fused):
    weight, grad = np.ones(4, np.float32), np.full(4, 0.5, np.float32)
    updater, moved = trained(mx, "lans", weight, grad, use_fused_step=fused)
    mean = updater.states[0][0].copy()
    updater(0, np.zeros(4, np.float32), moved)
    assert np.isfinite(moved).all()
    np.testing.assert_allclose(updater.states[0][0], np.float32(0.9) * mean, rtol=1e-6)


@either_way
@pytest.mark.parametrize("name", ["lamb", "lans", "lars"])
def test_a_weight_of_zeros_leaves_zero(name, fused):
    keywords = {"use_fused_step": fused, "learning_rate": 0.5}
    _, moved = trained(mx, name, np.zeros(3, np.float32), np.ones(3, np.float32), **keywords)
    assert np.isfinite(moved).all() and (moved < 0).all()


@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
def test_lars_keeps_states_beside_excluded_names(package):
    names = {0: "a_weight", 1: "a_bias", 2: "b_weight", 3: "bn_gamma"}
    weights = [RNG.standard_normal(9).astype(np.float16) for _ in names]
    grads = [RNG.standard_normal(9).astype(np.float16) for _ in names]
    keywords = {"momentum": 0.9, "multi_precision": True, "param_idx2name": names, "eta": 0.5}
    results = []
    for lists in (True, False):
        copies = [w.copy() for w in weights]
        updater = package.get_updater(package.create("lars", aggregate_num=4, **keywords))
        for _ in range(3):
            if lists:
                updater(list(names), grads, copies)
            else:
                for index in names:
                    updater(index, grads[index], copies[index])
        results.append(copies)
    assert_same_bits(*results)


@either_way
@pytest.mark.parametrize("name", ["fc_bias", "bn_gamma", "bn_beta"])
def test_lars_leaves_the_rate_of_some_names(name, fused):
    keywords = {"learning_rate": 0.25, "use_fused_step": fused}
    weight, grad = np.full(3, 2.0, np.float32), np.ones(3, np.float32)
    _, moved = trained(mx, "lars", weight, grad, param_idx2name={0: name}, **keywords)
    assert (moved == 1.75).all()
    _, scaled = trained(mx, "lars", weight, grad, param_idx2name={0: "fc_weight"}, **keywords)
    np.testing.assert_allclose(scaled, 2.0 - 0.25 * 0.001 * 2.0, rtol=1e-6)


@either_way
def test_v1_lars_corrects_the_momentum_of_every_tensor_of_a_step(fused):
    results = []
    for lists in (True, False):
        optimizer = v1.create("lars", momentum=0.5, learning_rate=1.0, eta=1.0, use_fused_step=fused)
        updater = v1.get_updater(optimizer)
        weights = [np.full(2, 4.0, np.float32) for _ in range(6)]
        for rate, grad in ((1.0, 1.0), (3.0, 0.0)):
            optimizer.set_learning_rate(rate)
            grads = [np.full(2, grad, np.float32)] * 6
            if lists:
                updater(list(range(6)), grads, weights)
            else:
                for index in range(6):
                    updater(index, grads[index], weights[index])
        # 4, then 4 - 4 = 0, then on by the momentum of -4 times 0.5 * 3 / 1
        results.append(weights)
        np.testing.assert_allclose(weights, -6.0, rtol=1e-6)
    assert_same_bits(*results)


def test_v1_lars_forgets_no_rate_by_an_error():
    optimizer = v1.create("lars", momentum=0.5, learning_rate=1.0)
    updater = v1.get_updater(optimizer)
    weight = np.ones(2, np.float32)
    updater(0, weight.copy(), weight)
    before = optimizer.last_lr, optimizer.cur_lr, optimizer.lr_update
    optimizer.lr = np.inf
    with pytest.raises(ValueError, match="learning_rate must be a finite number"):
        updater(0, weight.copy(), weight)
    assert (optimizer.last_lr, optimizer.cur_lr, optimizer.lr_update) == before


@pytest.mark.parametrize("name", ["lamb", "lans"])
def test_lazy_updates_are_refused_with_the_reason(name):
    with pytest.raises(ValueError, match="cannot update lazily: its step length depends on the norm"):
        mx.create(name, lazy_update=True)


def test_lazy_lars_takes_the_norm_of_the_whole_weight():
    weight = RNG.standard_normal((9, 4)).astype(np.float32)
    rows = np.array([1, 5])
    values = RNG.standard_normal((2, 4)).astype(np.float32)
    grad = mx.RowSparseArray(values, rows, weight.shape)
    _, lazy = trained(mx, "lars", weight, grad, lazy_update=True, eta=0.5)
    _, dense = trained(mx, "lars", weight, grad.todense(), eta=0.5)
    assert_same_bits([lazy], [dense])  # without decay and momentum absent rows stay either way
    _, lazy = trained(mx, "lars", weight, grad, lazy_update=True, eta=0.5, wd=0.1)
    _, dense = trained(mx, "lars", weight, grad.todense(), eta=0.5, wd=0.1)
    assert_same_bits([lazy[rows]], [dense[rows]])
    assert_same_bits([np.delete(lazy, rows, axis=0)], [np.delete(weight, rows, axis=0)])


@pytest.mark.parametrize("name", ["lamb", "lans"])
def test_an_upper_bound_of_zero_is_none(name):
    weight, grad = np.full(3, 2.0, np.float32), np.ones(3, np.float32)
    _, bounded = trained(mx, name, weight, grad, upper_bound=0, lower_bound=0)
    _, free = trained(mx, name, weight, grad)
    assert_same_bits([bounded], [free])


@pytest.mark.parametrize("name", ["lars", "lamb", "lans"])
@pytest.mark.parametrize("size", [16384, 16385, 100_003])
def test_sums_of_any_size_have_the_same_bits_on_every_path(name, size):
    weight, grad = RNG.standard_normal((2, size)).astype(np.float32)
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


def test_lars_takes_the_keywords_of_the_other_dialect():
    with pytest.warns(DeprecationWarning, match="pass epsilon=0.5"):
        assert mx.create("lars", eps=0.5).epsilon == 0.5
    with pytest.warns(DeprecationWarning, match="pass eps=0.5"):
        assert v1.create("lars", epsilon=0.5).eps == 0.5
    with pytest.warns(DeprecationWarning, match="only MXNet 1.x corrects the momentum"):
        mx.create("lars", momentum_correction=True)
