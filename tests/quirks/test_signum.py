"""MXNet's habits in Signum: which are kept, which are not."""

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


def stepped(package, grad, **keywords):
    optimizer, weight = package.create("signum", learning_rate=0.25, **keywords), np.ones(len(grad))
    state = optimizer.create_state(0, weight)
    optimizer.update(0, weight, np.array(grad, float), state)
    return weight.tolist(), None if state is None else state.tolist()


@packages
@either_way
def test_without_momentum_neither_rescaled_nor_clipped(package, fused):
    """Q13; a factor of 0 would stop the weight otherwise."""
    weight, state = stepped(package, [8.0, -1e-9, 0.0], momentum=0.0, rescale_grad=0.0, use_fused_step=fused)
    assert weight == [0.75, 1.25, 1.0]
    assert state is None


@packages
@either_way
def test_decoupled_decay_without_momentum(package, fused):
    """Q13: 1.9 raises; both decays count, as in 2.x."""
    weight, _ = stepped(package, [0.0], momentum=0.0, wd=0.25, wd_lh=0.25, use_fused_step=fused)
    assert weight == [1 - 0.25 * 0.5]


@packages
@either_way
def test_momentum_is_of_the_negative_gradient(package, fused):
    weight, mom = stepped(package, [4.0, -4.0], momentum=0.5, use_fused_step=fused)
    assert mom == [-2.0, 2.0]
    assert weight == [0.75, 1.25]


@packages
@either_way
def test_the_sign_of_nan_is_zero(package, fused):
    weight, _ = stepped(package, [np.nan], momentum=0.5, use_fused_step=fused)
    assert weight == [1.0]


@packages
@pytest.mark.parametrize("momentum", [-0.1, 1.0, 2.0])
def test_momentum_outside_its_range_is_refused(package, momentum):
    with pytest.raises(ValueError, match=r"momentum must be within \[0, 1\), got"):
        package.create("signum", momentum=momentum)
