"""Learning rates that depend on the number of updates made: MXNet's four schedules, and four published since.

A scheduler is called with the optimizer's ``num_update`` and returns the learning rate. As in MXNet the
call is *stateful*: it updates ``base_lr``, a smaller ``num_update`` later does not undo a decay, and a
dumped optimizer saves the scheduler's attributes in the state file. A new scheduler may be asked for any
update first, and a used one follows the counts when states are loaded (`LRScheduler.resume_at`), so a
resumed run needs nothing but its counts. The later schedules are formulas of ``num_update`` and keep no
position.
"""

from __future__ import annotations

import functools
import itertools
import math
import numbers
from typing import Any

from . import checks
from .curves import schedule as plot

#: a call with more decays due than this, more than any real run has, computes them in closed form
_MOST_DECAYS = 1_000_000

#: schedules are computed in double, and their rates may come nearer to 0 than float32 does
_number = functools.partial(checks.number, tiny=True)

__all__ = [
    "CosineRestartsScheduler",
    "CosineScheduler",
    "FactorScheduler",
    "InverseSquareRootScheduler",
    "LRScheduler",
    "MultiFactorScheduler",
    "OneCycleScheduler",
    "PolyScheduler",
    "WarmupStableDecayScheduler",
    "create",
    "plot",
]


class _WrongType(TypeError, AssertionError):
    """A wrong type where MXNet uses assert: scripts that catch either error keep working."""


def _integer(name, value, least):
    if not isinstance(value, numbers.Integral):
        raise _WrongType(f"{name} must be an integer, got {value!r}; convert it with int()")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, got {value!r}")
    return int(value)


def _decay_factor(value):
    factor = _number("factor", value)
    if factor > 1:
        raise ValueError(f"factor must be 1 or less, so that the learning rate does not grow, got {value!r}")
    return factor


def _interval(name, value):
    """A number of updates, 1 or more; fractions are allowed, as in MXNet, and integers stay integers."""
    updates = _number(name, value, low=1)
    return int(value) if isinstance(value, numbers.Integral) else updates


_definitions = itertools.count(1)


class LRScheduler:
    """Base class: a warmup from `warmup_begin_lr` to `base_lr`, then the subclass's schedule.

    A custom schedule overrides ``__call__(num_update)`` and returns the learning rate.

    Parameters
    ----------
    base_lr : float, default 0.01
        The learning rate after the warmup. An optimizer that is given both a scheduler and a learning rate
        overwrites this with its rate.
    warmup_steps : int, default 0
        Number of updates that the warmup takes.
    warmup_begin_lr : float, default 0
        The learning rate at the start of the warmup, at most `base_lr`.
    warmup_mode : {'linear', 'constant'}, default 'linear'
        Whether the rate rises linearly during the warmup or stays at `warmup_begin_lr`.

    Examples
    --------
    >>> from mxopt.lr_scheduler import LRScheduler
    >>> class InverseRoot(LRScheduler):
    ...     def __call__(self, num_update):
    ...         if num_update < self.warmup_steps:
    ...             return self.get_warmup_lr(num_update)
    ...         return self.base_lr / max(num_update, 1) ** 0.5
    >>> schedule = InverseRoot(base_lr=1.0, warmup_steps=2)
    >>> [schedule(n) for n in (0, 1, 4, 16)]
    [0.0, 0.5, 0.5, 0.25]
    """

    #: Where a built-in schedule keeps its own bookkeeping, apart from its attributes, which are MXNet's.
    __slots__ = ("__dict__", "__weakref__", "_before")

    #: The position of this class among all scheduler classes, in order of definition.
    _defined = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._defined = next(_definitions)

    def __init__(
        self,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        self.base_lr = _number("base_lr", base_lr)
        self.warmup_steps = _integer("warmup_steps", warmup_steps, least=0)
        self.warmup_final_lr = self.base_lr
        self.warmup_begin_lr = _number("warmup_begin_lr", warmup_begin_lr)
        if self.warmup_begin_lr > self.warmup_final_lr:
            raise ValueError(
                f"warmup_begin_lr must be at most base_lr, got {warmup_begin_lr!r} with base_lr {base_lr!r}"
            )
        if warmup_mode not in ("linear", "constant"):
            raise ValueError(f"warmup_mode must be 'linear' or 'constant', got {warmup_mode!r}")
        self.warmup_mode = warmup_mode

    def get_warmup_lr(self, num_update: int) -> float:
        """Return the learning rate of an update inside the warmup.

        Parameters
        ----------
        num_update : int
            Number of updates made, smaller than ``warmup_steps``.

        Returns
        -------
        float
        """
        if not num_update < self.warmup_steps:
            raise ValueError(
                f"num_update must be inside the warmup of {self.warmup_steps} updates, got {num_update!r}"
            )
        if self.warmup_mode == "constant":
            return self.warmup_begin_lr
        rise = (self.warmup_final_lr - self.warmup_begin_lr) * float(num_update) / float(self.warmup_steps)
        return self.warmup_begin_lr + rise

    def __call__(self, num_update: int) -> float:
        """Return the learning rate for the update numbered `num_update`.

        Parameters
        ----------
        num_update : int
            The largest number of updates that any weight has had, this one included.

        Returns
        -------
        float
        """
        raise NotImplementedError(f"{type(self).__name__} must override __call__(num_update)")

    def _begin_at(self, num_update):
        """Take the current rate as the one reached after `num_update` updates, where a run begins.

        Called by an optimizer with ``begin_num_update``. As in MXNet, curves that have ended by then stay at
        ``base_lr``.
        """

    def resume_at(self, num_update, begin=0):
        """Move to the position after `num_update` updates; called when loaded states hold only counts.

        Parameters
        ----------
        num_update : int
        begin : int, default 0
            Where the counts of the run began.

        Notes
        -----
        A custom schedule that keeps state between calls overrides it.
        """

    def __repr__(self):
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


class _AfterWarmup(LRScheduler):
    """What the four schedules share: the warmup first, then their own ``_decayed(num_update)``."""

    def __call__(self, num_update: int) -> float:
        # An infinite count would keep FactorScheduler looping forever.
        _number("num_update", num_update)
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        return self._decayed(num_update)

    def _decayed(self, num_update):
        raise NotImplementedError

    __call__.__doc__ = LRScheduler.__call__.__doc__


class _Decaying(_AfterWarmup):
    """A rate that decays in steps; `_moving` names the attributes that change with it."""

    _moving: tuple = ()

    def _decayed(self, num_update):
        if self._is_due(num_update):
            # start over if base_lr was set from outside
            start, reached = getattr(self, "_before", (None, None))
            if self.base_lr != reached:
                start = {name: getattr(self, name) for name in self._moving}
            self._decay(num_update)
            self._before = start, self.base_lr
        return self.base_lr

    def resume_at(self, num_update, begin=0):
        start, _ = getattr(self, "_before", (None, None))
        if start is not None and num_update <= self.count:
            vars(self).update(start)
            del self._before

    def _is_due(self, num_update):
        raise NotImplementedError

    def _decay(self, num_update):
        raise NotImplementedError


class FactorScheduler(_Decaying):
    """Multiply the learning rate by `factor` after every `step` updates.

    The learning rate is found by::

        while num_update > count + step:
            count += step
            base_lr = max(base_lr * factor, stop_factor_lr)

    ``count`` starts at 0, not at the end of the warmup: decays that fell into the warmup
    all happen at its end.

    Parameters
    ----------
    step : int
        Number of updates between two decays, 1 or more.
    factor : float, default 1
        What the learning rate is multiplied by, at most 1.
    stop_factor_lr : float, default 1e-8
        The learning rate never decays below this.
    base_lr, warmup_steps, warmup_begin_lr, warmup_mode
        As in `LRScheduler`.

    Examples
    --------
    >>> from mxopt.lr_scheduler import FactorScheduler
    >>> schedule = FactorScheduler(step=2, factor=0.5, base_lr=1.0)
    >>> [schedule(n) for n in range(1, 7)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self,
        step: int,
        factor: float = 1,
        stop_factor_lr: float = 1e-8,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self.step = _interval("step", step)
        self.factor = _decay_factor(factor)
        self.stop_factor_lr = _number("stop_factor_lr", stop_factor_lr)
        self.count = 0

    _moving = ("base_lr", "count")

    def _is_due(self, num_update):
        return num_update > self.count + self.step

    def _decay(self, num_update):
        due = math.ceil((num_update - self.count) / self.step) - 1
        if due > _MOST_DECAYS:  # only after a jump of the count
            power = float(self.factor) ** due if abs(self.factor) <= 1 else 0.0
            self.base_lr = max(self.base_lr * power, self.stop_factor_lr)
            self.count = num_update - 1
            return
        for _ in range(due + 1):  # one more, in case the quotient was rounded down
            if self._is_due(num_update):
                self.count += self.step
                self.base_lr = max(self.base_lr * self.factor, self.stop_factor_lr)


class MultiFactorScheduler(_Decaying):
    """Multiply the learning rate by `factor` once for each number of updates listed in `step`.

    The learning rate is found by::

        while cur_step_ind < len(step) and num_update > step[cur_step_ind]:
            count = step[cur_step_ind]
            cur_step_ind += 1
            base_lr *= factor

    Parameters
    ----------
    step : list of int
        The numbers of updates after which the rate decays: 1 or more, and increasing.
    factor : float, default 1
        What the learning rate is multiplied by, at most 1.
    base_lr, warmup_steps, warmup_begin_lr, warmup_mode
        As in `LRScheduler`.

    Examples
    --------
    >>> from mxopt.lr_scheduler import MultiFactorScheduler
    >>> schedule = MultiFactorScheduler(step=[2, 5], factor=0.5, base_lr=1.0)
    >>> [schedule(n) for n in range(1, 7)]
    [1.0, 1.0, 0.5, 0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        step: list[int],
        factor: float = 1,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if not isinstance(step, list) or not step:
            raise _WrongType(f"step must be a list of one or more increasing integers, got {step!r}")
        self.step = [_interval(f"step[{position}]", value) for position, value in enumerate(step)]
        if any(later <= earlier for earlier, later in zip(self.step, self.step[1:])):
            raise ValueError(f"step must be increasing, got {step!r}")
        self.cur_step_ind = 0
        self.factor = _decay_factor(factor)
        self.count = 0

    _moving = ("base_lr", "count", "cur_step_ind")

    def _is_due(self, num_update):
        return self.cur_step_ind < len(self.step) and num_update > self.step[self.cur_step_ind]

    def _decay(self, num_update):
        while self._is_due(num_update):
            self.count = self.step[self.cur_step_ind]
            self.cur_step_ind += 1
            self.base_lr *= self.factor


class _ToFinal(_AfterWarmup):
    """A curve from `base_lr` at the end of the warmup to `final_lr` at `max_update`."""

    def __init__(self, max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode):
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self.max_update = _integer("max_update", max_update, least=1)
        # Not base_lr: calls change it, and the optimizer may overwrite it.
        self.base_lr_orig = self.base_lr
        self.final_lr = _number("final_lr", final_lr)
        self.max_steps = self.max_update - self.warmup_steps

    def _decayed(self, num_update):
        found, start = getattr(self, "_before", None), self.base_lr_orig
        # Past the end, keep the last rate found, or whatever base_lr was set to since. On the first call, or
        # after a failed step was rolled back, there is neither.
        if num_update <= self.max_update or (self.base_lr == start and found != start):
            self._move_to(num_update)
        return self.base_lr

    def _move_to(self, num_update):
        updates = min(num_update, self.max_update) - self.warmup_steps
        self._before = self.base_lr = self.final_lr + self._above_final(updates)

    def _begin_at(self, num_update):
        if num_update > 0:
            self._before = self.base_lr_orig

    def resume_at(self, num_update, begin=0):
        if begin >= self.max_update:
            self._begin_at(begin)
        elif num_update >= self.warmup_steps:
            self._move_to(num_update)

    def _above_final(self, steps):
        raise NotImplementedError


class PolyScheduler(_ToFinal):
    """Let the learning rate fall to `final_lr` along a power of the updates left.

    The learning rate is found by::

        if num_update <= max_update:
            left = 1 - (num_update - warmup_steps) / (max_update - warmup_steps)
            base_lr = final_lr + (base_lr_orig - final_lr) * left ** pwr

    ``base_lr_orig`` is the `base_lr` passed to the constructor. Past `max_update` the last rate found stays;
    a scheduler first called there returns `final_lr`, where MXNet's returns `base_lr`.

    Parameters
    ----------
    max_update : int
        The update at which the rate reaches `final_lr`.
    base_lr : float, default 0.01
        The learning rate after the warmup.
    pwr : float, default 2
        The power; 1 makes a straight line. Kept as the attribute ``power``.
    final_lr : float, default 0
        The learning rate at the end.
    warmup_steps, warmup_begin_lr, warmup_mode
        As in `LRScheduler`.

    Notes
    -----
    If `warmup_steps` equals `max_update`, the curve has no length and the rate at `max_update` is
    `final_lr`, where MXNet divides by zero.

    Examples
    --------
    >>> from mxopt.lr_scheduler import PolyScheduler
    >>> schedule = PolyScheduler(max_update=4, base_lr=1.0, pwr=2)
    >>> [schedule(n) for n in range(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        pwr: float = 2,
        final_lr: float = 0,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        # A negative power would end at an infinite learning rate.
        self.power = _number("pwr", pwr, low=0)

    def _above_final(self, updates):
        if self.max_steps == 0:
            return 0.0
        left = 1 - float(updates) / float(self.max_steps)
        return (self.base_lr_orig - self.final_lr) * pow(left, self.power)


class CosineScheduler(_ToFinal):
    """Let the learning rate fall to `final_lr` along half a cosine wave.

    The learning rate is found by::

        if num_update <= max_update:
            done = (num_update - warmup_steps) / (max_update - warmup_steps)
            base_lr = final_lr + (base_lr_orig - final_lr) * (1 + cos(pi * done)) / 2

    Parameters
    ----------
    max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode
        As in `PolyScheduler`, whose notes on the ends of the curve apply here too.

    Examples
    --------
    >>> from mxopt.lr_scheduler import CosineScheduler
    >>> schedule = CosineScheduler(max_update=4, base_lr=1.0, warmup_steps=2)
    >>> [round(schedule(n), 3) for n in range(6)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        final_lr: float = 0,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)

    def _above_final(self, updates):
        if self.max_steps == 0:
            return 0.0
        return (self.base_lr_orig - self.final_lr) * (1 + math.cos(math.pi * updates / self.max_steps)) / 2


class _Formula(LRScheduler):
    """What the later schedules share: the warmup, then a formula of `num_update` that keeps no position.

    `base_lr` is read at each call, so one that the optimizer has overwritten counts from then on.
    """

    def __call__(self, num_update: int) -> float:
        _number("num_update", num_update)
        if num_update < self.warmup_steps:
            self.warmup_final_lr = self.base_lr
            return self.get_warmup_lr(num_update)
        return self._rate(num_update)

    def _rate(self, num_update):
        raise NotImplementedError

    __call__.__doc__ = LRScheduler.__call__.__doc__


def _cosine(done):
    """From 1 to 0 along half a cosine wave, as `done` goes from 0 to 1."""
    return (1 + math.cos(math.pi * done)) / 2


#: What is left of the rate's fall when a share of it is done.
_FALLS = {
    "linear": lambda done: 1 - done,
    "cosine": _cosine,
    "sqrt": lambda done: 1 - math.sqrt(done),
}


class WarmupStableDecayScheduler(_Formula):
    """Hold the learning rate after the warmup, and let it fall to `final_lr` in the last updates.

    The learning rate is found by::

        done = (num_update - (max_update - decay_steps)) / decay_steps, limited to [0, 1]
        lr = final_lr + (base_lr - final_lr) * fall(done)

    where ``fall(done)`` is ``1 - done`` for ``decay='linear'``, ``(1 + cos(pi * done)) / 2`` for ``'cosine'``
    and ``1 - sqrt(done)`` for ``'sqrt'``. Past `max_update` it stays at `final_lr`.

    Parameters
    ----------
    max_update : int
        The update at which the rate reaches `final_lr`.
    decay_steps : int, optional
        How many updates the fall takes; by default a tenth of `max_update`, at least 1.
    base_lr : float, default 0.01
        The learning rate after the warmup.
    final_lr : float, default 0
        The learning rate at the end.
    decay : {'linear', 'cosine', 'sqrt'}, default 'linear'
        The shape of the fall.
    warmup_steps, warmup_begin_lr, warmup_mode
        As in `LRScheduler`.

    Notes
    -----
    A run can be extended from any update before the fall: give the new scheduler a larger `max_update`.

    References
    ----------
    .. [1] S. Hu et al., "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training
       Strategies", https://arxiv.org/abs/2404.06395.
    .. [2] A. Haegele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
       https://arxiv.org/abs/2405.18392: the fall by a square root.

    Examples
    --------
    >>> from mxopt.lr_scheduler import WarmupStableDecayScheduler
    >>> schedule = WarmupStableDecayScheduler(8, decay_steps=2, base_lr=1.0, warmup_steps=2)
    >>> [schedule(n) for n in range(10)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    def __init__(
        self,
        max_update: int,
        decay_steps: int | None = None,
        base_lr: float = 0.01,
        final_lr: float = 0,
        decay: str = "linear",
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self.max_update = _integer("max_update", max_update, least=1)
        self.final_lr = _number("final_lr", final_lr)
        if decay_steps is None:
            decay_steps = max(self.max_update // 10, 1)
        self.decay_steps = _integer("decay_steps", decay_steps, least=1)
        if self.warmup_steps + self.decay_steps > self.max_update:
            raise ValueError(
                f"warmup_steps and decay_steps must be at most max_update together, got {self.warmup_steps} "
                f"and {self.decay_steps} with max_update {self.max_update}"
            )
        self.decay = checks.one_of("decay", decay, tuple(_FALLS))

    def _rate(self, num_update):
        done = (num_update - (self.max_update - self.decay_steps)) / self.decay_steps
        if done >= 1:
            return self.final_lr
        return self.final_lr + (self.base_lr - self.final_lr) * _FALLS[self.decay](max(done, 0.0))


class InverseSquareRootScheduler(_Formula):
    """Let the learning rate fall with the inverse square root of the number of updates, without an end.

    The learning rate is found by::

        lr = base_lr * sqrt(max(warmup_steps, 1) / num_update)

    Parameters
    ----------
    base_lr : float, default 0.01
        The learning rate at the end of the warmup.
    warmup_steps, warmup_begin_lr, warmup_mode
        As in `LRScheduler`.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, https://arxiv.org/abs/1706.03762,
       section 5.3. Its rate is this one with a `base_lr` of ``1 / sqrt(d_model * warmup_steps)``.

    Examples
    --------
    >>> from mxopt.lr_scheduler import InverseSquareRootScheduler
    >>> schedule = InverseSquareRootScheduler(base_lr=1.0, warmup_steps=4)
    >>> [schedule(n) for n in (0, 2, 4, 16, 64)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """

    def _rate(self, num_update):
        return self.base_lr * math.sqrt(max(self.warmup_steps, 1) / max(num_update, 1))


class OneCycleScheduler(_Formula):
    """Raise the learning rate to `base_lr`, then let it fall far below where it began, in one cycle.

    Update n has the rate of step n - 1 of ``torch.optim.lr_scheduler.OneCycleLR`` (PyTorch 2.13), which also
    cycles the momentum; this one does not. Past `max_update` the last rate stays.

    Parameters
    ----------
    max_update : int
        The length of the cycle, ``total_steps`` in PyTorch.
    base_lr : float, default 0.01
        The highest rate, ``max_lr`` in PyTorch.
    pct_start : float, default 0.3
        The share of the cycle in which the rate rises.
    div_factor : float, default 25
        The cycle begins at ``base_lr / div_factor``...
    final_div_factor : float, default 1e4
        ...and ends at ``base_lr / div_factor / final_div_factor``.
    decay : {'cosine', 'linear'}, default 'cosine'
        The shape of rise and fall, ``anneal_strategy`` in PyTorch.
    three_phase : bool, default False
        Fall to the initial rate as fast as the rate rose, then to the final one.

    References
    ----------
    .. [1] L. N. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
       Learning Rates", https://arxiv.org/abs/1708.07120.

    Examples
    --------
    >>> from mxopt.lr_scheduler import OneCycleScheduler
    >>> schedule = OneCycleScheduler(10, base_lr=1.0, pct_start=0.5, div_factor=10, decay="linear")
    >>> [round(schedule(n), 4) for n in (1, 3, 5, 8, 10, 11)]
    [0.1, 0.55, 1.0, 0.4, 0.0, 0.0]
    """

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        decay: str = "cosine",
        three_phase: bool = False,
    ) -> None:
        super().__init__(base_lr)
        self.max_update = _integer("max_update", max_update, least=1)
        self.three_phase = bool(three_phase)
        self.pct_start = _number("pct_start", pct_start, 0, 0.5 if self.three_phase else 1)
        self.div_factor = _number("div_factor", div_factor, 1)
        self.final_div_factor = _number("final_div_factor", final_div_factor, 1)
        self.decay = checks.one_of("decay", decay, ("cosine", "linear"))

    def _rate(self, num_update):
        peak = self.base_lr
        begin = peak / self.div_factor
        ends = [
            (self.pct_start * self.max_update - 1, peak),
            (self.max_update - 1, begin / self.final_div_factor),
        ]
        if self.three_phase:
            ends.insert(1, (2 * self.pct_start * self.max_update - 2, begin))
        step = min(max(num_update - 1, 0), self.max_update - 1)
        since, rate = 0.0, begin
        for end, reached in ends:
            if step <= end:
                done = (step - since) / (end - since) if end > since else 1.0
                return reached + (rate - reached) * _FALLS[self.decay](done)
            since, rate = end, reached
        return rate


class CosineRestartsScheduler(_Formula):
    """Let the learning rate fall along half a cosine wave, and begin again, with longer and longer waves.

    The learning rate is found by::

        n = num_update - max(warmup_steps, 1)
        lr = final_lr + (base_lr - final_lr) * (1 + cos(pi * (n - start) / length)) / 2

    where the waves begin at ``start = 0, period, period + period * period_factor, ...`` and are ``length =
    period, period * period_factor, period * period_factor**2, ...`` long. Without a warmup, update n has the
    rate of step n - 1 of ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`` (PyTorch 2.13).

    Parameters
    ----------
    period : int
        The length of the first wave in updates, ``T_0`` in PyTorch.
    period_factor : int, default 1
        Each wave is this many times as long as the one before it; ``T_mult`` in PyTorch.
    base_lr : float, default 0.01
        The learning rate where a wave begins.
    final_lr : float, default 0
        The learning rate that a wave falls to.
    restart_factor : float, default 1
        What `base_lr` is multiplied by with each restart, from 0 to 1.
    warmup_steps, warmup_begin_lr, warmup_mode
        As in `LRScheduler`.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
       https://arxiv.org/abs/1608.03983.

    Examples
    --------
    >>> from mxopt.lr_scheduler import CosineRestartsScheduler
    >>> schedule = CosineRestartsScheduler(period=2, period_factor=2, base_lr=1.0)
    >>> [round(schedule(n), 3) for n in range(1, 9)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0, 0.962]
    """

    def __init__(
        self,
        period: int,
        period_factor: int = 1,
        base_lr: float = 0.01,
        final_lr: float = 0,
        restart_factor: float = 1,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self.period = _integer("period", period, least=1)
        self.period_factor = _integer("period_factor", period_factor, least=1)
        self.final_lr = _number("final_lr", final_lr)
        self.restart_factor = _number("restart_factor", restart_factor, 0, 1)

    def _rate(self, num_update):
        at, length, restarts = max(num_update - max(self.warmup_steps, 1), 0), self.period, 0
        if self.period_factor == 1:
            restarts, at = divmod(at, length)
        else:
            while at >= length:
                at -= length
                length *= self.period_factor
                restarts += 1
        peak = self.base_lr * self.restart_factor**restarts
        return self.final_lr + (peak - self.final_lr) * _cosine(at / length)


#: The classes that MXNet has as well.
OF_MXNET = (FactorScheduler, MultiFactorScheduler, PolyScheduler, CosineScheduler, LRScheduler)

#: mxopt's own classes: a file cannot set their attributes freely
OWN = (
    *OF_MXNET,
    WarmupStableDecayScheduler,
    InverseSquareRootScheduler,
    OneCycleScheduler,
    CosineRestartsScheduler,
)


def nearest_own(cls):
    """The first class in the MRO that is mxopt's own, which may be the class itself."""
    return next(base for base in cls.__mro__ if base in OWN)


def _classes():
    """All schedulers by class name, custom ones included; the newest wins if names are equal."""
    found, classes = {}, [LRScheduler]
    for cls in classes:
        if cls.__name__ not in found or cls._defined > found[cls.__name__]._defined:
            found[cls.__name__] = cls
        classes += cls.__subclasses__()
    return {name: cls for name, cls in found.items() if not name.startswith("_")}


def create(name: str, **kwargs: Any) -> LRScheduler:
    """Make a scheduler by name.

    Parameters
    ----------
    name : str
        The name of its class in any case, with or without ``Scheduler``: ``'factor'``, ``'CosineScheduler'``,
        or a custom subclass.
    **kwargs
        The arguments of its constructor.

    Examples
    --------
    >>> from mxopt import lr_scheduler
    >>> lr_scheduler.create("factor", step=2, factor=0.5, base_lr=1.0)(5)
    0.25
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a scheduler must be a string, got {type(name).__name__}")
    known = {cls_name.lower(): cls for cls_name, cls in _classes().items()}
    for key in (name.lower(), f"{name.lower()}scheduler"):
        if key in known:
            return known[key](**kwargs)
    short = sorted(key.removesuffix("scheduler") or key for key in known)
    hint = checks.nearest(name, [*short, *known]) or f"; there are {', '.join(short)}"
    raise ValueError(f"unknown scheduler {name!r}{hint}")
