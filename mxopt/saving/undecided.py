"""Pairs of arrays from files that do not say which one is the float32 master, until a weight decides."""

from __future__ import annotations

import warnings

import numpy as np

from .. import checks
from ..arrays import as_array


def is_pair(state):
    """Whether a state is two arrays, either of which may be a master."""
    return isinstance(state, tuple) and len(state) == 2 and all(hasattr(part, "dtype") for part in state)


class Undecided:
    """Pairs of arrays, either of which may be the float32 master, as the file does not say who wrote it.

    SGD, NAG and LARS keep them in opposite orders in MXNet 1.x and 2.x. The master is the array that rounds
    to the weight, so the first weight seen decides for all. False once nothing is open.

    Parameters
    ----------
    optimizer : Optimizer
    states : dict
        The pairs by index, in the assumed order.
    dialect, other : Dialect
        The dialect whose order is assumed, and the one whose order is also possible.
    """

    def __init__(self, optimizer, states, dialect, other):
        self._optimizer, self._states = optimizer, states
        self.dialect, self.other = dialect, other

    def __bool__(self):
        return bool(self._states)

    def described(self):
        """What is still open, as plain data for a file that leaves it open too."""
        return {"states": list(self._states), "readings": [self.dialect.name, self.other.name]}

    def settle(self, states, weights):
        """Swap the pairs among `states` if the weights say so.

        Parameters
        ----------
        states : dict
            The updater's; pairs that have been replaced since are left alone.
        weights : dict of ndarray
            Those that are known.
        """
        self._states = {key: pair for key, pair in self._states.items() if states.get(key) is pair}
        at = self._optimizer.master_position
        votes = [0, 0]
        for key in self._states.keys() & weights.keys():
            agreement = [_agreement(self._states[key][i], weights[key]) for i in (at, 1 - at)]
            if agreement[0] != agreement[1]:
                votes[agreement[1] > agreement[0]] += weights[key].size
        if votes[1] > votes[0]:
            states.update({key: pair[::-1] for key, pair in self._states.items()})
        if votes[0] != votes[1]:
            self._states = {}

    def before_step(self, states, indices, weights):
        """As `settle`, with the weights of a call; warns once about those that do not decide it."""
        seen = {}
        for index, weight in zip(map(checks.key, indices), weights):
            seen[index] = as_array(weight, f"weight of {checks.who(self._optimizer, index)}", writable=False)
        self.settle(states, seen)
        if self._states.keys() & seen.keys():
            self.warn("its weight does not tell", seen)
            self._states = {key: pair for key, pair in self._states.items() if key not in seen}

    def warn(self, why, among=None):
        """Warn for which indices (only those in `among`, if given) the order is an assumption."""
        keys = [key for key in self._states if among is None or key in among]
        who = ", ".join(checks.who(self._optimizer, key) for key in keys[:3])
        warnings.warn(
            f"the file does not say which array of the state of {who}{', ...' if len(keys) > 3 else ''} is "
            f"the float32 master, and {why}: {supposed(self.dialect.name, self.other.name)}",
            UserWarning,
            stacklevel=checks.outside(),
        )


def supposed(dialect, other):
    """The end of a warning: whose order is assumed, and the cure if it is the other one."""
    return (
        f"taken as MXNet {dialect} writes it. If MXNet {other} wrote the file, load it with "
        f"format='mxnet-{other}'"
    )


def still_undecided(updater):
    """What is still open about an updater's states after looking at all known weights."""
    if updater._undecided:
        updater._undecided.settle(updater.states, known_weights(updater.optimizer))
    return updater._undecided


def known_weights(optimizer):
    """The weights of the parameters that an optimizer has been given."""
    known = {}
    for key, parameter in optimizer.param_dict.items():
        try:
            known[key] = as_array(parameter.data(), "data", writable=False)
        except (AttributeError, TypeError, ValueError, RuntimeError):  # not a Parameter, or not filled yet
            continue
    return known


def _agreement(master, weight):
    """How well an array rounds to a 16-bit weight: 2 exactly, 1 within one unit, 0 not at all."""
    if weight.dtype.itemsize != 2 or master.shape != weight.shape:
        return 0
    with np.errstate(all="ignore"):
        rounded = master.astype(weight.dtype)
        if np.array_equal(rounded, weight, equal_nan=True):
            return 2
        wide = weight.astype(np.float32)
        unit = np.maximum(np.abs(wide) * (2.0**-10 if weight.dtype == np.float16 else 2.0**-7), 2.0**-24)
        return int(np.all((np.abs(master - wide) <= unit) | (np.isnan(master) & np.isnan(wide))))
