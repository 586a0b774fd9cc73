"""Digits and word vectors on several ranks: any number of them ends with the bits of a single process.

Each step is the sum of four micro-batches, shared out among the ranks, and each rank keeps its part of Adam's
states. Prints a digest of the weights, which does not depend on the number of ranks, and the bytes of
states here.

    python examples/many_ranks.py digits
    mxopt launch -n 2 examples/many_ranks.py digits
    mxopt launch -n 4 examples/many_ranks.py words
"""

import argparse
import hashlib

import numpy as np

import mxopt as mx
from mxopt.distributed import world

MICRO_BATCHES = 4
BATCH = 32  # of a micro-batch


def train_digits(ranks, steps, seed):
    """A small network; every parameter has a dense gradient."""
    from digits import gradients_of, make_network
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32)
    network = make_network(np.random.default_rng(seed))
    trainer = mx.gluon.Trainer(
        network, "adam", {"learning_rate": 0.01}, sharded=True, comm=ranks, accumulate=MICRO_BATCHES
    )
    for step in range(steps):
        chosen = np.random.default_rng([seed, step]).choice(
            len(images), (MICRO_BATCHES, BATCH), replace=False
        )
        for batch in own(ranks, chosen):
            gradients = gradients_of(network, images[batch], digits[batch])
            trainer.step(MICRO_BATCHES * BATCH, grads=dict(zip(network, gradients)))
    return network, trainer._updaters[0]


def train_words(ranks, steps, seed):
    """Two tables of word vectors, whose gradients hold the rows of a few hundred words."""
    from word_vectors import NEGATIVES, loss_and_gradients, pairs_of, read_text

    sentences, words, counts = read_text()
    rng, shape = np.random.default_rng(seed), (len(words), 32)
    tables = {
        "vectors": rng.uniform(-0.02, 0.02, shape).astype(np.float32),
        "outputs": np.zeros(shape, np.float32),
    }
    centres, contexts = pairs_of(sentences, np.ones(len(words)), rng)
    opt = mx.optimizer.create("adam", learning_rate=0.003, lazy_update=True)
    updater = mx.get_updater(opt, comm=ranks, accumulate=MICRO_BATCHES)
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        chosen = rng.integers(len(centres), size=(MICRO_BATCHES, BATCH))
        negative = rng.integers(len(words), size=(MICRO_BATCHES, BATCH, NEGATIVES))
        for batch, others in zip(own(ranks, chosen), own(ranks, negative)):
            _, *gradients = loss_and_gradients(*tables.values(), centres[batch], contexts[batch], others)
            gradients = [mx.nd.sparse.row_sparse_array(g, shape=shape) for g in gradients]
            updater(list(tables), gradients, list(tables.values()))
    return tables, updater


def own(ranks, batches):
    """The micro-batches of this rank."""
    return batches[len(batches) * ranks.rank // ranks.size : len(batches) * (ranks.rank + 1) // ranks.size]


def state_bytes(updater):
    return sum(array.nbytes for state in updater.states.values() for array in state)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=("digits", "words"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    ranks = world.world()
    train = {"digits": train_digits, "words": train_words}[args.task]
    weights, updater = train(ranks, args.steps, args.seed)
    digest = hashlib.sha256(b"".join(weight.tobytes() for weight in weights.values())).hexdigest()[:16]
    print(
        f"rank {ranks.rank} of {ranks.size}: weights {digest}, {state_bytes(updater)} bytes of states\n",
        end="",
        flush=True,
    )


if __name__ == "__main__":
    main()
