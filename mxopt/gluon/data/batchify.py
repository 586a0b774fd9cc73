"""Functions that make a batch from a list of examples."""

from __future__ import annotations

import math

import numpy as np

from ...nd import NDArray, array, stack

__all__ = ["Append", "AsList", "Group", "Pad", "Stack"]


class Stack:
    """Stack arrays along a new first axis; examples that are tuples give a list of such arrays.

    Parameters
    ----------
    use_shared_mem : ignored
        Memory is shared anyway.
    """

    def __init__(self, use_shared_mem=False):
        self._use_shared_mem = use_shared_mem

    def __call__(self, data):
        first = data[0]
        if isinstance(first, (tuple, list)):
            return [self(part) for part in zip(*data)]
        if isinstance(first, NDArray):
            return stack(*data)
        made = np.asarray(data)
        return array(made, dtype=made.dtype)


class Pad:
    """Pad arrays to the longest, and stack them.

    Parameters
    ----------
    val : number, default 0
        The padding.
    dtype : dtype, optional
        Of the batch.
    round_to : int, optional
        The padded length is rounded up to a multiple of it.
    """

    def __init__(self, val=None, dtype=None, round_to=None, use_shared_mem=False):
        self._val, self._dtype, self._round_to = 0 if val is None else val, dtype, round_to

    def __call__(self, data):
        if not isinstance(data[0], (np.ndarray, list)):
            raise TypeError(
                f"Pad takes a list of arrays, got {type(data[0]).__name__}; of tuples Group(Pad(), Pad())"
            )
        arrays = [np.asarray(x) for x in data]
        sizes = np.max([x.shape for x in arrays], axis=0)
        if self._round_to is not None:
            sizes = [self._round_to * math.ceil(size / self._round_to) for size in sizes]
        made = np.full((len(arrays), *map(int, sizes)), self._val, self._dtype or arrays[0].dtype)
        for row, values in zip(made, arrays):
            row[tuple(map(slice, values.shape))] = values
        return array(made, dtype=made.dtype)


class Append:
    """A list of arrays of any shapes.

    Parameters
    ----------
    expand : bool, default True
        Give each a batch axis.
    batch_axis : int, default 0
    """

    def __init__(self, expand=True, batch_axis=0, use_shared_mem=False):
        self._expand, self._batch_axis = expand, batch_axis

    def __call__(self, data):
        made = [x if isinstance(x, NDArray) else array(x) for x in data]
        return [x.expand_dims(self._batch_axis) for x in made] if self._expand else made


class Group:
    """One function for each part of the examples.

    Parameters
    ----------
    fn : callable, or list of callables
    *args : callable
    """

    def __init__(self, fn, *args):
        self._fn = tuple(fn) if isinstance(fn, (list, tuple)) else (fn, *args)
        for each in self._fn:
            if not callable(each):
                raise TypeError(f"Group takes functions, got {each!r}")

    def __call__(self, data):
        if len(data[0]) != len(self._fn):
            raise ValueError(f"examples have {len(data[0])} parts, and there are {len(self._fn)} functions")
        return tuple(fn([example[i] for example in data]) for i, fn in enumerate(self._fn))


class AsList:
    """The examples as a list."""

    def __call__(self, data):
        return list(data)
