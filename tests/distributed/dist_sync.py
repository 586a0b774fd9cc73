"""Training through a ``dist_sync`` store, by real MXNet 1.9.1 or by mxopt: the same code drives both.

``python dist_sync.py LIBRARY KEYS OUT``, in each worker, writes what the worker has pulled after every step.
"""

import importlib
import sys

import numpy as np

SHAPES = ((7, 5), (33,), (4, 3))
MATRICES = ((7, 3), (12, 3), (4, 3))
STEPS = 4

#: name: (optimizer, its arguments, what is special about the run)
CASES = {
    "no optimizer": (None, {}, {}),  # the first: there is no way back
    "adadelta": ("adadelta", {"wd": 0.01}, {}),
    "adagrad": ("adagrad", {"learning_rate": 0.1, "wd": 0.01}, {}),
    "adam": ("adam", {"learning_rate": 0.01, "wd": 0.01, "clip_gradient": 0.5}, {}),
    "adamax": ("adamax", {"learning_rate": 0.01, "wd": 0.01}, {}),
    "ccsgd": ("ccsgd", {"learning_rate": 0.1, "momentum": 0.9}, {}),
    "dcasgd": ("dcasgd", {"learning_rate": 0.1, "wd": 0.01}, {}),
    "ftml": ("ftml", {"learning_rate": 0.01, "wd": 0.01}, {}),
    "ftrl": ("ftrl", {"learning_rate": 0.1, "wd": 0.01}, {}),
    "lamb": ("lamb", {"learning_rate": 0.01, "wd": 0.01}, {}),
    "lars": ("lars", {"learning_rate": 0.1, "momentum": 0.9, "eta": 0.1, "wd": 0.01}, {}),
    "lbsgd": ("lbsgd", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01}, {}),
    "nadam": ("nadam", {"learning_rate": 0.01, "wd": 0.01}, {}),
    "nag": ("nag", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01}, {}),
    "rmsprop": ("rmsprop", {"learning_rate": 0.01, "centered": True}, {}),
    "sgd": ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01, "rescale_grad": 0.25}, {}),
    "signum": ("signum", {"learning_rate": 0.01, "momentum": 0.9, "wd_lh": 0.01}, {}),
    "test": ("test", {"rescale_grad": 0.5}, {}),
    "schedule": ("sgd", {"learning_rate": 1.0}, {"schedule": True}),
    "arrays": ("adam", {"learning_rate": 0.01}, {"arrays": 5}),
    "master": ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "multi_precision": True}, {"dtype": "float16"}),
    "rows": ("adam", {"learning_rate": 0.01, "wd": 0.01}, {"sparse": True}),
    "rows of sgd": ("sgd", {"learning_rate": 0.1, "momentum": 0.9}, {"sparse": True}),
    "rows of groups": ("contrib.groupadagrad", {"learning_rate": 0.1}, {"sparse": True}),
}
COMPRESSED = {
    "two bits": ("sgd", {"learning_rate": 0.1, "momentum": 0.9}, {}),
    "two bits of lists": ("adam", {"learning_rate": 0.01}, {"arrays": 2}),
}


def drawn(shape, seed, dtype="float32"):
    values = np.random.RandomState(seed).standard_normal(shape)
    return np.where(np.abs(values) < 0.05, 0, values).astype(dtype)


def rows_of(rows, seed):
    return np.flatnonzero(np.random.RandomState(seed).uniform(size=rows) < 0.5)


def train(mx, store, number, name, case, keys):
    """Run one case; what was pulled after each step."""
    optimizer, arguments, special = case
    sparse, dtype = special.get("sparse"), special.get("dtype", "float32")
    shapes = MATRICES if sparse else SHAPES
    names = [10 * number + i if keys == "int" else f"{name}{i}" for i in range(len(shapes))]
    arguments = dict(arguments)
    if special.get("schedule"):
        arguments["lr_scheduler"] = mx.lr_scheduler.FactorScheduler(step=1, factor=0.5, base_lr=1.0)
    stored = "row_sparse" if sparse else "default"
    for i, (key, shape) in enumerate(zip(names, shapes)):
        weight = drawn(shape, 1000 * number + i) + 10.0 * store.rank  # rank 0's counts
        store.init(key, mx.nd.array(weight, dtype=dtype).tostype(stored))
    if optimizer is not None:
        if store.rank == 0:
            store.set_optimizer(mx.optimizer.create(optimizer.rpartition(".")[2], **arguments))
        store._barrier()
    found = []
    for step in range(STEPS):
        for i, (key, shape) in enumerate(zip(names, shapes)):
            seeds = [
                7000 * number + 100 * step + 10 * i + 3 * store.rank + 5 * a
                for a in range(special.get("arrays", 1))
            ]
            gradients = [drawn(shape, seed, dtype) for seed in seeds]
            if sparse:
                for gradient, seed in zip(gradients, seeds):
                    gradient[np.setdiff1d(np.arange(shape[0]), rows_of(shape[0], seed))] = 0
            pushed = [mx.nd.array(gradient, dtype=dtype).tostype(stored) for gradient in gradients]
            store.push(key, pushed if len(pushed) > 1 else pushed[0])
            out = mx.nd.zeros(shape, dtype=dtype)
            if sparse:
                out = mx.nd.sparse.zeros("row_sparse", shape, dtype=dtype)
                store.row_sparse_pull(key, out=out, row_ids=mx.nd.arange(shape[0]))
            else:
                store.pull(key, out=out)
            found.append(out.asnumpy())
    return found


def main():
    library, keys, path = sys.argv[1:]
    mx = importlib.import_module(library)
    store = mx.kv.create("dist_sync")
    cases = CASES
    if keys == "compressed":
        cases = COMPRESSED
        store.set_gradient_compression({"type": "2bit", "threshold": 0.5})
    results = {}
    for number, (name, case) in enumerate(cases.items()):
        if keys == "str" and number % 4:
            continue  # int keys have gone through all of them
        for at, array in enumerate(train(mx, store, number, name, case, keys)):
            results[f"{name}/{at:02d}"] = array
    store._barrier()
    if store.rank == 0:
        np.savez_compressed(path, **results)
    print("{}", flush=True)


if __name__ == "__main__":
    main()
