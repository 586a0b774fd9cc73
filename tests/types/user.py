"""A fully typed training script, in which `mypy --strict` and pyright find nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import mxopt as mx
import mxopt.v1 as v1
from mxopt.typing import Array, State


@mx.register
class Halving(mx.Optimizer):
    """A custom optimizer."""

    def create_state(self, index: Any, weight: Array) -> State:
        return np.zeros_like(weight)

    def step(self, indices: Any, weights: list[Array], grads: list[Array], states: list[State]) -> None:
        for index, weight, grad in zip(indices, weights, grads):
            self._update_count(index)
            weight -= self.learning_rate * (0.5 * grad)


class Cosine(mx.lr_scheduler.LRScheduler):
    def __call__(self, num_update: int) -> float:
        return float(self.base_lr * np.cos(num_update / 1000))


def optimizers() -> list[mx.Optimizer]:
    adam = mx.create("adam", learning_rate=1e-3, beta1=0.9, clip_gradient=5.0)
    adam.lazy_update = True
    named: mx.SGD = mx.create("SGD", momentum=0.9, wd=1e-4, lr_scheduler=Cosine(0.1))
    by_variable: str = "nag"
    settings: dict[str, Any] = {"momentum": 0.9}
    return [
        adam,
        named,
        mx.Adam(0.001, beta2=0.99, rescale_grad=1 / 64, multi_precision=True),
        mx.optimizer.create(by_variable, learning_rate=0.5),
        mx.create(by_variable, **settings),
        v1.create("ccsgd", learning_rate=0.1),
    ]


def train(folder: Path) -> None:
    rng = np.random.default_rng(0)
    weights: list[Array] = [rng.standard_normal((3, 2)).astype(np.float32) for _ in range(2)]
    grads = [np.ones_like(weight) for weight in weights]
    rows = mx.RowSparseArray(np.ones((1, 2), np.float32), [1], (3, 2))
    for optimizer in optimizers():
        updater = mx.get_updater(optimizer)
        updater(0, grads[0], weights[0])
        updater(["fc_weight", "fc_bias"], grads, weights)
        updater("embedding", rows, weights[0])
        updater.save_states(folder / "a.states", dump_optimizer=True)
        updater.load_states(folder / "a.states")
        blob: bytes = updater.get_states()
        updater.set_states(blob)
        norm: float = mx.clip_global_norm(grads, 1.0)
        print(norm, optimizer.learning_rate, sorted(updater.states, key=str))
    mx.Updater(Halving(learning_rate=0.1))([0, 1], grads, weights)
    schedule = mx.lr_scheduler.FactorScheduler(step=10, factor=0.5, base_lr=0.1)
    rate: float = schedule(3)
    parameters = [mx.gluon.Parameter("w", weights[0], lr_mult=0.5)]
    trainer = mx.gluon.Trainer(parameters, "adam", {"learning_rate": rate})
    trainer.set_learning_rate(rate / 2)
    trainer.step(32, grads=[grads[0]])
    trainer.save_states(folder / "trainer.states")
    store = mx.kv.create("local")
    store.init(0, weights[0])
    store.set_optimizer(mx.create("sgd"))
    store.push(0, grads[0])
    store.pull(0, out=weights[0])
    array = mx.nd.array([1.0, 2.0])
    print(array.asnumpy(), mx.list_optimizers("ada*"), mx.describe("adam"))
    with mx.num_threads(1):
        print(mx.get_num_threads(), mx.show_config("dict"), mx.cpu(0), mx.__version__)


if __name__ == "__main__":
    train(Path())
