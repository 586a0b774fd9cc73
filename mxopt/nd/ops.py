"""The array functions that custom optimizers and training scripts call, over NumPy.

Every function takes ``out=`` as in MXNet: the result is written there, and that array is returned. Names,
argument names and defaults are MXNet's (``topk`` gives float32 indices, ``concat`` joins along dimension 1).
"""

from __future__ import annotations

import builtins
import functools
import math

import numpy as np

from .. import kernels
from ..context import memory_context
from ..sparse import RowSparseArray
from . import arithmetic, rows
from .ndarray import NDArray, RowSparseNDArray, _operand

_DEFAULT = np.float32


def _dtype(dtype):
    if dtype is None:
        return _DEFAULT
    if dtype == "bfloat16":
        from ..arrays import bfloat16

        return bfloat16()
    return np.dtype(dtype)


def _plain(x):
    """An operand as NumPy takes it; a row-sparse one becomes dense, a list an array of the default dtype."""
    if isinstance(x, RowSparseArray):
        return np.asarray(x.todense())
    if isinstance(x, (list, tuple)):
        return np.asarray(x, _DEFAULT)
    return _operand(x)


def _give(result, out=None):
    """The result as NDArray (a single number has shape (1,)), or written to `out`."""
    if rows.is_rows(result):
        return result if out is None or out is result else result.copyto(out)
    result = np.asarray(result)
    if not result.ndim:
        result = result.reshape(1)
    if out is None:
        return result.view(NDArray)
    if isinstance(out, RowSparseArray):
        out[:] = result
    else:
        out[...] = result.reshape(out.shape)
    return out


def _operator(compute):
    """Give a function on plain arrays MXNet's calling form: NDArrays in and out, and ``out=``."""

    @functools.wraps(compute)
    def operator(*args, out=None, name=None, **kwargs):
        args = [_plain(x) if isinstance(x, (np.ndarray, np.generic, RowSparseArray)) else x for x in args]
        for key, value in kwargs.items():
            if isinstance(value, (NDArray, RowSparseArray)):
                kwargs[key] = _plain(value)
        result = compute(*args, **kwargs)
        if out is None and getattr(result, "base", None) is not None:
            result = _own(result, args)
        return _give(result, out)

    return operator


def _own(view, args):
    """A result that may be a view, as an array of its own: MXNet's share no memory with the arguments."""
    shared = any(isinstance(x, np.ndarray) and np.may_share_memory(view, x) for x in args)
    return view.copy() if shared else view


# -- creation ----------------------------------------------------------------------------------------


def _placed(array, ctx):
    made = array.view(NDArray)
    made._context = memory_context(ctx)
    return made


def array(source_array, ctx=None, dtype=None):
    """A new array; float32 unless `source_array` is an NDArray or `dtype` says otherwise."""
    if isinstance(source_array, RowSparseArray):
        return source_array.copy()
    if dtype is None and isinstance(source_array, NDArray):
        dtype = source_array.dtype
    return _placed(np.array(source_array, _dtype(dtype), subok=False, order="C"), ctx)


def empty(shape, ctx=None, dtype=None, stype=None):
    """A new array, filled with zeros where MXNet's would be undefined."""
    return zeros(shape, ctx, dtype, stype)


def zeros(shape, ctx=None, dtype=None, stype=None, out=None, name=None):
    """An array of zeros; ``stype='row_sparse'`` gives one without rows."""
    if stype == "row_sparse":
        shape = (shape,) if np.isscalar(shape) else tuple(shape)
        memory_context(ctx)
        return RowSparseNDArray(np.empty((0, *shape[1:]), _dtype(dtype)), np.empty(0, np.int64), shape)
    return full(shape, 0, ctx, dtype, out)


def ones(shape, ctx=None, dtype=None, out=None, name=None):
    """An array of ones."""
    return full(shape, 1, ctx, dtype, out)


def full(shape, val, ctx=None, dtype=None, out=None):
    """An array filled with a number."""
    made = np.full((shape,) if np.isscalar(shape) else tuple(shape), _operand(val), _dtype(dtype))
    return _placed(made, ctx) if out is None else _give(made, out)


def arange(start, stop=None, step=1.0, repeat=1, infer_range=None, ctx=None, dtype=None):
    """Evenly spaced numbers, each repeated `repeat` times."""
    if stop is None:
        start, stop = 0, start
    return _placed(np.repeat(np.arange(start, stop, step, _dtype(dtype)), repeat), ctx)


def linspace(start, stop, num, endpoint=True, ctx=None, dtype=None):
    """`num` evenly spaced numbers over an interval."""
    return _placed(np.linspace(start, stop, num, endpoint, dtype=_dtype(dtype)), ctx)


def from_numpy(ndarray, zero_copy=True):
    """An NDArray over the memory of an ndarray, or a copy."""
    return ndarray.view(NDArray) if zero_copy else array(ndarray, dtype=ndarray.dtype)


def eye(N, M=0, k=0, ctx=None, dtype=None):
    """Ones on the k-th diagonal."""
    return _placed(np.eye(int(N), int(M) or None, int(k), dtype=_dtype(dtype)), ctx)


def zeros_like(data, out=None, name=None, ctx=None):
    """Zeros of the shape, dtype and storage type of another array, on its device whatever `ctx` says."""
    if ctx is not None:
        memory_context(ctx)  # refuses a GPU
    if isinstance(data, RowSparseArray):
        return _give(zeros(data.shape, None, data.dtype, "row_sparse"), out)
    return _give(np.zeros(data.shape, data.dtype), out)


def ones_like(data, out=None, name=None, ctx=None):
    """Ones of another array's shape and dtype, on its device whatever `ctx` says."""
    if ctx is not None:
        memory_context(ctx)  # refuses a GPU
    return _give(np.ones(data.shape, data.dtype), out)


def cast_storage(data, stype, out=None, name=None):
    """The same values in another storage type; see `NDArray.tostype`."""
    return _give(data.tostype(stype), out)


def waitall():
    """Nothing to wait for: every operation has finished when it returns."""


# -- elementwise -------------------------------------------------------------------------------------


def _rsqrt(x):
    return 1 / np.sqrt(x)


def _rcbrt(x):
    return 1 / np.cbrt(x)


def _relu(x):
    return np.maximum(x, 0)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _softsign(x):
    return x / (1 + np.abs(x))


def _softrelu(x):
    return np.logaddexp(x, 0).astype(x.dtype)


def _rint(x):
    low, high = np.floor(x), np.ceil(x)
    return np.where(x - low <= high - x, low, high)  # halves go down


def _round(x):
    return np.sign(x) * np.floor(np.abs(x) + x.dtype.type(0.5))  # halves go away from zero, as in C


_UNARY = {
    "abs": np.absolute,
    "cbrt": np.cbrt,
    "arccos": np.arccos,
    "arccosh": np.arccosh,
    "arcsin": np.arcsin,
    "arcsinh": np.arcsinh,
    "arctan": np.arctan,
    "arctanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "expm1": np.expm1,
    "fix": np.trunc,
    "floor": np.floor,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "negative": np.negative,
    "rcbrt": _rcbrt,
    "reciprocal": np.reciprocal,
    "relu": _relu,
    "rint": _rint,
    "round": _round,
    "rsqrt": _rsqrt,
    "sigmoid": _sigmoid,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "softrelu": _softrelu,
    "softsign": _softsign,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
    "degrees": np.degrees,
    "radians": np.radians,
}
_BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "modulo": np.mod,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "hypot": np.hypot,
}
_COMPARISONS = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "lesser": np.less,
    "lesser_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
# MXNet's other names of the same functions
_ALIASES = {
    "true_divide": "divide",
    "BlockGrad": "stop_gradient",
    "identity": "stop_gradient",
    "Concat": "concat",
    "cast": "Cast",
    "Reshape": "reshape",
    "Flatten": "flatten",
    "SwapAxis": "swapaxes",
    "sum_axis": "sum",
    "max_axis": "max",
    "min_axis": "min",
    "ElementWiseSum": "add_n",
    "negate": "negative",
    "broadcast_axes": "broadcast_axis",
    "broadcast_plus": "broadcast_add",
    "broadcast_minus": "broadcast_sub",
    "pow": "power",
}
#: The endings of MXNet's ``elemwise_`` and ``broadcast_`` functions, and the functions above that they mean.
_ELEMWISE = {"add": "add", "sub": "subtract", "mul": "multiply", "div": "divide"}
_BROADCAST = {
    **_ELEMWISE,
    "mod": "modulo",
    **{name: name for name in ("power", "maximum", "minimum", "hypot", *_COMPARISONS)},
}


def _unary(name, ufunc):
    def operator(data, out=None, name=None):
        if rows.is_rows(data) and function in rows.KEEP_ZEROS:
            return _give(rows.of_each(functools.partial(arithmetic.compute, ufunc), data), out)
        return _give(arithmetic.compute(ufunc, _array(data, function)), out)

    function = name
    return _named(operator, name, f"Elementwise {name}.")


def _numbers(name, ufunc, comparison):
    """The arithmetic of a function of two operands, plain arrays or numbers, in the arrays' dtype."""

    def compute(lhs, rhs):
        found = arithmetic.compute(ufunc, lhs, rhs)
        if comparison:
            found = found.astype(lhs.dtype if isinstance(lhs, np.ndarray) else rhs.dtype)
        return found

    return compute


def _binary(name, ufunc, comparison=False, same_storage=False):
    """``mx.nd.add`` and the like: arrays that broadcast, or an array and a number."""
    compute = _numbers(name, ufunc, comparison)

    def operator(lhs, rhs, out=None):
        if rows.is_rows(lhs) or rows.is_rows(rhs):
            found = rows.with_number(function, compute, lhs, rhs)
            if found is None and same_storage and hasattr(lhs, "shape") and hasattr(rhs, "shape"):
                found = rows.of_two(function, compute, lhs, rhs)
            if found is not None:
                return _give(found, out)
        lhs, rhs = _plain(lhs), _plain(rhs)
        if not (isinstance(lhs, np.ndarray) or isinstance(rhs, np.ndarray)):
            return ufunc(lhs, rhs)  # two numbers, as in mx.nd.maximum(1, 2)
        return _give(compute(lhs, rhs), out)

    function = name
    what = f"Elementwise {name}, with broadcasting"
    return _named(operator, name, f"{what}; zeros and ones." if comparison else f"{what}.")


def _between(name, function, ufunc, comparison=False, equal_shapes=False):
    """``mx.nd.broadcast_add``, ``mx.nd.elemwise_add`` and the like: two arrays, not numbers."""
    compute = _numbers(function, ufunc, comparison)

    def operator(lhs, rhs, out=None, name=None):
        for which, x in (("lhs", lhs), ("rhs", rhs)):
            if not hasattr(x, "shape") or isinstance(x, np.generic):
                raise TypeError(
                    f"{operator.__name__} takes two arrays, got {x!r} as {which}; use nd.{function}"
                )
        if equal_shapes:
            if lhs.shape != rhs.shape:
                raise ValueError(
                    f"{operator.__name__} takes arrays of one shape, got {lhs.shape} and {rhs.shape}; "
                    f"nd.broadcast_{name_of_broadcast[function]} broadcasts"
                )
            if rows.is_rows(lhs) or rows.is_rows(rhs):
                found = rows.of_two(function, compute, lhs, rhs)
                if found is not None:
                    return _give(found, out)
        return _give(compute(_plain(lhs), _plain(rhs)), out)

    name_of_broadcast = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "div"}
    how = "of two arrays of one shape" if equal_shapes else "of two arrays, with broadcasting"
    return _named(operator, name, f"{function.capitalize()} {how}.")


def _named(operator, name, doc):
    operator.__name__ = operator.__qualname__ = name
    operator.__doc__ = doc
    return operator


def _same_storage(names):
    """The functions of ``mx.nd.sparse`` with these names, which keep sums and products row-sparse."""
    return [_binary(name, _BINARY[name], same_storage=True) for name in names]


def _array(x, name):
    """An operand that must be an array."""
    if not hasattr(x, "shape") and not isinstance(x, (list, tuple)):
        raise TypeError(f"nd.{name} takes an array, got {type(x).__name__}")
    return _plain(x)


def clip(data, a_min=None, a_max=None, out=None, name=None):
    """Limit the values to an interval.

    Parameters
    ----------
    data : array
        A row-sparse one stays row-sparse if the interval contains 0; otherwise give `out`.
    a_min, a_max : number
    out : array, optional
    """
    if a_min is None or a_max is None:
        raise TypeError(f"clip needs a_min and a_max, got {a_min!r} and {a_max!r}")

    def clipped(x):
        low, high = (arithmetic._as_integer(b, x.dtype) if x.dtype.kind in "iu" else x.dtype.type(b)
                     for b in (a_min, a_max))  # fmt: skip
        return np.where(x > high, high, np.where(x < low, low, x))

    if rows.is_rows(data):
        if a_min <= 0 <= a_max:
            return _give(rows.of_each(clipped, data), out)
        if out is None:
            raise ValueError(
                f"clip to {a_min}..{a_max} moves the zeros of a row-sparse array; clip .tostype('default')"
            )
    return _give(clipped(_array(data, "clip")), out)


@_operator
def where(condition, x, y):
    """Elements of `x` where the condition is not zero, else of `y`; a vector condition selects rows."""
    if condition.ndim == 1 and np.ndim(x) > 1:
        condition = condition.reshape(-1, *[1] * (x.ndim - 1))
    return np.where(condition != 0, x, y)


@_operator
def logical_not(data):
    """One where zero, else zero."""
    return np.logical_not(data).astype(data.dtype)


def add_n(*args, out=None, name=None):
    """Sum of arrays of the same shape, added from left to right; row-sparse if all of them are."""
    if not args or len({x.shape for x in args}) > 1:
        raise ValueError(f"add_n takes arrays of one shape, got {[x.shape for x in args]}")
    if all(map(rows.is_rows, args)):
        return _give(rows.total(args), out)
    total = functools.reduce(np.add, map(_plain, args))
    return _give(total.copy() if out is None and len(args) == 1 else total, out)


@_operator
def smooth_l1(data, scalar=1.0):
    """Quadratic near zero, linear beyond."""
    s2 = data.dtype.type(scalar) ** 2
    size = np.abs(data)
    return np.where(size < 1 / s2, s2 * data * data / 2, size - data.dtype.type(0.5) / s2)


@_operator
def isnan(data):
    """One where not a number."""
    return np.isnan(data).astype(data.dtype)


@_operator
def isinf(data):
    """One where infinite."""
    return np.isinf(data).astype(data.dtype)


@_operator
def isfinite(data):
    """One where finite."""
    return np.isfinite(data).astype(data.dtype)


# -- reductions --------------------------------------------------------------------------------------


def _axes(ndim, axis, exclude):
    if axis is None or axis == ():
        return None
    axes = [axis] if np.isscalar(axis) else list(axis)
    for a in axes:
        if not -ndim <= a < ndim:
            raise ValueError(f"axis {a} is outside the {ndim} dimensions of the array")
    axes = [a % ndim for a in axes]
    return tuple(a for a in range(ndim) if a not in axes) if exclude else tuple(axes)


def _reduced(data, reduce, axis, keepdims, exclude=False, wide=None):
    kwargs = {"dtype": wide} if wide is not None and data.dtype.kind == "f" else {}
    found = reduce(data, axis=_axes(data.ndim, axis, exclude), keepdims=bool(keepdims), **kwargs)
    return found.astype(data.dtype)


def _along(data, how, axis, keepdims, exclude=False):
    """Reduce by `mxopt.kernels.reduce_rows`, which takes the elements in MXNet's order."""
    axes = _axes(data.ndim, axis, exclude)
    axes = tuple(range(data.ndim)) if axes is None else axes
    kept = [a for a in range(data.ndim) if a not in axes]
    real = np.float64 if data.dtype == np.float64 else np.float32
    moved = data.transpose([*kept, *axes]).astype(real, copy=False)
    shape = moved.shape[: len(kept)]
    rows = np.ascontiguousarray(moved).reshape(math.prod(shape), -1 if data.size else 0)
    results = np.empty(len(rows), real)
    kernels.reduce_rows(rows, how, results)
    if keepdims:
        shape = tuple(1 if a in axes else length for a, length in enumerate(data.shape))
    return results.reshape(shape).astype(data.dtype), rows.shape[1]


@_operator
def sum(data, axis=None, keepdims=False, exclude=False):
    """Sum over axes, in MXNet 1.9's order, compensated for rounding."""
    if data.dtype.kind in "iub":
        return _reduced(data, np.sum, axis, keepdims, exclude)
    return _along(data, "sum", axis, keepdims, exclude)[0]


@_operator
def mean(data, axis=None, keepdims=False, exclude=False):
    """Mean over axes: `sum`, divided by the count."""
    if data.dtype.kind in "iub":
        return _reduced(data, np.mean, axis, keepdims, exclude)
    total, count = _along(data, "sum", axis, keepdims, exclude)
    with np.errstate(all="ignore"):
        return (total / np.asarray(count, total.dtype)).astype(total.dtype)


@_operator
def prod(data, axis=None, keepdims=False, exclude=False):
    """Product over axes."""
    return _reduced(data, np.prod, axis, keepdims, exclude, np.float64)


@_operator
def nansum(data, axis=None, keepdims=False, exclude=False):
    """Sum over axes, NaN counting as zero."""
    return _along(np.where(np.isnan(data), data.dtype.type(0), data), "sum", axis, keepdims, exclude)[0]


@_operator
def max(data, axis=None, keepdims=False, exclude=False):
    """Largest value over axes."""
    return _reduced(data, np.max, axis, keepdims, exclude)


@_operator
def min(data, axis=None, keepdims=False, exclude=False):
    """Smallest value over axes."""
    return _reduced(data, np.min, axis, keepdims, exclude)


def norm(data, ord=2, axis=None, out_dtype=None, keepdims=False, out=None, name=None):
    """L2 or L1 norm over axes, in MXNet's order."""
    if ord not in (1, 2):
        raise ValueError(f"ord must be 1 or 2, got {ord!r}")
    if rows.is_rows(data) and ord == 2 and axis is None and not keepdims:
        found = np.sqrt(_along(np.square(np.asarray(data.data)), "sum", None, False)[0])
    else:
        found, _ = _along(_array(data, "norm"), "magnitudes" if ord == 1 else "norm", axis, keepdims)
    return _give(found if out_dtype is None else found.astype(_dtype(out_dtype)), out)


def _position(find):
    def operator(data, axis=None, keepdims=False):
        found = find(data, axis=axis)
        if keepdims:
            found = found.reshape((1,) * data.ndim) if axis is None else np.expand_dims(found, axis)
        return found.astype(data.dtype)

    return operator


argmax = _operator(_position(np.argmax))
argmax.__name__, argmax.__doc__ = "argmax", "Position of the largest value, as a number of the array's dtype."
argmin = _operator(_position(np.argmin))
argmin.__name__, argmin.__doc__ = (
    "argmin",
    "Position of the smallest value, as a number of the array's dtype.",
)


def topk(data, axis=-1, k=1, ret_typ="indices", is_ascend=False, dtype="float32", out=None):
    """The `k` largest (with `is_ascend`, smallest) values along an axis; among equals, the first.

    Parameters
    ----------
    ret_typ : {'indices', 'value', 'mask', 'both'}
        'mask' marks them with ones in an array of the shape of `data`; 'both' gives [values, indices].
    """
    if ret_typ not in ("indices", "value", "mask", "both"):
        raise ValueError(f"ret_typ must be 'indices', 'value', 'mask' or 'both', got {ret_typ!r}")
    plain = _plain(data)
    table = plain.reshape(-1) if axis is None else np.moveaxis(plain, axis, -1)
    k = k if 0 < k < table.shape[-1] else table.shape[-1]
    found = np.argsort(table if is_ascend else -table, axis=-1, kind="stable")[..., :k]
    if ret_typ == "mask":
        mask = np.zeros(table.shape, plain.dtype)
        np.put_along_axis(mask, found, 1, axis=-1)
        return _give(mask.reshape(plain.shape) if axis is None else np.moveaxis(mask, -1, axis), out)
    home = -1 if axis is None else axis
    indices = np.moveaxis(found, -1, home).astype(dtype)
    values = np.moveaxis(np.take_along_axis(table, found, axis=-1), -1, home)
    if ret_typ == "both":
        out = out or (None, None)
        return [_give(values, out[0]), _give(indices, out[1])]
    return _give(values if ret_typ == "value" else indices, out)


@_operator
def sort(data, axis=-1, is_ascend=True):
    """Sorted values along an axis (None: of the flattened array)."""
    ordered = np.sort(data, axis=axis)
    return ordered if is_ascend else np.flip(ordered, axis=-1 if axis is None else axis)


@_operator
def argsort(data, axis=-1, is_ascend=True, dtype="float32"):
    """Positions that sort along an axis."""
    return np.argsort(data if is_ascend else -data, axis=axis, kind="stable").astype(dtype)


# -- products ----------------------------------------------------------------------------------------


@_operator
def dot(lhs, rhs, transpose_a=False, transpose_b=False):
    """Product over the last axis of `lhs` and the first of `rhs`."""
    lhs = lhs.T if transpose_a else lhs
    rhs = rhs.T if transpose_b else rhs
    return np.tensordot(lhs, rhs, axes=1)


@_operator
def batch_dot(lhs, rhs, transpose_a=False, transpose_b=False):
    """Matrix product of each pair of a batch."""
    return np.matmul(lhs.swapaxes(1, 2) if transpose_a else lhs, rhs.swapaxes(1, 2) if transpose_b else rhs)


# -- shapes ------------------------------------------------------------------------------------------


def _arrays(data, count=None):
    found = data[0] if len(data) == 1 and isinstance(data[0], (list, tuple)) else data
    if count is not None and count != len(found):
        raise ValueError(f"num_args is {count}, and there are {len(found)} arrays")
    return [_plain(x) for x in found]


def concat(*data, dim=1, num_args=None, out=None, name=None):
    """Join arrays along a dimension."""
    return _give(np.concatenate(_arrays(data, num_args), axis=dim), out)


def concatenate(arrays, axis=0, always_copy=True):
    """Join the arrays of a list along an axis; ``always_copy=False`` returns a single array itself."""
    if len(arrays) == 1 and not always_copy:
        return arrays[0]
    return _give(np.concatenate(_arrays(arrays), axis=axis))


def stack(*data, axis=0, num_args=None, out=None, name=None):
    """Join arrays along a new axis."""
    return _give(np.stack(_arrays(data, num_args), axis=axis), out)


def split(data, num_outputs, axis=1, squeeze_axis=False):
    """Split into equal parts along an axis; a single part is returned without a list."""
    parts = np.split(_plain(data), num_outputs, axis=axis)
    parts = [_give((np.squeeze(part, axis) if squeeze_axis else part).copy()) for part in parts]
    return parts[0] if num_outputs == 1 else parts


SliceChannel = split


def _new_shape(old, shape):
    """MXNet's codes: 0 keeps a dimension, -1 is inferred, -2 keeps the rest, -3 merges two, -4 splits one."""
    new, at = [], 0
    codes = list(shape)
    while codes:
        code = codes.pop(0)
        if code == -2:
            new += old[at:]
            at = len(old)
        elif code == -3:
            new.append(old[at] * old[at + 1])
            at += 2
        elif code == -4:
            left, right = codes.pop(0), codes.pop(0)
            left = old[at] // right if left == -1 else left
            new += [left, old[at] // left if right == -1 else right]
            at += 1
        else:
            new.append(old[at] if code == 0 else code)
            at += 1
    return tuple(new)


def reshape(data, shape, reverse=False, out=None, name=None):
    """The same elements in another shape, as a copy.

    Parameters
    ----------
    data : array
    shape : tuple of int
        0, -1, -2, -3 and -4 are MXNet's codes.
    reverse : bool
        Read the codes from the right to the left.
    """
    plain = _plain(data)
    return _give(plain.reshape(_shape_for(plain, shape, reverse)).copy(), out)


def _shape_for(array, shape, reverse):
    shape = (shape,) if np.isscalar(shape) else tuple(shape)
    if shape == ():
        return array.shape
    if not reverse:
        return _new_shape(array.shape, shape)
    if -4 in shape:
        raise ValueError(f"reverse=True has no meaning for the code -4, got shape {shape}")
    return _new_shape(array.shape[::-1], shape[::-1])[::-1]


@_operator
def reshape_like(lhs, rhs):
    """The elements of `lhs` in the shape of `rhs`."""
    return lhs.reshape(rhs.shape)


@_operator
def flatten(data):
    """All dimensions but the first merged."""
    return data.reshape(len(data), -1)


@_operator
def transpose(data, axes=None):
    """Axes in another order; by default reversed."""
    return np.ascontiguousarray(np.transpose(data, axes or None))


@_operator
def swapaxes(data, dim1=0, dim2=0):
    """Swap two axes."""
    return np.ascontiguousarray(np.swapaxes(data, dim1, dim2))


@_operator
def moveaxis(tensor, source, destination):
    """Axes moved to other places."""
    return np.ascontiguousarray(np.moveaxis(tensor, source, destination))


@_operator
def diag(data, k=0, axis1=0, axis2=1):
    """A matrix with this diagonal, or the diagonal along two axes."""
    return np.diag(data, k) if data.ndim == 1 else np.diagonal(data, k, axis1, axis2)


@_operator
def expand_dims(data, axis):
    """A new axis of length one."""
    return np.expand_dims(data, axis)


@_operator
def squeeze(data, axis=None):
    """Without axes of length one."""
    return np.squeeze(data, axis)


@_operator
def broadcast_to(data, shape):
    """Repeated to a shape; 0 keeps a dimension."""
    return np.broadcast_to(data, [old if new == 0 else new for old, new in zip(data.shape, shape)]).copy()


@_operator
def broadcast_like(lhs, rhs, lhs_axes=None, rhs_axes=None):
    """Repeated to the shape of another array, or along some axes to the length of some of its axes."""
    if (lhs_axes is None) != (rhs_axes is None):
        raise ValueError("lhs_axes and rhs_axes must be given together, got only one of them")
    if lhs_axes is None:
        return np.broadcast_to(lhs, rhs.shape).copy()
    shape = list(lhs.shape)
    for axis, other in zip(np.atleast_1d(lhs_axes), np.atleast_1d(rhs_axes)):
        shape[axis] = rhs.shape[other]
    return np.broadcast_to(lhs, shape).copy()


@_operator
def broadcast_axis(data, axis=(), size=()):
    """Axes of length one repeated."""
    shape = list(data.shape)
    for one, length in zip(np.atleast_1d(axis), np.atleast_1d(size)):
        shape[one] = int(length)
    return np.broadcast_to(data, shape).copy()


@_operator
def tile(data, reps):
    """Repeated as a whole."""
    return np.tile(data, reps)


@_operator
def repeat(data, repeats, axis=None):
    """Each element repeated."""
    return np.repeat(data, repeats, axis)


@_operator
def flip(data, axis):
    """Reversed along an axis."""
    return np.flip(data, axis).copy()


reverse = flip


@_operator
def slice_axis(data, axis, begin, end):
    """A range of one axis, as a copy."""
    key = [builtins.slice(None)] * data.ndim
    key[axis] = builtins.slice(begin, end)
    return data[tuple(key)].copy()


@_operator
def slice_like(data, shape_like, axes=()):
    """The first elements along some axes (all by default), as many as another array has."""
    axes = range(data.ndim) if axes in ((), None) else [a % data.ndim for a in np.atleast_1d(axes)]
    ends = [shape_like.shape[a] if a in axes else length for a, length in enumerate(data.shape)]
    return data[tuple(builtins.slice(end) for end in ends)].copy()


@_operator
def slice(data, begin, end, step=()):
    """A range of each axis, as a copy; None is the end of the axis."""
    step = tuple(step or ()) + (None,) * (len(begin) - len(step or ()))
    return data[tuple(map(builtins.slice, begin, end, step))].copy()


crop = slice


def _mode(mode):
    if mode not in ("clip", "wrap", "raise"):
        raise ValueError(f"mode must be 'clip', 'wrap' or 'raise', got {mode!r}")
    return mode


@_operator
def take(a, indices, axis=0, mode="clip"):
    """Rows (or other slices) by number; numbers outside are clipped, or wrapped on request."""
    return np.take(a, np.asarray(indices).astype(np.int64), axis=axis, mode=_mode(mode))


@_operator
def pick(data, index, axis=-1, keepdims=False, mode="clip"):
    """One element from each row; `index` may keep the axis, of length 1."""
    if axis is None:
        raise TypeError("pick needs an axis, got None")
    index = np.asarray(index).astype(np.int64)
    axis = axis % data.ndim
    kept = data.shape[:axis] + (1,) + data.shape[axis + 1 :]
    rest = data.shape[:axis] + data.shape[axis + 1 :]
    if index.shape not in (kept, rest):
        raise ValueError(
            f"pick takes one index for each row of an array of shape {data.shape}, so their shape must be "
            f"{rest} or {kept}, got {index.shape}"
        )
    length = data.shape[axis]
    index = index % length if _mode(mode) == "wrap" else np.clip(index, 0, length - 1)
    found = np.take_along_axis(data, index.reshape(kept), axis)
    return found if keepdims or data.ndim == 1 else np.squeeze(found, axis)


@_operator
def one_hot(indices, depth, on_value=1.0, off_value=0.0, dtype="float32"):
    """One-hot rows: one for each number, marked at its place."""
    return np.where(indices[..., None] == np.arange(depth), on_value, off_value).astype(dtype)


@_operator
def Cast(data, dtype):
    """The same values in another dtype."""
    return data.astype(_dtype(dtype))


amp_cast = Cast


def stop_gradient(data, out=None, name=None):
    """A copy."""
    return _give(data.copy() if rows.is_rows(data) else _array(data, "stop_gradient").copy(), out)


@_operator
def softmax(data, axis=-1, temperature=None):
    """Exponentials normalised to a sum of one along an axis."""
    scaled = data / temperature if temperature else data
    powers = np.exp(scaled - scaled.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


@_operator
def log_softmax(data, axis=-1, temperature=None):
    """Logarithm of `softmax`."""
    scaled = data / temperature if temperature else data
    shifted = scaled - scaled.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


@_operator
def L2Normalization(data, eps=1e-10, mode="instance"):
    """Divided by the L2 norm of each instance, channel (axis 1) or spatial position."""
    axes = {"instance": tuple(range(1, data.ndim)), "channel": 1, "spatial": tuple(range(2, data.ndim))}[mode]
    squares = np.square(data).sum(axis=axes, keepdims=True, dtype=data.dtype)
    return data / np.sqrt(squares + data.dtype.type(eps))


# -- finite checks -----------------------------------------------------------------------------------


def all_finite(data, init_output=True, out=None):
    """[1.] if every element is finite, else [0.]."""
    return multi_all_finite(data, init_output=init_output, out=out)


def multi_all_finite(*arrays, num_arrays=None, init_output=True, out=None):
    """[1.] if every element of every array is finite, else [0.]; ``init_output=False`` keeps an earlier 0."""
    finite = all(np.isfinite(_plain(x)).all() for x in arrays)
    if out is not None and not init_output:
        finite = finite and bool(out[0])
    return _give(np.asarray([finite], _DEFAULT), out)


def multi_sum_sq(*arrays, num_arrays=None, out=None):
    """Sum of squares of each array, as one float32 vector."""
    sums = [np.square(_plain(x), dtype=np.float64).sum() for x in arrays]
    return _give(np.asarray(sums, _DEFAULT), out)


def reset_arrays(*arrays, num_arrays=None):
    """Zero the arrays in place."""
    for x in arrays:
        x[:] = 0


def _complete(namespace):
    """Define the functions in the tables above."""
    for name, ufunc in _UNARY.items():
        namespace[name] = _unary(name, ufunc)
    for name, ufunc in _BINARY.items():
        namespace[name] = _binary(name, ufunc)
    for name, ufunc in _COMPARISONS.items():
        namespace[name] = _binary(name, ufunc, comparison=True)
    for end, name in _BROADCAST.items():
        ufunc, comparison = {**_BINARY, **_COMPARISONS}[name], name in _COMPARISONS
        namespace[f"broadcast_{end}"] = _between(f"broadcast_{end}", name, ufunc, comparison)
    for end, name in _ELEMWISE.items():
        namespace[f"elemwise_{end}"] = _between(f"elemwise_{end}", name, _BINARY[name], equal_shapes=True)
    for alias, name in _ALIASES.items():
        namespace[alias] = namespace[name]


def _method(function):
    @functools.wraps(function)
    def method(self, *args, **kwargs):
        return function(self, *args, **kwargs)

    return method


def _reduction(function):
    """A method that also takes NumPy's arguments, because ``numpy.sum(x)`` calls ``x.sum(...)``."""

    def method(self, axis=None, dtype=None, out=None, keepdims=False, exclude=False, **kwargs):
        found = function(self, axis=axis, keepdims=keepdims, exclude=exclude, out=out, **kwargs)
        return found if dtype is None else found.astype(dtype)

    method.__name__, method.__doc__ = function.__name__, function.__doc__
    return method


# Methods that NumPy's own functions call on an array, with arguments unlike MXNet's, keep NumPy's meaning
_METHODS = (
    "abs",
    "argmax",
    "argmin",
    "broadcast_like",
    "broadcast_to",
    "cbrt",
    "ceil",
    "clip",
    "dot",
    "exp",
    "expand_dims",
    "expm1",
    "fix",
    "flatten",
    "flip",
    "floor",
    "log",
    "log10",
    "log1p",
    "log2",
    "log_softmax",
    "norm",
    "one_hot",
    "ones_like",
    "pick",
    "reciprocal",
    "relu",
    "reshape_like",
    "rint",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "slice",
    "slice_axis",
    "slice_like",
    "softmax",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "swapaxes",
    "tan",
    "tanh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "broadcast_axes",
    "cos",
    "cosh",
    "degrees",
    "diag",
    "radians",
    "rcbrt",
    "repeat",
    "sinh",
    "tile",
    "topk",
    "trunc",
    "zeros_like",
)
_REDUCTIONS = ("max", "mean", "min", "nansum", "prod", "sum")


def _viewing_method(function):
    """A method that gives a new array, or with ``inplace=True`` the same elements in another shape."""

    @functools.wraps(function)
    def method(self, *args, inplace=False, **kwargs):
        made = function(self, *args, **kwargs)
        return self.reshape(made.shape) if inplace else made

    return method


def _reshape_method(self, *shape, reverse=False, **kwargs):
    """The same elements in another shape; 0, -1, -2, -3 and -4 are MXNet's codes. Shares memory."""
    order = kwargs.pop("order", "C")  # of NumPy's own function
    kwargs.pop("copy", None)
    shape = kwargs.pop("shape", shape)
    if kwargs:
        raise TypeError(f"reshape takes shape and reverse, got {', '.join(kwargs)}")
    if isinstance(shape, tuple) and len(shape) == 1 and not np.isscalar(shape[0]):
        shape = shape[0]
    if self.ndim:
        shape = _shape_for(self, shape, reverse)
    return np.ndarray.reshape(self, shape, order=order)


def _transpose_method(self, *axes, **kwargs):
    """The axes in another order, as a copy; by default reversed."""
    axes = kwargs.pop("axes", axes)
    if kwargs:
        raise TypeError(f"transpose takes axes, got {', '.join(kwargs)}")
    return np.ndarray.transpose(self, *([axes] if axes and not np.isscalar(axes) else [])).copy("C")


def _round_method(self, decimals=None, out=None):
    """The nearest integers, halves away from zero; with `decimals`, NumPy's."""
    return globals()["round"](self, out=out) if decimals is None else np.ndarray.round(self, decimals, out)


def _sorting(name):
    # NumPy's functions of the same names pass `kind` and `order`, and expect an array to be sorted in place
    numpys, mxnets = getattr(np.ndarray, name), globals()[name]

    def method(self, *args, **kwargs):
        return numpys(self, *args, **kwargs) if "kind" in kwargs else mxnets(self, *args, **kwargs)

    method.__name__, method.__doc__ = name, mxnets.__doc__
    return method


_SYMBOLS = (
    ("add", "add"),
    ("sub", "subtract"),
    ("mul", "multiply"),
    ("truediv", "divide"),
    ("mod", "modulo"),
    ("pow", "power"),
    ("eq", "equal"),
    ("ne", "not_equal"),
    ("gt", "greater"),
    ("ge", "greater_equal"),
    ("lt", "lesser"),
    ("le", "lesser_equal"),
)
#: Further methods of row-sparse arrays, with names that mean something else on NumPy's arrays.
_ROWS_METHODS = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "cos",
    "cosh",
    "degrees",
    "radians",
    "rcbrt",
    "round",
    "sinh",
    "tan",
    "transpose",
    "take",
    "repeat",
    "sort",
    "argsort",
    "squeeze",
    "swapaxes",
    "diag",
]
#: Python's operators on row-sparse arrays: method -> (function, whether its operands are swapped)
_OPERATORS = {
    **{f"__{op}__": (name, False) for op, name in _SYMBOLS},
    **{f"__r{op}__": (name, True) for op, name in _SYMBOLS[:6]},
}


def _rows_operator(name, exchanged):
    function = _binary(name, {**_BINARY, **_COMPARISONS}[name], name in _COMPARISONS, same_storage=True)

    def method(self, other):
        if other is None or isinstance(other, str):
            return NotImplemented
        if exchanged and name == "multiply" and not np.isscalar(other):
            return globals()["multiply"](other, self)  # in MXNet a dense left operand makes the product dense
        return function(other, self) if exchanged else function(self, other)

    return method


def _rows_in_place(name):
    function = _binary(name, _BINARY[name], same_storage=True)

    def method(self, other):
        return _give(function(self, other), self)

    return method


def _complete_rows():
    for symbol, (name, exchanged) in _OPERATORS.items():
        setattr(RowSparseNDArray, symbol, _rows_operator(name, exchanged))
    for op, name in _SYMBOLS[:5]:
        setattr(RowSparseNDArray, f"__i{op}__", _rows_in_place(name))
    RowSparseNDArray.__neg__ = lambda self: globals()["negative"](self)
    RowSparseNDArray.__abs__ = lambda self: globals()["abs"](self)
    RowSparseNDArray.T = property(lambda self: transpose(self))
    for name in (*_METHODS, *_REDUCTIONS, *_ROWS_METHODS):
        setattr(RowSparseNDArray, name, _method(globals()[name]))


def _complete_class():
    for name in _METHODS:
        setattr(NDArray, name, _method(globals()[name]))
    for name in _REDUCTIONS:
        setattr(NDArray, name, _reduction(globals()[name]))
    for name in ("expand_dims", "flatten", "squeeze"):
        setattr(NDArray, name, _viewing_method(globals()[name]))
    NDArray.reshape = _reshape_method
    NDArray.transpose = _transpose_method
    NDArray.T = property(_transpose_method)
    NDArray.round = _round_method
    NDArray.sort, NDArray.argsort = _sorting("sort"), _sorting("argsort")


_complete(globals())
_complete_class()
_complete_rows()
__all__ = [
    name
    for name, value in globals().items()
    if callable(value) and name[0] != "_" and getattr(value, "__module__", "") == __name__
]
