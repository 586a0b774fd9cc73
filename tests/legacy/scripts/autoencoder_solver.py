"""Layer-wise pretraining: the solver sets rescale_grad and the multipliers of an optimizer it was given."""

import mxnet as mx
import numpy as np


class Solver:
    def __init__(self, optimizer, **kwargs):
        if isinstance(optimizer, str):
            optimizer = mx.optimizer.create(optimizer, **kwargs)
        self.optimizer = optimizer
        self.updater = mx.optimizer.get_updater(optimizer)

    def solve(self, args, targets, auxiliary_lr, begin, end, batch_size):
        names = sorted(args)
        self.optimizer.rescale_grad = 1.0 / batch_size
        self.optimizer.idx2name = dict(enumerate(names))
        self.optimizer.set_lr_mult(auxiliary_lr)
        for _ in range(begin, end):
            for i, name in enumerate(names):
                self.updater(i, (args[name] - targets[name]) * batch_size, args[name])


def main():
    rng = np.random.RandomState(3)
    names = ["decoder_0_bias", "decoder_0_weight", "encoder_0_bias", "encoder_0_weight"]
    args = {name: mx.nd.array(rng.uniform(-1, 1, (3, 5))) for name in names}
    targets = {name: mx.nd.array(rng.uniform(-1, 1, (3, 5))) for name in names}
    solver = Solver("sgd", momentum=0.9, wd=0.0, learning_rate=0.1)
    solver.solve(args, targets, {"encoder_0_weight": 2.0, "encoder_0_bias": 0.5}, 0, 6, batch_size=8)
    solver.solve(args, targets, {"decoder_0_weight": 0.0}, 6, 10, batch_size=4)
    return {name: array.asnumpy() for name, array in args.items()}
