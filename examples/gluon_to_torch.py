"""A gluon training script, ported: the network is PyTorch's, everything around it stays as it was.

Comments that begin with ``was:`` show the original lines, for MXNet 1.9. The script trains for six epochs,
saves its files halfway, goes on from them with a new network and trainer, and proves that this changes
nothing.

    python examples/gluon_to_torch.py
    python examples/gluon_to_torch.py --optimizer lamb --lr 0.01 --epochs 8
"""

# was: import mxnet as mx
#      from mxnet import autograd, gluon
#      from mxnet.gluon import nn
import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import mxopt.v1 as mx
from mxopt.v1 import gluon

BATCH = 32


def make_network():
    # was: net = nn.HybridSequential()
    #      net.add(nn.Dense(32, activation="relu"), nn.Dense(3))
    #      net.initialize(mx.init.Xavier(), ctx=mx.cpu())
    net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 3))
    for name, weight in net.named_parameters():
        init = mx.init.Xavier() if weight.dim() > 1 else mx.init.Zero()
        init(mx.init.InitDesc(name), weight.detach().numpy())
    return net


def spirals(count, seed):
    """Points on three spirals, and which spiral each is on."""
    rng = np.random.RandomState(seed)
    label = rng.randint(0, 3, count)
    radius = rng.uniform(0.1, 1, count)
    angle = 4 * radius + 2 * np.pi * label / 3 + rng.normal(0, 0.15, count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return points.astype(np.float32), label.astype(np.float32)


def make_trainer(net, options, batches):
    schedule = mx.lr_scheduler.FactorScheduler(step=2 * batches, factor=0.7, base_lr=options.lr)
    settings = {"learning_rate": options.lr, "wd": 1e-4, "lr_scheduler": schedule}
    # was: return gluon.Trainer(net.collect_params(), options.optimizer, settings)
    return gluon.Trainer(net.named_parameters(), options.optimizer, settings)


def train(net, trainer, loader, epochs):
    # was: loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    loss_of = nn.CrossEntropyLoss(reduction="sum")  # trainer.step divides by the batch
    speedometer = mx.callback.Speedometer(BATCH, frequent=20, auto_reset=False)
    for epoch in epochs:
        np.random.seed(epoch)  # the order of the examples, which the loader draws
        metric = mx.metric.create(["acc", "ce"])
        for number, (data, label) in enumerate(loader):
            # was: with autograd.record():
            #          output = net(data)
            #          loss = loss_of(output, label)
            #      loss.backward()
            output = net(torch.from_numpy(data.asnumpy()))
            loss = loss_of(output, torch.from_numpy(label.asnumpy()).long())
            net.zero_grad()  # new: torch accumulates gradients, where gluon overwrites them
            loss.backward()
            trainer.step(data.shape[0])
            metric.update([label], [mx.nd.array(output.detach().softmax(1).numpy())])
            speedometer(mx.model.BatchEndParam(epoch, number, metric, locals()))
        (_, accuracy), (_, loss_value) = metric.get_name_value()
        print(f"epoch {epoch}  rate {trainer.learning_rate:.4f}  "
              f"accuracy {accuracy:.3f}  loss {loss_value:.3f}")  # fmt: skip
    return accuracy


def save(net, trainer, folder):
    # was: net.save_parameters(f"{folder}/net.params")
    torch.save(net.state_dict(), folder / "net.pt")
    trainer.save_states(str(folder / "trainer.states"))


def load(net, trainer, folder):
    # was: net.load_parameters(f"{folder}/net.params")
    net.load_state_dict(torch.load(folder / "net.pt"))
    trainer.load_states(str(folder / "trainer.states"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)  # INFO shows the Speedometer's lines

    dataset = gluon.data.ArrayDataset(*spirals(960, seed=0))
    loader = gluon.data.DataLoader(dataset, BATCH, shuffle=True)

    mx.random.seed(0)
    net = make_network()
    trainer = make_trainer(net, options, len(loader))
    half = options.epochs // 2
    train(net, trainer, loader, range(half))
    with tempfile.TemporaryDirectory() as name:
        save(net, trainer, Path(name))
        accuracy = train(net, trainer, loader, range(half, options.epochs))

        again = make_network()  # other weights, as in a new process
        resumed = make_trainer(again, options, len(loader))
        load(again, resumed, Path(name))
    train(again, resumed, loader, range(half, options.epochs))
    pairs = zip(net.state_dict().values(), again.state_dict().values())
    assert all(torch.equal(one, other) for one, other in pairs), "the resumed run went another way"
    print(f"{options.optimizer}: {accuracy:.1%} of the points right; the resumed run ends in the same bits")


if __name__ == "__main__":
    main()
