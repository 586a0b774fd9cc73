"""What the 1.x dialect has apart from its formulas, and what it shares with 2.x."""

import importlib

import numpy as np
import pytest
from cases import OPTIMIZERS, every_setting
from runs import assert_same_bits, run

import mxopt as mx
import mxopt.v1 as v1

NAMES = sorted(v1.Optimizer.opt_registry)
ROWS = {name: row for name, row in OPTIMIZERS.items() if name in NAMES}


def in_v1(row):
    return any(row is one for one in ROWS.values())


v1_settings = pytest.mark.parametrize(("name", "settings"), every_setting(in_v1, dialect="1.x"))


def test_registry_is_that_of_1_9():
    expected = set(mx.Optimizer.opt_registry) - {"adamw", "adabelief", "lans"}
    assert set(NAMES) == expected
    for name, cls in v1.Optimizer.opt_registry.items():
        assert issubclass(cls, v1.Optimizer)
        assert issubclass(cls, mx.Optimizer)
        assert getattr(v1, cls.__name__) is cls
        assert type(v1.create(name)) is cls
        assert mx.Optimizer.opt_registry[name] is not cls


@pytest.mark.parametrize("name", ["AdamW", "AdaBelief", "LANS", "no_such_thing"])
def test_what_1_9_lacks(name):
    assert not hasattr(v1, name)
    assert name not in dir(v1)


@pytest.mark.parametrize("name", ["nd", "lr_scheduler", "random", "context"])
def test_shared_modules(name):
    assert getattr(v1, name).__name__.rpartition(".")[2] == name
    assert importlib.import_module(f"mxopt.v1.{name}") is getattr(v1, name)


def test_classes_of_the_user_are_registered_apart():
    try:

        @v1.register
        class OnlyIn19(v1.Optimizer):
            def update(self, index, weight, grad, state):
                assert isinstance(index, int)
                weight -= self.lr * grad

        weights = [np.ones(2), np.ones(2)]
        updater = v1.get_updater(v1.create("OnlyIn19", learning_rate=0.5))
        updater([0, 1], [np.ones(2), np.ones(2)], weights)
        assert (np.array(weights) == 0.5).all()
        assert updater.optimizer.aggregate_num == 0
        with pytest.raises(ValueError, match="unknown optimizer 'onlyin19'"):
            mx.create("onlyin19")
    finally:
        v1.Optimizer.opt_registry.pop("onlyin19", None)


@v1_settings
def test_step_agrees_with_fused_step(name, settings):
    fused, step = (
        run(name, {**settings, "use_fused_step": way}, dtype="float64", package=v1) for way in (True, False)
    )
    near = 1e-7 if name == "lars" else 1e-12  # its norms are float32, whatever the weight
    for a, b in zip(fused, step):
        np.testing.assert_allclose(a, b, rtol=10 * near, atol=near * max(np.abs(b).max(initial=0), 1e-30))


@pytest.mark.parametrize(
    ("name", "settings"), every_setting(lambda row: in_v1(row) and not row.together, dialect="1.x")
)
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_list_equals_one_by_one(name, settings, fused):
    settings = {**settings, "use_fused_step": fused}
    assert_same_bits(run(name, settings, package=v1), run(name, settings, package=v1, lists=False))


# -- weight decay by name ------------------------------------------------------------------------------


def test_biases_do_not_decay_when_names_are_known():
    """Q27"""
    names = {0: "fc_weight", 1: "fc_bias", 2: "bn_gamma", 3: "bn_beta"}
    for package, decays in ((v1, [0.5, 0.0, 0.5, 0.0]), (mx, [0.5] * 4)):
        optimizer = package.create("sgd", wd=0.5, param_idx2name=names)
        assert optimizer._get_wds(range(4)) == decays
        assert package.create("sgd", wd=0.5)._get_wds(range(4)) == [0.5] * 4


def test_a_multiplier_given_for_a_bias_holds():
    optimizer = v1.create("sgd", wd=0.5, param_idx2name={0: "fc_weight", 1: "fc_bias", 2: "out_bias"})
    optimizer.set_wd_mult({"fc_bias": 2.0})
    assert optimizer._get_wds([0, 1, 2]) == [0.5, 1.0, 0.0]


def test_set_lr_scale_raises_as_there():
    with pytest.raises(DeprecationWarning, match="use set_lr_mult"):
        v1.create("sgd").set_lr_scale({})
    assert not hasattr(mx.create("sgd"), "set_lr_scale")


@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
def test_set_learning_rate_raises_beside_a_scheduler(package):
    """Q24"""
    scheduler = package.lr_scheduler.FactorScheduler(1, base_lr=0.5)
    optimizer = package.create("sgd", learning_rate=None, lr_scheduler=scheduler)
    with pytest.raises(UserWarning, match="lr_scheduler"):
        optimizer.set_learning_rate(0.1)


# -- defaults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_lazy_by_default(name):
    assert v1.create(name).lazy_update is True
    assert mx.create(name).lazy_update is False


def test_schedulers_keep_their_rate_where_1_9_has_no_default():
    """Q17: 2.x's classes all have a default learning rate, which wins over the scheduler's."""
    rates = []
    for package in (v1, mx):
        scheduler = package.lr_scheduler.FactorScheduler(10, base_lr=0.5)
        if package is mx:
            with pytest.warns(UserWarning, match="replaces base_lr=0.5"):
                optimizer = package.create("sgd", lr_scheduler=scheduler)
        else:
            optimizer = package.create("sgd", lr_scheduler=scheduler)
        rates.append(optimizer.learning_rate)
    assert rates == [0.5, 0.1]


def test_aggregation_size_from_the_environment(monkeypatch):
    monkeypatch.delenv("MXNET_OPTIMIZER_AGGREGATION_SIZE", raising=False)
    assert v1.create("sgd").aggregate_num == 4
    assert v1.get_updater(v1.create("sgd")).aggregate_updates
    assert not v1.get_updater(v1.create("adam")).aggregate_updates
    monkeypatch.setenv("MXNET_OPTIMIZER_AGGREGATION_SIZE", "1")
    assert v1.create("sgd").aggregate_num == 1
    assert v1.get_updater(v1.create("sgd")).aggregate_updates
    monkeypatch.setenv("MXNET_OPTIMIZER_AGGREGATION_SIZE", "many")
    with pytest.raises(ValueError, match="must be an integer, got 'many'"):
        v1.create("sgd")


# -- Test ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_the_test_optimizer_adds_and_does_not_count(fused):
    optimizer = v1.create("test", learning_rate=7.0, wd=7.0, rescale_grad=0.5, use_fused_step=fused)
    updater, weight = v1.get_updater(optimizer), np.ones(2, np.float32)
    updater(0, np.full(2, 4, np.float32), weight)
    assert_same_bits([weight, updater.states[0]], [np.full(2, 3, np.float32)] * 2)
    assert optimizer.num_update == 0
    assert not optimizer._index_update_count
