"""Row-sparse gradients: some rows of a tensor, checked and summed once, when the array is made."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from .arrays import as_array, is_float, is_mxnet
from .context import Context
from .kernels import get_num_threads, group_rows, sum_rows

#: Below this many elements a second thread costs more than it gains.
_SERIAL_BELOW = 65536


class RowSparseArray:
    """Some rows of a dense array whose other rows are zero.

    The constructor establishes everything that the kernels rely on: `indices` are int64, within the rows of
    `shape`, and strictly ascending; `data` holds one C-contiguous row for each of them. Arguments that meet
    this already are kept by reference (no copy); the check costs one pass over the indices.

    Unsorted rows are sorted. The values of a row that occurs several times are summed **in order of
    appearance**, left to right, in the data's own dtype; float16 and bfloat16 are summed in float32 and
    rounded once. The sum has the same bits on every machine and for every number of threads.

    Parameters
    ----------
    data : array of shape ``(k, *shape[1:])``
        The values of the rows; float16, bfloat16, float32 or float64.
    indices : integer array of shape (k,)
        The row that each of them belongs to.
    shape : tuple of int
        The logical shape.

    Examples
    --------
    >>> import numpy as np
    >>> grad = RowSparseArray(np.ones((3, 2), "float32"), np.array([4, 1, 4]), shape=(5, 2))
    >>> grad.indices
    array([1, 4])
    >>> grad.data
    array([[1., 1.],
           [2., 2.]], dtype=float32)
    """

    __slots__ = ("data", "indices", "shape")
    __array_ufunc__ = None  # ndarray * RowSparseArray is an error, not an array of objects

    stype = "row_sparse"

    #: Whether `data` must be what optimizers step: numbers of a float dtype.
    _floats_only = True

    def __init__(self, data: Any, indices: Any, shape: tuple[int, ...]) -> None:
        self.shape = _checked_shape(shape)
        data = as_array(data, "data", writable=False)
        if self._floats_only:
            _check_float(data.dtype)
        data = _checked_data(data, self.shape)
        indices = _checked_indices(indices, len(data))
        if len(indices) and not (indices[1:] > indices[:-1]).all():
            _check_bounds(int(indices.min()), int(indices.max()), self.shape)
            data, indices = _coalesce(data, indices)
        elif len(indices):
            _check_bounds(int(indices[0]), int(indices[-1]), self.shape)
        self.data = data
        self.indices = indices

    @classmethod
    def _trusted(cls, data, indices, shape):
        """Make an array of parts that are known to be valid."""
        self = cls.__new__(cls)
        self.data, self.indices, self.shape = data, indices, shape
        return self

    @classmethod
    def from_dense(cls, dense):
        """The rows of an array that are not all zero.

        Parameters
        ----------
        dense : array of shape ``(n, ...)``

        Returns
        -------
        RowSparseArray
            Shares no memory with `dense`.
        """
        dense = np.asarray(dense)
        rows = np.flatnonzero(dense.reshape(len(dense), dense.size // max(len(dense), 1)).any(axis=1))
        return cls(dense[rows], rows, dense.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions of the logical shape."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements of the logical shape."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def context(self):
        """Where the values are: always the CPU."""
        return Context("cpu", 0)

    ctx = device = context

    def whole(self):
        """The values of all rows, as its own memory: absent rows are stored as zeros from now on.

        This is how a row-sparse weight is stepped; it changes no number.
        """
        if len(self.indices) != self.shape[0]:
            dense, rows = np.asarray(self.todense()), np.arange(self.shape[0])
            self.data, self.indices = dense.view(type(self.data)), rows.view(type(self.indices))
        return np.asarray(self.data)

    def todense(self) -> np.ndarray:
        """The whole tensor as an ndarray, absent rows zero."""
        dense = np.zeros(self.shape, self.dtype)
        dense[self.indices] = self.data
        return dense

    asnumpy = todense

    def tostype(self, stype: str) -> Any:
        """Itself for ``'row_sparse'``, the dense tensor for ``'default'``.

        Parameters
        ----------
        stype : {'default', 'row_sparse'}
            The storage type.
        """
        if stype == "row_sparse":
            return self
        if stype == "default":
            return self.todense()
        raise ValueError(f"stype must be 'row_sparse' or 'default', got {stype!r}")

    def copy(self) -> RowSparseArray:
        """A copy that shares no memory."""
        return self._trusted(self.data.copy(), self.indices.copy(), self.shape)

    def astype(self, dtype: Any, copy: bool = True) -> RowSparseArray:
        """The same rows in another float dtype.

        Parameters
        ----------
        dtype : dtype
            The new dtype.
        copy : bool, default True
            Whether to copy when the dtype is the same already.
        """
        data = self.data.astype(dtype, copy=copy)
        if self._floats_only:
            _check_float(data.dtype)
        return self._trusted(data, self.indices.copy() if copy else self.indices, self.shape)

    def retain(self, indices: Any) -> RowSparseArray:
        """The rows named by `indices`, as a new array; absent rows are ignored."""
        keep = np.isin(self.indices, _checked_indices(indices, None))
        return self._trusted(self.data[keep], self.indices[keep], self.shape)

    def wait_to_read(self) -> None:
        """Nothing to wait for: every operation has finished when it returns."""

    def __mul__(self, number: float) -> RowSparseArray:
        if not np.isscalar(number):
            return NotImplemented
        return self._trusted(_scaled(self.data, number), self.indices.copy(), self.shape)

    __rmul__ = __mul__

    def __imul__(self, number: float) -> RowSparseArray:
        if not np.isscalar(number):
            return NotImplemented
        self.data[...] = _scaled(self.data, number)
        return self

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self):
        shape = "x".join(map(str, self.shape))
        return f"<{type(self).__name__} {shape} {self.dtype}, {len(self.indices)} rows stored>"

    def __reduce__(self):
        return type(self)._trusted, (self.data, self.indices, self.shape)


def as_gradient(x: Any, name: str = "gradient") -> np.ndarray | RowSparseArray:
    """View a gradient: an ndarray for a dense one, a `RowSparseArray` for one that holds rows.

    Besides mxopt's own, rows are understood from a real MXNet ``RowSparseNDArray`` and from a torch COO
    tensor whose only sparse dimension is the first (what ``torch.nn.Embedding(sparse=True)`` gives).
    Gradients are only read, so read-only ones are accepted.
    """
    if type(x) is np.ndarray or isinstance(x, RowSparseArray):
        return x
    if is_mxnet(x) and x.stype == "row_sparse":
        return RowSparseArray(as_array(x.data, name), as_array(x.indices, name), x.shape)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor) and x.is_sparse and x.sparse_dim() == 1:
        return RowSparseArray(x._values(), x._indices()[0], x.shape)
    return as_array(x, name, writable=False)


def row_ids(ids, name="row ids"):
    """Row numbers as int64, from integers or from the floats that MXNet's scripts use.

    MXNet cuts fractions off. Floats at or beyond the point where adjacent integers can no longer be told
    apart (2**24 in float32, 2**53 in float64) are refused, because they may name the wrong row.

    Parameters
    ----------
    ids : array, or list of int
        Of any shape.
    name : str
        What messages call them.
    """
    if isinstance(ids, (list, tuple)):
        ids = np.asarray(ids if len(ids) else np.empty(0, np.int64))
    ids = as_array(ids, name, writable=False)
    if is_float(ids.dtype):
        limit = 2 ** _DIGITS[ids.dtype.name]
        wide = ids.astype(np.float64)
        if not np.isfinite(wide).all():
            raise IndexError(f"{name} must be row numbers, got {wide[~np.isfinite(wide)].flat[0]}")
        if wide.size and np.abs(wide).max() >= limit:
            raise IndexError(
                f"{name} has {int(np.abs(wide).max())} in {ids.dtype}, which tells row numbers apart only "
                f"below {limit}; make the array with dtype='int64'"
            )
        ids = wide.astype(np.int64)
    return _checked_indices(ids.reshape(-1), None)


#: Significant bits of each float dtype.
_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def all_finite(gradients: Iterable[Any]) -> bool:
    """Whether every element of the gradients is finite; takes what `as_gradient` takes."""
    gradients = map(as_gradient, gradients)
    return all(np.isfinite(g.data if isinstance(g, RowSparseArray) else g).all() for g in gradients)


def _scaled(data, number):
    return np.multiply(data, data.dtype.type(number))


def _checked_shape(shape):
    try:
        shape = tuple(operator.index(length) for length in shape)
    except TypeError:
        raise TypeError(f"shape must be a tuple of integers, got {shape!r}") from None
    if not shape or min(shape) < 0:
        raise ValueError(f"shape must have at least one dimension and no negative length, got {shape}")
    return shape


def _check_float(dtype):
    if not is_float(dtype):
        raise TypeError(
            f"data must be float16, bfloat16, float32 or float64, got {dtype}; "
            "cast it with .astype('float32')"
        )


def _checked_data(data, shape):
    if data.ndim != len(shape) or data.shape[1:] != shape[1:]:
        expected = ", ".join(["k", *map(str, shape[1:])])
        raise ValueError(
            f"data must hold whole rows of shape {shape}, so its shape must be ({expected}), got {data.shape}"
        )
    return np.ascontiguousarray(data)


def _checked_indices(indices, count):
    if isinstance(indices, (list, tuple)):
        indices = np.asarray(indices if len(indices) else np.empty(0, np.int64))
    indices = as_array(indices, "indices", writable=False)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, got {indices.dtype}; cast them with .astype('int64')")
    if indices.ndim != 1:
        raise ValueError(f"indices must be one-dimensional, got shape {indices.shape}; use .ravel()")
    if count is not None and len(indices) != count:
        raise ValueError(
            f"indices must name one row for each of the {count} rows of data, got {len(indices)} indices"
        )
    if indices.dtype == np.uint64 and len(indices) and indices.max() > np.iinfo(np.int64).max:
        raise IndexError(f"row index {indices.max()} is too large for int64")
    return np.ascontiguousarray(indices, np.int64)


def _check_bounds(low, high, shape):
    if low < 0:
        raise IndexError(f"row index {low} is negative; indices must be within 0..{shape[0] - 1}")
    if high >= shape[0]:
        raise IndexError(
            f"row index {high} is outside the {shape[0]} rows of shape {shape}; "
            f"indices must be within 0..{shape[0] - 1}"
        )


def _coalesce(data, indices):
    """Sort rows and sum repeated ones in order of appearance."""
    order = _stable_order(indices)
    starts, rows = group_rows(indices, order)
    if len(rows) == len(indices):
        return data.take(order, axis=0), rows
    flat = data.reshape(len(data), data.size // len(data))
    if not is_float(data.dtype):  # exact in any order
        sums = np.add.reduceat(flat.take(order, axis=0), starts, axis=0, dtype=data.dtype)
        return sums.reshape(len(starts), *data.shape[1:]), rows
    flat = flat.astype(np.float32) if data.dtype.itemsize == 2 else flat
    sums = np.empty((len(starts), flat.shape[1]), flat.dtype)
    sum_rows(flat, order, starts, sums, get_num_threads() if flat.size >= _SERIAL_BELOW else 1)
    return sums.astype(data.dtype, copy=False).reshape(len(starts), *data.shape[1:]), rows


def _stable_order(indices):
    """``argsort(kind='stable')``.

    Sorting one int64 that holds the row and, below it, the position is stable by construction and uses
    NumPy's vectorised sort: several times faster than ``argsort(kind='stable')``.
    """
    bits = (len(indices) - 1).bit_length()
    if int(indices.max()).bit_length() + bits > 63:
        return np.argsort(indices, kind="stable")
    keys = (indices << bits) | np.arange(len(indices))
    keys.sort()
    keys &= (1 << bits) - 1
    return keys
