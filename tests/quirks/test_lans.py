"""MXNet's habits in LANS: which are kept, which are not."""

import numpy as np
import pytest
from runs import trained

import mxopt as mx

either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


@either_way
def test_lans_takes_a_gradient_of_zeros_for_zero(fused):
    weight, grad = np.ones(4, np.float32), np.full(4, 0.5, np.float32)
    updater, moved = trained(mx, "lans", weight, grad, use_fused_step=fused)
    mean = updater.states[0][0].copy()
    updater(0, np.zeros(4, np.float32), moved)
    assert np.isfinite(moved).all()
    np.testing.assert_allclose(updater.states[0][0], np.float32(0.9) * mean, rtol=1e-6)
