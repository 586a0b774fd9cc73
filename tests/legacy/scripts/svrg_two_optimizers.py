"""Variance reduction: one optimizer that holds two and tells them apart by an offset of the index."""

import mxnet as mx
import numpy as np


@mx.optimizer.register
class AssignmentOptimizer(mx.optimizer.Optimizer):
    def update(self, index, weight, grad, state):
        weight[:] = grad


@mx.optimizer.register
class SVRGOptimizer(mx.optimizer.Optimizer):
    def __init__(self, default_optimizer, offset, **kwargs):
        super().__init__(**{key: kwargs[key] for key in ("wd", "learning_rate") if key in kwargs})
        self.default_opt = mx.optimizer.create(default_optimizer, **kwargs)
        self.aux_opt = mx.optimizer.create("assignmentoptimizer")
        self.offset = offset

    def chosen(self, index):
        return self.aux_opt if index >= self.offset else self.default_opt

    def create_state(self, index, weight):
        return self.chosen(index).create_state(index, weight)

    def update(self, index, weight, grad, state):
        self.chosen(index).update(index, weight, grad, state)


def main():
    rng = np.random.RandomState(41)
    optimizer = mx.optimizer.create("svrgoptimizer", default_optimizer="adam", offset=2, learning_rate=0.1)
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(rng.normal(size=(3, 3))) for _ in range(2)]
    full = [mx.nd.zeros((3, 3)) for _ in range(2)]
    for step in range(8):
        if step % 4 == 0:
            special = [weight.copy() for weight in weights]
            for i in range(2):
                updater(2 + i, special[i] * 2 - 1, full[i])
        for i, weight in enumerate(weights):
            noisy, anchor = weight * 2 - 0.5, special[i] * 2 - 0.5
            updater(i, noisy - anchor + full[i], weight)
    return {**{f"weight{i}": w.asnumpy() for i, w in enumerate(weights)},
            **{f"full{i}": w.asnumpy() for i, w in enumerate(full)}}  # fmt: skip
