"""MXNet's habits in Adam: which are kept, which are not."""

import math

import numpy as np
import pytest
from runs import assert_same_bits, trained

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


@either_way
def test_v1_clips_the_decay_with_the_gradient(fused):
    keywords = {"beta1": 0.0, "wd": 1.0, "clip_gradient": 1.5, "use_fused_step": fused}
    for package, moment in ((v1, 1.5), (mx, 1.5 + 1.0)):
        updater, _ = trained(package, "adam", np.ones(1), np.full(1, 2.0), **keywords)
        assert updater.states[0][0] == moment


@either_way
@packages
def test_epsilon_joins_the_root_before_its_correction(package, fused):
    """As at the end of section 2 of the paper; its algorithm 1 corrects the root first."""
    keywords = {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "epsilon": 1.0, "use_fused_step": fused}
    _, moved = trained(package, "adam", np.ones(1), np.full(1, 2.0), **keywords)
    rate = 0.5 * math.sqrt(1 - 0.75) / (1 - 0.5)
    assert moved == 1 - rate * (0.5 * 2) / (math.sqrt(0.25 * 4) + 1.0)


def test_only_1_x_is_lazy_unless_told_otherwise():
    weight, rows = np.ones((3, 2), np.float32), mx.RowSparseArray(np.ones((1, 2), np.float32), [1], (3, 2))
    moved = {}
    for package, lazy in ((v1, None), (v1, False), (mx, None), (mx, True)):
        keywords = {} if lazy is None else {"lazy_update": lazy}
        moved[package, lazy] = trained(package, "adam", weight, rows, wd=0.5, **keywords)[1]
    for case in ((v1, None), (mx, True)):
        assert_same_bits([moved[case][[0, 2]]], [weight[[0, 2]]])
    for case in ((v1, False), (mx, None)):
        assert (moved[case] != weight).all()


@either_way
@packages
def test_each_index_counts_its_own_updates(package, fused):
    """A weight that joins late gets the first step's correction, with the others in one list or not."""
    ones = np.ones(4, np.float32)
    optimizer = package.create("adam", learning_rate=0.5, use_fused_step=fused)
    updater = package.get_updater(optimizer)
    early, late = ones.copy(), ones.copy()
    for _ in range(3):
        updater(0, ones, early)
    updater([0, 1], [ones, ones], [early, late])
    assert optimizer._index_update_count == {0: 4, 1: 1}
    _, alone = trained(package, "adam", ones, ones, learning_rate=0.5, use_fused_step=fused)
    assert_same_bits([late], [alone])
