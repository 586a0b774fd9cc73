"""Layer-wise rates: a custom class that scales its step by norms, then calls the raw update operators."""

import mxnet as mx
import numpy as np


@mx.optimizer.Optimizer.register
class LARSGD(mx.optimizer.Optimizer):
    def __init__(self, momentum=0.0, eta=0.001, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.eta = momentum, eta

    def create_state(self, index, weight):
        if self.momentum == 0.0:
            return None
        return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype, stype=weight.stype)

    def update(self, index, weight, grad, state):
        assert isinstance(weight, mx.nd.NDArray)
        assert isinstance(grad, mx.nd.NDArray)
        self._update_count(index)
        lr, wd = self._get_lr(index), self._get_wd(index)
        size, slope = float(weight.norm().asscalar()), float((grad * self.rescale_grad).norm().asscalar())
        if size > 0 and slope > 0:
            lr *= self.eta * size / (slope + wd * size + 1e-9)
        settings = {"rescale_grad": self.rescale_grad}
        if self.clip_gradient:
            settings["clip_gradient"] = self.clip_gradient
        if state is None:
            mx.nd.sgd_update(weight, grad, out=weight, lr=lr, wd=wd, **settings)
        else:
            settings["momentum"] = self.momentum
            mx.nd.sgd_mom_update(weight, grad, state, out=weight, lr=lr, wd=wd, **settings)


def main():
    found = {}
    for momentum in (0.0, 0.9):
        rng = np.random.RandomState(139)
        settings = {"learning_rate": 2.0, "momentum": momentum, "wd": 1e-3, "rescale_grad": 1 / 8}
        updater = mx.optimizer.get_updater(mx.optimizer.create("larsgd", **settings))
        weights = [mx.nd.array(rng.normal(size=shape)) for shape in ((60, 50), (7,))]
        for _ in range(6):
            for i, weight in enumerate(weights):
                updater(i, mx.nd.array(rng.normal(size=weight.shape)), weight)
        found.update({f"{momentum}_{i}": weight.asnumpy() for i, weight in enumerate(weights)})
    return found
