"""BERT's Adam: a custom class that takes lists or single tensors and a rescale_grad that is an array."""

import os

import mxnet as mx
import numpy as np


@mx.optimizer.register
class BERTAdam(mx.optimizer.Optimizer):
    def __init__(self, learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-6, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.aggregate_num = max(1, min(50, int(os.getenv("MXNET_OPTIMIZER_AGGREGATION_SIZE", "4"))))

    def create_state_multi_precision(self, index, weight):
        if self.multi_precision and weight.dtype == np.float16:
            master = weight.astype(np.float32)
            return self.create_state(index, master), master
        return self.create_state(index, weight)

    def create_state(self, index, weight):
        zeros = mx.nd.zeros
        return (zeros(weight.shape, weight.context, dtype=weight.dtype),
                zeros(weight.shape, weight.context, dtype=weight.dtype))  # fmt: skip

    def update(self, index, weight, grad, state):
        self.update_impl(index, weight, grad, state, False)

    def update_multi_precision(self, index, weight, grad, state):
        first = weight[0] if isinstance(index, (list, tuple)) else weight
        self.update_impl(index, weight, grad, state, self.multi_precision and first.dtype == np.float16)

    def update_impl(self, indices, weights, grads, states, mixed):
        if not isinstance(indices, (list, tuple)):
            indices, weights, grads, states = [indices], [weights], [grads], [states]
        self._update_count(indices)
        lrs, wds = self._get_lrs(indices), self._get_wds(indices)
        if not isinstance(self.rescale_grad, mx.nd.NDArray):
            self.rescale_grad = mx.nd.full(shape=(1,), val=self.rescale_grad)
        settings = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        if self.clip_gradient:
            settings["clip_gradient"] = self.clip_gradient
        for weight, grad, state, lr, wd in zip(weights, grads, states, lrs, wds):
            if mixed:
                (mean, var), master = state
                mx.nd.contrib.mp_adamw_update(weight, grad, mean, var, master, out=weight, lr=1, wd=wd,
                                              eta=lr, rescale_grad=self.rescale_grad, **settings)  # fmt: skip
            else:
                mean, var = state
                mx.nd.contrib.adamw_update(weight, grad, mean, var, out=weight, lr=1, wd=wd, eta=lr,
                                           rescale_grad=self.rescale_grad, **settings)  # fmt: skip


def train(dtype, **settings):
    rng = np.random.RandomState(43)
    optimizer = mx.optimizer.create("bertadam", learning_rate=0.01, wd=0.05, **settings)
    updater = mx.optimizer.get_updater(optimizer)
    weights = [mx.nd.array(rng.normal(size=(3, 4)), dtype=dtype) for _ in range(3)]
    for step in range(6):
        optimizer.rescale_grad = mx.nd.array([float("nan") if step == 3 else 0.5])  # step 3 overflows
        updater(list(range(3)), [weight * 2 - 1 for weight in weights], weights)
    return weights


def main():
    found = {f"weight{i}": w.asnumpy() for i, w in enumerate(train("float32", clip_gradient=0.8))}
    found.update({f"half{i}": w.asnumpy() for i, w in enumerate(train("float16", multi_precision=True))})
    return found
