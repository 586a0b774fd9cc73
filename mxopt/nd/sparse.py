"""``mx.nd.sparse``: row-sparse arrays under MXNet's names."""

from __future__ import annotations

import numpy as np

from .. import namespace
from ..context import memory_context
from ..sparse import RowSparseArray, row_ids
from . import ops
from .ndarray import RowSparseNDArray, view

BaseSparseNDArray = RowSparseArray

#: update operators that MXNet also has here
UPDATES = ("adagrad_update", "adam_update", "ftrl_update", "sgd_mom_update", "sgd_update")


def row_sparse_array(arg1, shape=None, ctx=None, dtype=None):
    """Make a row-sparse array.

    Parameters
    ----------
    arg1 : (data, indices), a shape, a dense array, or a row-sparse array
        A pair of values and row numbers; a tuple of integers makes an array without rows; from a dense array
        the rows that are not all zero are kept.
    shape : tuple of int, optional
        The logical shape of a pair; by default it ends with the last row named. For anything else it must be
        the array's own.
    ctx : Context, optional
    dtype : optional
        By default that of the values, if they are an array, else float32.

    Raises
    ------
    IndexError
        For rows outside the shape, and for row numbers in a float dtype that cannot hold them exactly.
    """
    made = _made(arg1, shape, dtype)
    made._context = memory_context(ctx)
    return made


def _made(arg1, shape, dtype):
    if isinstance(arg1, tuple) and len(arg1) == 2 and not all(map(_is_length, arg1)):
        data, indices = arg1
        data, indices = _values(data, dtype), row_ids(indices, "indices")
        if shape is None:
            shape = (int(indices.max(initial=-1)) + 1, *data.shape[1:])
        return RowSparseNDArray(data, indices, shape)
    if isinstance(arg1, RowSparseArray):
        made = view(arg1.copy())
        made = made if dtype is None else made.astype(ops._dtype(dtype))
    elif isinstance(arg1, tuple) and all(map(_is_length, arg1)):
        made = ops.zeros(arg1, None, dtype, "row_sparse")
    else:
        made = RowSparseNDArray.from_dense(np.atleast_1d(_values(arg1, dtype)))
    if shape is not None and tuple(shape) != made.shape:
        raise ValueError(f"shape must be that of the array, {made.shape}, got {tuple(shape)}")
    return made


def _is_length(x):
    return isinstance(x, (int, np.integer))


def zeros(stype, shape, ctx=None, dtype=None):
    """An array of zeros; row-sparse ones have no rows."""
    if stype not in ("row_sparse", "default"):
        raise ValueError(f"stype must be 'row_sparse' or 'default', got {stype!r}; mxopt has no CSR arrays")
    return ops.zeros(shape, ctx, dtype, stype)


empty = zeros


def array(source_array, ctx=None, dtype=None):
    """A copy of a row-sparse array."""
    if not isinstance(source_array, RowSparseArray):
        raise ValueError(
            f"sparse.array copies a row-sparse array, got {type(source_array).__name__}; use nd.array, or "
            "sparse.row_sparse_array to make one"
        )
    return row_sparse_array(source_array, ctx=ctx, dtype=dtype)


def retain(data, indices, out=None):
    """The rows of a row-sparse array named by `indices`; absent rows become zeros.

    Parameters
    ----------
    data : RowSparseNDArray
    indices : array of integers, or of float numbers, of which MXNet takes the integer part
    out : array, optional
    """
    if not isinstance(data, RowSparseArray):
        raise TypeError(f"retain takes a row-sparse array, got {type(data).__name__}")
    return ops._give(view(data).retain(indices), out)


def _values(data, dtype):
    if dtype is None and isinstance(data, (np.ndarray, np.generic)):
        return np.array(data, subok=False)
    return np.array(data, ops._dtype(dtype), subok=False)


#: functions of `mxopt.nd` that MXNet also has here, under the same names
_SAME = [
    "abs",
    "add_n",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "cast_storage",
    "cbrt",
    "ceil",
    "clip",
    "concat",
    "cos",
    "cosh",
    "degrees",
    "dot",
    "elemwise_add",
    "elemwise_div",
    "elemwise_mul",
    "elemwise_sub",
    "exp",
    "expm1",
    "fix",
    "floor",
    "log",
    "log10",
    "log1p",
    "log2",
    "mean",
    "negative",
    "norm",
    "radians",
    "relu",
    "rint",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "slice",
    "sqrt",
    "square",
    "stop_gradient",
    "sum",
    "take",
    "tan",
    "tanh",
    "trunc",
    "where",
    "zeros_like",
    "broadcast_add",
    "broadcast_sub",
    "broadcast_mul",
    "broadcast_div",
    "ElementWiseSum",
]
globals().update({name: getattr(ops, name) for name in _SAME})
add, subtract, multiply, divide = ops._same_storage(["add", "subtract", "multiply", "divide"])
__all__ = ["add", "array", "divide", "empty", "multiply", "retain", "row_sparse_array", "subtract", "zeros"]
__all__ += ["BaseSparseNDArray", "RowSparseNDArray", *_SAME]
__getattr__ = namespace.missing_from(__name__, namespace.ARRAYS)
