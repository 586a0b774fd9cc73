"""Asynchronous training: the optimizer remembers the weight and sends what an update added to it."""

import mxnet as mx
import numpy as np


class DeltaOptimizer(mx.optimizer.Optimizer):
    def __init__(self, optimizer):
        self._optimizer = optimizer
        self.sent = {}

    def __getattr__(self, item):
        return getattr(self._optimizer, item)

    def create_state_multi_precision(self, index, weight):
        return self._optimizer.create_state_multi_precision(index, weight)

    def update(self, index, weight, grad, state):
        self.update_multi_precision(index, weight, grad, state)

    def update_multi_precision(self, index, weight, grad, state):
        before = weight.copy()
        self._optimizer.update_multi_precision(index, weight, grad, state)
        delta = weight - before
        self.sent[index] = self.sent.get(index, mx.nd.zeros(weight.shape)) + delta
        before += delta
        before.copyto(weight)


def main():
    rng = np.random.RandomState(109)
    optimizer = DeltaOptimizer(mx.optimizer.create("ftml", learning_rate=0.05, wd=0.01))
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(rng.normal(size=(2, 5))) for _ in range(2)]
    for _ in range(6):
        for i, weight in enumerate(weights):
            updater(i, weight * 2 - 1, weight)
    found = {f"weight{i}": weight.asnumpy() for i, weight in enumerate(weights)}
    found.update({f"sent{i}": delta.asnumpy() for i, delta in optimizer.sent.items()})
    return found
