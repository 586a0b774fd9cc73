"""Face recognition's loop: a stepped schedule derived from MXNet's with a warmup of its own, and its log."""

import mxnet as mx
import numpy as np


class WarmupMultiFactor(mx.lr_scheduler.MultiFactorScheduler):
    def __init__(self, step, factor=1, warmup_lr=0.0, warmup_step=0, **kwargs):
        super().__init__(step, factor, **kwargs)
        self.warmup_lr, self.warmup_step, self.log = warmup_lr, warmup_step, []

    def __call__(self, num_update):
        if num_update < self.warmup_step:
            return self.warmup_lr
        while self.cur_step_ind <= len(self.step) - 1 and num_update > self.step[self.cur_step_ind]:
            self.count = self.step[self.cur_step_ind]
            self.cur_step_ind += 1
            self.base_lr *= self.factor
            self.log.append((num_update, self.base_lr))
        return self.base_lr


def main():
    rng = np.random.RandomState(167)
    schedule = WarmupMultiFactor([4, 8], 0.1, warmup_lr=0.0005, warmup_step=3)
    optimizer = mx.optimizer.SGD(
        learning_rate=0.1, momentum=0.9, wd=0.0005, rescale_grad=1.0 / 8, lr_scheduler=schedule
    )
    updater = mx.optimizer.get_updater(optimizer)
    weights, rates = [mx.nd.array(rng.normal(size=(4, 4))) for _ in range(2)], []
    for _ in range(12):
        for i, weight in enumerate(weights):
            updater(i, mx.nd.array(rng.normal(size=(4, 4))), weight)
        rates.append(optimizer.lr_scheduler(optimizer.num_update))
    return {
        "weights": np.stack([weight.asnumpy() for weight in weights]),
        "rates": np.array(rates),
        "log": np.array(schedule.log),
        "base": np.array([optimizer.lr_scheduler.base_lr, schedule.cur_step_ind]),
    }
