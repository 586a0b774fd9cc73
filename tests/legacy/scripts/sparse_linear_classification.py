"""Linear classification with row-sparse weights: pull the rows of a batch, push their gradients."""

import mxnet as mx
import numpy as np


def train(name, **settings):
    rng = np.random.RandomState(29)
    features, classes = 12, 2
    kv = mx.kv.create("local")
    start = mx.nd.array(rng.uniform(-1, 1, (features, classes)))
    kv.init("weight", start.tostype("row_sparse"))
    kv.set_optimizer(mx.optimizer.create(name, rescale_grad=0.25, **settings))
    pulled = mx.nd.sparse.zeros("row_sparse", (features, classes))
    for _ in range(6):
        rows = mx.nd.array(np.sort(rng.permutation(features)[:5]), dtype="int64")
        kv.row_sparse_pull("weight", out=pulled, row_ids=rows)
        values = pulled.data * 2 - 0.5
        grad = mx.nd.sparse.row_sparse_array((values, pulled.indices), shape=(features, classes))
        kv.push("weight", grad)
    everything = mx.nd.arange(features, dtype="int64")
    kv.row_sparse_pull("weight", out=pulled, row_ids=everything)
    return pulled.asnumpy()


def main():
    return {
        "sgd": train("sgd", learning_rate=0.5, momentum=0.5),
        "adagrad": train("adagrad", learning_rate=0.5),
        "adam": train("adam", learning_rate=0.25),
    }
