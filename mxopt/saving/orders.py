"""States in the orders that the two dialects keep them in, and files that do not say which one theirs is.

The orders come from the classes: `state_slots` gives structure and names, `master_position` the place of the
float32 master.
"""

from __future__ import annotations

import warnings

import numpy as np

from .. import checks, slots
from ..arrays import as_array
from ..sparse import RowSparseArray


def template(optimizer):
    """One-tuple of the structure of a state; None for a class that creates its states itself."""
    return (slots.structure(optimizer),) if getattr(type(optimizer), "declares_states", False) else None


class Arrangement:
    """States in the order of one optimizer, put into the order of another: the same rule of another dialect.

    Parameters
    ----------
    source, target : Optimizer
        The same one where a state is only to be taken apart.
    """

    def __init__(self, source, target):
        self._source, self._target = source, target
        self._from, self._to = template(source), template(target)
        same = source is target or self._from is None or self._to is None
        self._reorders = not same and (skeleton(self._from), source.state_names) != (
            skeleton(self._to),
            target.state_names,
        )
        #: 1.x keeps LAMB's states of a float16 weight without a master in float16, 2.x in float32
        self._widens = not same and [
            ours == np.float32 and theirs == np.float16
            for ours, theirs in zip(*(_halves(optimizer) for optimizer in (target, source)))
        ]

    def take_apart(self, state):
        """The (float32 master or None, inner state) of a state; None where it is built in another way."""
        if self._from is None or slots.fits(self._from[0], state):
            return None, state
        at = self._source.master_position
        if (
            isinstance(state, tuple)
            and len(state) == 2
            and _is_array(state[at])
            and slots.fits(self._from[0], state[1 - at])
        ):
            return state[at], state[1 - at]
        return None

    def has_master(self, state):
        """Whether a state is the pair of a float32 master and the rest."""
        parts = self.take_apart(state)
        return parts is not None and parts[0] is not None

    def __call__(self, state):
        """The state for the target as a one-tuple; None where it is not one of the source's."""
        parts = self.take_apart(state)
        if parts is None:
            return None
        master, inner = parts
        if self._reorders:
            by_name = dict(zip(self._source.state_names, _leaves(inner)))
            inner = _refilled(self._to[0], iter(self._target.state_names), by_name)
        if master is None:
            return (_widened(inner, iter(self._widens)) if any(self._widens or ()) else inner,)
        return ((master, inner) if self._target.master_position == 0 else (inner, master),)

    def is_plausible(self, state):
        """Whether a state's contents agree with this order.

        The two orders of a centered RMSProp are built alike. A mean of squares is not negative, and not
        below the square of the mean but for rounding.
        """
        parts = self.take_apart(state)
        if parts is None:
            return False
        leaves = _leaves(parts[1])
        if parts[0] is None and self._from is not None:
            stored = [leaf.dtype for leaf in leaves if leaf is not None]
            if any(own == np.float16 != other for own, other in zip(stored, _halves(self._source))):
                return False
        by_name = dict(zip(self._source.state_names, leaves))
        if not {"n", "g"} <= by_name.keys():
            return True
        squares, mean = (_values(by_name[name]) for name in "ng")
        if squares.shape != mean.shape:  # of row-sparse states that store other rows
            return not (squares < 0).any()
        with np.errstate(all="ignore"):
            return not (squares < mean * mean * 0.999 - 1e-30).any()

    def has_twin(self, other, state):
        """Whether `other` takes the array for the master that is the inner state here."""
        own, others = self.take_apart(state), other.take_apart(state)
        return (
            own is not None
            and others is not None
            and own[0] is others[1]
            and own[1] is others[0]
            and _is_array(own[0])
            and not same(*own)
        )

    def leaf_names(self, state):
        """The names of a state's arrays by their path in it: ``{(0,): 'master', (1, 0): 'mean', ...}``."""
        master, inner = self.take_apart(state) or (None, None)
        names = {}
        where = ()
        if master is not None:
            names[(self._source.master_position,)] = "master"
            where = (1 - self._source.master_position,)
        leaves = _paths(inner)
        if len(leaves) <= len(self._source.state_names):
            names.update(zip([(*where, *path) for path in leaves], self._source.state_names))
        return names

    @property
    def spelled(self):
        """The structure that the source keeps, in the words of its class: ``(mean, var)``."""
        return slots.spell(self._from[0])


def _is_array(value):
    return isinstance(value, (np.ndarray, RowSparseArray))


def skeleton(structure):
    """The structure of a state (or one of `slots`) as nested tuples of whether there is None."""
    if isinstance(structure, tuple):
        return tuple(map(skeleton, structure))
    return structure is None or not getattr(structure, "present", True)


def _leaves(state):
    return [leaf for part in state for leaf in _leaves(part)] if isinstance(state, tuple) else [state]


def _paths(state):
    if not isinstance(state, tuple):
        return [()]
    return [(i, *path) for i, part in enumerate(state) for path in _paths(part)]


def _values(array):
    return array.data if isinstance(array, RowSparseArray) else array


def same(one, other):
    """Whether two states are the same bits in the same places."""
    if isinstance(one, tuple) or one is None or other is None:
        return type(one) is type(other) and (
            one is other or len(one) == len(other) and all(map(same, one, other))
        )
    if one is other:
        return True
    one, other = _values(one), _values(other)
    return (one.dtype, one.shape) == (other.dtype, other.shape) and np.array_equal(
        *(np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (one, other))
    )


def _halves(optimizer):
    """The dtypes of the arrays that a float16 weight's state consists of."""
    return [
        leaf.slot.dtype_for(np.dtype(np.float16))
        for leaf in slots.leaves(slots.structure(optimizer))
        if leaf.present
    ]


def _widened(state, wider):
    """A state with those of its float16 arrays in float32 for which `wider` says so."""
    if isinstance(state, tuple):
        return tuple(_widened(part, wider) for part in state)
    if state is None or not next(wider) or state.dtype != np.float16:
        return state
    return state.astype(np.float32)


def _refilled(structure, names, by_name):
    if isinstance(structure, tuple):
        return tuple(_refilled(part, names, by_name) for part in structure)
    return by_name.get(next(names, None))


def spelled(state):
    """A state's structure for a message: ``(float32 (3, 2), None)``."""
    if isinstance(state, tuple):
        inside = ", ".join(map(spelled, state))
        return f"({inside},)" if len(state) == 1 else f"({inside})"
    return f"{state.dtype} {tuple(state.shape)}" if _is_array(state) else repr(state)


def is_pair(state):
    """Whether a state is two arrays, of which either may be a master."""
    return isinstance(state, tuple) and len(state) == 2 and all(map(_is_array, state))


class Undecided:
    """Pairs of arrays of which either may be the float32 master, as the file does not say who wrote it.

    SGD, NAG and LARS keep them in the one order in MXNet 1.x and in the other in 2.x. The master is what
    rounds to the weight, so the first weight that is seen decides for all. False once nothing is open.

    Parameters
    ----------
    optimizer : Optimizer
    states : dict
        The pairs by index, in the order that is supposed.
    dialect, other : Dialect
        Whose order is supposed, and whose is possible.
    """

    def __init__(self, optimizer, states, dialect, other):
        self._optimizer, self._states = optimizer, states
        self.dialect, self.other = dialect, other

    def __bool__(self):
        return bool(self._states)

    def described(self):
        """What is open as plain data, for a file that leaves it open too."""
        return {"states": list(self._states), "readings": [self.dialect.name, self.other.name]}

    def settle(self, states, weights):
        """Turn the pairs among `states` round if the weights say so.

        Parameters
        ----------
        states : dict
            The updater's; pairs that were replaced meanwhile are let alone.
        weights : dict of ndarray
            As far as they are known.
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
        """As `settle`, with the weights of a call; warns of those that say nothing, and asks them no more."""
        seen = {}
        for index, weight in zip(map(checks.key, indices), weights):
            seen[index] = as_array(weight, f"weight of {checks.who(self._optimizer, index)}", writable=False)
        self.settle(states, seen)
        if self._states.keys() & seen.keys():
            self.warn("its weight does not tell", seen)
            self._states = {key: pair for key, pair in self._states.items() if key not in seen}

    def warn(self, why, among=None):
        """Say of which indices (`among` some) the order is only supposed."""
        keys = [key for key in self._states if among is None or key in among]
        who = ", ".join(checks.who(self._optimizer, key) for key in keys[:3])
        warnings.warn(
            f"the file does not say which array of the state of {who}{', ...' if len(keys) > 3 else ''} is "
            f"the float32 master, and {why}: {supposed(self.dialect.name, self.other.name)}",
            UserWarning,
            stacklevel=checks.outside(),
        )


def supposed(dialect, other):
    """The end of a warning: whose order a file is taken to have, and the cure where it has the other."""
    return (
        f"taken as MXNet {dialect} writes it. If MXNet {other} wrote the file, load it with "
        f"format='mxnet-{other}'"
    )


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
    """How well an array rounds to a 16-bit weight: 2 exactly, 1 within one unit (another rounding), 0 not."""
    if weight.dtype.itemsize != 2 or master.shape != weight.shape:
        return 0
    with np.errstate(all="ignore"):
        rounded = master.astype(weight.dtype)
        if np.array_equal(rounded, weight, equal_nan=True):
            return 2
        wide = weight.astype(np.float32)
        unit = np.maximum(np.abs(wide) * (2.0**-10 if weight.dtype == np.float16 else 2.0**-7), 2.0**-24)
        return int(np.all((np.abs(master - wide) <= unit) | (np.isnan(master) & np.isnan(wide))))
