"""A job: train with sharded states; print a digest of what every rank holds, and the bytes of its states."""

import argparse
import functools
import hashlib
import json
import sys
from pathlib import Path

import ml_dtypes  # noqa: F401 - the dtype 'bfloat16'
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import runs

import mxopt
import mxopt.v1
from mxopt.distributed import sharded, world

SHAPES = ((70, 50), (40_000,), (3, 1), (130, 170), (97, 101), (64, 64))


def trained(name, settings, ranks, count, transport=None, steps=3, dtype="float32", package=mxopt,
            shapes=SHAPES, one_by_one=False, sparse=False, clip=None, order="C",
            grad_dtype=None, options=(), overflow=False):  # fmt: skip
    package.random.seed(5)
    opt = package.create(name, **settings)
    updater = package.get_updater(
        opt, comm=ranks, accumulate=count, transport=transport, clip_global_norm=clip, **dict(options)
    )
    weights = [np.array(w, order=order) for w in runs.tensors(shapes, dtype)]
    begin, end = getattr(updater, "micro_batches", (0, count))
    for step in range(steps):
        for batch in range(begin, end):
            grads = gradients(tuple(map(tuple, shapes)), grad_dtype or dtype, 100 * step + batch)
            if overflow and (step, batch) == (1, count - 1):
                grads = [np.where(np.arange(g.size).reshape(g.shape) == 2, np.inf, g) for g in grads]
            if sparse:
                grads = [with_rows(g, 100 * step + batch) if g.ndim == 2 else g for g in grads]
            if one_by_one:
                for i, (g, w) in enumerate(zip(grads, weights)):
                    updater(i, g, w)
            else:
                updater(list(range(len(weights))), grads, weights)
    return updater, weights


@functools.cache
def gradients(shapes, dtype, seed):
    return runs.gradients(shapes, dtype, seed)


def with_rows(grad, seed):
    rows = runs.rows_of(len(grad), seed)
    return mxopt.RowSparseArray(grad[rows], rows, grad.shape)


def digest(arrays):
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def state_bytes(updater):
    """Bytes of the states that are divided among the ranks, without the numbers of whole tensors."""
    arrays = [array for state in updater.states.values() for array in runs.flat(state)]
    return sum(array.nbytes for array in arrays if array.ndim)


def evaluated(updater, weights):
    """Digests of the weights at which the model is evaluated, and of those to which training returns."""
    found = []
    for move in (updater.eval, updater.train):
        move(list(range(len(weights))), weights)
        found.append(digest(weights))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", help="JSON: a list of keyword arguments of `trained`")
    sharded.LARGE = 1 << 14  # some tensors are sent from where they are, and some packed
    ranks = world.world()
    for case in json.loads(parser.parse_args().cases):
        if case.pop("v1", False):
            case["package"] = mxopt.v1
        updater, weights = trained(ranks=ranks, **case)
        line = {
            "digest": digest(weights),
            "evaluated": evaluated(updater, weights),
            "scale": [updater.loss_scale, updater.skipped],
            "report": {name: list(norms) for name, norms in updater.report.items()},
            "states": state_bytes(updater),
            "num_update": updater.optimizer.num_update,
        }
        lines = ranks.gather_bytes(json.dumps(line).encode())
        for one in lines if ranks.rank == 0 else ():
            print(one.decode(), flush=True)


if __name__ == "__main__":
    main()
