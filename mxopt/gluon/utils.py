"""Utilities of gluon scripts."""

from __future__ import annotations

from ..clipping import clip_global_norm
from ..nd import array, view

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
            f"{batch_axis}; use a batch size that can, or even_split=False"
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
