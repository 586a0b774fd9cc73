"""A hand-written training loop: the norm clipped by hand, the learning rate assigned between epochs."""

import math

import mxnet as mx
import numpy as np


def main(max_grad_norm=1.5):
    rng = np.random.RandomState(11)
    shapes = [(4, 6), (6,), (3, 2)]
    blocks = [(i, mx.nd.array(rng.normal(size=s)), mx.nd.zeros(s)) for i, s in enumerate(shapes)]
    opt = mx.optimizer.create("rmsprop", learning_rate=0.05)
    updater = mx.optimizer.get_updater(opt)
    for _ in range(3):
        for _ in range(4):
            squares = []
            for _, weight, grad in blocks:
                grad[:] = weight * 3 + 0.5
                squares += (grad.asnumpy().astype("float64") ** 2).ravel().tolist()
            norm = math.sqrt(math.fsum(squares))
            for idx, weight, grad in blocks:
                if norm > max_grad_norm:
                    grad *= max_grad_norm / norm
                updater(idx, grad, weight)
                grad[:] = 0.0
        opt.lr = opt.lr * 0.5
    return {f"block{i}": weight.asnumpy() for i, weight, _ in blocks}
