"""MXNet's habits in AdaDelta: which are kept, which are not."""

import numpy as np
import pytest
from runs import assert_same_bits

import mxopt as mx
import mxopt.v1 as v1

either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])


def stepped(package, fused, grad=3.0, **keywords):
    weight = np.ones(2)
    optimizer = package.create("adadelta", use_fused_step=fused, **keywords)
    if optimizer.lr_scheduler is None:
        optimizer.set_lr_mult({0: 0.5})
    package.get_updater(optimizer)(0, np.full(2, grad), weight)
    return weight


@either_way
def test_v1_has_no_learning_rate(fused):
    plain = stepped(v1, fused)
    scheduler = v1.lr_scheduler.FactorScheduler(1, 0.5, base_lr=0.125)
    assert_same_bits([stepped(v1, fused, learning_rate=7.0)], [plain])
    assert_same_bits([stepped(v1, fused, lr_scheduler=scheduler)], [plain])
    assert (stepped(mx, fused, learning_rate=0.5) != stepped(mx, fused)).all()


@either_way
def test_v1_decay_is_not_in_the_accumulators(fused):
    assert (stepped(v1, fused, grad=0.0, wd=0.25) == 0.75).all()
    assert (stepped(mx, fused, grad=0.0, wd=0.25) > 0.99).all()


@either_way
@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
def test_the_gradient_is_not_scaled_in_place(package, fused):
    grad = np.full(3, 8.0, np.float32)
    optimizer = package.create("adadelta", rescale_grad=0.25, clip_gradient=1.0, use_fused_step=fused)
    package.get_updater(optimizer)(0, grad, np.ones(3, np.float32))
    assert (grad == 8).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.filterwarnings("ignore:states of")
def test_accumulators_are_float32(dtype):
    expected = np.float64 if dtype == "float64" else np.float32
    assert {a.dtype for a in mx.create("adadelta").create_state(0, np.ones(2, dtype))} == {np.dtype(expected)}
