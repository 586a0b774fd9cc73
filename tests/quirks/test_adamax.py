"""MXNet's habits in Adamax: which are kept, which are not."""

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1 as v1

either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


@either_way
@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.filterwarnings("ignore:states of")
def test_an_element_without_gradient_stays(package, fused, dtype):
    """1.9 divides 0 by 0 there and makes it NaN."""
    updater = package.get_updater(package.create("adamax", use_fused_step=fused))
    weight = np.ones(2, dtype)
    for _ in range(3):
        updater(0, np.array([0, 1], dtype), weight)
    assert weight[0] == 1
    assert 0 < weight[1] < 1


@either_way
def test_v1_has_no_epsilon(fused):
    weight = np.ones(1)
    v1.get_updater(v1.create("adamax", learning_rate=0.5, use_fused_step=fused))(0, np.full(1, 1e-30), weight)
    assert weight[0] == pytest.approx(0.5, rel=1e-12)
    with pytest.raises(TypeError, match="Adamax has no epsilon in the 1.x dialect"):
        v1.create("adamax", epsilon=1e-8)


def test_there_is_a_fused_step():
    """MXNet has none, and fails at the first update with use_fused_step=True."""
    weight = np.ones(1, np.float32)
    optimizer = mx.create("adamax", use_fused_step=True)
    optimizer.update([0], [weight], [np.ones(1, np.float32)], [optimizer.create_state(0, weight)])
    assert weight[0] < 1
