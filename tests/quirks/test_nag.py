"""MXNet's habits in NAG: which are kept, which are not."""

import numpy as np
import pytest
from runs import assert_same_bits, run, tensors

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


def stepped(package, steps=2, **keywords):
    """Exact in binary, so that a formula can be checked by hand."""
    updater, weight = package.get_updater(package.create("nag", **keywords)), np.ones(1)
    for _ in range(steps):
        updater(0, np.full(1, 2.0), weight)
    return weight[0], updater.states[0]


@either_way
def test_v1_decays_momentum_with_the_moved_weight(fused):
    """Q1: 1.9's operator reads the weight again after writing it."""
    weight, mom = stepped(v1, 1, learning_rate=0.25, momentum=0.5, wd=1.0, use_fused_step=fused)
    assert weight == 1 + 1.5 * -(0.25 * (2 + 1))
    assert mom == -0.25 * (2 + 1.0 * weight)
    weight, mom = stepped(mx, 1, learning_rate=0.25, momentum=0.5, wd=1.0, use_fused_step=fused)
    assert mom == -0.25 * (2 + 1)
    assert weight == 1 + 0.5 * mom - 0.25 * 3


@either_way
def test_the_dialects_agree_without_decay(fused):
    keywords = {"learning_rate": 0.25, "momentum": 0.5, "use_fused_step": fused}
    assert stepped(v1, **keywords) == stepped(mx, **keywords)


@packages
def test_row_sparse_gradients_are_lazy_without_momentum(package):
    """MXNet runs sgd_update there, which is lazy unless told otherwise."""
    gradient = mx.RowSparseArray(np.ones((1, 2), np.float32), [1], (3, 2))
    weights = tensors([(3, 2)] * 3)
    for weight, keywords in zip(weights, [{"momentum": 0.0}, {"momentum": 0.0, "lazy_update": False}, {}]):
        package.get_updater(package.create("nag", **{"momentum": 0.5, "wd": 0.5, **keywords}))(
            0, gradient, weight
        )
    (before,) = tensors([(3, 2)])
    assert_same_bits([weights[0][[0, 2]]], [before[[0, 2]]])
    assert (weights[0][1] != before[1]).all()
    for weight in weights[1:]:
        assert (weight[before != 0] != before[before != 0]).all()


def test_masters_follow_mxnets_mixed_kernel():
    """It sums the two parts of the step first: weight + (momentum * mom - lr * g)."""
    half = np.float16
    updater = mx.get_updater(mx.create("nag", multi_precision=True, learning_rate=0.1, wd=0.01))
    (weight,) = tensors([(4099,)], half)
    expected, mom = weight.astype(np.float32), np.zeros(4099, np.float32)
    lr, wd, momentum = np.float32([0.1, 0.01, 0.9])
    for step in range(3):
        (grad,) = tensors([(4099,)], half, seed=step + 1)
        updater(0, grad, weight)
        scaled = lr * (grad.astype(np.float32) + wd * expected)
        mom = mom * momentum - scaled
        expected = expected + (momentum * mom - scaled)
    assert_same_bits([updater.states[0][0], updater.states[0][1]], [expected, mom])


@packages
@pytest.mark.parametrize("name", ["sgd", "nag", "dcasgd", "lbsgd"])
def test_negative_momentum_is_refused(package, name):
    """Q20: MXNet's kernels take it for 0, its step does not."""
    with pytest.raises(ValueError, match="momentum must be 0 or more, got -0.5"):
        package.create(name, momentum=-0.5)


@packages
@pytest.mark.parametrize("name", ["sgd", "nag", "ccsgd"])
def test_pairs_of_states_with_masters(package, name):
    """1.9 puts the master last for these."""
    optimizer = package.create(name, momentum=0.5, multi_precision=True)
    state = optimizer.create_state_multi_precision(0, np.full(2, 3, np.float16))
    master = state[1] if package is v1 else state[0]
    assert_same_bits([master], [np.full(2, 3, np.float32)])
    without = package.create(name, momentum=0.0, multi_precision=True)
    assert without.create_state_multi_precision(0, np.ones(2, np.float16))[0 if package is v1 else 1] is None


def test_float64_takes_whole_hyper_parameters():
    """Q18: MXNet's kernels round them to float32 for float64 weights too."""
    (fused,) = run("sgd", {"learning_rate": 0.1}, dtype="float64", shapes=((7,),), steps=1)
    weight, grad = tensors([(7,)], "float64")[0], tensors([(7,)], "float64", seed=1000)[0]
    assert_same_bits([fused], [weight - 0.1 * grad])
