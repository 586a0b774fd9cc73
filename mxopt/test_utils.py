"""``mx.test_utils``: the helpers that tests of training code import."""

from __future__ import annotations

import contextlib
import numbers
import os
from typing import Any

import numpy as np

from . import namespace, random
from .context import Context, current_context

__all__ = [
    "almost_equal", "assert_allclose", "assert_almost_equal", "assert_exception", "compare_ndarray_tuple",
    "compare_optimizer", "compare_optimizer_noise_seeded", "default_context", "default_device",
    "default_dtype", "environment", "list_gpus", "rand_ndarray", "rand_shape_2d", "rand_shape_3d",
    "rand_shape_nd", "rand_sparse_ndarray", "random_arrays", "same", "set_default_context",
]  # fmt: skip

_WHOLE = [np.dtype(name) for name in ("bool", "int8", "uint8", "int32", "uint32", "int64", "uint64")]


def list_gpus():
    """An empty range: mxopt works on the CPU."""
    return range(0)


def default_context():
    """The current context."""
    return current_context()


default_device = default_context


def set_default_context(ctx):
    """Make a context the current one, outside of ``with`` blocks."""
    Context._stack()[0] = ctx


set_default_device = set_default_context


def default_dtype():
    """float32"""
    return np.float32


def _tolerances(half, single, double):
    found = {np.dtype(np.float16): half, np.dtype(np.float32): single, np.dtype(np.float64): double}
    return {**found, **dict.fromkeys(_WHOLE, 0)}


def default_rtols():
    """Relative tolerances by dtype."""
    return _tolerances(1e-2, 1e-4, 1e-5)


def default_atols():
    """Absolute tolerances by dtype."""
    return _tolerances(1e-1, 1e-3, 1e-20)


def get_rtol(rtol=None, dtype=np.dtype(np.float64)):  # noqa: B008  (a dtype cannot be changed)
    """`rtol`, or by default that of a dtype."""
    return default_rtols()[np.dtype(dtype)] if rtol is None else rtol


def get_atol(atol=None, dtype=np.dtype(np.float64)):  # noqa: B008
    """`atol`, or by default that of a dtype."""
    return default_atols()[np.dtype(dtype)] if atol is None else atol


def get_tols(x, y, rtol, atol):
    """The tolerances of a comparison; by default the larger of the two arrays' own.

    Parameters
    ----------
    x, y : array or number
    rtol, atol : float, dict of dtype to float, or None
    """
    dtypes = [np.dtype(_dense(value).dtype) for value in (x, y)]
    return tuple(
        given if isinstance(given, numbers.Number)
        else max((given or {}).get(dtype, default.get(dtype, 0)) for dtype in dtypes)
        for given, default in ((rtol, default_rtols()), (atol, default_atols()))
    )  # fmt: skip


def _dense(x):
    x = x.todense() if hasattr(x, "todense") else x
    return np.asarray(x.asnumpy() if hasattr(x, "asnumpy") else x)


def same(a, b):
    """Whether arrays are equal."""
    return np.array_equal(_dense(a), _dense(b))


def almost_equal(a, b, rtol=None, atol=None, equal_nan=False, use_broadcast=True):
    """Whether arrays differ by no more than ``atol + rtol * |b|``, by default float64's tolerances."""
    a, b = _dense(a), _dense(b)
    _check_shapes(a, b, use_broadcast)
    return np.allclose(a, b, get_rtol(rtol), get_atol(atol), equal_nan)


def _check_shapes(a, b, use_broadcast):
    if not use_broadcast and np.shape(a) != np.shape(b):
        raise AssertionError(f"a has shape {np.shape(a)}, b has shape {np.shape(b)}")


def assert_almost_equal(a, b, rtol=None, atol=None, names=("a", "b"), equal_nan=False, use_broadcast=True,
                        mismatches=(10, 10)):  # fmt: skip
    """Raise an AssertionError unless arrays differ by no more than ``atol + rtol * |b|``.

    Parameters
    ----------
    a, b : array or number
    rtol, atol : float or dict of dtype to float, optional
        By default the larger of the two dtypes': for float32, 1e-4 and 1e-3.
    names : tuple of str
        What to call them.
    equal_nan : bool
        Whether nan is equal to nan.
    use_broadcast : bool, default True
        Whether shapes may differ.
    mismatches : tuple of int
        How many elements the message may list.
    """
    rtol, atol = get_tols(a, b, rtol, atol)
    a, b = _dense(a), _dense(b)
    _check_shapes(a, b, use_broadcast)
    if a.dtype == b.dtype == np.bool_:
        np.testing.assert_equal(a, b)
    elif not np.allclose(a, b, rtol, atol, equal_nan):
        raise AssertionError(
            _differences(*np.broadcast_arrays(a, b), rtol, atol, names, equal_nan, mismatches[0])
        )


def _differences(a, b, rtol, atol, names, equal_nan, most):
    close = np.isclose(a, b, rtol, atol, equal_nan)
    with np.errstate(all="ignore"):
        excess = np.asarray(np.abs(a.astype(float) - b) / (atol + rtol * np.abs(b.astype(float)) + 1e-20))
    places = sorted(
        map(tuple, np.argwhere(~close)), key=lambda place: -np.nan_to_num(excess[place], nan=np.inf)
    )
    lines = [f"  at {tuple(map(int, place))}: {names[0]} = {a[place]!r}, {names[1]} = {b[place]!r}"
             for place in places[: max(1, most)]]  # fmt: skip
    return "\n".join(
        [f"{len(places)} of {close.size} elements differ by more than rtol={rtol:g}, atol={atol:g}", *lines]
    )


def assert_allclose(a, b, rtol=1e-07, atol=0, equal_nan=True):
    """As `assert_almost_equal`, with narrow tolerances."""
    assert_almost_equal(a, b, rtol, atol, equal_nan=equal_nan)


def assert_exception(f, exception_type, *args, **kwargs):
    """Raise an AssertionError unless a call raises an error of a type."""
    try:
        f(*args, **kwargs)
    except exception_type:
        return
    raise AssertionError(f"{f!r} did not raise {exception_type.__name__}")


def random_arrays(*shapes):
    """float32 arrays of normal numbers from ``numpy.random``; a single shape gives the array itself."""
    made = [np.asarray(np.random.randn(*shape), np.float32) for shape in shapes]
    return made[0] if len(made) == 1 else made


def rand_shape_2d(dim0=10, dim1=10, allow_zero_size=False):
    """A random shape of two dimensions, each at most as given."""
    return _shape((dim0, dim1), allow_zero_size)


def rand_shape_3d(dim0=10, dim1=10, dim2=10, allow_zero_size=False):
    """A random shape of three dimensions."""
    return _shape((dim0, dim1, dim2), allow_zero_size)


def rand_shape_nd(num_dim, dim=10, allow_zero_size=False):
    """A random shape of any number of dimensions."""
    return _shape((dim,) * num_dim, allow_zero_size)


def _shape(most, allow_zero_size):
    return tuple(int(np.random.randint(not allow_zero_size, size + 1)) for size in most)


def rand_sparse_ndarray(shape, stype, density=None, dtype=None, distribution=None, data_init=None,
                        rsp_indices=None, modifier_func=None, shuffle_csr_indices=False,
                        ctx=None):  # fmt: skip
    """A row-sparse array of random numbers, with what it was made from.

    Equal states of ``numpy.random`` give the array that MXNet's function gives.

    Parameters
    ----------
    shape : tuple of int
    stype : {'row_sparse'}
        There are no CSR arrays here.
    density : float, optional
        The approximate share of the rows that is present; by default a random one.
    dtype : dtype, default float32
    distribution : {'uniform'}, optional
    data_init : float, optional
        The value of all elements, instead of random ones.
    rsp_indices : int array, optional
        The rows that are present, instead of random ones.
    modifier_func : callable, optional
        Is given each value and returns the one to take.
    shuffle_csr_indices, ctx : ignored

    Returns
    -------
    array : RowSparseNDArray
    (values, rows) : tuple of ndarray
    """
    from . import nd

    if stype != "row_sparse":
        raise ValueError(f"stype must be 'row_sparse', got {stype!r}; mxopt has no CSR arrays")
    if distribution not in (None, "uniform"):
        raise ValueError(f"distribution must be 'uniform' for row_sparse, got {distribution!r}")
    dtype = np.dtype(dtype or np.float32)
    share = np.random.rand() if density is None else density
    if rsp_indices is None:
        rows = np.flatnonzero(np.random.rand(shape[0]) < share)
    else:
        rows = np.asarray(rsp_indices)
    values = np.random.rand(len(rows), *shape[1:]).astype(dtype)
    if data_init is not None:
        values.fill(data_init)
    if modifier_func is not None and values.size:
        values = np.vectorize(modifier_func, otypes=[np.float64])(values)
    array = nd.sparse.row_sparse_array((values.astype(dtype), rows), shape=shape, dtype=dtype)
    return array, (values, rows)


def rand_ndarray(shape, stype="default", density=None, dtype=None, modifier_func=None,
                 shuffle_csr_indices=False, distribution=None, ctx=None):  # fmt: skip
    """An array of random numbers.

    Parameters
    ----------
    shape : tuple of int
    stype : {'default', 'row_sparse'}
    dtype : dtype, default float32
    density, modifier_func, shuffle_csr_indices, distribution, ctx
        As for `rand_sparse_ndarray`; ignored for dense arrays, as in MXNet.
    """
    from . import nd

    if stype == "default":
        return nd.array(random_arrays(shape), dtype=np.dtype(dtype or np.float32), ctx=ctx)
    if stype != "row_sparse":
        raise ValueError(f"stype must be 'default' or 'row_sparse', got {stype!r}")
    return rand_sparse_ndarray(
        shape, stype, density=density, dtype=dtype, modifier_func=modifier_func, distribution=distribution
    )[0]


def compare_ndarray_tuple(t1, t2, rtol=None, atol=None):
    """`assert_almost_equal` for states: arrays, tuples of them, or None."""
    if t1 is None or t2 is None:
        return
    if isinstance(t1, (tuple, list)):
        for a, b in zip(t1, t2):
            compare_ndarray_tuple(a, b, rtol, atol)
    else:
        assert_almost_equal(t1, t2, rtol, atol)


def compare_optimizer(opt1, opt2, shapes, dtype, w_stype="default", g_stype="default", rtol=1e-4, atol=1e-5,
                      compare_states=True, ntensors=1):  # fmt: skip
    """Step equal random tensors with two optimizers and compare weights and states.

    Parameters
    ----------
    opt1, opt2 : Optimizer
        The first steps dense arrays, the second arrays of the given storage types. One whose ``update`` takes
        a single tensor is handed several one by one.
    shapes : tuple of int, or list of them
        One tensor's, or those of several, which are stepped together.
    dtype : dtype
    w_stype, g_stype : {'default', 'row_sparse'}
        Storage of weights and gradients.
    """
    _compare(opt1, opt2, shapes, dtype, w_stype, g_stype, rtol, atol, compare_states)


def compare_optimizer_noise_seeded(opt1, opt2, shapes, dtype, noise_seed, w_stype="default",
                                   g_stype="default", rtol=1e-4, atol=1e-5, compare_states=True):  # fmt: skip
    """As `compare_optimizer`, with the same noise for both: `mx.random` is seeded before each steps."""
    _compare(opt1, opt2, shapes, dtype, w_stype, g_stype, rtol, atol, compare_states, noise_seed)


def _compare(opt1, opt2, shapes, dtype, w_stype, g_stype, rtol, atol, compare_states, noise_seed=None):
    many = isinstance(shapes, list)
    sides: Any = [{}, {}]
    for index, shape in enumerate(shapes if many else [shapes]):
        weight, grad = (
            random.uniform(shape=shape, dtype=dtype)
            if storage == "default"
            else rand_ndarray(shape, storage, density=density, dtype=dtype)
            for storage, density in ((w_stype, 1), (g_stype, None))
        )
        for side, storage in zip(sides, (_copied_dense, lambda x: x.copy())):
            side[index] = storage(weight), storage(grad)
    states = []
    for optimizer, side in zip((opt1, opt2), sides):
        made = [optimizer.create_state_multi_precision(i, weight) for i, (weight, _) in side.items()]
        weights, grads = (list(column) for column in zip(*side.values()))
        if noise_seed is not None:
            random.seed(noise_seed)
        if many and optimizer.takes_lists:
            optimizer.update_multi_precision(list(side), weights, grads, made)
        else:
            for call in zip(side, weights, grads, made):
                optimizer.update_multi_precision(*call)
        states.append(made)
    if compare_states:
        compare_ndarray_tuple(*states, rtol, atol)
    for index in sides[0]:
        assert_almost_equal(sides[0][index][0], sides[1][index][0], rtol, atol)


def _copied_dense(x):
    return x.tostype("default").copy()


@contextlib.contextmanager
def environment(*args):
    """Environment variables for a ``with`` block.

    Parameters
    ----------
    *args : (str, str or None), or a dict of them
        Names and values; None unsets one.
    """
    wanted = args[0] if len(args) == 1 else {args[0]: args[1]}
    before = {name: os.environ.get(name) for name in wanted}

    def apply(values):
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = str(value)

    apply(wanted)
    try:
        yield
    finally:
        apply(before)


__getattr__ = namespace.missing_from(__name__, namespace.REST)
