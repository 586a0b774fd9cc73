"""A schedule class of a model zoo's own: cosine, polynomial or stepped, after a warmup, per epoch."""

import math

import mxnet as mx
import numpy as np


class Schedule(mx.lr_scheduler.LRScheduler):
    def __init__(self, mode, baselr, niters, nepochs, step=(), warmup_epochs=0):
        super().__init__()
        self.mode, self.baselr, self.learning_rate = mode, baselr, baselr
        self.total, self.warmup = niters * nepochs, niters * warmup_epochs
        self.step = [epoch * niters for epoch in step]

    def __call__(self, num_update):
        self.update(num_update)
        return self.learning_rate

    def update(self, num_update):
        if num_update < self.warmup:
            self.learning_rate = self.baselr * num_update / self.warmup
            return
        done = (num_update - self.warmup) / (self.total - self.warmup)
        if self.mode == "cosine":
            self.learning_rate = self.baselr * (1 + math.cos(math.pi * done)) / 2
        elif self.mode == "poly":
            self.learning_rate = self.baselr * (1 - done) ** 0.9
        else:
            self.learning_rate = self.baselr * 0.1 ** sum(num_update >= step for step in self.step)


def main():
    found = {}
    for mode in ("cosine", "poly", "step"):
        rng = np.random.RandomState(137)
        param = mx.gluon.Parameter("weight", shape=(3, 4))
        param.initialize(init="zeros")
        param.data()[:] = rng.normal(size=(3, 4))
        schedule = Schedule(mode, 0.1, niters=5, nepochs=6, step=(2, 4), warmup_epochs=1)
        settings = {"lr_scheduler": schedule, "momentum": 0.9, "wd": 1e-4}
        trainer = mx.gluon.Trainer([param], "nag", settings)
        rates = []
        for _ in range(25):
            param.grad()[:] = param.data() * 0.1 + float(rng.normal())
            param.data()._fresh_grad = True
            trainer.step(2)
            rates.append(trainer.learning_rate)
        found[mode], found[f"{mode}_rates"] = param.data().asnumpy(), np.array(rates)
    return found
