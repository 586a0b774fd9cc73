"""What the optimizers with a momentum buffer have in common."""

import contextlib

from .. import kernels
from ..clipping import scaled
from ..slots import MEAN, NONE, StateSlot
from .optimizer import NewStates, Optimizer, is_half


class Momentum(Optimizer):
    """Base of optimizers that keep a momentum buffer, or no state when `momentum` is 0.

    The last of their `rules` has momentum, the one before it does not.
    """

    state_slots = (StateSlot("mom", when="momentum", absent=NONE, numbers=MEAN),)
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "momentum")
    text_scalars = scalar_names
    momentum: float

    #: The passes with and without momentum.
    _moving: tuple[str, ...] = ()
    _resting: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._moving, cls._resting = cls.rules[-1:], cls.rules[-2:-1]

    #: Whether existing buffers are left alone while `momentum` is 0, rather than multiplied by 0.
    rests = False
    #: Whether the states of this call have a momentum buffer although `momentum` is 0.
    _goes_on = False

    @property
    def passes(self):
        return self._moving if self.momentum or self._goes_on else self._resting

    def _fused_otherwise(self, indices, weights, grads, states, lazy):
        if self.momentum or self._goes_on or len({*map(len, (indices, weights, grads, states))}) > 1:
            return False
        kept = [self._has_momentum(*pair) for pair in zip(weights, states)]
        if not any(kept):
            return False
        if type(grads) is kernels.Clipped:
            grads = scaled(grads, grads.factor)
        if isinstance(states, NewStates):
            states.step_apart()
        if lazy is not None and type(lazy) is not list:
            lazy = lazy.given_up(indices)
        # A schedule has set momentum to 0. As in MXNet, existing states stay in use: multiplied by 0, or
        # untouched until momentum is back.
        if self.rests:
            self._fused(indices, weights, grads, self._rested(weights, states))
            return True
        parts = []
        for there in (True, False):
            part = [call for call, has in zip(zip(indices, weights, grads, states), kept) if has == there]
            if part:
                *columns, own = map(list, zip(*part))
                if not (there and False in kept):  # the last part, which new states are in
                    own = NewStates(own, getattr(states, "added", []))
                by_rows = lazy
                if isinstance(lazy, list):
                    by_rows = [one for one, has in zip(lazy, kept) if has == there]
                parts.append((there, columns, own, by_rows))
        # What may be wrong with one part is found before the other is stepped.
        self._ahead(indices)  # finds an index that is in both
        for there, columns, own, by_rows in parts:
            with self._going_on(there):
                names = self.passes
                self._plan(*columns, own, kernels.RULES[names[-1]], by_rows, len(names) > 1)
                self._scalars(*self._ahead(columns[0]))
        for there, columns, own, by_rows in parts:
            with self._going_on(there):
                self._fused(*columns, own, by_rows)
        return True

    @contextlib.contextmanager
    def _going_on(self, there):
        self._goes_on = there
        try:
            yield
        finally:
            del self._goes_on

    def _each(self, indices, weights, grads, states):
        kept = not self.momentum and any(map(self._has_momentum, weights, states))
        if kept and self.rests:
            kept, states = False, self._rested(weights, states)
        if not kept:
            return super()._each(indices, weights, grads, states)
        with self._going_on(True):
            return super()._each(indices, weights, grads, states)

    def _rested(self, weights, states):
        return NewStates(map(self._without, weights, states), getattr(states, "added", []))

    def _has_master(self, weight, state):
        return self.multi_precision and is_half(weight.dtype) and isinstance(state, (tuple, list))

    def _without(self, weight, state):
        if not self._has_master(weight, state):
            return None
        master = state[self.master_position]
        return (master, None) if self.master_position == 0 else (None, master)

    def _has_momentum(self, weight, state):
        if self._has_master(weight, state):
            state = state[1 - self.master_position]
        return (state[0] if isinstance(state, (tuple, list)) else state) is not None

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale, self._clip, self.momentum
