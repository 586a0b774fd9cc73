"""A store measured against an updater of its own: create_optimizer, set_optimizer, and several workers."""

import mxnet as mx
import numpy as np


def main(workers=3):
    rng = np.random.RandomState(37)
    shapes = [(4, 3), (7,)]
    start = [rng.uniform(-1, 1, shape).astype("float32") for shape in shapes]
    kv = mx.kv.create("local")
    kv.set_optimizer(mx.optimizer.Optimizer.create_optimizer("test", rescale_grad=0.5))
    updater = mx.optimizer.get_updater(mx.optimizer.Optimizer.create_optimizer("test", rescale_grad=0.5))
    mine = [mx.nd.array(values) for values in start]
    for i, values in enumerate(start):
        kv.init(i, mx.nd.array(values))
    for _ in range(4):
        for i, shape in enumerate(shapes):
            grads = [mx.nd.array(rng.randint(-8, 8, shape) / 4.0) for _ in range(workers)]
            kv.push(i, grads, priority=-i)
            total = grads[0].copy()
            for grad in grads[1:]:
                total += grad
            updater(i, total, mine[i])
    found = {}
    for i, shape in enumerate(shapes):
        pulled = [mx.nd.zeros(shape) for _ in range(workers)]
        kv.pull(i, out=pulled, priority=-i)
        found[f"stored{i}"], found[f"difference{i}"] = pulled[-1].asnumpy(), (pulled[0] - mine[i]).asnumpy()
    found["workers"] = np.array([kv.rank, kv.num_workers])
    return found
