"""MXNet's habits in RMSProp: which are kept, which are not."""

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1 as v1

either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


def test_states_of_the_plain_form():
    weight = np.ones(2, np.float16)
    n = mx.create("rmsprop").create_state(0, weight)
    assert (n.dtype, n.shape) == (np.float32, (2,))
    (n,) = v1.create("rmsprop").create_state(0, weight)
    assert (n.dtype, n.shape) == (np.float32, (2,))


@either_way
@pytest.mark.parametrize(
    ("package", "order"), [(mx, ("g", "n", "delta")), (v1, ("n", "g", "delta"))], ids=["2.x", "1.x"]
)
def test_states_of_the_centered_form_have_the_dialects_order(package, order, fused):
    optimizer = package.create("rmsprop", centered=True, learning_rate=0.0, use_fused_step=fused)
    assert optimizer.state_names == order
    weight = np.ones(1)
    state = optimizer.create_state(0, weight)
    optimizer.update(0, weight, np.full(1, 3.0), state)
    values = dict(zip(order, (float(array[0]) for array in state)))
    assert values == pytest.approx({"n": 0.9, "g": 0.3, "delta": 0.0})


@either_way
def test_v1_epsilon_stands_inside_the_root(fused):
    moved = []
    for package in (v1, mx):
        weight = np.zeros(1)
        optimizer = package.create("rmsprop", learning_rate=1.0, epsilon=7.0, use_fused_step=fused)
        package.get_updater(optimizer)(0, np.full(1, 90**0.5), weight)
        moved.append(-weight[0])
    assert moved == pytest.approx([90**0.5 / 4, 90**0.5 / 10])


@either_way
def test_v1_clips_the_decay_too(fused):
    moved = []
    for package in (v1, mx):
        weight = np.full(1, 100.0)
        optimizer = package.create(
            "rmsprop", learning_rate=1e-3, wd=1.0, clip_gradient=1.0, use_fused_step=fused
        )
        updater = package.get_updater(optimizer)
        updater(0, np.zeros(1), weight)
        moved.append(np.ravel(updater.states[0])[0])
    assert moved == pytest.approx([0.1, 1000.0])


@pytest.mark.parametrize(("new", "old"), [("rho", "gamma1"), ("momentum", "gamma2")])
def test_each_dialect_takes_the_keyword_of_the_other(new, old):
    with pytest.warns(DeprecationWarning, match=f"{old} is called {new} here; pass {new}=0.25"):
        optimizer = mx.create("rmsprop", **{old: 0.25})
    assert getattr(optimizer, new) == 0.25
    with pytest.warns(DeprecationWarning, match=f"{new} is called {old} here; pass {old}=0.25"):
        optimizer = v1.create("rmsprop", **{new: 0.25})
    assert vars(optimizer)[old] == getattr(optimizer, new) == 0.25


def test_momentum_is_for_the_centered_form():
    for package, momentum in ((mx, "momentum"), (v1, "gamma2")):
        results = set()
        for value in (0.0, 0.5):
            weight = np.ones(2, np.float32)
            updater = package.get_updater(package.create("rmsprop", **{momentum: value}))
            for _ in range(3):
                updater(0, np.ones(2, np.float32), weight)
            results.add(weight.tobytes())
        assert len(results) == 1


@either_way
@pytest.mark.parametrize("centered", [True, False], ids=["centered", "plain"])
@pytest.mark.parametrize("off", [None, 0, -1.0], ids=str)
def test_weights_are_clipped_when_a_bound_above_zero_is_given(fused, centered, off):
    results = []
    for bound in (0.5, off):
        weight = np.array([1.0, -1.0, 0.25], np.float32)
        optimizer = mx.create("rmsprop", clip_weights=bound, centered=centered, use_fused_step=fused)
        mx.get_updater(optimizer)(0, np.full(3, 0.01, np.float32), weight)
        results.append(weight)
    assert results[0][:2].tolist() == [0.5, -0.5]
    np.testing.assert_allclose(results[1], [1.0, -1.0, 0.25], rtol=0, atol=0.05)


def test_the_kernel_takes_one_minus_rho_from_the_rounded_rho():
    """So does MXNet's; its step, and ours, has 1 - rho of the double."""
    weight, grad = np.zeros(1, np.float32), np.ones(1, np.float32)
    states = []
    for fused in (True, False):
        updater = mx.get_updater(mx.create("rmsprop", rho=0.999, use_fused_step=fused))
        updater(0, grad, weight.copy())
        states.append(updater.states[0][0])
    assert states == [np.float32(1) - np.float32(0.999), np.float32(1 - 0.999)]
    assert states[0] != states[1]
