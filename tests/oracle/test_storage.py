"""Row-sparse arrays compute as MXNet's: the storage of each result, its rows and its numbers."""

import operator

import mxnet
import numpy as np
import pytest

from oracle.comparison import dialects_here
from oracle.driver import mxopt_for

OURS = mxopt_for(dialects_here()[0]).package
SHAPE = (6, 3)
NUMBERS = (0, 1, -1, 2, 0.5, float("inf"))
OPERATORS = ("add", "sub", "mul", "truediv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne")
IN_PLACE = ("iadd", "isub", "imul", "itruediv", "imod")
FUNCTIONS = [
    "abs", "arccos", "arcsin", "arcsinh", "arctan", "arctanh", "cbrt", "ceil", "cos", "cosh", "degrees",
    "exp", "expm1", "fix", "floor", "log1p", "logical_not", "negative", "radians", "reciprocal", "relu",
    "rint", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "softsign", "sqrt", "square", "tan",
    "tanh", "trunc", "zeros_like", "ones_like", "identity", "stop_gradient", "BlockGrad", "softmax",
    "sum", "mean", "norm", "max", "min", "flatten", "transpose", "argmax",
]  # fmt: skip
PAIRS = [
    "elemwise_add", "elemwise_sub", "elemwise_mul", "elemwise_div", "broadcast_add", "broadcast_mul",
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "equal", "lesser",
    "greater_equal", "add_n",
]  # fmt: skip


def values(rows, seed):
    dense = np.zeros(SHAPE, np.float32)
    rng = np.random.RandomState(seed)
    dense[list(rows)] = rng.randint(-3, 4, (len(rows), SHAPE[1]))
    return dense


class Arrays:
    """The same arrays in a package: row-sparse ones, one of them with a row of zeros, one without rows."""

    def __init__(self, package):
        self.nd, self.package = package.nd, package

    def make(self, which):
        nd = self.nd
        if which == "rows":
            return nd.array(values([1, 2, 4], 1)).tostype("row_sparse")
        if which == "others":
            return nd.array(values([0, 2, 5], 2)).tostype("row_sparse")
        if which == "all":
            return nd.array(values(range(6), 3) + 0.5).tostype("row_sparse")
        if which == "none":
            return nd.sparse.zeros("row_sparse", SHAPE)
        if which == "a zero row":
            return nd.sparse.row_sparse_array(([[0, 0, 0], [1, 2, 3]], [1, 3]), shape=SHAPE)
        if which == "one row":
            return nd.array(values([0], 4)[:1])
        return nd.array(values(range(6), 5))


def told(compute, package):
    """What came out: storage, dtype, rows and numbers."""
    found = compute(Arrays(package))
    if isinstance(found, list):
        return [told(lambda _, one=one: one, package) for one in found]
    rows = found.indices.asnumpy().tolist() if found.stype == "row_sparse" else None
    return found.stype, rows, str(found.asnumpy().dtype), found.asnumpy()


def compare(compute, exact=True, signs=True):
    """Compare what two packages compute; `signs`: of zeros as well."""
    with np.errstate(all="ignore"):
        theirs, ours = told(compute, mxnet), told(compute, OURS)
    assert ours[:3] == theirs[:3]
    if exact:
        np.testing.assert_array_equal(ours[3], theirs[3])
        if signs:
            np.testing.assert_array_equal(*(np.signbit(x[3]) & ~np.isnan(x[3]) for x in (ours, theirs)))
    else:
        np.testing.assert_allclose(ours[3], theirs[3], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("other", ["others", "all", "none", "a zero row", "dense", "one row"])
@pytest.mark.parametrize("op", OPERATORS)
def test_operators_of_two_arrays(op, other):
    function = getattr(operator, op)
    # a remainder of zero has the sign that NumPy gives it
    how = {"exact": op != "pow", "signs": op != "mod"}
    compare(lambda a: function(a.make("rows"), a.make(other)), **how)
    if other not in ("dense", "one row"):
        compare(lambda a: function(a.make("dense"), a.make(other)), **how)


@pytest.mark.parametrize("op", OPERATORS)
def test_operators_with_numbers(op):
    function = getattr(operator, op)
    how = {"exact": op != "pow", "signs": op != "mod"}
    for number in NUMBERS[: -1 if op == "pow" else None]:
        compare(lambda a, number=number: function(a.make("a zero row"), number), **how)
        compare(lambda a, number=number: function(number, a.make("a zero row")), **how)


@pytest.mark.parametrize("op", IN_PLACE)
def test_in_place(op):
    def changed(first, second):
        def run(a):
            x = alias = a.make(first)
            x = getattr(operator, op)(x, a.make(second) if isinstance(second, str) else second)
            assert x is alias
            return alias

        return run

    for second in ("others", "none", "dense", 0, 2):
        compare(changed("rows", second))
    compare(changed("dense", "rows"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_one_array(name):
    for which in ("rows", "a zero row", "none"):
        if which == "none" and name == "norm":
            continue  # an uninitialised number in MXNet
        if (
            name in ("sum", "mean", "max", "min", "argmax", "flatten", "transpose", "softmax")
            or which != "none"
        ):
            compare(lambda a, which=which: getattr(a.nd, name)(a.make(which)), exact=False)


@pytest.mark.parametrize("space", ["nd", "sparse"])
@pytest.mark.parametrize("name", PAIRS)
def test_functions_of_two_arrays(name, space):
    if not hasattr(mxnet.nd if space == "nd" else mxnet.nd.sparse, name):
        pytest.skip("not in MXNet")
    for first, second in (("rows", "others"), ("rows", "dense"), ("dense", "rows"), ("all", "a zero row")):
        compare(
            lambda a, f=first, s=second: getattr(a.nd if space == "nd" else a.nd.sparse, name)(
                a.make(f), a.make(s)
            ),
            exact=name != "power",
        )


OTHERS = {
    "clip": lambda a: a.nd.clip(a.make("rows"), -1, 1),
    "clip to what is positive": lambda a: a.make("rows").clip(0, 1),
    "clip to out": lambda a: a.nd.clip(a.make("rows"), 0.5, 1, out=a.make("none")),
    "sum of several": lambda a: a.nd.add_n(a.make("rows"), a.make("others"), a.make("rows")),
    "sum of one": lambda a: a.nd.add_n(a.make("a zero row")),
    "sum with dense ones": lambda a: a.nd.add_n(a.make("rows"), a.make("dense"), a.make("others")),
    "retain": lambda a: a.nd.sparse.retain(a.make("rows"), a.nd.array([1, 3, 4])),
    "retain by integers": lambda a: a.nd.sparse.retain(a.make("rows"), a.nd.array([2], dtype="int64")),
    "retain by a matrix": lambda a: a.nd.sparse.retain(a.make("rows"), a.nd.array([[1], [4]])),
    "retain by fractions": lambda a: a.nd.sparse.retain(a.make("rows"), a.nd.array([1.5])),
    "cast to rows": lambda a: a.nd.cast_storage(a.make("dense"), "row_sparse"),
    "cast to dense": lambda a: a.nd.cast_storage(a.make("rows"), "default"),
    "a zero row stays": lambda a: a.make("a zero row").tostype("row_sparse"),
    "a zero row goes": lambda a: a.make("a zero row").tostype("default").tostype("row_sparse"),
    "rows to rows": lambda a: a.make("rows").copyto(a.make("others")),
    "rows to dense": lambda a: a.make("rows").copyto(a.make("dense")),
    "dense to rows": lambda a: a.make("dense").copyto(a.make("rows")),
    "zeros to rows": lambda a: a.nd.zeros(SHAPE).copyto(a.make("rows")),
    "to another dtype": lambda a: a.make("rows").copyto(a.make("none").astype("float64")),
    "to a context": lambda a: a.make("rows").copyto(a.package.cpu(1)),
    "astype": lambda a: a.make("rows").astype("int32"),
    "negation": lambda a: -a.make("rows"),
    "abs": lambda a: abs(a.make("rows")),
    "all of it": lambda a: a.make("rows")[:],
    "out of rows": lambda a: a.nd.elemwise_add(a.make("rows"), a.make("others"), out=a.make("none")),
    "out of a dense result": lambda a: a.nd.reciprocal(a.make("all"), out=a.make("none")),
    "out of numbers": lambda a: a.nd.sqrt(a.nd.abs(a.make("rows")), out=a.make("dense")),
    "concat": lambda a: a.nd.concat(a.make("rows"), a.make("others"), dim=0),
    "take": lambda a: a.nd.take(a.make("rows"), a.nd.array([1, 4])),
    "where": lambda a: a.nd.where(a.make("rows"), a.make("dense"), a.make("dense") * 2),
    "dot": lambda a: a.nd.dot(a.make("rows"), a.nd.ones((3, 2))),
    "array of an array": lambda a: a.nd.array(a.make("rows")),
    "sparse.array": lambda a: a.nd.sparse.array(a.make("rows"), dtype="float64"),
    "of integers": lambda a: a.nd.sparse.row_sparse_array((np.ones((1, 3), np.int32), [1])),
    "of a list": lambda a: a.nd.sparse.row_sparse_array([[1, 2], [0, 0]]),
    "of a shape": lambda a: a.nd.sparse.row_sparse_array((4, 2), dtype="int32"),
    "of an array of doubles": lambda a: a.nd.sparse.row_sparse_array(values([1], 1).astype(np.float64)),
    "transposed": lambda a: a.make("rows").T,
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_other_calls(case):
    compare(OTHERS[case])


def test_assignment():
    for value in ("others", "dense", "none", "a zero row", 2, 0, np.float64(3), values([1, 5], 7)):
        for target in ("rows", "none"):

            def assigned(a, value=value, target=target):
                x = a.make(target)
                x[:] = a.make(value) if isinstance(value, str) else value
                return x

            compare(assigned)
