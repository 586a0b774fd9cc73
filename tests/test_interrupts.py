"""A step happens entirely or not at all, wherever Ctrl-C arrives: at any line of any call of any optimizer.

An interrupt is raised at the first traced line of a call, then at the second, and so on until the call gets
through. After each the weights, states, counts, rates and the schedule are those before the call or those
after it.
"""

import copy

import numpy as np
import pytest
from interrupting import interrupters

import mxopt as mx
import mxopt.v1
from mxopt.lr_scheduler import FactorScheduler, LRScheduler

PACKAGES = {"2.x": mx, "1.x": mxopt.v1}
EVERY = [(dialect, name) for dialect, package in PACKAGES.items() for name in package.list_optimizers()]
#: What the quick sample steps: one pass, two, three, a schedule of its own, gathered gradients, noise.
QUICK = [("2.x", "adam"), ("2.x", "lamb"), ("2.x", "lans"), ("1.x", "lars"), ("2.x", "nadam"),
         ("2.x", "lbsgd"), ("2.x", "sgld")]  # fmt: skip
CASES = [
    pytest.param(
        dialect, name, fused, id=f"{dialect}-{name}-{'fused' if fused else 'step'}",
        marks=() if (dialect, name) in QUICK else pytest.mark.slow,
    )
    for dialect, name in EVERY
    for fused in (True, False)
]  # fmt: skip


class Wrapped(LRScheduler):
    """A schedule that wraps another and keeps state of its own."""

    def __init__(self):
        super().__init__(base_lr=0.1)
        self.inner = FactorScheduler(1, 0.5, base_lr=0.1)
        self.seen = []

    def __call__(self, num_update):
        self.seen.append(num_update)
        return self.inner(num_update)


def made(dialect, name, fused):
    # a matrix each, so that every optimizer takes them; new states at the second call
    package = PACKAGES[dialect]
    options = {"lr_scheduler": Wrapped(), "learning_rate": None}
    if name == "lbsgd":
        options["batch_scale"] = 2
    if name not in ("groupadagrad",):
        options["wd"] = 0.01
    optimizer = package.create(name, use_fused_step=fused, **options)
    if name == "sgld":
        optimizer.generator = np.random.Generator(np.random.PCG64(3))
    updater = package.optimizer.get_updater(optimizer)
    weights = [np.arange(1, 7, dtype=np.float32).reshape(3, 2) * (k + 1) for k in range(2)]
    grads = [np.full((3, 2), 0.25, np.float32), np.full((3, 2), -0.5, np.float32)]
    updater(0, grads[0], weights[0])
    return updater, grads, weights


def picture(updater, weights):
    """Everything that a step may change, as one comparable value."""
    optimizer = updater.optimizer
    schedule = optimizer.lr_scheduler
    attributes = {
        key: repr(value)
        for key, value in vars(optimizer).items()
        if key not in ("lr_scheduler", "generator", "_found", "_unmatched_names")
    }
    return repr((
        [weight.tolist() for weight in weights], updater.states, updater.states_synced, attributes,
        list(schedule.seen), sorted(vars(schedule.inner).items()),
    ))  # fmt: skip


@pytest.mark.parametrize(("dialect", "name", "fused"), CASES)
def test_an_interrupt_leaves_a_call_undone_or_done(dialect, name, fused):
    updater, grads, weights = made(dialect, name, fused)
    before = picture(updater, weights)
    updater([0, 1], grads, weights)
    after = picture(updater, weights)
    assert before != after
    interrupted = 0
    for interrupter in interrupters():
        updater, grads, weights = made(dialect, name, fused)
        try:
            with interrupter:
                updater([0, 1], grads, weights)
        except KeyboardInterrupt:
            interrupted += 1
            assert picture(updater, weights) in (before, after), f"interrupted at line {interrupter.at}"
        else:
            assert picture(updater, weights) == after
    assert interrupted > 20


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize("name", ["adam", "nadam", "lamb", "ftml", "sgld"])
def test_an_error_after_the_scheduler_leaves_everything(name, fused):
    """A rate that no step can take is found out after the scheduler has moved."""
    updater, grads, weights = made("2.x", name, fused)
    updater.optimizer.lr_scheduler.inner.factor = np.nan
    before = picture(updater, weights)
    with pytest.raises(ValueError, match="learning_rate"):
        updater([0, 1], grads, weights)
    assert picture(updater, weights) == before


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize("direct", [False, True], ids=["updater", "optimizer"])
@pytest.mark.parametrize("name", ["adam", "lamb", "lbsgd"])
def test_lists_that_change_during_a_call_are_as_they_were_when_it_began(name, direct, fused):
    """A scheduler, or another thread, empties the caller's lists: what is stepped is counted."""
    lists = []

    def schedule(_number):
        for each in lists:
            each.clear()
        return 0.1

    def stepped(empties):
        optimizer = mx.create(name, lr_scheduler=schedule, use_fused_step=fused)
        updater = mx.get_updater(optimizer)
        weights = [np.ones(3, np.float32) for _ in range(2)]
        arguments = [[0, 1], [np.full(3, 0.5, np.float32) for _ in range(2)], list(weights)]
        lists.clear()
        updater(*arguments)
        if direct:
            arguments = [arguments[0], arguments[2], arguments[1], [updater.states[0], updater.states[1]]]
        lists.extend(arguments if empties else ())
        (optimizer.update_multi_precision if direct else updater)(*arguments)
        counts = optimizer._index_update_count, optimizer.num_update
        return repr(([weight.tolist() for weight in weights], updater.states, counts))

    expected = stepped(False)
    assert stepped(True) == expected


class Broken:
    """A generator whose second draw fails."""

    def __init__(self):
        self.draws = 0

    def standard_normal(self, out, dtype):
        self.draws += 1
        out[...] = 1
        if self.draws > 1:
            raise RuntimeError("no more noise")


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_noise_is_drawn_before_anything_moves(fused):
    optimizer = mx.create("sgld", use_fused_step=fused)
    optimizer.generator = Broken()
    weights = [np.ones(150_000, np.float32) for _ in range(2)]
    with pytest.raises(RuntimeError, match="no more noise"):
        mx.get_updater(optimizer)([0, 1], [np.ones_like(w) for w in weights], weights)
    assert all((w == 1).all() for w in weights)
    assert optimizer.num_update == 0 and optimizer._index_update_count == {}


@pytest.mark.parametrize(("dialect", "name"), EVERY, ids=lambda value: value)
def test_step_computes_before_it_writes(dialect, name):
    """Under ``np.seterr(all="raise")`` the second tensor overflows: the first stays as it was."""
    package = PACKAGES[dialect]
    options = {} if name in ("groupadagrad", "signum", "sgld") else {"wd": 1e30}
    optimizer = package.create(name, use_fused_step=False, **options)
    updater = package.optimizer.get_updater(optimizer)
    weights = [np.ones((3, 2), np.float32), np.full((3, 2), 1e30, np.float32)]
    grads = [np.ones((3, 2), np.float32), np.full((3, 2), 3e38, np.float32)]
    copies = copy.deepcopy(weights)
    try:
        with np.errstate(all="raise"):
            updater([0, 1], grads, weights)
    except FloatingPointError:
        assert all(np.array_equal(a, b) for a, b in zip(weights, copies))
        assert updater.states == {} and optimizer._index_update_count == {} and optimizer.num_update == 0
    else:
        assert name in ("signum", "lans", "lars", "lamb", "sgld", "test", "adamax"), "nothing overflowed"
