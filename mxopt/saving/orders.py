"""Converting states between the orders of the two dialects.

The orders come from the classes: `state_slots` gives structure and names, `master_position` the place of the
float32 master.
"""

from __future__ import annotations

import numpy as np

from .. import dialects, kernels, slots
from ..sparse import RowSparseArray


def template(optimizer):
    """The structure of a state in a one-tuple; None for a class that creates its states itself."""
    return (slots.structure(optimizer),) if getattr(type(optimizer), "declares_states", False) else None


def as_in(optimizer, dialect):
    """The other dialect's version of an optimizer, as far as the order of states goes.

    Returns
    -------
    Optimizer or None
        The same object in its own dialect; None if the other has no such optimizer.
    """
    if dialects.of(optimizer) is dialect:
        return optimizer
    name = type(optimizer).__name__.lower()
    cls = dialect.registry.classes.get(name)
    if cls is None or not dialects.is_built_in(optimizer) or not dialects.is_built_in(cls):
        return None
    new = cls.__new__(cls)
    vars(new).update(translated(vars(optimizer), name, dialect))
    return new


def translated(attributes, name, dialect):
    """Attributes of either dialect under the names of the given one."""
    own, others = (getattr(d.registry.classes.get(name), "renamed", {}) for d in (dialect, dialect.other))
    renamed = {**{theirs: shared for shared, theirs in others.items()}, **own}
    return {renamed.get(key, key): value for key, value in attributes.items()}


class Arrangement:
    """Puts states from the order of one optimizer into that of another, the same rule in the other dialect.

    Parameters
    ----------
    source, target : Optimizer
        The same object if states are only to be taken apart.
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
        """The (float32 master or None, inner state) of a state; None if its structure does not fit."""
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
        """The state for the target in a one-tuple; None if it is not one of the source's."""
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

        The two orders of a centered RMSProp have the same structure. A mean of squares is not negative and,
        up to rounding, not below the square of the mean.
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
        if squares.shape != mean.shape:  # row-sparse states that store different rows
            return not (squares < 0).any()
        with np.errstate(all="ignore"):
            return not (squares < mean * mean * 0.999 - 1e-30).any()

    def has_twin(self, other, state):
        """Whether `other` takes for the master the array that is the inner state here."""
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
        """The source's structure, spelled with its class's names: ``(mean, var)``."""
        return slots.spell(self._from[0])


def _is_array(value):
    return isinstance(value, (np.ndarray, RowSparseArray, kernels.Narrow, kernels.Split))


def skeleton(structure):
    """The structure of a state (or one of `slots`) as nested tuples of whether each part is None."""
    if isinstance(structure, tuple):
        return tuple(map(skeleton, structure))
    return structure is None or not getattr(structure, "present", True)


def shapes(state):
    """The shapes of a state's arrays, in order."""
    return [getattr(leaf, "shape", None) for leaf in _leaves(state)]


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
    if isinstance(one, kernels.Split) or isinstance(other, kernels.Split):
        return type(one) is type(other) and same(one.low, other.low)
    one, other = _values(one), _values(other)
    return (one.dtype, one.shape) == (other.dtype, other.shape) and np.array_equal(
        *(np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (one, other))
    )


def _halves(optimizer):
    """The dtypes of the arrays in the state of a float16 weight."""
    return [
        leaf.slot.dtype_for(np.dtype(np.float16))
        for leaf in slots.leaves(slots.structure(optimizer))
        if leaf.present
    ]


def _widened(state, wider):
    """A state with its float16 arrays widened to float32 where `wider` says so."""
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
    if isinstance(state, kernels.Split):  # which stands for them
        return f"float32 {tuple(state.shape)}"
    return f"{state.dtype} {tuple(state.shape)}" if _is_array(state) else repr(state)
