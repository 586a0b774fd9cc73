"""Clipping by the global norm of many arrays."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import checks, kernels
from .arrays import as_array
from .microbatches import copied
from .sparse import RowSparseArray

__all__ = ["clip_global_norm"]


def clip_global_norm(arrays: Sequence[Any], max_norm: float, check_isfinite: bool = True) -> Any:
    """Scale arrays in place so that their joint norm is at most `max_norm`.

    Parameters
    ----------
    arrays : list of array
        float32, float64, float16 or bfloat16; of a `RowSparseArray`, its rows.
    max_norm : float
        Infinity measures without clipping.
    check_isfinite : bool, default True
        Warn when the norm is not finite. The arrays are scaled all the same, and then hold NaN.

    Returns
    -------
    float
        The norm before scaling, rounded to float32 as in MXNet; without `check_isfinite` an array of one
        element that holds it. It does not depend on the number of threads.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> grads = [np.array([3.0], np.float32), np.array([4.0], np.float32)]
    >>> mxopt.clip_global_norm(grads, 1.0)
    5.0
    >>> grads
    [array([0.6], dtype=float32), array([0.8], dtype=float32)]
    """
    if not len(arrays):
        raise ValueError("arrays must not be empty: there is no norm to clip")
    # infinity only measures
    max_norm = math.inf if _is_infinite(max_norm) else checks.number("max_norm", max_norm, 0)
    parts = [
        array if type(array) is np.ndarray else as_array(_stored(array), f"arrays[{i}]")
        for i, array in enumerate(arrays)
    ]
    plan = planned(parts)
    norm, factor = limited(squares(plan), max_norm, check_isfinite)
    if not factor >= 1:
        scale(plan, factor)
    return float(norm) if check_isfinite else norm.reshape(1)


def planned(arrays):
    """The engine's plan for some arrays; refusals are worded for clipping."""
    try:
        return kernels.Plan(kernels.RULES["square_sum"], arrays, ordered=True)
    except kernels.Refused as error:
        refused = checks.refused_arrays(error)
    raise refused


def squares(plan):
    """The sum of squares of each array of a plan, float64."""
    return plan.run(kernels.RULES["square_sum"], [(1.0,)])[:, 0]


def limited(sums, max_norm, check_isfinite=True):
    """The joint norm of some sums of squares, and the factor that brings it to `max_norm`; float32."""
    with np.errstate(all="ignore"):
        norm = np.float32(np.sqrt(sums.sum()))
        factor = np.float32(max_norm) / (norm + np.float32(1e-8))
    if max_norm == math.inf:
        factor = np.float32(1)
    if check_isfinite and not math.isfinite(norm):
        warnings.warn(
            f"the global norm is {norm}; the arrays will hold nan or inf",
            UserWarning,
            stacklevel=checks.outside(),
        )
    return norm, factor


def scale(plan, factor):
    """Multiply the arrays of a plan, in place."""
    plan.run(kernels.RULES["scale"], [(float(factor),)])


def scaled(grads, factor):
    """Copies of some gradients, multiplied."""
    copies = [copied(gradient) for gradient in grads]
    scale(planned(list(map(_stored, copies))), factor)
    return copies


def _is_infinite(max_norm):
    return isinstance(max_norm, numbers.Real) and float(max_norm) == math.inf


def _stored(array):
    return array.data if isinstance(array, RowSparseArray) else array
