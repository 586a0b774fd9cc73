"""Schedules of all kinds, warmup included, and the rate that a script prints after each epoch."""

import mxnet as mx
import numpy as np


def main():
    schedules = {
        "factor": mx.lr_scheduler.FactorScheduler(step=3, factor=0.5, stop_factor_lr=1e-3),
        "multifactor": mx.lr_scheduler.MultiFactorScheduler(step=[4, 7], factor=0.1),
        "poly": mx.lr_scheduler.PolyScheduler(max_update=10, base_lr=0.5, pwr=2, warmup_steps=3),
        "cosine": mx.lr_scheduler.CosineScheduler(max_update=10, base_lr=0.5, final_lr=0.01, warmup_steps=2),
    }
    found = {}
    for name, schedule in schedules.items():
        optimizer = mx.optimizer.create("sgd", learning_rate=0.5, lr_scheduler=schedule, wd=0.001)
        updater = mx.optimizer.get_updater(optimizer)
        weight, rates = mx.nd.ones((3,)), []
        for _ in range(12):
            updater(0, weight * 0.5, weight)
            rates.append(optimizer.learning_rate)
        found[name], found[f"{name}_rates"] = weight.asnumpy(), np.array(rates)
    return found
