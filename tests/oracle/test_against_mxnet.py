"""mxopt beside real MXNet in one process: random training runs, compared step by step, states included."""

import dataclasses
import inspect
import random

import mxnet
import numpy as np
import pytest
from cases import DENSE_PATHS, begins_within, draw_scheduler
from processes import printed

from oracle.comparison import cells_here, compare_case, compare_runs, dialects_here, runs_of, verdict
from oracle.conftest import RUNS
from oracle.driver import MXNet, as_kernels_read, mxopt_for, quiet, run, tree
from oracle.expect import EXACT, expected_of_the_same_numbers, takes_float32_numbers


def _id(cell):
    return "-".join(cell).replace(" ", "_")


@pytest.mark.parametrize("cell", cells_here(), ids=_id)
def test_training_run(cell, deviations):
    failures = []
    for case in runs_of(cell, RUNS):
        deviation = compare_case(case)
        deviations.add(case, deviation)
        failures.append(verdict(case, deviation))
    assert not any(failures), "\n".join(filter(None, failures))


@pytest.mark.parametrize(
    "cell",
    [cell for cell in cells_here() if cell[2] in DENSE_PATHS and takes_float32_numbers(*cell)],
    ids=_id,
)
def test_float64_differs_by_its_numbers_only(cell):
    """MXNet's float64 kernels take float32 hyper-parameters; with these, the bits are theirs."""
    failures = []
    for case in runs_of(cell, RUNS):
        deviation = compare_case(case, prepare=as_kernels_read)
        failures.append(verdict(case, deviation, expected_of_the_same_numbers(case)))
    assert not any(failures), "\n".join(filter(None, failures))


@pytest.mark.skipif(
    "1.x" in dialects_here(), reason="1.9 has no aggregated LARS of 2.x; its own is in test_training_run"
)
def test_aggregated_lars_of_2x_is_the_kernel_of_1_9():
    """Why `aggregate_num` gives other bits there: mxopt.v1 has that kernel, and meets it exactly."""
    failures = []
    for case in runs_of(("lars", "2.x fused", "aggregated", "float32"), RUNS):
        settings = {"learning_rate": 0.1, "epsilon": 1e-8, **case.settings, "momentum_correction": False}
        settings["eps"] = settings.pop("epsilon")
        names = case.idx2name or ()
        decays = {**{name: 1.0 for _, name in names}, **dict(case.wd_mult or ())}  # 1.x exempts some names
        as_old = dataclasses.replace(
            case, dialect="1.x", path="list", settings=settings, wd_mult=tuple(decays.items()) or None
        )
        failures.append(verdict(case, compare_runs(as_old, run(case, MXNet(mxnet))), EXACT))
    assert not any(failures), "\n".join(filter(None, failures))


def ours():
    return mxopt_for(dialects_here()[0]).package


def row_sparse_run(side, name, steps=4, **keywords):
    """Train one embedding by row-sparse gradients; return its weight and state."""
    rng = np.random.RandomState(7)
    weight = side.dense(rng.uniform(-1, 1, (9, 3)).astype(np.float32))
    with quiet():
        updater = side.package.optimizer.get_updater(side.package.optimizer.create(name, **keywords))
        for _ in range(steps):
            rows = np.sort(rng.permutation(9)[:4])
            updater(0, side.row_sparse(rng.uniform(-1, 1, (4, 3)).astype(np.float32), rows, (9, 3)), weight)
        return side.numpy(weight), tree(side, updater.states[0])


@pytest.mark.parametrize("width", [*range(1, 41), 63, 64, 65, 100, 128, 257, 1000, 1024, 4099])
def test_group_adagrad_rows_of_any_width(width):
    (case,) = runs_of(("groupadagrad", dialects_here()[0], "list", "float32"), 1)
    case = dataclasses.replace(case, shapes=((17, width), (1, width), (100, width)), steps=4)
    assert verdict(case, compare_case(case)) is None


def test_nag_without_momentum_is_lazy_like_sgd():
    theirs, ours_ = (
        row_sparse_run(side, "nag", momentum=0.0, wd=0.01)
        for side in (MXNet(mxnet), mxopt_for(dialects_here()[0]))
    )
    np.testing.assert_allclose(ours_[0], theirs[0], rtol=0, atol=1e-6)
    assert ours_[1] is theirs[1] is None


@pytest.mark.skipif("1.x" in dialects_here(), reason="1.9 registers neither AdamW nor AdaBelief")
@pytest.mark.parametrize("name", ["adamw", "adabelief"])
@pytest.mark.parametrize("rescale_grad", [0.0, np.nan, np.inf], ids=str)
def test_overflow_skips_the_update_but_counts_it(name, rescale_grad):
    results = []
    for side in (MXNet(mxnet), mxopt_for("2.x fused")):
        weight = side.dense(np.array([1.0, -2.0, 3.0], np.float32))
        optimizer = side.package.optimizer.create(name, wd=0.1)
        updater = side.package.optimizer.get_updater(optimizer)
        for rescale in (1.0, rescale_grad, 0.5):
            optimizer.rescale_grad = rescale
            updater(0, side.dense(np.array([0.5, 0.25, -1.0], np.float32)), weight)
        results.append((side.numpy(weight).tolist(), optimizer._index_update_count))
    assert results[0] == results[1]


def test_noise_of_sgld_has_the_same_statistics():
    noises = []
    for side in (MXNet(mxnet), mxopt_for(dialects_here()[0])):
        weight = np.linspace(-1, 1, 200_000, dtype=np.float32)
        gradient = weight[::-1].copy()
        stepped = side.dense(weight)
        updater = side.package.optimizer.get_updater(
            side.package.optimizer.create("sgld", learning_rate=0.04, wd=0.1)
        )
        updater(0, side.dense(gradient), stepped)
        noises.append(side.numpy(stepped) - (weight - 0.02 * (gradient + np.float32(0.1) * weight)))
    for noise in noises:
        # Five standard errors of the mean and of the standard deviation of 200,000 normal draws.
        assert abs(noise.mean()) < 5 * 0.2 / 200_000**0.5
        assert abs(noise.std() - 0.2) < 5 * 0.2 / 400_000**0.5


def test_schedulers_have_the_same_sequences():
    rng = random.Random(2)
    for _ in range(500):
        name, keywords = draw_scheduler(rng, base_lr=rng.choice([0.01, 0.1, 1, rng.random()]))
        theirs, mine = (getattr(package.lr_scheduler, name)(**keywords) for package in (mxnet, ours()))
        updates = [rng.randint(0, 30) for _ in range(20)]
        for update in updates[begins_within(keywords, updates) :]:
            assert (mine(update), vars(mine)) == (theirs(update), vars(theirs)), (name, keywords, update)


def registry(package):
    return package.optimizer.Optimizer.opt_registry


NAMES = sorted(registry(mxnet))


@pytest.mark.parametrize("name", NAMES)
def test_constructor_has_the_same_keywords_and_defaults(name):
    theirs, mine = (
        inspect.signature(registry(package)[name].__init__).parameters for package in (mxnet, ours())
    )
    missing = {
        key: parameter.default
        for key, parameter in theirs.items()
        if key != "use_fused_step"
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and (key not in mine or mine[key].default != parameter.default)
    }
    assert not missing
    positional = [
        key for key, parameter in theirs.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    assert list(mine)[: len(positional)] == positional


@pytest.mark.parametrize("name", NAMES)
def test_optimizer_has_the_same_attributes(name):
    theirs, mine = (vars(package.optimizer.create(name)) for package in (mxnet, ours()))
    # 2.x composes some updates in Python where mxopt has a kernel; the array flavour means nothing here, and
    # nothing in MXNet uses LARS' skip.
    apart = {"use_fused_step", "allow_np_array", "skip"}
    assert {key: mine.get(key, "missing") for key in theirs if key not in apart} == {
        key: value for key, value in theirs.items() if key not in apart
    }


def recorded_calls(side, aggregate_num):
    """The indices that a user's class of this generation is handed, call by call."""
    base = side.package.optimizer.Optimizer
    calls = []

    def update(self, index, weight, grad, state):
        calls.append(index)

    def step(self, indices, weights, grads, states):
        calls.append(list(indices))

    if "1.x" in dialects_here():
        optimizer = type("Recorder", (base,), {"update": update})()
    else:
        optimizer = type("Recorder", (base,), {"step": step})(aggregate_num=aggregate_num)
    updater = side.package.optimizer.get_updater(optimizer)
    # One call for all of mixed dtypes would make MXNet's own kernels raise; mxopt groups by dtype there too.
    halves = () if aggregate_num is np.inf else (1, 4)
    tensors = [np.ones(3, np.float16 if index in halves else np.float32) for index in range(7)]
    with quiet():
        updater(
            list(range(7)),
            [side.dense(tensor) for tensor in tensors],
            [side.dense(tensor) for tensor in tensors],
        )
        updater(3, side.dense(tensors[3]), side.dense(tensors[3]))
    return calls


@pytest.mark.parametrize("aggregate_num", [None, 1, 2, 4, 7, np.inf], ids=str)
def test_user_classes_are_handed_the_same_calls(aggregate_num):
    theirs, mine = (
        recorded_calls(side, aggregate_num) for side in (MXNet(mxnet), mxopt_for(dialects_here()[0]))
    )
    assert mine == theirs


@pytest.mark.parametrize("first", ["mxnet", "mxopt"])
def test_both_import_into_one_process(first):
    second = {"mxnet": "mxopt", "mxopt": "mxnet"}[first]
    program = (
        f"import {first}, {second}, numpy as np, mxnet, mxopt\n"
        "weight, gradient = np.ones(50_000, np.float32), np.ones(50_000, np.float32)\n"
        'mxopt.get_updater(mxopt.create("adam"))(0, gradient, weight)\n'
        "theirs = mxnet.nd.ones(50_000)\n"
        'mxnet.optimizer.get_updater(mxnet.optimizer.create("adam"))(0, mxnet.nd.ones(50_000), theirs)\n'
        "assert (theirs.asnumpy() == weight).all()\n"
    )
    printed("-c", program, OMP_NUM_THREADS="1")


def hook_calls(package, name, dtype):
    """What 1.9's hook is handed, and the weights that it gives."""
    base, calls, nd = getattr(package.optimizer, name), [], package.nd

    class Watched(base):
        def _update_impl(self, index, weight, grad, state, **masters):
            calls.append((type(index), len(index) if isinstance(index, tuple) else 1, masters))
            super()._update_impl(index, weight, grad, state, **masters)

    settings = {} if name == "LAMB" else {"learning_rate": 0.5, "momentum": 0.5}
    updater = package.optimizer.get_updater(Watched(multi_precision=dtype == "float16", **settings))
    weights = [nd.ones(3, dtype=dtype) for _ in range(6)]
    with quiet():
        for _ in range(3):
            updater(list(range(6)), [nd.ones(3, dtype=dtype) / 4 for _ in range(6)], weights)
        updater(9, nd.ones(3), nd.ones(3))
    return calls, [weight.asnumpy().tolist() for weight in weights]


@pytest.mark.skipif("1.x" not in dialects_here(), reason="only 1.9 has the hook; tox -e mxnet19 runs this")
@pytest.mark.parametrize("name", ["SGD", "NAG", "Signum", "LARS", "LAMB"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_hook_of_1_9_is_handed_the_same_calls(name, dtype):
    assert hook_calls(mxopt_for("1.x").package, name, dtype) == hook_calls(mxnet, name, dtype)
