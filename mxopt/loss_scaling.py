"""Steps of gradients that were computed from a scaled loss, so that small ones survive in 16 bits."""

from __future__ import annotations

import math

from . import checks, dialects, kernels
from .slots import NewStates

#: MXNet's: the first scale, the largest one, and how many steps without an overflow double it.
FIRST, LARGEST, PATIENCE = 2.0**16, 2.0**24, 2000
#: Gradients that overflow at this scale are broken, and no smaller scale mends them.
LEAST = 2.0**-24
#: What an attribute is that an instance does not have.
_MISSING = object()


class LossScale:
    """Makes an updater's calls: divides by the scale, and skips a step that is not finite.

    The division is in `rescale_grad` and the check is that of ``skip_nonfinite``, so no pass is added but
    the check's.

    Parameters
    ----------
    optimizer : Optimizer
    scale : float or 'dynamic'
        Dynamic: starts at 2**16, is halved after an overflow, and doubled after 2,000 steps without one.
    inner : Averages or Reports, optional
        What else joins the steps.

    Attributes
    ----------
    scale : float
        What the loss of the next step must be multiplied by.
    steps : int
        How many have been made since the scale last changed.
    skipped : int
        How many have been skipped.
    """

    def __init__(self, optimizer, scale, inner=None):
        if isinstance(scale, str) and scale != "dynamic":
            raise ValueError(f"loss_scale must be a positive number or 'dynamic', got {scale!r}")
        if not hasattr(optimizer, "_skips"):
            raise TypeError(
                f"loss_scale needs an optimizer that can skip a step, and {type(optimizer).__name__} is not "
                "derived from mxopt's Optimizer; derive it, or divide the gradients by hand"
            )
        self.dynamic = scale == "dynamic"
        self.scale = FIRST if self.dynamic else checks.number("loss_scale", scale, 0, open_low=True)
        self.inner = inner
        self.steps = self.skipped = 0
        self._last = frozenset()

    def __call__(self, updater, index, grad, weight, lazy):
        """Step as `kernels.step_of_updater` does."""
        key = {checks.key(one) for one in index} if isinstance(index, (list, tuple)) else {checks.key(index)}
        if self.dynamic and self._last.isdisjoint(key) and self._last:
            raise ValueError(
                "loss_scale='dynamic' needs all tensors of a step in one call, as one scale holds for them: "
                f"the last call had {sorted(map(str, self._last))[:3]}, this one has "
                f"{sorted(map(str, key))[:3]}; pass lists"
            )
        optimizer = updater.optimizer
        own, skipped = vars(optimizer), optimizer.skipped
        before = {name: own.get(name, _MISSING) for name in ("rescale_grad", "skip_nonfinite")}
        try:  # the changes too: an interrupt may come between them
            optimizer.rescale_grad, optimizer.skip_nonfinite = optimizer.rescale_grad / self.scale, True
            kernels.step_of_updater(updater, index, grad, weight, lazy, self)
        finally:  # in one call, which neither an interrupt nor want of memory can stop halfway
            kernels.restore(own, before, _MISSING)
        if not dialects.is_built_in(optimizer) and key and not updater._window:  # whose step wrote no ledger
            vars(self).update(self._after(optimizer.skipped > skipped, key))

    def step_of(self, optimizer, indices, weights, grads, states):
        """The states of a call, with what it changes here, as for `kernels.step_of_updater`."""
        if self.inner is not None:
            states = self.inner.step_of(optimizer, indices, weights, grads, states)
        key = {checks.key(index) for index in indices}
        made = (vars(self), self._after(False, key))
        joined = NewStates(states, [*getattr(states, "added", ()), made])
        joined.averages, joined.report = (getattr(states, name, None) for name in ("averages", "report"))
        joined.skipped = vars(self), self._after(True, key)
        return joined

    def _after(self, skipped, key):
        """What the attributes become with a step of these indices."""
        scale, steps = self.scale, 0 if skipped else self.steps + 1
        if self.dynamic and skipped:
            scale = max(scale / 2, LEAST)
        elif self.dynamic and steps == PATIENCE:
            scale, steps = min(scale * 2, LARGEST), 0
        return {"scale": scale, "steps": steps, "skipped": self.skipped + skipped, "_last": frozenset(key)}

    # -- files ---------------------------------------------------------------------------------------

    def described(self):
        """What a file says about it, as plain data."""
        return {name: getattr(self, name) for name in ("dynamic", "scale", "steps", "skipped")}

    def take(self, described):
        """Go on where a file's stopped; a scale that is a number stays the one given."""
        self.steps, self.skipped, self._last = described["steps"], described["skipped"], frozenset()
        if self.dynamic:
            self.scale = described["scale"]


def is_described(part):
    """Whether something is what `LossScale.described` returns."""
    kinds = {"dynamic": bool, "scale": float, "steps": int, "skipped": int}
    return (
        isinstance(part, dict)
        and part.keys() == kinds.keys()
        and all(type(part[name]) is kind for name, kind in kinds.items())
        and 0 < part["scale"] < math.inf
        and min(part["steps"], part["skipped"]) >= 0
    )
