"""States that are row-sparse in MXNet: whole arrays here, row-sparse again in files."""

from __future__ import annotations

import numpy as np

from ..sparse import RowSparseArray
from ..states import StateMismatch

#: A row-sparse state that a file claims is larger stays so until a weight of its shape is stepped.
_BELIEVED = 1 << 26


def of_updater(updater):
    """The states, with arrays that were row-sparse in MXNet as row-sparse ones (all rows).

    MXNet chooses lazy or standard updates by the storage of weight and state.
    """
    states = dict(updater.states)
    for key, sparse in updater._row_sparse.items():
        if key in states:
            states[key] = _of_state(states[key], sparse)
    return states


def _of_state(state, sparse):
    if isinstance(sparse, tuple):
        fits = isinstance(state, tuple) and len(state) == len(sparse)
        return tuple(map(_of_state, state, sparse)) if fits else state
    if not sparse or not isinstance(state, np.ndarray) or state.ndim == 0:
        return state
    return RowSparseArray(state, np.arange(len(state)), state.shape)


def sparse_parts(state):
    """Which arrays of a state are row-sparse; None if none are."""
    if isinstance(state, tuple):
        parts = tuple(map(sparse_parts, state))
        return parts if any(parts) else None
    return isinstance(state, RowSparseArray) or None


def whole(state, where, shape=None):
    """A state with whole arrays, ready to step; rows missing from a row-sparse one are zeros.

    Parameters
    ----------
    state : state
    where : str
        For messages.
    shape : tuple of int, optional
        The weight's. Until it is known, a state that a few bytes of a file claim is huge stays row-sparse.
    """
    if isinstance(state, (tuple, list)):
        return type(state)(whole(part, where, shape) for part in state)
    if not isinstance(state, RowSparseArray):
        return state
    if shape is None:
        size = state.dtype.itemsize
        for length in state.shape:
            size *= int(length)
        if size > _BELIEVED and size > 8 * state.data.nbytes:
            return state
    elif tuple(state.shape) != tuple(shape):
        raise StateMismatch(
            f"{where} was loaded row-sparse with shape {tuple(state.shape)}, and its weight has shape "
            f"{tuple(shape)}; load the file into an updater of the model that wrote it"
        )
    try:
        return state.todense()
    except (MemoryError, ValueError):
        raise StateMismatch(
            f"{where} is row-sparse with shape {state.shape}, which is too large for this machine"
        ) from None
