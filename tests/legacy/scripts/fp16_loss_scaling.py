"""Loss scaling: gradients checked and clipped between allreduce_grads and update."""

import math

import mxnet as mx
import numpy as np


class FP16Trainer:
    def __init__(self, trainer):
        self.trainer = trainer
        self.scale = 64.0
        self.skipped = 0

    def step(self, batch_size, max_norm):
        self.trainer.allreduce_grads()
        grads = [param.grad() for param in self.trainer._params if param.grad_req != "null"]
        squares = [x for grad in grads for x in (grad.asnumpy().astype("float64") ** 2).ravel()]
        norm = math.sqrt(math.fsum(squares)) if all(map(math.isfinite, squares)) else math.inf
        if not math.isfinite(norm):
            self.skipped += 1
            self.scale /= 2
            return
        ratio = norm / self.scale / max_norm
        if ratio > 1:
            for grad in grads:
                grad[:] = grad / ratio
        self.trainer.update(batch_size * self.scale)


def main():
    rng = np.random.RandomState(47)
    params = [mx.gluon.Parameter(f"dense{i}_weight", shape=(4, 3), dtype="float16") for i in range(2)]
    for param in params:
        param.initialize(init="zeros")
        param.data()[:] = rng.normal(size=(4, 3))
    settings = {"learning_rate": 0.125, "multi_precision": True}
    trainer = mx.gluon.Trainer(params, "adam", settings, update_on_kvstore=False)
    wrapped = FP16Trainer(trainer)
    for step in range(8):
        for param in params:
            grad = param.data() * wrapped.scale * 2
            param.grad()[:] = grad * 60000 if step == 4 else grad
            param.data()._fresh_grad = True
        wrapped.step(1, max_norm=1.5)
    found = {param.name: param.data().asnumpy() for param in params}
    found["skipped"] = np.array([wrapped.skipped, wrapped.scale])
    return found
