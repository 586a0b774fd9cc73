"""Module's own helpers: a store for two devices, gradients summed, one index for each copy."""

import mxnet as mx
import numpy as np


def train(kvstore_type, **settings):
    rng = np.random.RandomState(83)
    names, shapes, devices = ["fc1_weight", "fc2_weight"], [(3, 2), (4,)], 2
    arg_params = {name: mx.nd.array(rng.normal(size=shape)) for name, shape in zip(names, shapes)}
    param_arrays = [[arg_params[name].copy() for _ in range(devices)] for name in names]
    grad_arrays = [[mx.nd.zeros(shape) for _ in range(devices)] for shape in shapes]
    store, update_on_kvstore = mx.model._create_kvstore(kvstore_type, devices, arg_params)
    optimizer = mx.optimizer.create("sgd", rescale_grad=0.25, momentum=0.5, **settings)
    if update_on_kvstore:
        store.set_optimizer(optimizer)
    mx.model._initialize_kvstore(store, param_arrays, arg_params, names, update_on_kvstore)
    updater = mx.optimizer.get_updater(optimizer)
    for _ in range(5):
        for weights, grads in zip(param_arrays, grad_arrays):
            for k, (weight, grad) in enumerate(zip(weights, grads)):
                grad[:] = weight * (2 + k) - 1
        if update_on_kvstore:
            mx.model._update_params_on_kvstore(param_arrays, grad_arrays, store, names)
        else:
            mx.model._update_params(param_arrays, grad_arrays, updater, devices, store, names)
    return {f"{name}{k}": weight.asnumpy() for name, arrays in zip(names, param_arrays)
            for k, weight in enumerate(arrays)}  # fmt: skip


def main():
    return {f"{kind}_{name}": array for kind in ("local", "device")
            for name, array in train(kind, learning_rate=0.1, wd=0.01).items()}  # fmt: skip
