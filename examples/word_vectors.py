"""Word vectors from Python's own documentation, with row-sparse gradients and lazy Adam.

Skip-gram with negative sampling on the text of `pydoc_data.topics`, which comes with Python. A step sees a
few hundred words, so its gradients are row-sparse; `lazy_update=True` touches only their rows.

    python examples/word_vectors.py
    python examples/word_vectors.py --words left,raised,float --epochs 20
"""

import argparse
import collections
import re
import time
from pydoc_data.topics import topics

import numpy as np

import mxopt as mx

WINDOW = 5
NEGATIVES = 5
RAREST = 5  # words that occur less often are left out
THIN = 1e-3  # words more frequent than this are thinned out
KEPT = 50  # gradients kept for measuring
VOCABULARY = 100_000  # rows of a table as large as in practice


def read_text():
    """The documentation as sentences of word numbers; the words by number; how often each occurs."""
    texts = [re.split(r"[.:;](?:\s|$)|\n\s*\n", text.lower()) for text in topics.values()]
    sentences = [re.findall(r"[a-z_]{2,}", sentence) for text in texts for sentence in text]
    counts = collections.Counter(word for sentence in sentences for word in sentence)
    words = [word for word, count in counts.most_common() if count >= RAREST]
    number = {word: i for i, word in enumerate(words)}
    numbered = [np.array([number[word] for word in sentence if word in number]) for sentence in sentences]
    return [s for s in numbered if len(s) > 1], words, np.array([counts[word] for word in words], float)


def pairs_of(sentences, keep, rng):
    """Every word with each of its neighbours in a window of random width, in random order."""
    pairs = []
    for sentence in sentences:
        sentence = sentence[rng.random(len(sentence)) < keep[sentence]]
        width = rng.integers(1, WINDOW + 1, len(sentence))
        for distance in range(1, min(WINDOW, len(sentence) - 1) + 1):
            left, right = sentence[:-distance], sentence[distance:]
            pairs.append(np.stack([right, left])[:, width[distance:] >= distance])
            pairs.append(np.stack([left, right])[:, width[:-distance] >= distance])
    return rng.permutation(np.concatenate(pairs, axis=1), axis=1)


def loss_and_gradients(vectors, outputs, centre, context, negative):
    """Mean loss of a batch, and for both tables the (values, rows) of their gradients, rows repeated."""
    targets = np.concatenate([context[:, None], negative], axis=1)
    v, u = vectors[centre], outputs[targets]
    sign = np.where(np.arange(1 + NEGATIVES) == 0, np.float32(1), np.float32(-1))
    scores = sign * np.einsum("bd,bnd->bn", v, u)
    loss = np.logaddexp(0, -scores).sum() / len(centre)  # -log sigmoid(score)
    slope = -sign / (1 + np.exp(scores))
    gradient_v = np.einsum("bn,bnd->bd", slope, u)
    gradient_u = slope[:, :, None] * v[:, None, :]
    return loss, (gradient_v, centre), (gradient_u.reshape(-1, v.shape[1]), targets.ravel())


def train(sentences, counts, args):
    rng = np.random.default_rng(args.seed)
    shape = len(counts), args.dim
    tables = {
        "vectors": rng.uniform(-0.5 / args.dim, 0.5 / args.dim, shape).astype(np.float32),
        "outputs": np.zeros(shape, np.float32),
    }
    keep = np.sqrt(THIN * counts.sum() / counts)
    noise = np.cumsum(counts**0.75) / np.sum(counts**0.75)

    opt = mx.optimizer.create("adam", learning_rate=args.lr, lazy_update=True)
    updater = mx.optimizer.get_updater(opt)
    kept = collections.deque(maxlen=KEPT)
    for epoch in range(1, args.epochs + 1):
        centres, contexts = pairs_of(sentences, keep, rng)
        losses = []
        for start in range(0, len(centres), args.batch):
            batch = slice(start, start + args.batch)
            negative = np.searchsorted(noise, rng.random((len(centres[batch]), NEGATIVES)))
            loss, *gradients = loss_and_gradients(*tables.values(), centres[batch], contexts[batch], negative)
            # repeated rows are summed
            gradients = [mx.nd.sparse.row_sparse_array(g, shape=shape) for g in gradients]
            updater(list(tables), gradients, list(tables.values()))
            losses.append(loss)
            kept.append(gradients)
        print(f"epoch {epoch:2}/{args.epochs}  loss {np.mean(losses):.4f}", flush=True)
    return tables["vectors"], kept


def milliseconds(gradients, rows, lazy):
    """Milliseconds per update with these gradients, their rows spread over a table of so many rows."""
    spread = rows // gradients[0][0].shape[0]
    shape = rows, gradients[0][0].shape[1]
    gradients = [[mx.RowSparseArray(g.data, g.indices * spread, shape) for g in pair] for pair in gradients]
    tables = [np.ones(shape, np.float32) for _ in range(2)]
    updater = mx.optimizer.get_updater(mx.optimizer.create("adam", lazy_update=lazy))
    updater([0, 1], gradients[0], tables)
    times = []
    for pair in gradients:
        begin = time.perf_counter()
        updater([0, 1], pair, tables)
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times))


def nearest(vectors, word, words, count=5):
    if word not in words:
        return ["not in the text"]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return [words[i] for i in np.argsort(-units @ units[words.index(word)])[1 : count + 1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--words", default="left,true,tuple,float,raised,class,loop,string")
    args = parser.parse_args()

    sentences, words, counts = read_text()
    print(f"{int(counts.sum())} words of text, {len(words)} different ones")
    vectors, gradients = train(sentences, counts, args)

    touched = np.mean([len(g.indices) for pair in gradients for g in pair])
    print(f"\nupdate of both tables, about {touched:.0f} rows of each in a gradient:")
    for rows in (len(words), VOCABULARY):
        lazy, standard = (milliseconds(list(gradients), rows, lazy) for lazy in (True, False))
        print(
            f"  of {rows:6} rows: lazy {lazy:7.3f} ms, standard {standard:7.3f} ms ({standard / lazy:.1f}x)"
        )

    print("\nnearest words")
    for word in args.words.split(","):
        print(f"{word:>12}: {', '.join(nearest(vectors, word, words))}")


if __name__ == "__main__":
    main()
