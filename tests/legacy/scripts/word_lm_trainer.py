"""A language model's trainer: AdaGrad, one norm over all gradients, states to a file and back."""

import os
import tempfile

import mxnet as mx
import numpy as np


def make():
    rng = np.random.RandomState(53)
    params = [mx.gluon.Parameter(name, shape=(3, 4)) for name in ("decoder_weight", "encoder_weight")]
    for param in params:
        param.initialize(init="ones")
        param.set_data(mx.nd.array(rng.uniform(-1, 1, (3, 4))))
    return params, mx.gluon.Trainer(params, "adagrad", {"learning_rate": 0.2, "eps": 1})


def train(params, trainer, steps):
    for _ in range(steps):
        for param in params:
            param.grad()[:] = param.data() * 4 + 1
            param.data()._fresh_grad = True
        norm = mx.gluon.utils.clip_global_norm([param.grad() for param in params], 1000.0)
        assert norm > 1
        trainer.step(2)


def main():
    params, trainer = make()
    train(params, trainer, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.states")
        trainer.save_states(path)
        values = [param.data().asnumpy() for param in params]
        params, trainer = make()
        for param, value in zip(params, values):
            param.set_data(mx.nd.array(value))
        trainer.load_states(path)
    train(params, trainer, 3)
    return {param.name: param.data().asnumpy() for param in params}
