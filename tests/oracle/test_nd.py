"""Sums, means and norms of arrays beside MXNet's."""

import mxnet
import numpy as np
import pytest

from oracle.comparison import dialects_here
from oracle.driver import mxopt_for

DIALECT = dialects_here()[0]
OLD = DIALECT == "1.x"
#: shape, axis
CASES = [((1,), None), ((7,), None), ((64,), None), ((1000,), None), ((5000,), None), ((30, 40), None),
         ((30, 40), 0), ((30, 40), 1), ((3, 5, 7), (0, 2)), ((3, 5, 7), 1), ((3, 5, 7), None)]  # fmt: skip


def both(function, shape, axis, dtype, **options):
    values = np.random.RandomState(31).normal(size=shape).astype(dtype)
    found = []
    for package in (mxnet, mxopt_for(DIALECT).package):
        array = package.nd.array(values, dtype=dtype)
        more = {} if axis is None else {"axis": axis}
        found.append(getattr(package.nd, function)(array, **more, **options).asnumpy())
    return found


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("function", ["sum", "mean"])
def test_sums_are_those_of_mxnet(function, shape, axis, dtype, keepdims):
    theirs, mine = both(function, shape, axis, dtype, keepdims=keepdims)
    assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
    if OLD or axis == 0 and len(shape) == 2 and function == "sum":
        np.testing.assert_array_equal(mine, theirs)
    else:
        # MXNet 2 adds along the last axes in an order that depends on the processor
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=16 * eps * np.sqrt(np.prod(shape)))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axis"), [case for case in CASES if not (isinstance(case[1], tuple))])
def test_norms_are_those_of_mxnet(shape, axis, dtype, order):
    theirs, mine = both("norm", shape, axis, dtype, ord=order)
    assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("function", ["sum", "mean", "norm"])
def test_what_is_not_finite_comes_through(function, special):
    values = np.array([1, 2, special, 4, 5], np.float32)
    theirs, mine = (getattr(package.nd, function)(package.nd.array(values)).asnumpy()
                    for package in (mxnet, mxopt_for(DIALECT).package))  # fmt: skip
    np.testing.assert_array_equal(mine, theirs)


EXACT = {
    "moveaxis": lambda nd, a: nd.moveaxis(a, 0, 1),
    "diag of a vector": lambda nd, a: nd.diag(a[0]),
    "diag of a matrix": lambda nd, a: nd.diag(a, k=1),
    "slice": lambda nd, a: nd.slice(a, begin=(1, 0), end=(3, 2)),
    "slice with steps": lambda nd, a: nd.slice(a, begin=(None, 4), end=(None, 0), step=(2, -1)),
    "slice method": lambda nd, a: a.slice(begin=(0, 1), end=(2, None)),
    "slice_like": lambda nd, a: nd.slice_like(a, nd.ones((2, 3))),
    "slice_like along one": lambda nd, a: nd.slice_like(a, nd.ones((2, 3)), axes=(1,)),
    "from_numpy": lambda nd, a: nd.from_numpy(a.asnumpy() * 2),
    "cast_storage": lambda nd, a: nd.cast_storage(a, "row_sparse"),
    "arange like": lambda nd, a: nd.arange(1, 4, repeat=2),
}
CLOSE = {
    **{name: lambda nd, a, name=name: getattr(nd, name)(a) for name in ("arctan", "arcsinh", "exp", "tanh")},
    **{
        name: lambda nd, a, name=name: getattr(nd, name)(nd.clip(a, -0.9, 0.9))
        for name in ("arcsin", "arccos", "arctanh")
    },
    "arccosh": lambda nd, a: nd.arccosh(nd.abs(a) + 1.5),
    "L2Normalization": lambda nd, a: nd.L2Normalization(a),
    "L2Normalization, channel": lambda nd, a: nd.L2Normalization(nd.expand_dims(a, axis=2), mode="channel"),
}


@pytest.mark.parametrize("case", [*EXACT, *CLOSE])
def test_a_function_of_mxnet(case):
    values = np.random.RandomState(37).normal(size=(4, 5)).astype(np.float32)
    theirs, mine = ({**EXACT, **CLOSE}[case](package.nd, package.nd.array(values))
                    for package in (mxnet, mxopt_for(DIALECT).package))  # fmt: skip
    assert (mine.shape, mine.dtype, mine.stype) == (theirs.shape, theirs.dtype, theirs.stype)
    if case in EXACT:
        np.testing.assert_array_equal(mine.asnumpy(), theirs.asnumpy())
    else:
        np.testing.assert_allclose(mine.asnumpy(), theirs.asnumpy(), rtol=1e-6)
