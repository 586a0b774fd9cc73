"""MXNet's amp around its Trainer, and mxopt's around its own: the same scales, skips and weights."""

import importlib

import mxnet
import numpy as np
import pytest

from mxopt.gluon import amp
from oracle.comparison import dialects_here
from oracle.driver import mxopt_for, quiet

V1 = "1.x" in dialects_here()
array = mxnet.nd.array if V1 else mxnet.np.array
SHAPES = {"fc_weight": (7, 13), "fc_bias": (13,)}


@pytest.fixture
def their_amp(monkeypatch):
    module = importlib.import_module("mxnet.contrib.amp.amp" if V1 else "mxnet.amp.amp")
    # What init() does without wrapping every operator for the rest of the process.
    monkeypatch.setattr(module, "_amp_initialized", True)
    monkeypatch.setattr(module, "_amp_loss_scale_initialized", True)
    return module


@pytest.mark.parametrize("unscaled", [False, True], ids=["step", "unscale"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_steps_and_scales(their_amp, optimizer, unscaled):
    rng = np.random.RandomState(0)
    start = {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in SHAPES.items()}
    theirs = {}
    for name, value in start.items():
        theirs[name] = mxnet.gluon.Parameter(name, shape=value.shape)
        theirs[name].initialize()
        theirs[name].set_data(array(value))
    mx = mxopt_for(dialects_here()[0]).package
    ours = [mx.gluon.Parameter(name, value.copy()) for name, value in start.items()]
    settings = {"learning_rate": 0.1, "rescale_grad": 0.5}
    their_trainer = mxnet.gluon.Trainer(list(theirs.values()), optimizer, dict(settings), kvstore=None)
    trainer = mx.gluon.Trainer(ours, optimizer, dict(settings), kvstore=None)
    amp.init()
    amp.init_trainer(trainer)
    their_amp.init_trainer(their_trainer)
    for scaler in (trainer._amp_loss_scaler, their_trainer._amp_loss_scaler):
        scaler._unskipped = 1996  # the scale soon doubles
    for step in range(12):
        values = {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in SHAPES.items()}
        if step in (1, 6, 7):
            values["fc_bias"][3] = [np.inf, np.nan][step % 2]
        with mxnet.autograd.record():
            loss = sum((theirs[name].data() * array(value)).sum() for name, value in values.items())
            with their_amp.scale_loss(loss, their_trainer) as scaled:
                scaled.backward()
        with amp.scale_loss(np.float32(1), trainer) as factor:
            for parameter in ours:
                parameter.grad()[:] = values[parameter.name] * np.float32(factor)
        if unscaled:
            their_amp.unscale(their_trainer)
            amp.unscale(trainer)
        with quiet():
            their_trainer.step(4)
        trainer.step(4)
        for name in ("_loss_scale", "_next_loss_scale", "_unskipped"):
            assert getattr(trainer._amp_loss_scaler, name) == getattr(their_trainer._amp_loss_scaler, name)
        for parameter in ours:
            np.testing.assert_array_equal(
                np.asarray(parameter.data()), theirs[parameter.name].data().asnumpy()
            )
