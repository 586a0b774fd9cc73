"""Gluon's Trainer and gradient clipping beside MXNet's own."""

import mxnet
import numpy as np
import pytest

import mxopt
from oracle.comparison import dialects_here
from oracle.driver import mxopt_for, quiet

SHAPES = {"fc_weight": (7, 13), "fc_bias": (13,)}
array = mxnet.nd.array if "1.x" in dialects_here() else mxnet.np.array
MULTIPLIERS = {"fc_weight": {"lr_mult": 0.5}, "fc_bias": {"wd_mult": 0.0}}


def drawn(seed):
    rng = np.random.RandomState(seed)
    return {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in SHAPES.items()}


def their_parameters(values):
    parameters = {}
    for name, value in values.items():
        parameters[name] = mxnet.gluon.Parameter(name, shape=value.shape, **MULTIPLIERS[name])
        parameters[name].initialize()
        parameters[name].set_data(array(value))
    return parameters


def their_step(trainer, parameters, gradients):
    with mxnet.autograd.record():
        # The gradient of a sum of products with constants is those constants, exactly.
        loss = sum((parameters[name].data() * array(value)).sum() for name, value in gradients.items())
    loss.backward()
    trainer.step(4)


@pytest.mark.parametrize("resumed", [False, True], ids=["one run", "resumed from MXNet's file"])
@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01}),
        ("adam", {"learning_rate": 0.01, "wd": 0.01, "clip_gradient": 0.2}),
    ],
    ids=["sgd", "adam"],
)
def test_trainer(optimizer, settings, resumed, tmp_path):
    package = mxopt_for(dialects_here()[0]).package
    theirs = their_parameters(drawn(0))
    their_trainer = mxnet.gluon.Trainer(list(theirs.values()), optimizer, dict(settings), kvstore=None)
    steps = [drawn(seed) for seed in range(1, 9)]
    if resumed:
        for gradients in steps[:4]:
            their_step(their_trainer, theirs, gradients)
        their_trainer.save_states(str(tmp_path / "trainer.states"))
        steps = steps[4:]
    weights = {name: parameter.data().asnumpy().copy() for name, parameter in theirs.items()}
    ours = [package.gluon.Parameter(name, weight, **MULTIPLIERS[name]) for name, weight in weights.items()]
    trainer = package.gluon.Trainer(ours, optimizer, dict(settings), kvstore=None)
    if resumed:
        trainer.load_states(str(tmp_path / "trainer.states"))
    for gradients in steps:
        their_step(their_trainer, theirs, gradients)
        for parameter in ours:
            parameter.grad()[:] = gradients[parameter.name]
        trainer.step(4)
        for name, weight in weights.items():
            np.testing.assert_array_equal(weight, theirs[name].data().asnumpy())


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 1e3])
def test_clip_global_norm(max_norm):
    arrays = list(drawn(3).values())
    theirs = [array(values) for values in arrays]
    with quiet():
        norm = float(mxnet.gluon.utils.clip_global_norm(theirs, max_norm))
    assert mxopt.gluon.utils.clip_global_norm(arrays, max_norm) == pytest.approx(norm, rel=1e-6)
    for ours, their in zip(arrays, theirs):
        # The norm is summed in another order.
        np.testing.assert_allclose(ours, their.asnumpy(), rtol=1e-6)
