"""``mx.nd.sparse``: row-sparse arrays under MXNet's names."""

from __future__ import annotations

import numpy as np

from .. import namespace
from ..arrays import is_float
from ..context import memory_context
from ..sparse import RowSparseArray
from . import ops
from .ndarray import NDArray, RowSparseNDArray, view

BaseSparseNDArray = RowSparseArray

#: update operators that MXNet also has here
UPDATES = ("adagrad_update", "adam_update", "ftrl_update", "sgd_mom_update", "sgd_update")


def row_sparse_array(arg1, shape=None, ctx=None, dtype=None):
    """Make a row-sparse array.

    Parameters
    ----------
    arg1 : (data, indices), a shape, a dense array, or a row-sparse array
        A pair of values and row numbers; a tuple of integers makes an array without rows; of a dense array
        the rows that are not all zero are kept.
    shape : tuple of int, optional
        For a pair: the logical shape; by default it ends with the last row named.
    dtype : optional
        By default the dtype of the values if that is a float dtype of an array, else float32.
    """
    memory_context(ctx)
    if isinstance(arg1, RowSparseArray):
        made = view(arg1.copy())
        return made if dtype is None else made.astype(dtype)
    if isinstance(arg1, tuple) and all(isinstance(length, (int, np.integer)) for length in arg1):
        return zeros("row_sparse", arg1, ctx, dtype)
    if isinstance(arg1, tuple):
        data, indices = arg1
        data = _values(data, dtype)
        if shape is None:
            last = max(np.asarray(indices).tolist(), default=-1)
            shape = (last + 1, *data.shape[1:])
        return RowSparseNDArray(data, _rows(indices), shape)
    dense = np.atleast_1d(_values(arg1, dtype))
    if shape is not None and tuple(shape) != dense.shape:
        raise ValueError(f"shape must be that of the dense array, {dense.shape}, got {tuple(shape)}")
    rows = np.flatnonzero(dense.reshape(len(dense), -1).any(axis=1))
    return RowSparseNDArray(dense[rows], rows, dense.shape)


def zeros(stype, shape, ctx=None, dtype=None):
    """An array of zeros; row-sparse ones have no rows."""
    if stype not in ("row_sparse", "default"):
        raise ValueError(f"stype must be 'row_sparse' or 'default', got {stype!r}; mxopt has no CSR arrays")
    return ops.zeros(shape, ctx, dtype, stype)


empty = zeros


def array(source_array, ctx=None, dtype=None):
    """A copy of a row-sparse array."""
    if not isinstance(source_array, RowSparseArray):
        raise TypeError("sparse.array needs a row-sparse array; use row_sparse_array to make one")
    return row_sparse_array(source_array, ctx=ctx, dtype=dtype)


def retain(data, indices, out=None):
    """Those of its rows that `indices` names."""
    kept = view(data).retain(_rows(indices))
    return kept if out is None else kept.copyto(out)


def _rows(indices):
    """Row numbers; MXNet's own are float32 when they come from ``nd.array``."""
    if isinstance(indices, NDArray) and indices.dtype.kind == "f":
        whole = indices.view(np.ndarray).astype(np.int64)
        if (whole == indices.view(np.ndarray)).all():
            return whole
    return indices


def _values(data, dtype):
    if dtype is None and isinstance(data, np.ndarray) and is_float(data.dtype):
        return np.array(data, subok=False)
    return np.array(data, ops._dtype(dtype), subok=False)


abs, sign, sqrt, square = ops.abs, ops.sign, ops.sqrt, ops.square
dot, elemwise_add, norm, sum, where, zeros_like = (
    ops.dot,
    ops.elemwise_add,
    ops.norm,
    ops.sum,
    ops.where,
    ops.zeros_like,
)
__getattr__ = namespace.missing_from(__name__, namespace.ARRAYS)
