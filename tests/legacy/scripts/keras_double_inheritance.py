"""Keras on MXNet: classes that are a Keras optimizer and an MXNet one, with rates of their own."""

import mxnet as mx
import numpy as np


class MXOptimizer:
    def __init__(self, lr, decay):
        self.lr = lr
        self.decay = decay

    def _get_lr(self, index):
        return self._get_lrs([index])[0]

    def _get_lrs(self, indices):
        rate = self.lr_scheduler(self.num_update) if self.lr_scheduler is not None else self.lr
        rate = rate / (1.0 + self.decay * max(self.num_update - 1, 0))
        return [rate * self.lr_mult.get(index, 1.0) for index in indices]

    def get_config(self):
        return {"lr": float(self.lr), "decay": float(self.decay)}


@mx.optimizer.Optimizer.register
class KerasSGD(MXOptimizer, mx.optimizer.SGD):
    def __init__(self, lr=0.01, momentum=0.0, decay=0.0, clipnorm=None, **kwargs):
        mx.optimizer.SGD.__init__(self, learning_rate=lr, momentum=momentum, clip_gradient=clipnorm, **kwargs)
        MXOptimizer.__init__(self, lr, decay)
        self.aggregate_num = 1


@mx.optimizer.Optimizer.register
class KerasAdam(MXOptimizer, mx.optimizer.Adam):
    def __init__(self, lr=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8, decay=0.0, clipnorm=None, **kwargs):
        mx.optimizer.Adam.__init__(self, learning_rate=lr, beta1=beta_1, beta2=beta_2, epsilon=epsilon,
                                   clip_gradient=clipnorm, **kwargs)  # fmt: skip
        MXOptimizer.__init__(self, lr, decay)


def train(optimizer):
    rng = np.random.RandomState(97)
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(rng.normal(size=(3, 2))) for _ in range(2)]
    for _ in range(7):
        for i, weight in enumerate(weights):
            updater(i, weight * 2 - 1, weight)
    return [weight.asnumpy() for weight in weights]


def main():
    sgd = train(KerasSGD(lr=0.1, momentum=0.9, decay=0.125, clipnorm=1.5))
    adam = train(mx.optimizer.create("kerasadam", lr=0.05, decay=0.25))
    return {"sgd0": sgd[0], "sgd1": sgd[1], "adam0": adam[0], "adam1": adam[1]}
