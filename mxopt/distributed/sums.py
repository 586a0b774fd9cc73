"""Sums over ranks, always from the first rank to the last."""

from __future__ import annotations

import numpy as np

from ..microbatches import summed_dtype
from ..sparse import RowSparseArray

#: From this many bytes on, each rank sums one part for all; below, each rank sums everything.
_WORTH_PARTS = 1 << 16


def sum_over(ranks, array):
    """The sum over ranks of an array, on all of them; 16-bit arrays are summed to float32.

    Parameters
    ----------
    ranks : Ranks
    array : ndarray or RowSparseArray
        Of the same shape, dtype and storage on every rank.
    """
    if ranks.size == 1:
        return array
    dtype = summed_dtype(array.dtype)
    if isinstance(array, RowSparseArray):
        ids = [np.frombuffer(came, np.int64) for came in ranks.gather_bytes(array.indices)]
        rows = ranks.gather_bytes(np.ascontiguousarray(array.data, dtype))
        data = [np.frombuffer(came, dtype).reshape(-1, *array.shape[1:]) for came in rows]
        # rows that several ranks have are summed in order of appearance, which is rank order
        return RowSparseArray(np.concatenate(data), np.concatenate(ids), array.shape)
    flat = np.ascontiguousarray(array, dtype).reshape(-1)
    if flat.nbytes < _WORTH_PARTS:
        parts = [np.frombuffer(came, dtype) for came in ranks.gather_bytes(flat)]
        return in_order(parts).reshape(array.shape)
    return _by_parts(ranks, flat).reshape(array.shape)


def _by_parts(ranks, flat):
    # each rank sums its part of the elements, and sends the sum to all
    size, rank, dtype = ranks.size, ranks.rank, flat.dtype
    cuts = [flat.size * r // size for r in range(size + 1)]
    counts = [(high - low) * dtype.itemsize for low, high in zip(cuts, cuts[1:])]
    came = np.empty(size * counts[rank], np.uint8)
    ranks.scatter(flat.view(np.uint8), counts, came, [counts[rank]] * size)
    total = in_order(came.view(dtype).reshape(size, -1))
    found = np.empty(flat.size, dtype)
    ranks.gather(total.view(np.uint8), found.view(np.uint8), counts)
    return found


def in_order(parts):
    """The sum of arrays, from the first to the last."""
    total = np.array(parts[0])
    for part in parts[1:]:
        total += part
    return total
