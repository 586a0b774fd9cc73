"""A schedule sets momentum to 0 and back: existing states stay in use, as in MXNet."""

import numpy as np
import pytest

import mxopt
import mxopt.v1

CASES = [
    (package, name)
    for package in (mxopt, mxopt.v1)
    for name in ("sgd", "ccsgd", "nag", "signum", "lars", "lbsgd", "dcasgd")
    if name in package.optimizer.Optimizer.opt_registry
]
each = pytest.mark.parametrize(("package", "name"), CASES, ids=[f"{p.__name__}-{n}" for p, n in CASES])


def made(package, name, momentum=0.9, **settings):
    return package.create(name, learning_rate=0.1, momentum=momentum, wd=0.01, **settings)


def steps(updater, weights, momenta, seed=0):
    rng = np.random.RandomState(seed)
    for momentum in momenta:
        updater.optimizer.momentum = momentum
        grads = [rng.uniform(-1, 1, weight.shape).astype(weight.dtype) for weight in weights]
        updater(list(range(len(weights))), grads, weights)


def weights_of(dtype=np.float32):
    rng = np.random.RandomState(9)
    return [rng.uniform(-1, 1, shape).astype(dtype) for shape in ((3, 4), (5,))]


#: 1.x' SGD, and what derives from it, leaves momentum alone while it is 0.
GOING_ON = [(p, n) for p, n in CASES if not p.optimizer.Optimizer.opt_registry[n].rests]
going_on = pytest.mark.parametrize(
    ("package", "name"), GOING_ON, ids=[f"{p.__name__}-{n}" for p, n in GOING_ON]
)
both_ways = pytest.mark.parametrize("settings", [{}, {"use_fused_step": False}], ids=["fused", "step"])


@going_on
@both_ways
def test_zero_is_the_limit_of_small(package, name, settings):
    """With a momentum of 1e-30 instead of 0 the same numbers come out."""
    found = []
    for small in (0.0, 1e-30):
        weights = weights_of()
        updater = package.get_updater(made(package, name, **settings))
        steps(updater, weights, [0.9, 0.9, small, small, 0.9, 0.9])
        assert all(part is not None for part in np.ravel(updater.states[0])[:1])
        found.append(weights)
    for zero, limit in zip(*found):
        np.testing.assert_array_equal(zero, limit)


@pytest.mark.parametrize("name", ["sgd", "ccsgd", "lars"])
@both_ways
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_momentum_rests_in_1x(name, settings, dtype):
    weights = weights_of(dtype)
    updater = mxopt.v1.get_updater(made(mxopt.v1, name, multi_precision=True, **settings))
    steps(updater, weights, [0.9])

    def momentum():
        state = updater.states[0]
        return np.array(state[0] if isinstance(state, tuple) else state)

    before, start = momentum(), weights[0].copy()
    steps(updater, weights, [0.0, 0.0])
    np.testing.assert_array_equal(momentum(), before)
    assert (weights[0] != start).any()
    steps(updater, weights, [0.9])
    assert (momentum() != before).any()


@each
def test_a_tensor_first_seen_while_it_is_zero_steps_without_momentum(package, name):
    weights, alone = weights_of(), weights_of()
    updater = package.get_updater(made(package, name))
    steps(updater, weights[:1], [0.9])
    steps(updater, weights, [0.0], seed=1)  # the second has no momentum
    single = package.get_updater(made(package, name, momentum=0.0))
    rng = np.random.RandomState(1)
    rng.uniform(-1, 1, weights[0].shape)
    single(1, rng.uniform(-1, 1, weights[1].shape).astype(np.float32), alone[1])
    np.testing.assert_array_equal(weights[1], alone[1])
    assert updater.optimizer._index_update_count == {0: 2, 1: 1}


@each
@pytest.mark.parametrize("wrong", ["shape", "rate"])
def test_an_error_at_a_tensor_without_momentum_leaves_those_with_it(package, name, wrong):
    weights = weights_of()
    updater = package.get_updater(made(package, name))
    steps(updater, weights[:1], [0.9])
    optimizer = updater.optimizer
    optimizer.momentum = 0.0
    if wrong == "rate":
        optimizer.lr_mult = {1: np.nan}
    grads = [np.ones_like(weights[0]), np.ones(5 + (wrong == "shape"), np.float32)]
    state = updater.states[0]
    arrays = [
        *weights,
        *(part for part in (state if isinstance(state, tuple) else [state]) if part is not None),
    ]
    before = [np.array(array) for array in arrays]
    with pytest.raises((ValueError, TypeError)):
        updater([0, 1], grads, weights)
    for array, old in zip(arrays, before):
        np.testing.assert_array_equal(array, old)
    assert optimizer._index_update_count == {0: 1}
    assert list(updater.states) == [0]


def test_masters_go_on_as_well():
    package = mxopt
    weights = weights_of(np.float16)
    updater = package.get_updater(made(package, "sgd", multi_precision=True))
    steps(updater, weights, [0.9, 0.0, 0.9])
    wide = weights_of(np.float16)
    wide = [weight.astype(np.float32) for weight in wide]
    other = package.get_updater(made(package, "sgd"))
    rng = np.random.RandomState(0)
    for momentum in [0.9, 0.0, 0.9]:
        other.optimizer.momentum = momentum
        grads = [rng.uniform(-1, 1, weight.shape).astype(np.float16).astype(np.float32) for weight in wide]
        other([0, 1], grads, wide)
    for weight, master in zip(weights, wide):
        np.testing.assert_array_equal(weight, master.astype(np.float16))


@each
def test_a_momentum_without_its_state_says_how_to_go_on(package, name):
    weights = weights_of()
    updater = package.get_updater(made(package, name, momentum=0.0))
    steps(updater, weights, [0.0])
    with pytest.raises(ValueError, match="make it with create_state"):
        steps(updater, weights, [0.9])
    for index, weight in enumerate(weights):  # the cure
        updater.states[index] = updater.optimizer.create_state(index, weight)
    steps(updater, weights, [0.9])
