"""Elementwise arithmetic where MXNet's differs from NumPy's.

Integers stay integers: a scalar is cast to their dtype (``int32_array * 2.5`` doubles them), and quotients,
``sqrt`` and the like lose their fractions. A remainder by zero is zero, and so is the sign of NaN.
"""

from __future__ import annotations

import numpy as np


def compute(function, *operands):
    """A NumPy function of plain arrays and numbers, as MXNet computes it.

    Parameters
    ----------
    function : ufunc or callable
    *operands : ndarray or number

    Raises
    ------
    ZeroDivisionError
        For integers divided by zero, which kills the process in MXNet.
    """
    kinds = {x.dtype.kind for x in operands if isinstance(x, np.ndarray)}
    if kinds and kinds <= {"i", "u"}:
        return _of_integers(function, operands)
    return _OWN.get(function, function)(*operands)


def differs(function, operands):
    """Whether `compute` differs from the function itself."""
    return function in _OWN or any(isinstance(x, np.ndarray) and x.dtype.kind in "iu" for x in operands)


def _of_integers(function, operands):
    dtypes = [x.dtype for x in operands if isinstance(x, np.ndarray)]
    dtype = dtypes[0] if len(dtypes) == 1 else np.result_type(*dtypes)
    operands = [x if isinstance(x, np.ndarray) else _as_integer(x, dtype) for x in operands]
    with np.errstate(all="ignore"):
        if function is np.true_divide:
            return _quotient(*operands)
        if function is np.power:
            return np.power(*(np.asarray(x, np.float64) for x in operands)).astype(dtype)
        found = function(*operands)
        if found.dtype.kind == "f":  # MXNet computes these in float32
            found = function(*(np.asarray(x, np.float32) for x in operands)).astype(dtype)
    return found


def _as_integer(number, dtype):
    if isinstance(number, (float, np.floating)):
        if not np.isfinite(number):
            raise OverflowError(f"{number} has no place in an array of {dtype}; cast it to float32 first")
        number = int(number)
    return np.asarray(number).astype(dtype)


def _quotient(a, b):
    if not np.all(b):
        raise ZeroDivisionError(f"an array of {a.dtype} is divided by zero; cast it to float32 first")
    down = np.floor_divide(a, b)
    inexact = np.multiply(down, b) != a
    return down + ((a < 0) != (b < 0)) * inexact.astype(down.dtype)


def _remainder(a, b):
    with np.errstate(invalid="ignore"):
        found = np.remainder(a, b)
    return np.where(np.equal(b, 0), found.dtype.type(0), found)


def _sign(a):
    return np.where(np.isnan(a), a.dtype.type(0), np.sign(a))


_OWN = {np.remainder: _remainder, np.sign: _sign}
