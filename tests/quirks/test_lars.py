"""MXNet's habits in LARS: which are kept, which are not."""

import numpy as np
import pytest
from runs import assert_same_bits, trained

import mxopt as mx
import mxopt.v1 as v1

either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
def test_lars_keeps_states_beside_excluded_names(rng, package):
    names = {0: "a_weight", 1: "a_bias", 2: "b_weight", 3: "bn_gamma"}
    weights = [rng.standard_normal(9).astype(np.float16) for _ in names]
    grads = [rng.standard_normal(9).astype(np.float16) for _ in names]
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
    vars(optimizer)["lr"] = np.inf  # bypasses the check on assignment
    with pytest.raises(ValueError, match="learning_rate must be a finite number"):
        updater(0, weight.copy(), weight)
    assert (optimizer.last_lr, optimizer.cur_lr, optimizer.lr_update) == before


def test_lazy_lars_takes_the_norm_of_the_whole_weight(rng):
    weight = rng.standard_normal((9, 4)).astype(np.float32)
    rows = np.array([1, 5])
    values = rng.standard_normal((2, 4)).astype(np.float32)
    grad = mx.RowSparseArray(values, rows, weight.shape)
    _, lazy = trained(mx, "lars", weight, grad, lazy_update=True, eta=0.5)
    _, dense = trained(mx, "lars", weight, grad.todense(), eta=0.5)
    assert_same_bits([lazy], [dense])  # without decay and momentum absent rows stay either way
    _, lazy = trained(mx, "lars", weight, grad, lazy_update=True, eta=0.5, wd=0.1)
    _, dense = trained(mx, "lars", weight, grad.todense(), eta=0.5, wd=0.1)
    assert_same_bits([lazy[rows]], [dense[rows]])
    assert_same_bits([np.delete(lazy, rows, axis=0)], [np.delete(weight, rows, axis=0)])


def test_lars_takes_the_keywords_of_the_other_dialect():
    with pytest.warns(DeprecationWarning, match="pass epsilon=0.5"):
        assert mx.create("lars", eps=0.5).epsilon == 0.5
    with pytest.warns(DeprecationWarning, match="pass eps=0.5"):
        assert v1.create("lars", epsilon=0.5).eps == 0.5
    with pytest.warns(DeprecationWarning, match="only MXNet 1.x corrects the momentum"):
        mx.create("lars", momentum_correction=True)
