"""MXNet's habits in Nadam: which are kept, which are not."""

import numpy as np
import pytest
from runs import assert_same_bits, everything

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


def momentum(t, beta1=0.9, decay=0.004):
    return beta1 * (1 - 0.5 * 0.96 ** (t * decay))


@packages
@either_way
@pytest.mark.parametrize("lists", [True, False], ids=["list", "one by one"])
def test_all_tensors_move_one_schedule(package, fused, lists):
    optimizer = package.create("nadam", use_fused_step=fused)
    updater = package.get_updater(optimizer)
    weights, grads = [np.ones(2, np.float32) for _ in range(3)], [np.ones(2, np.float32)] * 3
    product = 1.0
    for t in (1, 2):
        if lists:
            updater([0, 1, 2], grads, weights)
        else:
            for i in range(3):
                updater(i, grads[i], weights[i])
        for _ in range(3):
            product *= momentum(t)
    assert optimizer.m_schedule == product
    assert len({w.tobytes() for w in weights}) == 3, "equal tensors part, by their place in the order"


def test_the_schedule_is_as_it_was_after_an_error():
    optimizer = mx.create("nadam")
    updater = mx.get_updater(optimizer)
    weights, grads = [np.ones(2, np.float32) for _ in range(3)], [np.ones(2, np.float32)] * 3
    updater([0, 1, 2], grads, weights)
    before = optimizer.m_schedule
    optimizer.set_lr_mult({2: 1.0})
    optimizer.lr_mult[2] = float("nan")
    with pytest.raises(ValueError, match="learning_rate"):
        updater([0, 1, 2], grads, weights)
    assert optimizer.m_schedule == before
    assert optimizer._index_update_count == {0: 1, 1: 1, 2: 1}


def test_a_lazy_call_moves_the_schedule_too():
    optimizer = mx.create("nadam", lazy_update=True)
    weight = np.ones((4, 2), np.float32)
    mx.get_updater(optimizer)(0, mx.RowSparseArray(np.ones((1, 2), np.float32), [2], (4, 2)), weight)
    assert optimizer.m_schedule == momentum(1)
    assert (weight[[0, 1, 3]] == 1).all()


def test_files_carry_the_schedule():
    def fresh():
        return mx.get_updater(mx.create("nadam", learning_rate=0.1))

    def train(updater, weights, steps):
        for step in range(steps):
            updater([0, 1], [np.full(3, 1.0 + step, np.float32)] * 2, weights)
        return everything(updater, weights)

    first, weights = fresh(), [np.ones(3, np.float32) for _ in range(2)]
    train(first, weights, 2)
    resumed, copies = fresh(), [w.copy() for w in weights]
    resumed.set_states(first.get_states())
    assert resumed.optimizer.m_schedule == first.optimizer.m_schedule
    assert_same_bits(train(resumed, copies, 2), train(first, weights, 2))
