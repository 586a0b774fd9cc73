"""MXNet's habits in DCASGD: which are kept, which are not."""

import numpy as np
import pytest
from runs import assert_same_bits

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


def stepped(package, previous=0.5, **keywords):
    optimizer, weight = package.create("dcasgd", learning_rate=0.25, **keywords), np.ones(1)
    mom, _ = optimizer.create_state(0, weight)
    state = mom, np.full(1, previous)
    optimizer.update(0, weight, np.full(1, 2.0), state)
    return weight.item(), state


@packages
@either_way
def test_momentum_works(package, fused):
    """Q8: 1.9 fails with it at the first update."""
    weight, (mom, previous) = stepped(package, lamda=0.5, momentum=0.5, use_fused_step=fused)
    assert mom == -0.25 * (2 + 0.5 * 4 * 0.5)
    assert weight == 1 + mom
    assert previous == 1


@either_way
def test_v1_leaves_decay_out_of_the_compensation(fused):
    keywords = {"lamda": 0.5, "wd": 1.0, "use_fused_step": fused}
    assert stepped(v1, **keywords)[0] == 1 - 0.25 * (2 + 1 + 0.5 * 4 * 0.5)
    assert stepped(mx, **keywords)[0] == 1 - 0.25 * (3 + 0.5 * 9 * 0.5)


@packages
def test_state_begins_as_a_copy_of_the_weight(package):
    weight = np.arange(3, dtype=np.float32)
    mom, previous = package.create("dcasgd").create_state(0, weight)
    assert mom is None
    assert_same_bits([previous], [weight])
    assert not np.shares_memory(previous, weight)


@packages
@pytest.mark.parametrize("name", ["dcasgd", "sgld", "test"])
def test_there_is_a_fused_step(package, name):
    """Q23: 2.x raises with use_fused_step=True."""
    weight = np.ones(3, np.float32)
    package.get_updater(package.create(name, use_fused_step=True))(0, np.ones(3, np.float32), weight)
    assert (weight != 1).all()
