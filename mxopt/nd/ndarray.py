"""NDArray: an ndarray that also has what MXNet's scripts expect of an array."""

from __future__ import annotations

import numpy as np

from ..arrays import as_array
from ..context import Context, memory_context
from ..sparse import RowSparseArray, row_ids
from . import arithmetic

_CPU = Context("cpu", 0)


class _Arrays(type):
    """Makes row-sparse arrays pass ``isinstance(grad, NDArray)``, since in MXNet they derive from it."""

    def __instancecheck__(cls, instance):
        return super().__instancecheck__(instance) or (cls is NDArray and type(instance) is RowSparseNDArray)


class NDArray(np.ndarray, metaclass=_Arrays):
    """A NumPy array that behaves like MXNet's; always a view of memory that NumPy can access.

    It differs from ``numpy.ndarray`` where custom optimizers written for MXNet rely on it:

    * a scalar never widens the dtype, not even a NumPy scalar (``float32_array * numpy.float64(2)``);
    * reductions and single elements have shape ``(1,)``, so `asscalar` works on them;
    * the result of a comparison acts in arithmetic as zeros and ones of the array's own dtype;
    * an array of floats can serve as an index;
    * ``if array:`` tests the value of a single element; an array with more elements is true, unless it is the
      result of a comparison, where the test is ambiguous and raises.
    """

    _context = _CPU
    stype = "default"
    grad = None

    @property
    def array_type(self):
        """The class of an optimizer's states for it, also for subclasses."""
        return NDArray

    def __array_finalize__(self, source):
        context = getattr(source, "_context", _CPU)
        if context is not _CPU:
            self._context = context

    # -- what MXNet's arrays say about themselves ----------------------------------------------------

    @property
    def context(self):
        """The device it was made for; all of them are the CPU's memory."""
        return self._context

    ctx = device = context

    @property
    def handle(self):
        """Its address (MXNet: a handle of the C library)."""
        return self.ctypes.data

    def asnumpy(self):
        """A copy as a plain ndarray."""
        return np.array(self)

    def asscalar(self):
        """The only element, as a NumPy scalar."""
        if self.size != 1:
            raise ValueError(f"asscalar() needs an array of one element, got shape {self.shape}")
        return self.view(np.ndarray).reshape(-1)[0]

    def as_np_ndarray(self):
        """A plain ndarray over the same memory (MXNet: an ``mx.np`` array)."""
        return self.view(np.ndarray)

    def as_nd_ndarray(self):
        """Itself."""
        return self

    def as_in_context(self, context):
        """Itself if it is there already, else a copy labelled with the other context."""
        return self if context == self.context else self.copyto(context)

    as_in_ctx = to_device = as_in_context

    def copyto(self, other):
        """Copy into an array, or to a context as a new array.

        Parameters
        ----------
        other : NDArray or Context
        """
        if isinstance(other, Context):
            made = self.copy()
            made._context = memory_context(other)
            return made
        if other is self:
            return other
        _check_copy(self, other)
        if isinstance(other, RowSparseArray):
            view(other)[:] = self
        else:
            np.copyto(other, self, casting="unsafe")
        return other

    def tostype(self, stype):
        """Itself, or its non-zero rows as a row-sparse array."""
        if stype == "default":
            return self
        if stype == "row_sparse":
            return RowSparseNDArray.from_dense(self)
        raise ValueError(f"stype must be 'default' or 'row_sparse', got {stype!r}")

    def wait_to_read(self):
        """Nothing to wait for: every operation is complete when it returns."""

    wait_to_write = wait_to_read

    def detach(self):
        """Itself: there is no gradient tape."""
        return self

    def attach_grad(self, *_args, **_kwargs):
        """Refused: mxopt computes no gradients."""
        raise NotImplementedError(
            "mxopt has no autograd; compute the gradient with a library that has, and hand it to the updater"
        )

    backward = attach_grad

    # -- arithmetic ----------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        operand = np.asarray if ufunc in _LOGICAL else _operand
        inputs = [operand(x) for x in inputs]
        if method == "__call__" and arithmetic.differs(ufunc, inputs) and operand is _operand:
            found = arithmetic.compute(ufunc, *inputs)
            if out is None:
                return _wrapped(found, self._context)
            np.copyto(np.asarray(out[0]), found, casting="unsafe")
            return out[0]
        if out is None:
            return _wrapped(getattr(ufunc, method)(*inputs, **kwargs), self._context)
        getattr(ufunc, method)(*inputs, out=tuple(map(np.asarray, out)), **kwargs)
        return out[0] if len(out) == 1 else out

    def __lt__(self, other):
        return self._compare(np.less, other)

    def __le__(self, other):
        return self._compare(np.less_equal, other)

    def __gt__(self, other):
        return self._compare(np.greater, other)

    def __ge__(self, other):
        return self._compare(np.greater_equal, other)

    def __eq__(self, other):
        return False if other is None else self._compare(np.equal, other)

    def __ne__(self, other):
        return True if other is None else self._compare(np.not_equal, other)

    def __hash__(self):
        return id(self) // 16

    def _compare(self, ufunc, other):
        if isinstance(other, RowSparseArray):
            other = other.todense()
        found = np.asarray(arithmetic.compute(ufunc, _operand(self), _operand(other))).view(Comparison)
        found._number = self.dtype
        return found

    def __bool__(self):
        return bool(self.asscalar()) if self.size == 1 else self.size > 0

    def __float__(self):
        return float(self.asscalar())

    def __int__(self):
        return int(self.asscalar())

    def __format__(self, spec):
        return format(self.asscalar(), spec) if spec and self.size == 1 else format(str(self), spec)

    def __index__(self):
        if self.dtype.kind not in "iu":
            raise TypeError(f"only an integer array of one element can be an index, got {self.dtype}")
        return int(self.asscalar())

    # -- elements ------------------------------------------------------------------------------------

    def __getitem__(self, key):
        """A view of elements that follow each other in memory, else a copy, as in MXNet."""
        key = _index(key)
        found = np.ndarray.__getitem__(self, key)
        if not (isinstance(found, np.ndarray) and found.ndim):
            return self._single(key)
        if type(key) is int or (type(key) is slice and key.step is None):
            return found
        if self.flags.c_contiguous:
            whole = found.flags.c_contiguous
        else:  # MXNet's arrays never are, so what counts is where the elements would be
            whole = np.empty(self.shape, np.bool_)[key].flags.c_contiguous
        return found if whole else found.copy()

    def _single(self, key):
        """One element as a view of shape (1,): MXNet's arrays have no zero dimensions."""
        if not self.ndim:
            return self.reshape(1)
        last = key[-1] if isinstance(key, tuple) else key
        one = slice(last, last + 1 if last != -1 else None)
        return np.ndarray.__getitem__(self, (*key[:-1], one) if isinstance(key, tuple) else one)

    def take(self, indices, axis=0, out=None, mode="clip"):
        """Slices by number; numbers may be floats, as MXNet's indices usually are."""
        return np.ndarray.take(self, _index(np.asarray(indices)), axis=axis, out=out, mode=mode)

    def __setitem__(self, key, value):
        if isinstance(value, RowSparseArray):
            value = value.todense()
        if isinstance(value, (np.ndarray, list)) and np.size(value) == 1:
            value = np.asarray(value).reshape(())  # NumPy requires it for a single element
        self.view(np.ndarray)[_index(key)] = value  # NumPy itself would write into what __getitem__ gives

    def __repr__(self):
        shape = "x".join(map(str, self.shape))
        return f"\n{np.asarray(self)}\n<{NDArray.__name__} {shape} @{self.context}>"

    __str__ = __repr__


def _in_place(name):
    plain = getattr(np.ndarray, name)

    def method(self, other):
        return plain(self, other.todense() if isinstance(other, RowSparseArray) else other)

    return method


# In place with a row-sparse array: NumPy would give up, and Python would bind the name to a new array.
for _name in ("__iadd__", "__isub__", "__imul__", "__itruediv__", "__imod__"):
    setattr(NDArray, _name, _in_place(_name))


_LOGICAL = frozenset(
    [
        np.logical_and,
        np.logical_or,
        np.logical_xor,
        np.logical_not,
        np.bitwise_and,
        np.bitwise_or,
        np.bitwise_xor,
        np.invert,
    ]
)


class Comparison(NDArray):
    """The result of a comparison: a mask that acts as zeros and ones in arithmetic and has no truth value."""

    _number = np.dtype(np.float32)

    def __array_finalize__(self, source):
        NDArray.__array_finalize__(self, source)
        self._number = getattr(source, "_number", self._number)

    def asnumpy(self):
        """Zeros and ones in the dtype of what was compared, as a plain ndarray."""
        return np.asarray(self).astype(self._number)

    def __bool__(self):
        if self.size > 1:
            raise ValueError(
                "the truth value of a comparison of several elements is ambiguous; "
                "reduce it first, for instance with .min() or .max()"
            )
        return NDArray.__bool__(self)


class State(NDArray):
    """A state that the updater passes to a custom optimizer: ``if state:`` asks whether there is one.

    It is true even for a single element that is still zero, where MXNet tests the value of the element.
    """

    def __bool__(self):
        return True

    def __getitem__(self, key):
        return super().__getitem__(key).view(NDArray)


class RowSparseNDArray(RowSparseArray):
    """A row-sparse array whose parts are NDArrays, as custom optimizers expect them.

    Arithmetic is MXNet's: `mxopt.nd.rows` says which results stay row-sparse. Its numbers may be of any
    dtype; optimizers take only float dtypes.
    """

    __slots__ = ("_context",)

    _floats_only = False
    _num_aux = 1
    grad = None

    def __init__(self, data, indices, shape):
        super().__init__(data, indices, shape)
        self.data = view(self.data)
        self.indices = view(self.indices)

    def todense(self):
        """The whole tensor as an NDArray, absent rows zero."""
        return view(super().todense())

    def asnumpy(self):
        """The whole tensor as a plain ndarray, absent rows zero."""
        return np.asarray(self.todense())

    def tostype(self, stype):
        """Itself for ``'row_sparse'``, the dense tensor for ``'default'``."""
        return super().tostype(stype)

    @property
    def context(self):
        """The device it was made for; all of them are the CPU's memory."""
        return getattr(self, "_context", _CPU)

    ctx = device = context

    def astype(self, dtype, copy=True):
        """The same rows in another dtype; itself if the dtype is its own and `copy` is False."""
        return self if not copy and np.dtype(dtype) == self.dtype else super().astype(dtype)

    def as_in_context(self, context):
        """Itself if it is there already, else a copy labelled with the other context."""
        return self if context == self.context else self.copyto(context)

    as_in_ctx = to_device = as_in_context

    def check_format(self, full_check=True):
        """Nothing to check: the array was checked when it was made."""

    def retain(self, indices):
        """The rows named by `indices`, as a new array; absent rows become zeros.

        Parameters
        ----------
        indices : integer array or list; of float numbers the integer part, as MXNet takes them
        """
        wanted = np.unique(row_ids(indices, "indices"))
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < self.shape[0]:
            raise IndexError(f"indices must be within 0..{self.shape[0] - 1}, got {wanted.tolist()}")
        data = np.zeros((len(wanted), *self.shape[1:]), self.dtype)
        stored = np.isin(wanted, self.indices)
        data[stored] = np.asarray(self.data)[np.searchsorted(self.indices, wanted[stored])]
        return RowSparseNDArray._trusted(view(data), view(wanted), self.shape)

    def copyto(self, other):
        """Copy into another array, or to a context as a new array.

        Parameters
        ----------
        other : array or Context
            It must have the same shape; a row-sparse one takes over these rows.
        """
        if isinstance(other, Context):
            made = self.copy()
            made._context = memory_context(other)
            return made
        if other is self:
            return other
        _check_copy(self, other)
        if isinstance(other, RowSparseArray):
            like = view if isinstance(other, RowSparseNDArray) else np.asarray
            other.data, other.indices = like(self.data.astype(other.dtype)), like(self.indices.copy())
        else:
            np.copyto(other, self.todense(), casting="unsafe")
        return other

    def __getitem__(self, key):
        if not (isinstance(key, slice) and key == slice(None)):
            raise IndexError(
                f"only [:] can be asked of a row-sparse array, got [{key!r}]; use .tostype('default')[...], "
                "or retain for some of its rows"
            )
        return self

    def __setitem__(self, key, value):
        if not (isinstance(key, slice) and key == slice(None)):
            raise IndexError(f"only [:] can be assigned in a row-sparse array, got [{key!r}]")
        if np.isscalar(value):  # stores every row, also those that are zero now
            new = np.full(self.shape, value, self.dtype), np.arange(self.shape[0])
        else:
            if not isinstance(value, RowSparseArray):
                value = RowSparseNDArray.from_dense(value)
            if value.shape != self.shape:
                raise ValueError(f"an array of shape {self.shape} must be assigned, got {value.shape}")
            new = value.data.astype(self.dtype), value.indices.copy()
        self.data, self.indices = map(view, new)

    def __iter__(self):
        raise TypeError("a row-sparse array cannot be iterated over; use .tostype('default')")

    def __bool__(self):
        if self.size > 1:
            raise ValueError("the truth value of an array of several elements is ambiguous")
        return bool(self.todense())

    def __repr__(self):
        return f"\n<{type(self).__name__} {'x'.join(map(str, self.shape))} @{self.context}>"

    __hash__ = object.__hash__


class StoredRows(NDArray):
    """A row-sparse array that stores every row, over the memory of its values.

    Optimizers see row-sparse weights, and the states of such weights, as these.
    """

    stype = "row_sparse"

    @property
    def array_type(self):
        """The class of its states that have rows."""
        return StoredRows

    @property
    def indices(self):
        """All rows."""
        return view(np.arange(len(self)))

    def tostype(self, stype):
        """The dense array over the same memory for ``'default'``, its non-zero rows for ``'row_sparse'``."""
        return np.asarray(self).view(NDArray).tostype(stype)


def stored_rows(x):
    """The values of a row-sparse weight, whose absent rows are stored as zeros from now on."""
    return x.whole().view(StoredRows)


def view(x):
    """The same memory as an NDArray (row-sparse: as a `RowSparseNDArray`).

    Parameters
    ----------
    x : None, array of any library, or RowSparseArray
    """
    if isinstance(x, NDArray) or x is None:
        return x
    if isinstance(x, np.ndarray):
        return x.view(NDArray)
    if isinstance(x, RowSparseArray):
        return RowSparseNDArray._trusted(view(x.data), view(x.indices), x.shape)
    return as_array(x, "array", writable=False).view(NDArray)


def view_state(state):
    """A state as a custom optimizer expects it: with its arrays as `State`, and everything else unchanged.

    The same object is returned when nothing had to change, and lists are changed in place, because the
    optimizer may put new objects into them.
    """
    if isinstance(state, np.ndarray):
        return state if type(state) is State else state.view(State)
    if isinstance(state, list):
        state[:] = [view_state(part) for part in state]
    elif type(state) is tuple:
        parts = tuple(view_state(part) for part in state)
        return parts if any(new is not old for new, old in zip(parts, state)) else state
    elif type(state) is RowSparseArray:
        return view(state)
    return state


def _check_copy(array, other):
    shape = getattr(other, "shape", None)
    if shape != array.shape:
        got = shape or type(other).__name__
        raise ValueError(f"copyto needs an array of equal shape, {array.shape}, got {got}")


def _operand(x):
    """The operands for NumPy: plain arrays, and scalars that do not widen."""
    if isinstance(x, Comparison) and x.dtype.kind == "b":
        return x.asnumpy()
    if isinstance(x, np.ndarray) and isinstance(x, NDArray):
        return x.view(np.ndarray)
    return x.item() if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and not x.ndim) else x


def _wrapped(result, context):
    if type(result) is np.ndarray:
        result = result.view(NDArray)
        if context is not _CPU:
            result._context = context
        return result
    return tuple(_wrapped(part, context) for part in result) if isinstance(result, tuple) else result


def _index(key):
    """An index with its arrays of floats, which are usual in MXNet, as integers."""
    if isinstance(key, np.ndarray) and key.dtype.kind == "f":
        return key.view(np.ndarray).astype(np.int64)
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    return key
