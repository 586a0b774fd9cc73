"""A trainer on three devices: each store and each place of the update, and the copies of a parameter."""

import mxnet as mx
import numpy as np


def main():
    rng = np.random.RandomState(163)
    devices, found = [mx.cpu(0), mx.cpu(1), mx.cpu(2)], {}
    for kvstore, on_store in (("device", None), ("local", None), ("device", False), ("local", True)):
        params = [mx.gluon.Parameter(f"dense{i}", shape=(3, 2)) for i in range(2)]
        for param in params:
            param.initialize(init="zeros", ctx=devices)
            start = rng.normal(size=(3, 2))
            for array in param.list_data():
                array[:] = start
        settings = {"learning_rate": 0.1, "momentum": 0.9, "wd": 1e-3}
        trainer = mx.gluon.Trainer(params, "sgd", settings, kvstore=kvstore, update_on_kvstore=on_store)
        for _ in range(4):
            for param in params:
                for device in devices:
                    param.grad(device)[:] = rng.normal(size=(3, 2))
                    param.data(device)._fresh_grad = True
            trainer.step(6)
        for param in params:
            for i, device in enumerate(devices):
                found[f"{kvstore}_{on_store}_{param.name}_{i}"] = param.data(device).asnumpy()
        found[f"{kvstore}_{on_store}"] = np.array([bool(trainer._update_on_kvstore)])
    return found
