"""A first step that only makes the states exist, then load_states; frozen and idle parameters."""

import os
import tempfile

import mxnet as mx
import numpy as np


def make():
    params = {}
    for i, name in enumerate(("flow_weight", "mask_weight", "frozen_weight")):
        params[name] = mx.gluon.Parameter(
            name, shape=(2, 3), grad_req="null" if "frozen" in name else "write"
        )
        params[name].initialize(init="ones")
        params[name].data()[:] = np.arange(6).reshape(2, 3) / 8.0 + i
    return params, mx.gluon.Trainer(params, "adam", {"learning_rate": 0.1})


def feed(params, names):
    for name in names:
        params[name].grad()[:] = params[name].data() - 0.5
        params[name].data()._fresh_grad = True


def main():
    params, trainer = make()
    for step in range(5):
        feed(params, ["flow_weight", "mask_weight"] if step % 2 else ["flow_weight"])
        trainer.step(2, ignore_stale_grad=True)
    values = {name: param.data().asnumpy() for name, param in params.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "flow.states")
        trainer.save_states(path)
        params, trainer = make()
        trainer.step(100, ignore_stale_grad=True)
        trainer.load_states(path)
    for name, value in values.items():
        params[name].data()[:] = value
    stale = False
    try:
        feed(params, ["flow_weight"])
        trainer.step(2)
    except UserWarning as warning:
        stale = "mask_weight" in str(warning)
    feed(params, ["flow_weight", "mask_weight"])
    trainer.step(2)
    found = {name: param.data().asnumpy() for name, param in params.items()}
    found["stale"] = np.array(stale)
    return found
