"""MXNet's habits in LBSGD: which are kept, which are not."""

import numpy as np
import pytest
from runs import assert_same_bits

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


@packages
@either_way
def test_the_callers_buffer_may_be_used_again(package, fused):
    """Q12: 1.9 keeps the first gradient of a window itself, not a copy."""
    updater = package.get_updater(
        package.create(
            "lbsgd", learning_rate=0.5, batch_scale=2, warmup_strategy="none", use_fused_step=fused
        )
    )
    weight, grad = np.ones(2, np.float32), np.array([1, 0], np.float32)
    updater(0, grad, weight)
    assert (weight == 1).all()
    grad[...] = 1, 2
    updater(0, grad, weight)
    assert (weight == 0.5).all()


@packages
@pytest.mark.parametrize(("strategy", "expected"), [
    ("linear", [1.0, 1.25, 1.5, 1.75, 2.0, 2.0]),
    ("power2", [1.0, 1 + 1 / 16, 1.25, 1 + 9 / 16, 2.0, 2.0]),
    ("sqrt", [1.0, 1.5, 1 + 0.5**0.5, 1 + 0.75**0.5, 2.0, 2.0]),
    ("none", [1.0, 1.0, 1.0, 1.0, 2.0, 2.0]),
])  # fmt: skip
def test_warm_up(package, strategy, expected):
    optimizer = package.create(
        "lbsgd", batch_scale=2, warmup_epochs=2, updates_per_epoch=4, warmup_strategy=strategy
    )
    weight, seen = np.ones(1), [optimizer.lbmult]
    for _ in range(5):
        for _ in range(2):
            optimizer.update(0, weight, np.ones(1), None)
        seen.append(optimizer.lbmult)
    assert seen == expected


@packages
def test_the_rate_is_read_before_the_call_is_counted(package):
    seen = []

    class Watching(package.lr_scheduler.LRScheduler):
        def __call__(self, num_update):
            seen.append(num_update)
            return 0.5

    optimizer = package.create("lbsgd", lr_scheduler=Watching())
    for _ in range(3):
        optimizer.update([0, 1], [np.ones(1), np.ones(1)], [np.ones(1), np.ones(1)], [None, None])
    assert seen == [0, 1, 1, 2, 2, 3]


@packages
@either_way
def test_gathered_gradients_are_saved(package, fused):
    settings = {"batch_scale": 3, "momentum": 0.5, "use_fused_step": fused}
    updater = package.get_updater(package.create("lbsgd", **settings))
    weight, grads = np.ones(3, np.float32), np.eye(3, dtype=np.float32)
    for grad in grads[:2]:
        updater(0, grad, weight)
    other = package.get_updater(package.create("lbsgd", **settings))
    other.set_states(updater.get_states())
    resumed = weight.copy()
    updater(0, grads[2], weight)
    other(0, grads[2], resumed)
    assert (weight < 1).all()
    assert_same_bits([resumed, other.states[0]], [weight, updater.states[0]])


def test_row_sparse_gradients_are_gathered_by_rows():
    def sparse(*rows):
        return mx.RowSparseArray(np.ones((len(rows), 2), np.float32), list(rows), (5, 2))

    weights = [np.ones((5, 2), np.float32) for _ in range(3)]
    for weight, keywords in zip(weights, [{}, {"lazy_update": True}, {}]):
        updater = mx.get_updater(
            mx.create("lbsgd", batch_scale=2, wd=0.5, warmup_strategy="none", learning_rate=0.5, **keywords)
        )
        for gradient in (sparse(0, 3), sparse(3, 4)):
            updater(0, gradient.todense() if weight is weights[2] else gradient, weight)
    standard, lazy, dense = weights
    assert_same_bits([standard], [dense])
    assert_same_bits([lazy[[0, 3, 4]]], [dense[[0, 3, 4]]])
    assert (lazy[[1, 2]] == 1).all()


@packages
@pytest.mark.parametrize(("keywords", "message"), [
    ({"warmup_strategy": "linaer"}, "warmup_strategy must be one of linear, .*; did you mean 'linear'"),
    ({"batch_scale": 0}, "batch_scale must be an integer of 1 or more, got 0"),
    ({"batch_scale": 1.5}, "batch_scale must be an integer of 1 or more, got 1.5"),
    ({"updates_per_epoch": -1}, "updates_per_epoch must be an integer of 1 or more, got -1"),
    ({"begin_epoch": -1}, "begin_epoch must be an integer of 0 or more, got -1"),
])  # fmt: skip
def test_bad_settings_are_refused(package, keywords, message):
    with pytest.raises(ValueError, match=message):
        package.create("lbsgd", **keywords)
