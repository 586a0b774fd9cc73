"""MXNet's habits in LAMB: which are kept, which are not."""

import numpy as np
import pytest
from runs import trained

import mxopt as mx
import mxopt.v1 as v1

either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


@either_way
@pytest.mark.parametrize("aggregate_num", [1, 4])
def test_lamb_counts_a_step_once(fused, aggregate_num):
    keywords = {"use_fused_step": fused, "aggregate_num": aggregate_num}
    updater, _ = trained(mx, "lamb", np.ones(3, np.float32), np.ones(3, np.float32), updates=3, **keywords)
    assert updater.optimizer.num_update == 3
    assert updater.optimizer._index_update_count == {0: 3}


@either_way
@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
def test_the_ratio_of_norms_scales_the_step(package, fused):
    """|weight| / |direction|, exact here: the first direction of a constant gradient is all ones."""
    keywords = {"learning_rate": 0.25, "epsilon": 0.0, "use_fused_step": fused}
    _, moved = trained(package, "lamb", np.full(4, 2.0), np.full(4, 8.0), **keywords)
    np.testing.assert_allclose(moved, 2.0 - 0.25 * 2.0, rtol=1e-6)  # MXNet takes norms in float32
    _, bounded = trained(package, "lamb", np.full(4, 2.0), np.full(4, 8.0), upper_bound=2.0, **keywords)
    np.testing.assert_allclose(bounded, 2.0 - 0.25 * (2.0 / 2.0), rtol=1e-6)


@either_way
@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
def test_moments_may_stay_uncorrected(package, fused):
    keywords = {
        "beta1": 0.5,
        "beta2": 0.75,
        "epsilon": 0.0,
        "bias_correction": False,
        "use_fused_step": fused,
    }
    updater, moved = trained(
        package, "lamb", np.full(4, 2.0), np.full(4, 8.0), learning_rate=0.25, **keywords
    )
    assert (updater.states[0][0] == 4).all()
    assert (updater.states[0][1] == 16).all()
    np.testing.assert_allclose(moved, 2.0 - 0.25 * 2.0, rtol=1e-6)
