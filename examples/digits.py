"""Handwritten digits: a small NumPy network, trained by an optimizer chosen by name.

Saves the optimizer's states halfway, loads them into a fresh updater, and proves that the resumed run ends
with the same bits. Prints the accuracy and plots the loss.

    python examples/digits.py
    python examples/digits.py --optimizer lamb --lr 0.02 --epochs 40
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import mxopt as mx

LAYERS = (64, 128, 10)


def make_network(rng):
    """Weights and biases by name; the biases are rows, so that optimizers of matrices take them too."""
    network = {}
    for number, (inputs, outputs) in enumerate(zip(LAYERS, LAYERS[1:]), 1):
        scale = np.sqrt(2 / inputs)
        network[f"fc{number}_weight"] = rng.normal(0, scale, (inputs, outputs)).astype(np.float32)
        network[f"fc{number}_bias"] = np.zeros((1, outputs), np.float32)
    return network


def forward(network, images):
    """The hidden layer, and the logarithms of the digits' probabilities."""
    hidden = np.maximum(images @ network["fc1_weight"] + network["fc1_bias"], 0)
    scores = hidden @ network["fc2_weight"] + network["fc2_bias"]
    scores -= scores.max(axis=1, keepdims=True)
    return hidden, scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def loss_of(network, images, digits):
    return -forward(network, images)[1][np.arange(len(digits)), digits].mean()


def gradients_of(network, images, digits):
    """Gradients of the cross-entropy, summed over the batch: `rescale_grad` divides by its size."""
    hidden, logs = forward(network, images)
    error = np.exp(logs)
    error[np.arange(len(digits)), digits] -= 1
    back = (error @ network["fc2_weight"].T) * (hidden > 0)
    return [images.T @ back, back.sum(0, keepdims=True), hidden.T @ error, error.sum(0, keepdims=True)]


def make_updater(args, steps):
    rate = mx.optimizer.create(args.optimizer).lr if args.lr is None else args.lr
    schedule = mx.lr_scheduler.CosineScheduler(
        max_update=steps, base_lr=rate, final_lr=rate / 100, warmup_steps=steps // 20
    )
    opt = mx.optimizer.create(
        args.optimizer,
        learning_rate=rate,
        lr_scheduler=schedule,
        wd=args.wd,
        rescale_grad=1 / args.batch,
        param_idx2name=dict(enumerate(make_network(np.random.default_rng(0)))),
    )
    return mx.optimizer.get_updater(opt)


def train(network, updater, data, epochs, args):
    """Train for these epochs; return the losses on training and on other images after each."""
    images, others, digits, other_digits = data
    curve = []
    for epoch in epochs:
        # by epoch, so that a resumed run sees the same batches (and SGLD the same noise)
        order = np.random.default_rng([args.seed, epoch]).permutation(len(images))
        mx.random.seed(args.seed + epoch)
        for start in range(0, len(order) - args.batch + 1, args.batch):
            batch = order[start : start + args.batch]
            gradients = gradients_of(network, images[batch], digits[batch])
            updater(list(range(len(network))), gradients, list(network.values()))  # one fused call
        curve.append((loss_of(network, images, digits), loss_of(network, others, other_digits)))
        rate, (loss, other) = updater.optimizer.learning_rate, curve[-1]
        print(
            f"epoch {epoch + 1:3}/{args.epochs}  rate {rate:.5f}  loss {loss:.4f}  test {other:.4f}",
            flush=True,
        )
    return curve


def draw(curve, half, args, path):
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    epochs = np.arange(1, len(curve) + 1)
    for losses, label in zip(np.transpose(curve), ("training images", "other images")):
        axes.semilogy(epochs, losses, label=label)
    axes.axvline(half, color="0.7", linestyle=":", label="saved, and resumed from here")
    axes.set(xlabel="epoch", ylabel="cross-entropy", title=f"digits by {args.optimizer}")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def same_bits(a, b):
    return all(x.tobytes() == y.tobytes() for x, y in zip(a.values(), b.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--optimizer", default="adam", help="any registered name (default: adam)")
    parser.add_argument("--lr", type=float, help="largest learning rate (default: the optimizer's own)")
    parser.add_argument("--wd", type=float, default=0.0, help="weight decay (default: 0)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(), help="folder for the states and the picture")
    args = parser.parse_args()

    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32)
    data = train_test_split(images, digits, test_size=0.25, random_state=args.seed, stratify=digits)
    steps = args.epochs * (len(data[0]) // args.batch)
    half = args.epochs // 2
    states = args.output / f"digits-{args.optimizer}.states"

    network = make_network(np.random.default_rng(args.seed))
    updater = make_updater(args, steps)
    curve = train(network, updater, data, range(half), args)
    updater.save_states(states, dump_optimizer=True)
    weights = {name: weight.copy() for name, weight in network.items()}
    print(f"saved {states}")
    curve += train(network, updater, data, range(half, args.epochs), args)

    print(f"once more from {states}, in a fresh updater")
    resumed = make_updater(args, steps)
    resumed.load_states(states)
    train(weights, resumed, data, range(half, args.epochs), args)
    if not same_bits(network, weights):
        raise SystemExit("the resumed run ended in other bits")
    print("the resumed run ends in the same bits")

    _, others, _, other_digits = data
    right = (forward(network, others)[1].argmax(axis=1) == other_digits).mean()
    print(f"{args.optimizer} reads {right:.1%} of {len(others)} digits that it has not seen")
    picture = args.output / f"digits-{args.optimizer}.png"
    draw(curve, half, args, picture)
    print(f"loss curve in {picture}")


if __name__ == "__main__":
    main()
