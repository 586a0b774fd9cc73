"""clip_gradient of 0 or below is no clipping, everywhere; MXNet's step makes zeros or nonsense of it."""

import pytest
from runs import assert_same_bits, run

import mxopt as mx
import mxopt.v1 as v1

ALL = [(package, name) for package in (mx, v1) for name in sorted(package.Optimizer.opt_registry)]


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize("clip", [0, -1.0], ids=str)
@pytest.mark.parametrize(("package", "name"), ALL, ids=[f"{'1.x' if p is v1 else '2.x'}-{n}" for p, n in ALL])
def test_nothing_is_clipped(package, name, clip, fused):
    settings = {"use_fused_step": fused}
    assert_same_bits(
        run(name, {**settings, "clip_gradient": clip}, package=package, steps=2),
        run(name, {**settings, "clip_gradient": None}, package=package, steps=2),
    )
