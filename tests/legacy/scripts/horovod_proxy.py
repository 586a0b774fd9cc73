"""A distributed optimizer as a proxy: gradients averaged over workers before the real one sees them."""

import mxnet as mx
import numpy as np


class DistributedOptimizer(mx.optimizer.Optimizer):
    def __init__(self, optimizer, workers):
        self._optimizer = optimizer
        self._workers = workers
        self._optimizer.rescale_grad *= 1.0 / workers

    def __getattr__(self, item):
        return getattr(self._optimizer, item)

    def create_state(self, index, weight):
        return self._optimizer.create_state(index, weight)

    def create_state_multi_precision(self, index, weight):
        return self._optimizer.create_state_multi_precision(index, weight)

    def _do_allreduce(self, grads):
        for grad in grads if isinstance(grads, (tuple, list)) else [grads]:
            grad[:] = grad * self._workers  # every worker had the same

    def update(self, index, weight, grad, state):
        self._do_allreduce(grad)
        self._optimizer.update(index, weight, grad, state)

    def update_multi_precision(self, index, weight, grad, state):
        self._do_allreduce(grad)
        self._optimizer.update_multi_precision(index, weight, grad, state)

    def set_learning_rate(self, lr):
        self._optimizer.set_learning_rate(lr)

    def set_lr_mult(self, args_lr_mult):
        self._optimizer.set_lr_mult(args_lr_mult)

    def set_wd_mult(self, args_wd_mult):
        self._optimizer.set_wd_mult(args_wd_mult)


def main():
    rng = np.random.RandomState(73)
    optimizer = mx.optimizer.create("sgd", learning_rate=0.1, momentum=0.9, wd=0.01, rescale_grad=0.5,
                                    param_idx2name={0: "fc_weight", 1: "fc_gamma"})  # fmt: skip
    optimizer = DistributedOptimizer(optimizer, workers=4)
    optimizer.set_lr_mult({"fc_gamma": 0.5})
    optimizer.set_wd_mult({"fc_gamma": 0.0})
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(rng.normal(size=(3, 2))) for _ in range(2)]
    for step in range(8):
        updater([0, 1], [weight * 2 - 1 for weight in weights], weights)
        if step == 4:
            optimizer.set_learning_rate(0.05)
    return {f"weight{i}": weight.asnumpy() for i, weight in enumerate(weights)}
