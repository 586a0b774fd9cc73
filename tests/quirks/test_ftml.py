"""MXNet's habits in FTML: which are kept, which are not."""

import numpy as np
import pytest
from runs import assert_same_bits

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


@packages
@either_way
def test_a_learning_rate_of_zero_is_refused(package, fused):
    """MXNet divides by it and fills the weight with NaN."""
    optimizer = package.create("ftml", use_fused_step=fused, param_idx2name={1: "frozen"})
    optimizer.set_lr_mult({1: 0.0})
    updater = package.get_updater(optimizer)
    weights = [np.ones(3, np.float32), np.ones(3, np.float32)]
    with pytest.raises(
        ValueError, match=r"learning_rate of index 1 \('frozen'\) must be above 0, since FTML divides"
    ):
        updater([0, 1], [np.ones(3, np.float32)] * 2, weights)
    assert_same_bits(weights, [np.ones(3, np.float32)] * 2)
    assert not optimizer._index_update_count
    assert not updater.states


@either_way
def test_v1_clips_the_decay_too(fused):
    states = []
    for package in (mx, v1):
        optimizer = package.create("ftml", clip_gradient=1.0, wd=2.0, beta2=0.0, learning_rate=1.0,
                                   use_fused_step=fused)  # fmt: skip
        weight = np.ones(1)
        states.append(optimizer.create_state(0, weight))
        optimizer.update(0, weight, np.full(1, 8.0), states[-1])
    assert [var.item() for _, var, _ in states] == [9.0, 1.0]
