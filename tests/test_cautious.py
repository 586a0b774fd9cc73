"""`cautious=True`: moves that do not go down the gradient are undone, the others made longer."""

import numpy as np
import pytest
from cases import OPTIMIZERS, every_setting
from runs import SHAPES, assert_same_bits, everything, gradients, rows_of, run, tensors

import mxopt as mx


def is_cautious(name, package=mx):
    cls = package.optimizer.opt_registry.get(name)
    return cls is not None and cls.not_cautious_because is None


NAMES = [name for name in OPTIMIZERS if is_cautious(name) and name != "test"]
names = pytest.mark.parametrize("name", NAMES)
all_settings = pytest.mark.parametrize(
    ("name", "settings"), [case for case in every_setting() if case.values[0] in NAMES]
)


@all_settings
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_moves_are_those_of_the_plain_step_or_none(name, settings, fused):
    """Without decay: beside a plain step from the same numbers, element by element."""
    settings = {
        **settings,
        "use_fused_step": fused,
        "wd": 0.0,
        **({"wd_lh": 0.0} if name == "signum" else {}),
    }
    (weight,), (grad,) = tensors([(130, 17)], "float64"), gradients([(130, 17)], "float64", 9)
    updater = mx.get_updater(mx.create(name, **settings))
    for step in range(3):
        updater(0, gradients([weight.shape], "float64", step)[0], weight)
    plain, cautious = weight.copy(), weight.copy()
    kept = updater.get_states(dump_optimizer=True)
    results = []
    for array, flag in ((plain, False), (cautious, True)):
        one = mx.get_updater(mx.create(name, **settings))
        one.set_states(kept)
        one.optimizer.cautious = flag
        one(0, grad, array)
        results.append(everything(one, []))
    assert_same_bits(results[0], results[1])  # states do not depend on it
    moved = plain - weight
    agrees = moved * grad < 0
    assert 0 < agrees.mean() < 1 or name in ("sgd", "nag", "adagrad", "adadelta", "rmsprop")
    expected = weight + np.where(agrees, moved / max(agrees.mean(), 1e-3), 0)
    np.testing.assert_allclose(cautious, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(cautious[~agrees], weight[~agrees])


@names
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_a_nan_is_not_hidden(name, fused):
    """Where a plain step makes a NaN, so does a cautious one."""
    grad, made = np.array([1.0, np.nan, -1.0], np.float32), []
    for cautious in (False, True):
        updater = mx.get_updater(mx.create(name, use_fused_step=fused, cautious=cautious))
        made.append(np.ones(3, np.float32))
        updater(0, grad, made[-1])
    np.testing.assert_array_equal(np.isnan(made[1]), np.isnan(made[0]))


@pytest.mark.parametrize("name", ["adamw", "lion", "laprop", "adan", "ademamix", "signum"])
def test_decoupled_decay_is_not_undone(name):
    """An element without a gradient decays as in a plain step."""
    settings = {"learning_rate": 0.1, "wd": 0.5, **({"wd_lh": 0.5} if name == "signum" else {})}
    grad = np.array([1.0, 0.0, -1.0])
    results = []
    for flag in (False, True):
        weight = np.array([1.0, 2.0, 3.0])
        mx.get_updater(mx.create(name, cautious=flag, **settings))(0, grad, weight)
        results.append(weight)
    if name != "signum":  # whose wd goes through the sign
        assert results[0][1] < 2
    np.testing.assert_allclose(results[1][1], results[0][1] if name != "signum" else 1.9, rtol=1e-6)


@names
def test_fused_and_step_agree(name):
    settings = {"cautious": True, "learning_rate": 0.01}
    fused, plain = (run(name, {**settings, "use_fused_step": f}, dtype="float64") for f in (True, False))
    for a, b in zip(fused, plain):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5 * max(np.abs(b).max(initial=0), 1e-30))


@names
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.filterwarnings("ignore:states of")
def test_threads_lists_and_layouts_change_no_bit(name, dtype):
    shapes = (*SHAPES, (300, 301))
    together = OPTIMIZERS[name].together
    first = run(name, {"cautious": True}, shapes=shapes, dtype=dtype)
    if not together and name != "nadam":
        assert_same_bits(run(name, {"cautious": True}, shapes=shapes, dtype=dtype, lists=False), first)
    with mx.num_threads(1):
        assert_same_bits(run(name, {"cautious": True}, shapes=shapes, dtype=dtype), first)
    strided = run(
        name, {"cautious": True}, shapes=shapes, dtype=dtype, convert=lambda a: np.asfortranarray(a)
    )
    assert_same_bits([np.array(a, order="C") for a in strided], first)


@pytest.mark.parametrize("name", [n for n in NAMES if OPTIMIZERS[n].local])
def test_lazy_rows_count_among_themselves(name):
    shape = (31, 9)
    rows = rows_of(shape[0], 1)
    (weight,), (grad,) = tensors([shape]), gradients([shape])
    part, whole = weight[rows].copy(), weight.copy()
    settings = {"lazy_update": True, "cautious": True}
    updater = mx.get_updater(mx.create(name, **settings))
    other = mx.get_updater(mx.create(name, **settings))
    for step in range(3):
        (grad,) = gradients([shape], step=step)
        updater(0, mx.RowSparseArray(grad[rows], rows, shape), whole)
        other(0, grad[rows], part)
    np.testing.assert_array_equal(whole[rows], part)
    absent = np.setdiff1d(np.arange(shape[0]), rows)
    np.testing.assert_array_equal(whole[absent], weight[absent])


def test_masters_are_cautious_too():
    weights = [w.astype(np.float16).astype(np.float32) for w in tensors([(130, 17)])]
    settings = {"cautious": True, "multi_precision": True}
    half = run("adamw", settings, weights=[w.astype(np.float16) for w in weights], dtype="float16",
               shapes=((130, 17),))  # fmt: skip
    single = run("adamw", settings, weights=weights, grad_dtype="float16", shapes=((130, 17),))
    np.testing.assert_array_equal(half[1], single[0])
    np.testing.assert_array_equal(half[0], single[0].astype(np.float16))


def test_where_it_cannot_be_it_is_refused():
    for name in ("sgld", "ftrl", "ftml", "muon", "adafactor", "schedulefreesgd", "groupadagrad", "madgrad"):
        with pytest.raises(ValueError, match="cautious must be False for .*; leave it out"):
            mx.create(name, cautious=True)
        opt = mx.create(name, cautious=False)
        with pytest.raises(ValueError, match="cautious must be False for .*; leave it out"):
            opt.cautious = True
        assert not opt.cautious


def test_files_keep_it():
    updater = mx.get_updater(mx.create("adam", cautious=True))
    updater(0, np.ones(3, np.float32), np.ones(3, np.float32))
    resumed = mx.get_updater(mx.create("adam"))
    resumed.set_states(updater.get_states(dump_optimizer=True))
    assert resumed.optimizer.cautious
