"""A clone of Module: names for indices, states in numbered files, loaded before the next update."""

import os
import tempfile

import mxnet as mx
import numpy as np


class MutableModule:
    def __init__(self, arg_params, batch_size):
        self.names = list(arg_params)
        self.arg_params = arg_params
        self.batch_size = batch_size
        self._preload_opt_states = None

    def init_optimizer(self, optimizer, optimizer_params):
        optimizer_params = dict(optimizer_params)
        if "rescale_grad" not in optimizer_params:
            optimizer_params["rescale_grad"] = 1.0 / self.batch_size
        idx2name = dict(enumerate(self.names))
        self._optimizer = mx.optimizer.create(
            optimizer, sym=None, param_idx2name=idx2name, **optimizer_params
        )
        self._updater = mx.optimizer.get_updater(self._optimizer)
        if self._preload_opt_states is not None:
            with open(self._preload_opt_states, "rb") as file:
                self._updater.set_states(file.read())

    def update(self):
        for i, name in enumerate(self.names):
            self._updater(i, self.arg_params[name] * 4 - 1, self.arg_params[name])

    def save_checkpoint(self, prefix, epoch):
        mx.nd.save(f"{prefix}-{epoch:04d}.params", {f"arg:{k}": v for k, v in self.arg_params.items()})
        with open(f"{prefix}-{epoch:04d}.states", "wb") as file:
            file.write(self._updater.get_states())

    @classmethod
    def load(cls, prefix, epoch, batch_size):
        saved = mx.nd.load(f"{prefix}-{epoch:04d}.params")
        self = cls({name.split(":", 1)[1]: array for name, array in saved.items()}, batch_size)
        self._preload_opt_states = f"{prefix}-{epoch:04d}.states"
        return self


def main():
    rng = np.random.RandomState(79)
    names = ["conv0_weight", "conv0_bias", "bn0_gamma", "bn0_beta"]
    params = {name: mx.nd.array(rng.normal(size=(2, 3))) for name in names}
    settings = (("learning_rate", 0.1), ("momentum", 0.9), ("wd", 0.05), ("clip_gradient", 2.0))
    module = MutableModule(params, batch_size=2)
    module.init_optimizer("sgd", settings)
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "model")
        for _ in range(4):
            module.update()
        module.save_checkpoint(prefix, 1)
        module = MutableModule.load(prefix, 1, batch_size=2)
        module.init_optimizer("sgd", settings)
        for _ in range(3):
            module.update()
    return {name: array.asnumpy() for name, array in module.arg_params.items()}
