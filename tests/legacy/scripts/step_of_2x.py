"""A custom optimizer of the second generation: step with lists, multipliers, a list of states."""

import mxnet as mx
import numpy as np


@mx.optimizer.register
class SignMomentum(mx.optimizer.Optimizer):
    def __init__(self, learning_rate=0.1, momentum=0.9, use_fused_step=False, **kwargs):
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.momentum = momentum

    def create_state(self, index, weight):
        return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype)

    def step(self, indices, weights, grads, states):
        for index, weight, grad, state in zip(indices, weights, grads, states):
            self._update_count(index)
            lr, wd = self._get_lr(index), self._get_wd(index)
            grad = grad * self.rescale_grad + wd * weight
            state[:] = self.momentum * state + (1 - self.momentum) * grad
            weight[:] = weight - lr * mx.nd.sign(state) * mx.nd.sqrt(mx.nd.abs(state))


def main():
    rng = np.random.RandomState(127)
    optimizer = mx.optimizer.create("signmomentum", wd=0.01, rescale_grad=0.5, aggregate_num=2,
                                    param_idx2name={0: "a_weight", 1: "b_weight", 2: "c_weight"})  # fmt: skip
    optimizer.set_lr_mult({"b_weight": 0.5})
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(rng.normal(size=(3, 3))) for _ in range(3)]
    for _ in range(6):
        updater([0, 1, 2], [weight * 2 - 1 for weight in weights], weights)
    return {f"weight{i}": weight.asnumpy() for i, weight in enumerate(weights)}
