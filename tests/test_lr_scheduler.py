"""The schedules by hand; `test_recorded.py` and `oracle/` hold them against MXNet's own."""

import copy
import math
import pickle

import numpy as np
import pytest

from mxopt import lr_scheduler
from mxopt.lr_scheduler import (
    CosineRestartsScheduler,
    CosineScheduler,
    FactorScheduler,
    InverseSquareRootScheduler,
    LRScheduler,
    MultiFactorScheduler,
    OneCycleScheduler,
    PolyScheduler,
    WarmupStableDecayScheduler,
)

WARMUP = {"warmup_steps": 4, "warmup_begin_lr": 0.5, "base_lr": 1.5}


@pytest.mark.parametrize(
    ("schedule", "updates", "rates"),
    [
        pytest.param(
            FactorScheduler(2, 0.5, base_lr=1), range(1, 8), [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125], id="factor"
        ),
        pytest.param(
            FactorScheduler(2, 0.5, base_lr=1),
            [7, 1, 8, 9],
            [0.125, 0.125, 0.125, 0.0625],
            id="factor skips updates and never goes back",
        ),
        pytest.param(
            FactorScheduler(1, 0.5, stop_factor_lr=0.3, base_lr=1),
            range(1, 5),
            [1, 0.5, 0.3, 0.3],
            id="factor stops at stop_factor_lr",
        ),
        pytest.param(
            FactorScheduler(2, 0.5, base_lr=1, warmup_steps=5),
            range(7),
            [0, 0.2, 0.4, 0.6, 0.8, 0.25, 0.25],
            id="factor counts the warmup",
        ),
        pytest.param(FactorScheduler(3), [1, 100], [0.01, 0.01], id="factor of one"),
        pytest.param(
            MultiFactorScheduler([2, 3, 6], 0.5, base_lr=1),
            range(1, 9),
            [1, 1, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125],
            id="multifactor",
        ),
        pytest.param(
            MultiFactorScheduler([2, 3], 0.5, base_lr=1),
            [9, 1],
            [0.25, 0.25],
            id="multifactor passes several at once",
        ),
        pytest.param(
            WarmupStableDecayScheduler(10, 4, base_lr=2, final_lr=1, warmup_steps=2),
            [0, 1, 2, 6, 7, 8, 10, 11, 6],
            [0, 1, 2, 2, 1.75, 1.5, 1, 1, 2],
            id="warmup-stable-decay, in any order",
        ),
        pytest.param(
            WarmupStableDecayScheduler(8, 4, base_lr=1, decay="cosine"),
            [4, 6, 8],
            [1, 0.5, 0],
            id="warmup-stable-decay by a cosine",
        ),
        pytest.param(
            WarmupStableDecayScheduler(8, 4, base_lr=1, decay="sqrt"),
            [4, 5, 8],
            [1, 0.5, 0],
            id="warmup-stable-decay by a root",
        ),
        pytest.param(
            WarmupStableDecayScheduler(30, base_lr=1),
            [27, 28, 30],
            [1, 2 / 3, 0],
            id="warmup-stable-decay in the last tenth",
        ),
        pytest.param(
            InverseSquareRootScheduler(2, warmup_steps=4),
            [1, 3, 4, 16, 1],
            [0.5, 1.5, 2, 1, 0.5],
            id="inverse square root",
        ),
        pytest.param(InverseSquareRootScheduler(1), [0, 1, 4], [1, 1, 0.5], id="inverse square root at once"),
        # from torch 2.13: OneCycleLR(optimizer, 1.0, total_steps=8, pct_start=0.5, div_factor=4, ...)
        pytest.param(
            OneCycleScheduler(8, base_lr=1, pct_start=0.5, div_factor=4, final_div_factor=5),
            [*range(1, 9), 20],
            [0.25, 0.4375, 0.8125, 1, 0.8608757210636101, 0.525, 0.18912427893638994, 0.05, 0.05],
            id="one cycle",
        ),
        pytest.param(
            OneCycleScheduler(
                8,
                base_lr=1,
                pct_start=0.375,
                div_factor=4,
                final_div_factor=5,
                decay="linear",
                three_phase=True,
            ),
            range(1, 9),
            [0.25, 0.625, 1, 0.625, 0.25, 0.25 - 0.2 / 3, 0.25 - 0.4 / 3, 0.05],
            id="one cycle in three phases",
        ),
        pytest.param(
            OneCycleScheduler(1, base_lr=2), [0, 1, 2], [2 / 25e4] * 3, id="one cycle of one update"
        ),
        pytest.param(
            OneCycleScheduler(4, base_lr=1, pct_start=0.25), [1], [1], id="one cycle that begins at its peak"
        ),
        pytest.param(
            CosineRestartsScheduler(2, 2, base_lr=3, final_lr=1, restart_factor=0.5),
            [1, 2, 3, 5, 7, 11],
            [3, 2, 1.5, 1.25, 0.75, 0.875],
            id="cosine with restarts",
        ),
        pytest.param(
            CosineRestartsScheduler(2, base_lr=1, warmup_steps=2),
            [0, 1, 2, 3, 4, 1001],
            [0, 0.5, 1, 0.5, 1, 0.5],
            id="cosine with restarts after a warmup",
        ),
        pytest.param(PolyScheduler(4, base_lr=1), range(6), [1, 0.5625, 0.25, 0.0625, 0, 0], id="poly"),
        pytest.param(
            PolyScheduler(4, base_lr=2, pwr=1, final_lr=1),
            range(6),
            [2, 1.75, 1.5, 1.25, 1, 1],
            id="poly to a final rate",
        ),
        pytest.param(
            PolyScheduler(4, base_lr=1), [5, 2, 5], [0, 0.25, 0.25], id="poly beyond the end keeps the last"
        ),
        pytest.param(CosineScheduler(2, base_lr=1), range(4), [1, 0.5, 0, 0], id="cosine"),
        pytest.param(
            CosineScheduler(4, base_lr=3, final_lr=1, warmup_steps=2, warmup_begin_lr=2),
            range(6),
            [2, 2.5, 3, 2, 1, 1],
            id="cosine after a warmup",
        ),
        pytest.param(
            FactorScheduler(9, **WARMUP), range(6), [0.5, 0.75, 1, 1.25, 1.5, 1.5], id="linear warmup"
        ),
        pytest.param(
            FactorScheduler(9, **WARMUP, warmup_mode="constant"),
            range(6),
            [0.5, 0.5, 0.5, 0.5, 1.5, 1.5],
            id="constant warmup",
        ),
        pytest.param(
            PolyScheduler(3, base_lr=1, final_lr=0.25, warmup_steps=3),
            range(5),
            [0, 1 / 3, 2 / 3, 0.25, 0.25],
            id="poly without a curve",
        ),
        pytest.param(
            CosineScheduler(3, base_lr=1, final_lr=0.25, warmup_steps=3),
            range(5),
            [0, 1 / 3, 2 / 3, 0.25, 0.25],
            id="cosine without a curve",
        ),
    ],
)
def test_sequence(schedule, updates, rates):
    # One rounding of tolerance: 0.3 is written here and computed by multiplication there.
    assert [schedule(n) for n in updates] == pytest.approx(rates, rel=2**-52, abs=1e-16)


EVERY = [
    pytest.param(FactorScheduler, {"step": 2, "factor": 0.7}, id="factor"),
    pytest.param(MultiFactorScheduler, {"step": [2, 7], "factor": 0.7}, id="multifactor"),
    pytest.param(PolyScheduler, {"max_update": 9}, id="poly"),
    pytest.param(CosineScheduler, {"max_update": 9}, id="cosine"),
    pytest.param(WarmupStableDecayScheduler, {"max_update": 9, "decay_steps": 3}, id="warmup-stable-decay"),
    pytest.param(InverseSquareRootScheduler, {}, id="inverse square root"),
    pytest.param(CosineRestartsScheduler, {"period": 3, "period_factor": 2}, id="cosine with restarts"),
    pytest.param(OneCycleScheduler, {"max_update": 9}, id="one cycle"),
]


def test_every_class_is_tried_here():
    assert {case.values[0] for case in EVERY} == {*lr_scheduler.OWN} - {LRScheduler}


def warmed(scheduler, settings):
    """A scheduler with these settings, and with a warmup where its class has one."""
    return scheduler(**settings, **(WARMUP if scheduler is not OneCycleScheduler else {"base_lr": 1.5}))


@pytest.mark.parametrize(("scheduler", "settings"), EVERY)
@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda schedule: pickle.loads(pickle.dumps(schedule))],
    ids=["deepcopy", "pickle"],
)
def test_copy_goes_on_where_the_original_stands(scheduler, settings, duplicate):
    schedule = warmed(scheduler, settings)
    for n in range(6):
        schedule(n)
    twin = duplicate(schedule)
    assert [twin(n) for n in range(6, 14)] == [schedule(n) for n in range(6, 14)]


@pytest.mark.parametrize(("scheduler", "settings"), EVERY)
def test_base_lr_may_be_overwritten_by_the_optimizer(scheduler, settings):
    schedule = scheduler(**settings, base_lr=1.0)
    schedule.base_lr = 0.125
    curve = scheduler in (PolyScheduler, CosineScheduler)
    assert schedule(1) == scheduler(**settings, base_lr=1.0 if curve else 0.125)(1)


@pytest.mark.parametrize(("scheduler", "settings"), EVERY[4:])
def test_a_later_schedule_asks_for_the_rate_that_base_lr_was_set_to(scheduler, settings):
    schedule, fresh = warmed(scheduler, settings), warmed(scheduler, settings)
    asked = [schedule(n) for n in (12, 0, 3, 7)]
    assert asked == [warmed(scheduler, settings)(n) for n in (12, 0, 3, 7)]  # a formula, without a position
    schedule.base_lr = 2 * fresh.base_lr
    vars(fresh).update(base_lr=schedule.base_lr, warmup_final_lr=schedule.base_lr)
    assert [schedule(n) for n in range(14)] == [fresh(n) for n in range(14)]


def test_numpy_scalars_count_as_numbers():
    plain = FactorScheduler(2, 0.5, base_lr=float(np.float32(0.1)), warmup_steps=3)
    schedule = FactorScheduler(
        np.int64(2), np.float64(0.5), base_lr=np.float32(0.1), warmup_steps=np.int32(3)
    )
    assert [schedule(np.int64(n)) for n in range(9)] == [plain(n) for n in range(9)]
    assert vars(schedule) == vars(plain)


def test_caller_keeps_its_list_of_steps():
    steps = [2, 4]
    schedule = MultiFactorScheduler(steps, 0.5, base_lr=1)
    steps.clear()
    assert schedule(3) == 0.5


def test_base_class_must_be_overridden():
    with pytest.raises(NotImplementedError, match="LRScheduler must override __call__"):
        LRScheduler()(1)


def test_repr_shows_the_settings():
    assert repr(PolyScheduler(7)).startswith("PolyScheduler(base_lr=0.01, warmup_steps=0,")


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: LRScheduler(warmup_steps=1.5), AssertionError, "warmup_steps must be an integer, got 1.5"),
        (lambda: LRScheduler(warmup_steps=1.5), TypeError, "warmup_steps must be an integer, got 1.5"),
        (lambda: LRScheduler(warmup_steps=-1), ValueError, "warmup_steps must be 0 or more, got -1"),
        (
            lambda: LRScheduler(0.1, warmup_begin_lr=0.2),
            ValueError,
            "warmup_begin_lr must be at most base_lr",
        ),
        (lambda: LRScheduler(warmup_mode="quick"), ValueError, "warmup_mode must be 'linear' or 'constant'"),
        (lambda: LRScheduler(NAN), ValueError, "base_lr must be a finite number, got nan"),
        (lambda: LRScheduler("0.1"), TypeError, "base_lr must be a number, got '0.1'"),
        (lambda: LRScheduler(None), TypeError, "base_lr must be a number, got None"),
        (
            lambda: LRScheduler(warmup_begin_lr=-INF),
            ValueError,
            "warmup_begin_lr must be a finite number, got -inf",
        ),
        (
            lambda: LRScheduler(warmup_steps=2).get_warmup_lr(2),
            ValueError,
            "inside the warmup of 2 updates, got 2",
        ),
        (lambda: FactorScheduler(0), ValueError, "step must be at least 1, got 0"),
        (lambda: FactorScheduler(INF), ValueError, "step must be a finite number, got inf"),
        (lambda: FactorScheduler(1, 1.5), ValueError, "factor must be 1 or less"),
        (lambda: FactorScheduler(1, NAN), ValueError, "factor must be a finite number, got nan"),
        (
            lambda: FactorScheduler(1, stop_factor_lr=NAN),
            ValueError,
            "stop_factor_lr must be a finite number, got nan",
        ),
        (lambda: MultiFactorScheduler((1, 2)), AssertionError, r"step must be a list .* got \(1, 2\)"),
        (lambda: MultiFactorScheduler([]), AssertionError, r"step must be a list of one or more"),
        (lambda: MultiFactorScheduler([2, 2]), ValueError, r"step must be increasing, got \[2, 2\]"),
        (lambda: MultiFactorScheduler([0, 2]), ValueError, r"step\[0\] must be at least 1, got 0"),
        (lambda: MultiFactorScheduler([1, "b"]), TypeError, r"step\[1\] must be a number, got 'b'"),
        (lambda: MultiFactorScheduler([1], 2), ValueError, "factor must be 1 or less"),
        (lambda: PolyScheduler(9.0), AssertionError, r"max_update must be an integer, got 9.0; convert"),
        (lambda: PolyScheduler(0), ValueError, "max_update must be 1 or more, got 0"),
        (lambda: PolyScheduler(9, pwr=INF), ValueError, "pwr must be a finite number, got inf"),
        (lambda: PolyScheduler(9, pwr=-1), ValueError, "pwr must be 0 or more, got -1"),
        (lambda: CosineScheduler("9"), AssertionError, "max_update must be an integer, got '9'"),
        (lambda: CosineScheduler(9, final_lr=NAN), ValueError, "final_lr must be a finite number, got nan"),
        (
            lambda: WarmupStableDecayScheduler(9, 5, warmup_steps=5),
            ValueError,
            "warmup_steps and decay_steps must be at most max_update together, got 5 and 5 with max_update 9",
        ),
        (
            lambda: WarmupStableDecayScheduler(9, decay="steep"),
            ValueError,
            "decay must be one of linear, cosine, sqrt, got 'steep'",
        ),
        (lambda: WarmupStableDecayScheduler(9, 0), ValueError, "decay_steps must be 1 or more, got 0"),
        (
            lambda: OneCycleScheduler(9, pct_start=1.5),
            ValueError,
            r"pct_start must be within \[0, 1\], got 1.5",
        ),
        (
            lambda: OneCycleScheduler(9, pct_start=0.6, three_phase=True),
            ValueError,
            r"pct_start must be within \[0, 0.5\], got 0.6",
        ),
        (lambda: OneCycleScheduler(9, div_factor=0), ValueError, "div_factor must be at least 1, got 0"),
        (lambda: CosineRestartsScheduler(0), ValueError, "period must be 1 or more, got 0"),
        (
            lambda: CosineRestartsScheduler(2, 1.5),
            AssertionError,
            "period_factor must be an integer, got 1.5",
        ),
        (
            lambda: CosineRestartsScheduler(2, restart_factor=2),
            ValueError,
            r"restart_factor must be within \[0, 1\], got 2",
        ),
        (
            lambda: InverseSquareRootScheduler()(INF),
            ValueError,
            "num_update must be a finite number, got inf",
        ),
        (lambda: FactorScheduler(1)(INF), ValueError, "num_update must be a finite number, got inf"),
        (lambda: CosineScheduler(1)("1"), TypeError, "num_update must be a number, got '1'"),
    ],
)
def test_bad_input_is_refused_in_one_line(make, error, words):
    with pytest.raises(error, match=words) as refused:
        make()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["factor", "Factor", "factorscheduler", "FactorScheduler"])
def test_schedulers_by_name(name):
    schedule = lr_scheduler.create(name, step=3, base_lr=0.5)
    assert type(schedule) is lr_scheduler.FactorScheduler
    assert schedule(1) == 0.5


def test_custom_schedulers_by_name():
    class Constant(lr_scheduler.LRScheduler):
        def __call__(self, num_update):
            return self.base_lr

    assert type(lr_scheduler.create("constant")) is Constant


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [("cosin", ValueError, "did you mean 'cosine'"), (3, TypeError, "must be a string, got int")],
)
def test_unknown_schedulers(name, error, words):
    with pytest.raises(error, match=words):
        lr_scheduler.create(name)


def test_of_two_classes_with_one_name_the_newer_is_made():
    """As when a cell of a notebook is run again."""

    def define(rate):
        class NotebookScheduler(lr_scheduler.LRScheduler):
            def __call__(self, num_update):
                return rate

        return NotebookScheduler

    classes = [define(0.1), define(0.2)]
    assert lr_scheduler.create("notebook")(1) == 0.2
    assert type(lr_scheduler.create("NotebookScheduler")) is classes[1]

    class Deeper(classes[0]):
        pass

    Deeper.__name__ = "NotebookScheduler"
    assert lr_scheduler.create("notebook")(1) == 0.1  # newest of all, though it derives from the older one
    Deeper.__name__ = "Deeper"
