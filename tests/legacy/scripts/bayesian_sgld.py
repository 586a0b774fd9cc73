"""Bayesian sampling: an updater with parameter names as keys, and a rate read from the scheduler."""

import mxnet as mx
import numpy as np


def sample(name, steps, shape):
    scheduler = mx.lr_scheduler.FactorScheduler(step=5, factor=0.5)
    optimizer = mx.optimizer.create(
        name, learning_rate=0.04, rescale_grad=2.0, lr_scheduler=scheduler, wd=0.01
    )
    updater = mx.optimizer.get_updater(optimizer)
    weights = {"fc_weight": mx.nd.ones(shape), "fc_bias": mx.nd.zeros(shape)}
    rates = []
    for _ in range(steps):
        for key, weight in weights.items():
            updater(key, weight * 0.25 - 0.125, weight)
        rates.append(optimizer.lr_scheduler(optimizer.num_update))
    return {key: weight.asnumpy() for key, weight in weights.items()}, rates


def main():
    chain, rates = sample("sgd", 12, (4, 3))
    posterior, _ = sample("sgld", 1, (400, 500))
    noise = posterior["fc_weight"]
    spread = np.array([noise.mean(), noise.std()])
    return {**chain, "rates": np.array(rates), "noise~": spread}
