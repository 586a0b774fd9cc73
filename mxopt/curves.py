"""The learning rates of a schedule, as numbers and as a figure; what all figures have in common."""

from __future__ import annotations

import copy
import io

import numpy as np

from . import checks

__all__ = ["rates", "schedule"]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def rates(scheduler, steps):
    """The learning rates of the updates 1 to `steps`; the scheduler itself does not change.

    A scheduler's answer depends on earlier calls, so a copy is called, update by update.

    Parameters
    ----------
    scheduler : callable
    steps : int

    Returns
    -------
    float64 array (steps,)

    Examples
    --------
    >>> import mxopt as mx
    >>> scheduler = mx.lr_scheduler.FactorScheduler(2, 0.5, base_lr=1.0)
    >>> mx.viz.rates(scheduler, 5).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    if not callable(scheduler):
        raise TypeError(f"scheduler must be callable with a number of updates, got {scheduler!r}")
    asked = copy.deepcopy(scheduler)
    asked(0)  # a warm-up begins before the first update
    return np.array([asked(update) for update in range(1, checks.count("steps", steps) + 1)], np.float64)


def schedule(scheduler, steps, optimizer=None):
    """Draw the learning rate of every update.

    Parameters
    ----------
    scheduler : callable or Optimizer
        An optimizer's own scheduler, or its constant rate, if it is one.
    steps : int
    optimizer : Optimizer, optional
        Draw a line for each multiplier that its parameters have, with their names.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if hasattr(scheduler, "lr_scheduler"):
        optimizer = optimizer or scheduler
        scheduler = scheduler.lr_scheduler or (lambda update, lr=scheduler.lr: lr)
    line = rates(scheduler, steps)
    figure, axes = figure_of(8, 3.6)
    lines = {1.0: []}
    if optimizer is not None:
        lines = {}
        for one in optimizer.effective():
            lines.setdefault(one.lr_mult, []).append(one.name or str(one.index))
    for color, (multiplier, names) in zip(colors(), sorted(lines.items(), reverse=True) or [(1.0, [])]):
        text = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        label = (f"{multiplier:g} x  " if multiplier != 1 else "") + text
        axes.plot(np.arange(1, steps + 1), line * multiplier, color=color, linewidth=1.8, label=label or None)
    axes.set_xlabel("update")
    axes.set_ylabel("learning rate")
    axes.set_xlim(1, max(steps, 2))
    axes.set_ylim(bottom=min(0.0, line.min()))
    if any(names for names in lines.values()):
        axes.legend(frameon=False, fontsize=9)
    return figure


def colors():
    """The colours of lines, in an endless cycle."""
    while True:
        yield from COLORS


def figure_of(width, height, rows=1, columns=1):
    """An empty figure and its axes."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "pictures need matplotlib, which is not installed; pip install 'mxopt[viz]'"
        ) from None

    class Picture(Figure):
        """A figure that notebooks show without a backend."""

        def _repr_png_(self):
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=120)
            return buffer.getvalue()

    figure = Picture(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=rows > 1)
    for one in np.atleast_1d(axes).ravel():
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="x" if columns > 1 else "both", color="#dddddd", linewidth=0.6)
        one.set_axisbelow(True)
    return figure, axes
