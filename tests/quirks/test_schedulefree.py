"""Schedule-Free: two points of one weight, and files that know where it lies."""

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1

NAMES = ("schedulefreesgd", "schedulefreeadamw")
PACKAGES = {"2.x": mx, "1.x": mx.v1}
names = pytest.mark.parametrize("name", NAMES)


def gradient(step, shape=(5, 3), dtype="float32"):
    return np.random.default_rng(step).standard_normal(shape).astype(dtype)


def trained(name, steps=4, dtype="float32", package=mx, **settings):
    updater = package.optimizer.get_updater(package.optimizer.create(name, learning_rate=0.1, **settings))
    weight = gradient(100, dtype=dtype)
    for step in range(steps):
        updater(0, gradient(step, dtype=dtype), weight)
    return updater, weight


@names
@pytest.mark.parametrize("package", PACKAGES)
def test_the_average_is_that_of_the_iterates(name, package):
    """At a constant rate, eval() gives the plain mean of the iterates, which are never stored together."""
    updater, weight = trained(name, 0, "float64", PACKAGES[package])
    iterates = []
    for step in range(6):
        updater(0, gradient(step, dtype="float64"), weight)
        iterates.append(updater.states[0][0].copy())
    updater.eval(0, weight)
    np.testing.assert_allclose(weight, np.mean(iterates, axis=0), rtol=1e-12)


@names
def test_a_step_at_the_average_is_refused_and_changes_nothing(name):
    for fused in (True, False):
        updater, weight = trained(name, use_fused_step=fused)
        updater.eval(0, weight)
        before = weight.copy(), [part.copy() for part in updater.states[0]]
        with pytest.raises(ValueError, match=r"call train\(\) before the step"):
            updater(0, gradient(9), weight)
        np.testing.assert_array_equal(weight, before[0])
        for now, then in zip(updater.states[0], before[1]):
            np.testing.assert_array_equal(now, then)
        assert updater.optimizer.num_update == 4
        updater.train(0, weight)
        updater(0, gradient(9), weight)
        assert updater.optimizer.num_update == 5


@names
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_there_and_back(name, dtype):
    updater, weight = trained(name, dtype=dtype, multi_precision=True)
    before = weight.copy()
    updater.eval(0, weight)
    assert (weight != before).any()
    once = weight.copy()
    updater.eval(0, weight)  # it lies there already
    np.testing.assert_array_equal(weight, once)
    updater.train(0, weight)
    updater.train(0, weight)
    np.testing.assert_allclose(weight, before, rtol=1e-5 if dtype != "float16" else 1e-2, atol=1e-6)


@names
@pytest.mark.parametrize("evaluating", [False, True])
def test_a_file_knows_where_the_weights_lie(name, evaluating):
    updater, weight = trained(name)
    if evaluating:
        updater.eval(0, weight)
    resumed, copy = mx.get_updater(mx.create(name, learning_rate=0.1)), weight.copy()
    resumed.set_states(updater.get_states())
    for one, array in ((updater, weight), (resumed, copy)):
        if evaluating:
            with pytest.raises(ValueError, match="train"):
                one(0, gradient(9), array)
        one.train(0, array)
        one(0, gradient(9), array)
        one.eval(0, array)
    np.testing.assert_array_equal(weight, copy)


@names
def test_a_trainer_moves_all_its_parameters(name):
    weights = {"a": gradient(1), "b": gradient(2, (4,))}
    trainer = mx.gluon.Trainer(weights, name, {"learning_rate": 0.1})
    trainer.eval()  # before the first step both points are one
    for step in range(3):
        trainer.step(1, grads={key: gradient(step, w.shape) for key, w in weights.items()})
    before = {key: w.copy() for key, w in weights.items()}
    trainer.eval()
    assert all((weights[key] != before[key]).any() for key in weights)
    with pytest.raises(ValueError, match="train"):
        trainer.step(1, grads={key: gradient(7, w.shape) for key, w in weights.items()})
    trainer.train()
    for key in weights:
        np.testing.assert_allclose(weights[key], before[key], rtol=1e-5, atol=1e-6)


def test_other_optimizers_have_one_point():
    updater, weight = mx.get_updater(mx.create("adam")), np.ones(3, np.float32)
    updater(0, np.ones(3, np.float32), weight)
    before = weight.copy()
    updater.eval(0, weight)
    updater.train([0], [weight])
    np.testing.assert_array_equal(weight, before)


@names
def test_wrong_arguments_are_refused_before_anything_moves(name):
    updater, weight = trained(name)
    other = weight.copy()
    other.flags.writeable = False
    for index, array, message in (
        ([0, 1], [weight], "same length"),
        (0, other, "read-only"),
        (0, weight[:2], "shape"),
    ):
        before = weight.copy()
        with pytest.raises(ValueError, match=message):
            updater.eval(index, array)
        np.testing.assert_array_equal(weight, before)
        assert not updater.states[0][-1]
    with pytest.raises(ValueError, match=r"within \(0, 1\)"):
        mx.create(name, **{"momentum" if name.endswith("sgd") else "beta1": 0.0})


def test_a_state_of_one_number_must_be_one():
    updater, weight = trained("schedulefreesgd")
    z, *numbers = updater.states[0]
    updater.states[0] = (z, np.zeros(1), *numbers[1:])
    before = weight.copy()
    with pytest.raises(ValueError, match=r"must be a single number, of shape \(\), got shape \(1,\)"):
        updater(0, gradient(9), weight)
    np.testing.assert_array_equal(weight, before)
