"""What save writes, load takes: random optimizers, updaters, trainers and stores of both dialects."""

import copy
import inspect
import warnings

import numpy as np
import pytest
from cases import every_setting
from hypothesis import given, settings
from hypothesis import strategies as st

import mxopt
import mxopt.v1
from mxopt.states import native

PACKAGES = {"1.x": mxopt.v1, "2.x": mxopt}
BUILT_IN = [
    (dialect, name)
    for dialect, package in PACKAGES.items()
    for name, cls in sorted(package.optimizer.opt_registry.items())
    if cls.__module__.startswith("mxopt.")
]
NAMES = {0: "fc_weight", 1: "fc_bias"}
SHAPES = ((3, 2), (2, 1))


def schedulers(package):
    rates = st.floats(1e-4, 1.0)
    counts, ends = st.integers(1, 9), st.sampled_from([5, 6, 8, 9])
    warmup = {"warmup_steps": st.integers(0, 4), "base_lr": rates}
    made = package.lr_scheduler
    return st.one_of(
        st.builds(made.FactorScheduler, counts, st.floats(0.1, 1), **warmup),
        st.builds(
            made.MultiFactorScheduler,
            st.lists(counts, min_size=1, max_size=3, unique=True).map(sorted),
            st.floats(0.1, 1),
            **warmup,
        ),
        st.builds(made.PolyScheduler, ends, pwr=st.integers(1, 3), final_lr=rates, **warmup),
        st.builds(made.CosineScheduler, ends, final_lr=rates, **warmup),
        st.builds(
            made.WarmupStableDecayScheduler,
            ends,
            st.just(1),
            final_lr=rates,
            decay=st.sampled_from(["linear", "cosine", "sqrt"]),
            **warmup,
        ),
        st.builds(made.InverseSquareRootScheduler, **warmup),
        st.builds(made.OneCycleScheduler, ends, rates, st.floats(0, 0.5), three_phase=st.booleans()),
        st.builds(made.CosineRestartsScheduler, counts, st.integers(1, 3), restart_factor=rates, **warmup),
    )


#: what a user's script hangs on an optimizer, or on a schedule
THINGS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.floats(), max_size=2),
    st.builds(np.float32, st.floats(0, 1, width=32)), st.just(np.arange(3.0)),
)  # fmt: skip


@pytest.mark.parametrize(("name", "keywords"), every_setting())
def test_a_file_gives_back_every_setting(name, keywords):
    updater, fresh = (mxopt.get_updater(mxopt.create(name, **given)) for given in (keywords, {}))
    fresh.set_states(updater.get_states(dump_optimizer=True))
    for keyword in keywords:
        attribute = "lr" if keyword == "learning_rate" else keyword
        assert getattr(fresh.optimizer, attribute) == getattr(updater.optimizer, attribute)


@st.composite
def optimizers(draw, dialect, name):
    """An optimizer as a script may have it after some steps."""
    package = PACKAGES[dialect]
    arguments = {"param_idx2name": dict(NAMES)} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        arguments["lr_scheduler"] = draw(schedulers(package))
        arguments["learning_rate"] = draw(st.sampled_from([None, 0.01]))
    if draw(st.booleans()):
        arguments["skip_nonfinite"] = True
    if draw(st.booleans()):
        arguments["begin_num_update"] = draw(st.sampled_from([3, np.int64(3), np.int32(7)]))
    if draw(st.booleans()):
        arguments["multi_precision"] = draw(st.sampled_from([True, 1, np.bool_(True)]))
    for key in ("wd", "clip_gradient", "rescale_grad"):
        if draw(st.booleans()) and (key, name) != ("wd", "groupadagrad"):  # which refuses to decay
            arguments[key] = draw(st.sampled_from([0.25, np.float32(0.5), np.float64(0.125), 1]))
    if "momentum" in inspect.signature(package.optimizer.opt_registry[name]).parameters and draw(
        st.booleans()
    ):
        without = [] if name == "schedulefreesgd" else [0.0]
        arguments["momentum"] = draw(st.sampled_from([*without, 0.5, np.float32(0.75)]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = package.optimizer.create(name, **arguments)
        if draw(st.booleans()):
            optimizer.set_lr_mult({"fc_weight": 0.5, 1: 2, "*_bias": np.float32(1.5)})
        if draw(st.booleans()):
            optimizer.set_wd_mult({"fc_bias": 0})
    for attribute in draw(st.lists(st.sampled_from(["note", "run", "tags_", "année"]), max_size=2)):
        setattr(optimizer, attribute, draw(THINGS))
    if optimizer.lr_scheduler is not None and draw(st.booleans()):
        optimizer.lr_scheduler.name = draw(st.text(max_size=5))
    if draw(st.booleans()):
        optimizer.use_fused_step = draw(st.booleans())
    return optimizer


def weights_of(dtype):
    return [np.linspace(-1, 1, 6).astype(dtype).reshape(SHAPES[0]), np.ones(SHAPES[1], dtype)]


def step(updater, weights, seed, steps, broken=False):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        grads = [rng.normal(size=w.shape).astype(w.dtype) for w in weights]
        if broken and getattr(updater.optimizer, "skip_nonfinite", False):
            grads[0][0] = np.nan
        updater([0, 1], grads, weights)


@st.composite
def trained(draw, dialect, name):
    optimizer = draw(optimizers(dialect, name))
    updater = PACKAGES[dialect].optimizer.get_updater(optimizer)
    weights = weights_of(draw(st.sampled_from(["f4", "f8", "f2"])))
    mxopt.random.seed(1)
    step(updater, weights, 0, draw(st.integers(0, 7)))
    step(updater, weights, 0, draw(st.integers(0, 1)), broken=True)
    return updater, weights


def on(updater, weights):
    """The weights after some more steps."""
    mxopt.random.seed(2)
    weights = copy.deepcopy(weights)
    step(updater, weights, 1, 3)
    return weights


def assert_same(one, other):
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def said(file):
    """What a file says of the optimizer, in no order."""
    described = native.loads(file)["optimizer"]
    return {
        part: repr(sorted(value.items()) if isinstance(value, dict) else value)
        for part, value in described.items()
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("dialect", "name"), BUILT_IN)
@settings(max_examples=8)
@given(data=st.data())
def test_what_an_updater_saves_it_loads_and_goes_on_with_the_same_bits(dialect, name, data):
    updater, weights = data.draw(trained(dialect, name))
    package = PACKAGES[dialect]
    file = updater.get_states(dump_optimizer=True)
    resumed = package.optimizer.get_updater(package.optimizer.create("sgd"))
    resumed.set_states(file)
    ours, theirs = vars(resumed.optimizer), vars(updater.optimizer)
    attached = {key for key in theirs if not key.startswith("_")}
    assert attached == {key for key in ours if not key.startswith("_")}
    assert said(resumed.get_states(dump_optimizer=True)) == said(file)
    assert_same(on(resumed, weights), on(updater, weights))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("dialect", "name"), BUILT_IN)
@settings(max_examples=5)
@given(data=st.data())
def test_a_file_without_the_optimizer_resumes_a_run_that_is_set_up_alike(dialect, name, data):
    # also in a process that has gone on since, and goes back to the file
    updater, weights = data.draw(trained(dialect, name))
    fresh = copy.deepcopy(updater.optimizer)
    file = updater.get_states()
    expected = on(updater, weights)
    resumed = PACKAGES[dialect].optimizer.get_updater(fresh)
    resumed.set_states(file)
    assert_same(on(resumed, weights), expected)
    updater.set_states(file, strict=False)
    assert_same(on(updater, weights), expected)
