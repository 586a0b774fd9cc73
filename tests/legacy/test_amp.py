"""MXNet's ``amp`` around a trainer, and the trainer's own ``loss_scale``."""

import importlib
import logging

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt.gluon import amp

BOTH = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])
DATA = {"a": np.arange(3, dtype=np.float32), "b": np.ones((2, 2), np.float32)}


def trainer_of(mx, name="adam", **options):
    return mx.gluon.Trainer({n: value.copy() for n, value in DATA.items()}, name, **options)


def gradients(seed, factor=1.0):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(v.shape).astype(np.float32) * np.float32(factor) for n, v in DATA.items()}


def weights(trainer):
    return [parameter.data().tobytes() for parameter in trainer._params]


@BOTH
def test_the_module_has_mxnets_names(mx):
    module = importlib.import_module(f"{mx.__name__}.contrib.amp")
    assert module is amp and mx.contrib.amp is amp
    assert importlib.import_module(f"{mx.__name__}.contrib.amp.loss_scaler").LossScaler is amp.LossScaler
    with pytest.raises(NotImplementedError, match="init_trainer, scale_loss and unscale are here"):
        module.convert_model()
    assert mxopt.amp is amp and not hasattr(mxopt.v1, "amp")


@BOTH
def test_a_script_steps_as_without_amp(mx, caplog):
    amp.init()
    scaled, plain = trainer_of(mx), trainer_of(mx)
    amp.init_trainer(scaled)
    for seed in range(4):
        with amp.scale_loss(np.float32(1.0), scaled) as factor:
            scaled.step(4, grads=gradients(seed, factor))
        plain.step(4, grads=gradients(seed))
        assert weights(scaled) == weights(plain)
    with amp.scale_loss([1.0, 2.0], scaled) as losses:
        assert losses == [2.0**16, 2.0**17]


@BOTH
def test_an_overflow_is_skipped_and_halves_the_scale_of_the_next_step_but_one(mx, caplog):
    amp.init()
    trainer = trainer_of(mx)
    amp.init_trainer(trainer)
    before, bad = weights(trainer), gradients(0)
    bad["b"][1, 0] = np.inf
    with caplog.at_level(logging.INFO):
        trainer.step(1, grads=bad)
    assert weights(trainer) == before and trainer.amp_loss_scale == 2.0**16
    assert caplog.messages == ["AMP: decreasing loss scale to 32768.000000"]
    trainer.step(1, grads=gradients(1))
    assert weights(trainer) != before and trainer.amp_loss_scale == 2.0**15


@BOTH
def test_unscaled_gradients_are_not_divided_again(mx):
    amp.init()
    scaled, plain = trainer_of(mx, "sgd"), trainer_of(mx, "sgd")
    amp.init_trainer(scaled)
    for seed in range(2):
        with amp.scale_loss(1.0, scaled) as factor:
            for parameter in scaled._params:
                parameter.set_grad(gradients(seed, factor)[parameter.name])
        amp.unscale(scaled)
        for parameter in scaled._params:
            assert parameter.grad().tobytes() == gradients(seed)[parameter.name].tobytes()
        scaled.step(2)
        plain.step(2, grads=gradients(seed))
        assert weights(scaled) == weights(plain)


def test_the_scaler_doubles_and_ends():
    scaler = amp.LossScaler()
    scaler._unskipped = 1999
    assert not scaler.has_overflow([])
    assert (scaler.loss_scale, scaler._next_loss_scale, scaler._unskipped) == (2.0**16, 2.0**17, 0)
    scaler._next_loss_scale, scaler._unskipped = 2.0**24, 1999
    scaler.has_overflow([])
    assert scaler._next_loss_scale == 2.0**24


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (lambda t: amp.init("float64"), ValueError, "must be 'float16' or 'bfloat16', got"),
        (lambda t: amp.init_trainer(t.optimizer), TypeError, "for an updater pass loss_scale="),
        (lambda t: amp.init_trainer(3), TypeError, "must be a Gluon Trainer, got int"),
        (lambda t: amp.unscale(t), RuntimeError, "call amp.init_trainer"),
        (lambda t: amp.scale_loss(1.0, t).__enter__(), RuntimeError, "call amp.init_trainer"),
        (lambda t: amp.init_trainer(trainer_of(mxopt, loss_scale=8.0)), ValueError, "its own loss_scale="),
        (lambda t: amp.init_trainer(trainer_of(mxopt, accumulate=2)), ValueError, "loss_scale='dynamic' to"),
    ],
)  # fmt: skip
def test_bad_input(act, error, says):
    amp.init()
    with pytest.raises(error, match=says):
        act(trainer_of(mxopt))


@BOTH
@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"clip_global_norm": 0.5}], ids=str)
def test_a_trainer_scales_by_itself(mx, options, tmp_path):
    scaled, plain = trainer_of(mx, loss_scale="dynamic", **options), trainer_of(mx, **options)
    for seed in range(4):
        scaled.step(4, grads=gradients(seed, scaled.loss_scale))
        plain.step(4, grads=gradients(seed))
        assert weights(scaled) == weights(plain)
    before, bad = weights(scaled), {n: np.full_like(v, np.nan) for n, v in DATA.items()}
    for _ in range(options.get("accumulate", 1)):
        scaled.step(4, grads=bad)
    assert weights(scaled) == before and scaled.loss_scale == 2.0**15
    scaled.save_states(tmp_path / "states")
    other = trainer_of(mx, loss_scale="dynamic", **options)
    other.load_states(tmp_path / "states")
    assert other.loss_scale == 2.0**15
    assert plain.loss_scale is None


def test_a_store_that_updates_takes_no_options_of_updaters():
    contexts = [mxopt.cpu(0), mxopt.cpu(1)]
    parameter = mxopt.gluon.Parameter("w", shape=(2,))
    parameter.initialize(ctx=contexts)
    trainer = mxopt.gluon.Trainer([parameter], "sgd", loss_scale=8.0, update_on_kvstore=True)
    with pytest.raises(ValueError, match=r"^loss_scale=8.0 has no meaning when the store updates"):
        trainer.step(1, grads=[[np.ones(2, np.float32)] * 2])


def test_a_failure_at_one_copy_leaves_the_scale_of_all(monkeypatch):
    contexts = [mxopt.cpu(0), mxopt.cpu(1)]
    parameter = mxopt.gluon.Parameter("w", shape=(2,))
    parameter.initialize(ctx=contexts)
    trainer = mxopt.gluon.Trainer([parameter], "sgd", loss_scale="dynamic", update_on_kvstore=False)
    trainer.step(1, grads=[[np.ones(2, np.float32)] * 2])
    scalers = [updater._scaler for updater in trainer._updaters]
    before = [dict(vars(scaler)) for scaler in scalers]

    def fail(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer._updaters[1], "_stepping", fail)
    with pytest.raises(KeyboardInterrupt):
        trainer.step(1, grads=[[np.ones(2, np.float32)] * 2])
    assert [dict(vars(scaler)) for scaler in scalers] == before
