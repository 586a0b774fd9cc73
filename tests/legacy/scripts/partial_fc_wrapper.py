"""A wrapper that delegates by __getattr__, and raw update operators for the rows of a class layer."""

import mxnet as mx
import numpy as np


class Wrapped(mx.optimizer.Optimizer):
    def __init__(self, optimizer):
        self._optimizer = optimizer

    def __getattr__(self, item):
        return getattr(self._optimizer, item)

    def create_state_multi_precision(self, index, weight):
        return self._optimizer.create_state_multi_precision(index, weight)

    def update(self, index, weight, grad, state):
        self._optimizer.update(index, weight, grad * 0.5, state)

    def update_multi_precision(self, index, weight, grad, state):
        self._optimizer.update_multi_precision(index, weight, grad * 0.5, state)


class MemoryBank:
    def __init__(self, values, momentum, rescale):
        self.weight = mx.nd.array(values)
        self.mom = mx.nd.zeros(self.weight.shape)
        self.momentum, self.rescale = momentum, rescale

    def update(self, rows, grad, lr, wd):
        picked, mom = self.weight[rows], self.mom[rows]
        mx.nd.sgd_mom_update(weight=picked, grad=grad, mom=mom, out=picked, lr=lr, wd=wd,
                             momentum=self.momentum, rescale_grad=self.rescale)  # fmt: skip
        self.weight[rows] = picked
        self.mom[rows] = mom


def main():
    rng = np.random.RandomState(71)
    optimizer = Wrapped(mx.optimizer.create("adam", learning_rate=0.05, clip_gradient=0.3))
    updater = mx.optimizer.get_updater(optimizer)
    backbone = mx.nd.array(rng.normal(size=(3, 3)))
    bank = MemoryBank(rng.normal(size=(8, 3)), momentum=0.9, rescale=0.25)
    for step in range(6):
        updater(0, backbone * 2 - 1, backbone)
        rows = mx.nd.array(np.sort(rng.permutation(8)[:3]), dtype="int32")
        bank.update(rows, bank.weight[rows] * 2 + 1, lr=optimizer.learning_rate, wd=0.01)
        if step == 2:
            optimizer.set_learning_rate(0.025)
    return {"backbone": backbone.asnumpy(), "bank": bank.weight.asnumpy(), "moments": bank.mom.asnumpy()}
