"""A factorization machine: rows pulled before each batch and pushed after it, by every sparse optimizer."""

import mxnet as mx
import numpy as np

ROWS, WIDTH = 10, 4


def main():
    found = {}
    for name in ("sgd", "adagrad", "ftrl", "adam"):
        rng = np.random.RandomState(149)
        store = mx.kvstore.create("local")
        store.init("v", mx.nd.array(rng.normal(size=(ROWS, WIDTH))).tostype("row_sparse"))
        store.set_optimizer(mx.optimizer.create(name, learning_rate=0.1, rescale_grad=0.25))
        for step in range(5):
            rows = np.sort(rng.permutation(ROWS)[:4])
            pulled = mx.nd.zeros((ROWS, WIDTH), stype="row_sparse")
            store.row_sparse_pull("v", out=pulled, row_ids=mx.nd.array(rows, dtype="int64"))
            found[f"{name}_{step}"] = pulled.data.asnumpy()
            found[f"indices_{name}_{step}"] = pulled.indices.asnumpy()
            values = rng.normal(size=(4, WIDTH)).astype("float32") + pulled.data.asnumpy()
            store.push("v", mx.nd.sparse.row_sparse_array((values, rows), shape=(ROWS, WIDTH)))
        whole = mx.nd.zeros((ROWS, WIDTH), stype="row_sparse")
        store.row_sparse_pull("v", out=whole, row_ids=mx.nd.arange(ROWS, dtype="int64"))
        found[name] = whole.asnumpy()
    return found
