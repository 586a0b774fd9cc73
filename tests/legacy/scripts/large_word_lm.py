"""AdaGrad on several devices' gradients, with the states carried to a new updater half way."""

import mxnet as mx
import numpy as np


def main(devices=2):
    rng = np.random.RandomState(31)
    optimizer = mx.optimizer.create("adagrad", learning_rate=0.2, rescale_grad=1.0 / devices, eps=1e-3)
    updater = mx.optimizer.get_updater(optimizer)
    embedding = mx.nd.array(rng.uniform(-0.1, 0.1, (10, 4)))
    decoder = mx.nd.array(rng.uniform(-0.1, 0.1, (4, 5)))
    for step in range(8):
        rows = np.sort(rng.permutation(10)[:3]).astype("int64")
        values = mx.nd.array(rng.uniform(-1, 1, (3, 4)))
        grad = mx.nd.sparse.row_sparse_array((values, mx.nd.array(rows, dtype="int64")), shape=(10, 4))
        updater("embedding", grad, embedding)
        updater("decoder", decoder * 3 + 1, decoder)
        if step == 3:
            states = updater.get_states()
            updater = mx.optimizer.get_updater(optimizer)
            updater.set_states(states)
    return {"embedding": embedding.asnumpy(), "decoder": decoder.asnumpy()}
