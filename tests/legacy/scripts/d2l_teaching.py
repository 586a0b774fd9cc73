"""A textbook's chapter on optimization: one function, trained by every trainer it explains."""

import mxnet as mx
import numpy as np


def train_gluon(name, settings, steps=10):
    rng = np.random.RandomState(103)
    param = mx.gluon.Parameter("weight", shape=(4, 1))
    param.initialize(init="zeros")
    param.data()[:] = rng.normal(scale=0.5, size=(4, 1))
    trainer = mx.gluon.Trainer([param], name, settings)
    for _ in range(steps):
        param.grad()[:] = param.data() * 20 - 10
        param.data()._fresh_grad = True
        trainer.step(10)
    return param.data().asnumpy()


def main():
    return {
        "sgd": train_gluon("sgd", {"learning_rate": 0.05}),
        "momentum": train_gluon("sgd", {"learning_rate": 0.004, "momentum": 0.9}),
        "adagrad": train_gluon("adagrad", {"learning_rate": 0.1}),
        "adadelta": train_gluon("adadelta", {"rho": 0.9}),
        "adam": train_gluon("adam", {"learning_rate": 0.01}),
        "nag": train_gluon("nag", {"learning_rate": 0.004, "momentum": 0.9, "wd": 1e-3}),
        "ftrl": train_gluon("ftrl", {"learning_rate": 0.1}),
        "adamax": train_gluon("adamax", {"learning_rate": 0.02}),
        "nadam": train_gluon("nadam", {"learning_rate": 0.01}),
    }
