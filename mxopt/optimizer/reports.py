"""What steps do, as numbers for logs: norms of gradients, weights and updates, by parameter."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import checks, kernels
from ..slots import NewStates
from ..sparse import RowSparseArray
from .averages import dense, main_of
from .optimizer import Optimizer


class Norms(NamedTuple):
    """What a step did to one parameter; norms are square roots of sums of squares.

    Attributes
    ----------
    gradient : float
        Of the gradient as the optimizer took it: summed, clipped by the norm, rescaled.
    weight : float
        Of the new weight, or its float32 master.
    update : float
        Of the difference between the new weight and the old one.
    ratio : float
        ``update / weight``. About 1e-3 is usual; far less learns slowly, far more does not settle.
    """

    gradient: float
    weight: float
    update: float
    ratio: float


class Reports:
    """Makes an updater's calls, and measures some of the steps.

    Parameters
    ----------
    every : bool or int
        True or n: every step, or every n-th.
    inner : Averages, optional
        What else changes with the weights.

    Attributes
    ----------
    last : dict of str to Norms
        Of the last step that was measured, by the parameters' names.
    """

    def __init__(self, every, inner=None):
        self.every = 1 if every is True else checks.count("report", every)
        self.inner, self.last, self.calls = inner, {}, 0

    def __call__(self, updater, index, grad, weight, lazy):
        """Step as `kernels.step_of_updater` does."""
        kernels.step_of_updater(updater, index, grad, weight, lazy, self)

    @staticmethod
    def whole(sums):
        """The sums of whole tensors, from those of what is stepped here; sharded states are parts."""
        return sums

    def step_of(self, optimizer, indices, weights, grads, states):
        """The states of a call, with what measures it."""
        if self.inner is not None:
            states = self.inner.step_of(optimizer, indices, weights, grads, states)
        else:
            states = NewStates(states, getattr(states, "added", ()))
        self.calls += 1
        if self.calls % self.every == 0:
            states.report = Step(self, optimizer, indices, weights, grads, states)
        return states


class Step:
    """One step to be measured: by the engine in its pass, or from copies of the weights."""

    def __init__(self, owner, optimizer, indices, weights, grads, states):
        self.owner, self.plan, self.before = owner, None, None
        self.names = [optimizer._name_of(index) for index in indices]
        self.grads, self.rescale = grads, abs(float(optimizer._rescale))
        self.mains = [
            main_of(optimizer, dense(weight, f"weight of {checks.who(optimizer, index)}"), state)
            for index, weight, state in zip(indices, weights, states)
        ]
        fused = getattr(optimizer, "use_fused_step", False) and getattr(optimizer, "_runs_own_rules", False)
        if not fused or type(optimizer)._fused is not Optimizer._fused:
            self.step_apart()

    def join(self, plan):
        """Have the engine measure the step of a plan."""
        if plan.measure(kernels.RULES["measure"]):
            self.plan = plan
        else:
            self.step_apart()

    def step_apart(self):
        """Prepare for a step that the engine does not measure."""
        self.plan, self.before = None, [_whole(main).copy() for main in self.mains]

    def finish(self):
        """Report on the step, which was made."""
        sums = self.owner.whole(self._sums() if self.plan is None else self.plan.report())
        found = {}
        for name, squares in zip(self.names, np.sqrt(sums).tolist()):
            gradient, weight, update = squares
            ratio = update / weight if weight else (math.inf if update else 0.0)
            found[name] = Norms(self.rescale * gradient, weight, update, ratio)
        self.owner.last = found

    def _sums(self):
        factor = getattr(self.grads, "factor", 1.0)
        with np.errstate(all="ignore"):
            return np.array(
                [
                    (factor**2 * _squares(_stored(grad)), _squares(main), _squares(main, before))
                    for grad, main, before in zip(self.grads, map(_whole, self.mains), self.before)
                ]
            ).reshape(-1, 3)


def _whole(main):
    return main.widened() if isinstance(main, kernels.Split) else main


def _stored(grad):
    return grad.data if isinstance(grad, RowSparseArray) else np.asarray(grad)


def _squares(array, other=None):
    array = array.astype(np.float64)
    return np.square(array if other is None else array - other).sum()
