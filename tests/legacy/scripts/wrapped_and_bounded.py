"""Optimizers after papers: Lookahead around another, AMSGrad with three states, AdaBound with bounds."""

import mxnet as mx
import numpy as np


@mx.optimizer.register
class Lookahead(mx.optimizer.Optimizer):
    def __init__(self, inner="adam", inner_params=None, k=3, alpha=0.5, **kwargs):
        super().__init__(**kwargs)
        self.inner = mx.optimizer.create(inner, **(inner_params or {}))
        self.k, self.alpha = k, alpha

    def create_state(self, index, weight):
        return [weight.copy(), self.inner.create_state(index, weight)]

    def update(self, index, weight, grad, state):
        slow, inner = state
        self.inner.update(index, weight, grad, inner)
        if self.inner._index_update_count[index] % self.k == 0:
            slow[:] += self.alpha * (weight - slow)
            slow.copyto(weight)


@mx.optimizer.register
class AMSGrad(mx.optimizer.Optimizer):
    def __init__(self, beta1=0.9, beta2=0.99, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def create_state(self, index, weight):
        return tuple(mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype) for _ in range(3))

    def update(self, index, weight, grad, state):
        lr, wd = self._get_lr(index), self._get_wd(index)
        self._update_count(index)
        grad = grad * self.rescale_grad + wd * weight
        if self.clip_gradient is not None:
            grad = mx.nd.clip(grad, -self.clip_gradient, self.clip_gradient)
        mean, var, largest = state
        mean[:] = self.beta1 * mean + (1.0 - self.beta1) * grad
        var[:] = self.beta2 * var + (1.0 - self.beta2) * grad * grad
        largest[:] = mx.nd.maximum(largest, var)
        weight[:] -= lr * mean / (mx.nd.sqrt(largest) + self.epsilon)


@mx.optimizer.register
class AdaBound(mx.optimizer.Optimizer):
    def __init__(self, final_lr=0.1, gamma=1e-3, **kwargs):
        super().__init__(learning_rate=1e-3, **kwargs)
        self.final_lr, self.gamma, self.base = final_lr, gamma, self.lr

    def create_state(self, index, weight):
        return mx.nd.zeros_like(weight), mx.nd.zeros_like(weight)

    def update(self, index, weight, grad, state):
        self._update_count(index)
        lr, wd, t = self._get_lr(index), self._get_wd(index), self._index_update_count[index]
        mean, var = state
        grad = grad * self.rescale_grad + wd * weight
        mean *= 0.9
        mean += 0.1 * grad
        var *= 0.999
        var += 0.001 * mx.nd.square(grad)
        final = self.final_lr * lr / self.base
        low, high = final * (1 - 1 / (self.gamma * t + 1)), final * (1 + 1 / (self.gamma * t))
        weight -= mx.nd.clip(lr / (mx.nd.sqrt(var) + 1e-8), low, high) * mean


CASES = {
    "lookahead": {"inner_params": {"learning_rate": 0.05}},
    "amsgrad": {"learning_rate": 0.05, "clip_gradient": 1.0, "wd": 0.01},
    "adabound": {"wd": 0.001},
}


def main():
    found = {}
    for name, settings in CASES.items():
        rng = np.random.RandomState(151)
        updater = mx.optimizer.get_updater(mx.optimizer.create(name, **settings))
        weights = [mx.nd.array(rng.normal(size=shape)) for shape in ((3, 2), (1,), (4,))]
        for step in range(8):
            if step == 5 and name != "lookahead":
                updater.set_states(updater.get_states())
            for i, weight in enumerate(weights):
                updater(i, mx.nd.array(rng.normal(size=weight.shape)), weight)
        found.update({f"{name}{i}": weight.asnumpy() for i, weight in enumerate(weights)})
    return found
