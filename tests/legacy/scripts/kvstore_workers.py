"""Two stores fed by five workers, with string keys, states to a file, and a continued run."""

import os
import tempfile

import mxnet as mx
import numpy as np


def run(kind, name, **settings):
    rng = np.random.RandomState(113)
    keys, shape = ["conv1_weight", "conv2_weight"], (3, 4)
    start = [mx.nd.array(rng.normal(size=shape)) for _ in keys]
    out = mx.nd.zeros(shape)

    def feed(kv, steps):
        for _ in range(steps):
            for key in keys:
                kv.pull(key, out=out)
                kv.push(key, [out * float(rng.normal()) + 0.5 for _ in range(5)])

    first = mx.kv.create(kind)
    first.init(keys, start)
    first.set_optimizer(mx.optimizer.create(name, **settings))
    feed(first, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "store.states")
        first.save_optimizer_states(path, dump_optimizer=True)
        second = mx.kv.create(kind)
        for key in keys:
            first.pull(key, out=out)
            second.init(key, out)
        second.set_optimizer(mx.optimizer.create(name, **settings))
        second.load_optimizer_states(path)
    feed(second, 3)
    found = {}
    for key in keys:
        second.pull(key, out=out)
        found[f"{kind}_{key}"] = out.asnumpy()
    return found


def main():
    return {**run("local", "adam", learning_rate=0.05, rescale_grad=0.2),
            **run("device", "sgd", learning_rate=0.05, momentum=0.9, rescale_grad=0.2)}  # fmt: skip
