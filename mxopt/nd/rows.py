"""The operations that MXNet computes on row-sparse arrays as such, and the storage of their results.

A result stays row-sparse where zeros give zeros: functions such as ``sqrt``, products with a number, sums of
row-sparse arrays. Everything else is computed on dense arrays and is dense.
"""

from __future__ import annotations

import numpy as np

from ..sparse import RowSparseArray
from .ndarray import RowSparseNDArray, view

#: Functions of one array that give zero for zero and that MXNet computes row by row.
KEEP_ZEROS = frozenset(
    [
        "abs",
        "arcsin",
        "arcsinh",
        "arctan",
        "arctanh",
        "cbrt",
        "ceil",
        "degrees",
        "expm1",
        "fix",
        "floor",
        "log1p",
        "negative",
        "radians",
        "relu",
        "rint",
        "round",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "tan",
        "tanh",
        "trunc",
        "stop_gradient",
    ]
)
#: Operations with a number that MXNet computes row by row, if zero and that number give zero. By function
#: name; True: only with the array on the left.
_WITH_NUMBERS = {
    "add": False,
    "subtract": True,
    "multiply": False,
    "divide": True,
    "equal": False,
    "not_equal": False,
    "greater": False,
    "greater_equal": False,
    "lesser": False,
    "lesser_equal": False,
}


def is_rows(x):
    """Whether an operand is row-sparse."""
    return isinstance(x, RowSparseArray)


def of_each(function, x):
    """A function that maps zero to zero, applied to the stored rows."""
    return RowSparseNDArray._trusted(view(function(np.asarray(x.data))), view(x.indices.copy()), x.shape)


def with_number(name, function, lhs, rhs):
    """An operation on a row-sparse array and a number; None where MXNet makes it dense.

    Parameters
    ----------
    name : str
        The function's name in ``mx.nd``.
    function : callable
        Takes plain arrays and numbers, and gives an array of the operand's dtype.
    lhs, rhs : RowSparseArray and number, in any order
    """
    left = is_rows(lhs)
    x, number = (lhs, rhs) if left else (rhs, lhs)
    if not np.isscalar(number) or name not in _WITH_NUMBERS or (_WITH_NUMBERS[name] and not left):
        return None
    number = float(number)
    if name in ("multiply", "divide"):
        stays = True  # even by zero, infinity and NaN: what these would make of the absent rows is ignored
    else:
        zero = np.zeros(1, x.dtype)
        stays = not np.any(function(zero, number) if left else function(number, zero))
    if not stays:
        return None
    return of_each(lambda data: function(data, number) if left else function(number, data), x)


def of_two(name, function, lhs, rhs):
    """An operation on two arrays of one shape, one or both row-sparse; None where it is the dense arrays'.

    Parameters
    ----------
    name : {'add', 'subtract', 'multiply'} or another name
    function : callable
        Takes plain arrays.
    lhs, rhs : array
    """
    if lhs.shape != rhs.shape:
        return None
    if is_rows(lhs) and is_rows(rhs) and name in ("add", "subtract", "multiply"):
        rows = np.union1d(lhs.indices, rhs.indices)
        return _made(function(_spread(lhs, rows), _spread(rhs, rows)), rows, lhs.shape)
    x, dense = (lhs, rhs) if is_rows(lhs) else (rhs, lhs)
    rows = np.asarray(x.indices)
    if name in ("add", "subtract") and lhs.dtype == rhs.dtype:
        # an absent row leaves the dense one as it is, and adds no zero: the sign of -0.0 would be lost
        found = np.array(dense)
        if name == "subtract" and x is lhs:
            np.negative(found, out=found)
        pair = np.asarray(x.data), np.asarray(dense)[rows]
        found[rows] = function(*(pair if x is lhs else pair[::-1]))
        return view(found)
    if name == "multiply":
        pair = (np.asarray(x.data), np.asarray(dense)[rows])
        return _made(function(*(pair if x is lhs else pair[::-1])), rows.copy(), x.shape)
    return None


def total(arrays):
    """The sum of row-sparse arrays of the same shape, added from left to right."""
    rows = np.unique(np.concatenate([x.indices for x in arrays]))
    result = _spread(arrays[0], rows)
    for x in arrays[1:]:
        at = np.searchsorted(rows, x.indices)
        result[at] = result[at] + np.asarray(x.data)
    return _made(result, rows, arrays[0].shape)


def _spread(x, rows):
    """The rows with these numbers, zero where they are absent."""
    found = np.zeros((len(rows), *x.shape[1:]), x.dtype)
    found[np.searchsorted(rows, x.indices)] = x.data
    return found


def _made(data, rows, shape):
    return RowSparseNDArray._trusted(view(data), view(rows), shape)
