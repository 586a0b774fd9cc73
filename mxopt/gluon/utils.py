"""Utilities of gluon scripts."""

from __future__ import annotations

import math
import warnings

import numpy as np

from ..arrays import as_array
from ..nd import array, view
from ..sparse import RowSparseArray

__all__ = ["clip_global_norm", "split_and_load", "split_data"]


def split_data(data, num_slice, batch_axis=0, even_split=True):
    """Cut a batch into slices.

    Parameters
    ----------
    data : array
    num_slice : int
    batch_axis : int, default 0
    even_split : bool, default True
        Refuse a batch that cannot be cut evenly; otherwise the last slice takes what remains.

    Returns
    -------
    list of NDArray
        Views of the data.
    """
    data = view(data)
    size = data.shape[batch_axis]
    if even_split and size % num_slice:
        raise ValueError(
            f"data of shape {data.shape} cannot be cut into {num_slice} equal slices along axis "
            f"{batch_axis}; "
            "use a batch size that can, or even_split=False"
        )
    if num_slice > size:
        raise ValueError(f"data has {size} elements along axis {batch_axis}, too few for {num_slice} slices")
    step = size // num_slice
    ends = [(i + 1) * step for i in range(num_slice - 1)] + [size]
    key = (slice(None),) * (batch_axis % data.ndim)
    return [data[(*key, slice(begin, end))] for begin, end in zip([0, *ends], ends)]


def split_and_load(data, ctx_list, batch_axis=0, even_split=True):
    """Cut a batch into a slice for each context.

    Parameters
    ----------
    data : array
        Whatever is not an NDArray becomes a float32 one.
    ctx_list : list of Context

    Returns
    -------
    list of NDArray
    """
    if not hasattr(data, "as_in_context"):
        data = array(data, ctx=ctx_list[0])
    if len(ctx_list) == 1:
        return [data.as_in_context(ctx_list[0])]
    slices = split_data(data, len(ctx_list), batch_axis, even_split)
    return [part.as_in_context(ctx) for part, ctx in zip(slices, ctx_list)]


def clip_global_norm(arrays, max_norm, check_isfinite=True):
    """Scale arrays in place so that the norm of all of them together is at most `max_norm`.

    Parameters
    ----------
    arrays : list of array
    max_norm : float
    check_isfinite : bool, default True
        Warn when the norm is not finite; the arrays are scaled all the same.

    Returns
    -------
    float
        The norm before scaling.
    """
    if not len(arrays):
        raise ValueError("arrays must not be empty: there is no norm to clip")
    parts = [
        as_array(x.data if isinstance(x, RowSparseArray) else x, f"arrays[{i}]") for i, x in enumerate(arrays)
    ]
    total = np.float32(0)
    for part in parts:
        total += np.float32(np.square(part, dtype=np.float64).sum())
    norm = float(np.sqrt(total))
    if check_isfinite and not math.isfinite(norm):
        warnings.warn(
            f"the global norm is {norm}; the arrays will hold nan or inf", UserWarning, stacklevel=2
        )
    scale = np.float32(max_norm) / (np.float32(norm) + np.float32(1e-8))
    scale = min(scale, np.float32(1)) if scale == scale else scale
    with np.errstate(invalid="ignore"):  # the warning above has said it
        for part in parts:
            np.multiply(part, part.dtype.type(scale), out=part)
    return norm
