"""An optimizer object with a schedule, handed to the trainer."""

import mxnet as mx
import numpy as np


class MetricAttentive(mx.lr_scheduler.LRScheduler):
    """Halves the rate when the loss has not improved for some steps."""

    def __init__(self, patience, base_lr):
        super().__init__(base_lr=base_lr)
        self.patience, self.best, self.since = patience, np.inf, 0

    def __call__(self, num_update):
        return self.base_lr

    def step(self, loss):
        self.best, self.since = (loss, 0) if loss < self.best else (self.best, self.since + 1)
        if self.since >= self.patience:
            self.base_lr, self.since = self.base_lr * 0.5, 0


def main():
    rng = np.random.RandomState(89)
    param = mx.gluon.Parameter("network_weight", shape=(5, 2))
    param.initialize(init="zeros")
    param.data()[:] = rng.normal(size=(5, 2))
    scheduler = MetricAttentive(patience=2, base_lr=0.125)
    optimizer = mx.optimizer.Adam(learning_rate=0.125, lr_scheduler=scheduler, wd=0.01, clip_gradient=1.0)
    trainer = mx.gluon.Trainer([param], optimizer=optimizer, kvstore="device")
    rates = []
    for step in range(12):
        param.grad()[:] = param.data() * 2 - 1
        param.data()._fresh_grad = True
        trainer.step(1)
        scheduler.step([3.0, 2.0, 2.5, 2.5][step % 4])
        rates.append(trainer.learning_rate)
    return {"weight": param.data().asnumpy(), "rates": np.array(rates)}
