"""A schedule of rate and momentum together: _get_lr returns a pair."""

import mxnet as mx
import numpy as np


class Schedule(mx.lr_scheduler.LRScheduler):
    def __init__(self, rate, momentum):
        super().__init__(base_lr=rate)
        self.momentum = momentum

    def __call__(self, num_update):
        slow = 0.5 ** (num_update // 4)
        return self.base_lr * slow, (0.0 if num_update < 3 else self.momentum)


@mx.optimizer.register
class SpeechSGD(mx.optimizer.Optimizer):
    def __init__(self, momentum=0.0, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum

    def create_state(self, index, weight):
        return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype)

    def _get_lr(self, index):
        lr, mom = self.lr_scheduler(self.num_update)
        return lr * self.lr_mult.get(index, 1.0), mom

    def update(self, index, weight, grad, state):
        self._update_count(index)
        lr, momentum = self._get_lr(index)
        wd = self._get_wd(index)
        grad = grad * self.rescale_grad
        if self.clip_gradient is not None:
            grad = mx.nd.clip(grad, -self.clip_gradient, self.clip_gradient)
        mom = state
        mom[:] *= momentum
        mom[:] += -lr * (1.0 - momentum) * (grad + wd * weight)
        weight[:] += mom


def main():
    rng = np.random.RandomState(23)
    optimizer = mx.optimizer.create("speechsgd", rescale_grad=0.5, wd=0.01, clip_gradient=0.75,
                                    lr_scheduler=Schedule(0.25, 0.9))  # fmt: skip
    optimizer.lr_mult = {1: 2.0}
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(rng.normal(size=(5, 2))) for _ in range(2)]
    for _ in range(10):
        for i, weight in enumerate(weights):
            updater(i, weight * 2 - 1, weight)
    return {f"weight{i}": weight.asnumpy() for i, weight in enumerate(weights)}
