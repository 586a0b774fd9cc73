"""Five small tasks with states in 32, 16 and 8 bits: do accuracy and loss depend on it?

    python examples/narrow_states.py
    python examples/narrow_states.py 1 digits tumours  # one seed of five, two tasks

The data come with scikit-learn and Python: digits, a table of tumours, the texts of Python's help.
"""

import sys
from pydoc_data import topics

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

import mxopt as mx

WIDTHS = (None, "bfloat16", "int8")


def softmax_loss(scores, labels):
    """The mean cross entropy, and its gradient by the scores."""
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    at = np.arange(len(labels)), labels
    loss = -np.log(shares[at] + 1e-30).mean()
    shares[at] -= 1
    return loss, shares / len(labels)


def layers(rng, *sizes):
    """Weights and biases of dense layers."""
    made = []
    for n, m in zip(sizes, sizes[1:]):
        made += [(rng.standard_normal((n, m)) * np.sqrt(2 / n)).astype("f"), np.zeros(m, "f")]
    return made


def forward(weights, x):
    """What every layer takes in, and the last one's scores."""
    taken = []
    for k in range(0, len(weights), 2):
        taken.append(x)
        x = x @ weights[k] + weights[k + 1]
        if k + 2 < len(weights):
            x = np.maximum(x, 0)
    return taken, x


def backward(weights, taken, grad):
    """Gradients of all weights, and of the first layer's input."""
    grads = [None] * len(weights)
    for k in range(len(weights) - 2, -1, -2):
        grads[k], grads[k + 1] = taken[k // 2].T @ grad, grad.sum(0)
        grad = grad @ weights[k].T
        if k:
            grad = grad * (taken[k // 2] > 0)
    return grads, grad


class Dense:
    """A network of dense layers."""

    def __init__(self, rng, *sizes):
        self.weights = layers(rng, *sizes)

    def scores(self, x):
        return forward(self.weights, x)[1]

    def gradients(self, x, labels):
        taken, scores = forward(self.weights, x)
        loss, grad = softmax_loss(scores, labels)
        return loss, backward(self.weights, taken, grad)[0]


class Embedded(Dense):
    """Dense layers over the embeddings of the characters before the one to guess."""

    def __init__(self, rng, letters, width, before, *sizes):
        super().__init__(rng, width * before, *sizes, letters)
        self.weights.append((rng.standard_normal((letters, width)) * 0.3).astype("f"))

    def scores(self, x):
        return forward(self.weights[:-1], self.weights[-1][x].reshape(len(x), -1))[1]

    def gradients(self, x, labels):
        *dense, table = self.weights
        taken, scores = forward(dense, table[x].reshape(len(x), -1))
        loss, grad = softmax_loss(scores, labels)
        grads, below = backward(dense, taken, grad)
        of_table = np.zeros_like(table)
        np.add.at(of_table, x.ravel(), below.reshape(-1, table.shape[1]))
        return loss, [*grads, of_table]


def patches(images):
    """The 3 x 3 neighbours of every pixel: (n, h, w, c) -> (n, h, w, 9 c)."""
    n, h, w, c = images.shape
    padded = np.zeros((n, h + 2, w + 2, c), images.dtype)
    padded[:, 1:-1, 1:-1] = images
    return np.concatenate([padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], -1)


def spread(grads, c):
    """The gradient of images from that of their patches."""
    n, h, w, _ = grads.shape
    padded = np.zeros((n, h + 2, w + 2, c), grads.dtype)
    for k in range(9):
        i, j = divmod(k, 3)
        padded[:, i : i + h, j : j + w] += grads[..., k * c : (k + 1) * c]
    return padded[:, 1:-1, 1:-1]


class Convolutional:
    """Two convolutions, means over 2 x 2 pixels, and a dense layer."""

    def __init__(self, rng, channels=24):
        first = (rng.standard_normal((9, channels)) * 0.3).astype("f")
        second = (rng.standard_normal((9 * channels, channels)) * np.sqrt(2 / 9 / channels)).astype("f")
        self.weights = [first, second, *layers(rng, 16 * channels, 10)]

    def _forward(self, x):
        one = patches(x.reshape(-1, 8, 8, 1))
        two = patches(np.maximum(one @ self.weights[0], 0))
        three = np.maximum(two @ self.weights[1], 0)
        pooled = three.reshape(len(x), 4, 2, 4, 2, -1).mean((2, 4)).reshape(len(x), -1)
        return one, two, three, pooled, pooled @ self.weights[2] + self.weights[3]

    def scores(self, x):
        return self._forward(x)[-1]

    def gradients(self, x, labels):
        one, two, three, pooled, scores = self._forward(x)
        loss, grad = softmax_loss(scores, labels)
        below = (grad @ self.weights[2].T).reshape(len(x), 4, 1, 4, 1, -1) / 4
        below = np.broadcast_to(below, (len(x), 4, 2, 4, 2, below.shape[-1])).reshape(three.shape) * (
            three > 0
        )
        channels = self.weights[0].shape[1]
        first = spread(below @ self.weights[1].T, channels) * (one @ self.weights[0] > 0)
        return loss, [
            one.reshape(-1, 9).T @ first.reshape(-1, channels),
            two.reshape(-1, two.shape[-1]).T @ below.reshape(-1, channels),
            pooled.T @ grad,
            grad.sum(0),
        ]


def classified(model, optimizer, data, rng, epochs, batch):
    """Train a classifier; its accuracy on the test part, and its loss on the other."""
    (x, labels), (test, answers) = data
    updater = mx.get_updater(optimizer)
    keys = list(range(len(model.weights)))
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for at in range(0, len(x) - batch + 1, batch):
            some = order[at : at + batch]
            updater(keys, model.gradients(x[some], labels[some])[1], model.weights)
    accuracy = (model.scores(test).argmax(1) == answers).mean()
    return accuracy, softmax_loss(model.scores(x), labels)[0]


def split(x, labels, rng):
    order = rng.permutation(len(x))
    cut = len(x) * 3 // 4
    return [(x[part], labels[part]) for part in (order[:cut], order[cut:])]


def digits(rng, **width):
    """Digits, dense layers: Adam."""
    data = split(load_digits().data.astype("f") / 16, load_digits().target, rng)
    model = Dense(rng, 64, 128, 128, 10)
    return classified(model, mx.create("adam", learning_rate=1e-3, **width), data, rng, 40, 32)


def tumours(rng, **width):
    """A table of tumours, dense layers: AdamW."""
    x, labels = load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype("f")
    model = Dense(rng, 30, 160, 160, 2)
    opt = mx.create("adamw", learning_rate=3e-4, wd=0.01, **width)
    return classified(model, opt, split(x, labels, rng), rng, 30, 32)


def images(rng, **width):
    """Digits, two convolutions: SGD with momentum."""
    data = split(load_digits().data.astype("f") / 16, load_digits().target, rng)
    opt = mx.create("sgd", learning_rate=0.05, momentum=0.9, **width)
    return classified(Convolutional(rng), opt, data, rng, 8, 32)


def text(rng, **width):
    """The next letter of Python's help after eight: Adam."""
    whole = "".join(topics.topics[name] for name in sorted(topics.topics))[:200_000]
    alphabet = sorted(set(whole))
    letters = np.array([alphabet.index(letter) for letter in whole])
    x = np.lib.stride_tricks.sliding_window_view(letters[:-1], 8)
    labels = letters[8:]
    some = rng.permutation(len(x))[:24_000]
    model = Embedded(rng, len(alphabet), 48, 8, 128)
    opt = mx.create("adam", learning_rate=2e-3, **width)
    return classified(model, opt, split(x[some], labels[some], rng), rng, 4, 64)


def factors(rng, **width):
    """Pixels as ratings, factors of rows and columns: lazy Adam."""
    ratings = load_digits().data.astype("f") / 8 - 1
    n, m, rank = *ratings.shape, 16
    known = rng.uniform(size=ratings.shape) < 0.75
    rows, columns = np.nonzero(known)
    tables = [(rng.standard_normal((size, rank)) * 0.3).astype("f") for size in (n, m)]
    updater = mx.get_updater(mx.create("adam", learning_rate=5e-3, wd=1e-4, lazy_update=True, **width))
    for _ in range(12):
        order = rng.permutation(len(rows))
        for at in range(0, len(rows), 1024):
            i, j = rows[order[at : at + 1024]], columns[order[at : at + 1024]]
            error = ((tables[0][i] * tables[1][j]).sum(1) - ratings[i, j])[:, None] / 32
            grads = [
                mx.RowSparseArray(error * tables[1][j], i, (n, rank)),
                mx.RowSparseArray(error * tables[0][i], j, (m, rank)),
            ]
            updater([0, 1], grads, tables)
    errors = (tables[0] @ tables[1].T - ratings) ** 2
    return 1 - errors[~known].mean() / ratings[~known].var(), errors[known].mean()


TASKS = (digits, text, tumours, factors, images)


def main(seeds=5, *names):
    print(f"{'task':60} {'width':9} {'accuracy':>9} {'train loss':>11}")
    for task in TASKS:
        for width in WIDTHS if not names or task.__name__ in names else ():
            options = {} if width is None else {"state_dtype": width}
            found = [task(np.random.default_rng(seed), **options) for seed in range(int(seeds))]
            accuracy, loss = np.mean(found, 0)
            what = task.__doc__.splitlines()[0]
            print(f"{what:60} {width or 'float32':9} {accuracy:9.4f} {loss:11.3g}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
