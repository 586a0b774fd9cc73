"""A custom optimizer that decides by the parameter's name, which is its index, with out= everywhere."""

import mxnet as mx
import numpy as np


@mx.optimizer.register
class ApgNag(mx.optimizer.Optimizer):
    def __init__(self, momentum=0.9, threshold=0.02, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.threshold = momentum, threshold

    def create_state(self, index, weight):
        return mx.nd.zeros_like(weight) if self.momentum else None

    def update(self, index, weight, grad, state):
        self._update_count(index)
        lr, wd = self._get_lr(index), self._get_wd(index)
        grad = grad * self.rescale_grad
        mx.nd.clip(grad, -1.0, 1.0, out=grad)
        if index.endswith("gamma"):
            kept = mx.nd.sign(weight) * mx.nd.maximum(mx.nd.abs(weight) - self.threshold * lr, 0)
            state[:] = self.momentum * state + (kept - weight) - lr * grad
            mx.nd.elemwise_add(weight, state, out=weight)
            return
        mx.nd.elemwise_add(grad, wd * weight, out=grad)
        state *= self.momentum
        state += grad
        grad += self.momentum * state
        weight += -lr * mx.nd.where(mx.nd.abs(grad) > 0.01, grad, mx.nd.zeros_like(grad))


def main():
    rng = np.random.RandomState(107)
    optimizer = mx.optimizer.create("apgnag", learning_rate=0.1, wd=0.01, rescale_grad=0.5)
    updater = mx.optimizer.get_updater(optimizer)
    weights = {name: mx.nd.array(rng.normal(size=(3, 4))) for name in ("conv_weight", "bn_gamma")}
    for _ in range(8):
        for name, weight in weights.items():
            updater(name, weight * 2 - 1, weight)
    return {name: weight.asnumpy() for name, weight in weights.items()}
