"""Random calls of the functions and methods of ``mx.nd``, for a walk beside real MXNet.

A call is drawn once, as a function of a package, so that both make the same one.
"""

import numpy as np

FLOATS = ("float32", "float64", "float16")
DTYPES = (*FLOATS, "int32", "int64", "uint8")


class Draw:
    """Draws the arguments of one call."""

    def __init__(self, seed):
        self.rng = np.random.RandomState(seed)

    def one(self, *values):
        return values[self.rng.randint(len(values))]

    def maybe(self, value):
        return value if self.rng.randint(2) else None

    def some(self, **keywords):
        """A random part of these keyword arguments."""
        return {key: value for key, value in keywords.items() if self.rng.randint(2)}

    def shape(self, ndim=None, low=1, high=5):
        ndim = self.rng.randint(1, 4) if ndim is None else ndim
        return tuple(int(n) for n in self.rng.randint(low, high, ndim))

    def values(self, shape, dtype="float32", kind="plain"):
        """Numbers of which many are equal, whole or halves, so that results are exact and ties occur."""
        if kind == "distinct":
            found = self.rng.permutation(int(np.prod(shape))).reshape(shape) - np.prod(shape) // 2
        else:
            found = self.rng.randint(-6, 7, shape) / (1 if dtype[0] in "iu" else 2)
        if kind == "positive" or dtype == "uint8":
            found = np.abs(found) + (kind == "positive")
        return found.astype(dtype)

    def axis(self, ndim, none=True):
        choices = [*range(-ndim, ndim), *([None] if none else [])]
        return choices[self.rng.randint(len(choices))]

    def axes(self, ndim):
        """None, a number, or a tuple of different axes."""
        if self.rng.randint(2):
            return self.axis(ndim)
        count = self.rng.randint(1, ndim + 1)
        return tuple(int(a) for a in self.rng.permutation(ndim)[:count])


def on(values):
    """An array argument, made by the package that is called."""
    return Array(values)


class Array:
    def __init__(self, values):
        self.values = values

    def __repr__(self):
        return f"{self.values.dtype}{self.values.tolist()}"


def made(package, x):
    if isinstance(x, Array):
        return package.nd.array(x.values, dtype=x.values.dtype)
    if isinstance(x, (list, tuple)) and any(isinstance(part, Array) for part in x):
        return type(x)(made(package, part) for part in x)
    return x


class Call:
    """A call of ``nd.name`` or of a method, with its arguments."""

    def __init__(self, name, *args, method=False, **kwargs):
        self.name, self.args, self.kwargs, self.method = name, args, kwargs, method

    def __call__(self, package):
        return self.with_arguments(package)[0]

    def with_arguments(self, package):
        """What the call gives, and the arguments that it was given."""
        args = [made(package, x) for x in self.args]
        kwargs = {key: made(package, x) for key, x in self.kwargs.items()}
        if self.method:
            return getattr(args[0], self.name)(*args[1:], **kwargs), args
        space = package.nd
        for part in self.name.split("."):
            space = getattr(space, part)
        return space(*args, **kwargs), args

    def __repr__(self):
        words = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.kwargs.items())]
        return f"{'method ' if self.method else 'nd.'}{self.name}({', '.join(words)})"


UNARY = [
    "abs",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "expm1",
    "fix",
    "floor",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_not",
    "negative",
    "radians",
    "rcbrt",
    "reciprocal",
    "relu",
    "rint",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softsign",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
    "zeros_like",
    "ones_like",
    "stop_gradient",
    "identity",
    "BlockGrad",
]
#: whose digits depend on a library of functions
INEXACT = {
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "cbrt",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "radians",
    "rcbrt",
    "reciprocal",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinh",
    "softsign",
    "sqrt",
    "tan",
    "tanh",
    "power",
    "broadcast_power",
    "hypot",
    "broadcast_hypot",
    "mean",
    "sum",
    "nansum",
    "norm",
    "prod",
    "softmax",
    "log_softmax",
    "L2Normalization",
    "smooth_l1",
    "linspace",
    "dot",
    "batch_dot",
    "multi_sum_sq",
    "multi_lars",
    "true_divide",
    "sum_axis",
    "__pow__",
    "__rpow__",
    "__rtruediv__",
}
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "modulo",
    "power",
    "maximum",
    "minimum",
    "equal",
    "not_equal",
    "greater",
    "greater_equal",
    "lesser",
    "lesser_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
]
OPERATORS = [
    "__add__",
    "__sub__",
    "__mul__",
    "__truediv__",
    "__mod__",
    "__pow__",
    "__radd__",
    "__rsub__",
    "__rmul__",
    "__rtruediv__",
    "__rmod__",
    "__rpow__",
    "__lt__",
    "__ge__",
    "__eq__",
    "__ne__",
    "__iadd__",
    "__isub__",
    "__imul__",
    "__itruediv__",
    "__imod__",
]


def unary(d):
    name, dtype = d.one(*UNARY), d.one(*DTYPES)
    kind = (
        "positive" if name.startswith(("log", "arccosh", "rsqrt", "reciprocal", "rcbrt", "sqrt")) else "plain"
    )
    values = d.values(d.shape(), dtype, kind)
    if name in ("arccos", "arcsin", "arctanh"):
        values = (values / 8).astype(dtype)
    method = d.rng.randint(2) and name in (
        "abs",
        "exp",
        "sqrt",
        "square",
        "sign",
        "floor",
        "log",
        "tanh",
        "relu",
    )
    return Call(name, on(values), method=bool(method))


def binary(d):
    name, dtype = d.one(*BINARY), d.one(*DTYPES)
    kind = "positive" if name in ("divide", "modulo", "power") else "plain"
    shape = d.shape()
    other = tuple(d.one(n, 1) for n in shape)
    lhs, rhs = on(d.values(shape, dtype, kind)), on(d.values(other, dtype, kind))
    if d.rng.randint(3) == 0:
        rhs = d.one(2, 0.5, 3, 1) if dtype in FLOATS else d.one(2, 3, 2.5, 1)
    return Call(name, *(d.one((lhs, rhs), (rhs, lhs))))


def between(d):
    end = d.one("add", "sub", "mul", "div")
    if d.rng.randint(2):
        name = f"elemwise_{end}"
        shape = other = d.shape()
        if d.rng.randint(4) == 0:
            other = tuple(d.one(n, 1) for n in shape)
    else:
        ends = [
            "add",
            "sub",
            "mul",
            "div",
            "mod",
            "power",
            "maximum",
            "minimum",
            "equal",
            "lesser",
            "logical_and",
        ]
        name = f"broadcast_{d.one(*ends)}"
        shape = d.shape()
        other = tuple(d.one(n, 1) for n in shape)
    dtype = d.one(*DTYPES)
    rhs = on(d.values(other, dtype, "positive"))
    if d.rng.randint(8) == 0:
        rhs = 2
    return Call(name, on(d.values(shape, dtype, "positive")), rhs)


def operators(d):
    name, dtype = d.one(*OPERATORS), d.one(*DTYPES)
    kind = "positive" if name.strip("_").endswith(("div", "mod", "pow")) else "plain"
    shape = d.shape()
    values = on(d.values(shape, dtype, kind))
    other = on(d.values(tuple(d.one(n, 1) for n in shape), dtype, kind))
    if name.startswith("__r") or d.rng.randint(2):
        other = d.one(2, 0.5, 3, 1.0, np.float64(1.5)) if dtype in FLOATS else d.one(2, 3, 2.5, 1)
    return Call(name, values, other, method=True)


def reductions(d):
    name, dtype = d.one("sum", "mean", "prod", "nansum", "max", "min", "norm"), d.one(*DTYPES)
    dtype = d.one(*FLOATS[:2]) if name == "norm" else dtype  # its norms of integers are not norms
    values = d.values(d.shape(), dtype)
    axes = d.axes(values.ndim)
    if name == "norm":
        keywords = d.some(ord=d.one(1, 2), keepdims=d.one(True, False))
    else:
        keywords = d.some(keepdims=d.one(True, False), exclude=d.one(True, False))
    if axes is not None or d.rng.randint(2):
        keywords["axis"] = axes
    return Call(name, on(values), method=bool(d.rng.randint(2)), **keywords)


def positions(d):
    values = d.values(d.shape(), d.one("float32", "float64", "int32"), "distinct")
    keywords = d.some(axis=d.axis(values.ndim), keepdims=d.one(True, False))
    return Call(d.one("argmax", "argmin"), on(values), method=bool(d.rng.randint(2)), **keywords)


def ordering(d):
    values = d.values(d.shape(), d.one("float32", "float64", "int32"), "distinct")
    name = d.one("sort", "argsort", "topk")
    keywords = d.some(axis=d.axis(values.ndim), is_ascend=d.one(True, False, 0, 1))
    if name == "topk":
        axis = keywords.get("axis", -1)
        length = values.size if axis is None else values.shape[axis]
        keywords.update(
            d.some(k=int(d.rng.randint(1, length + 1)), ret_typ=d.one("value", "indices", "mask", "both"))
        )
    if name != "sort":
        keywords.update(d.some(dtype=d.one("float32", "int32", "float64")))
    return Call(name, on(values), **keywords)


def products(d):
    m, k, n = (int(x) for x in d.rng.randint(1, 5, 3))
    dtype = d.one("float32", "float64")
    flags = d.some(transpose_a=d.one(True, False), transpose_b=d.one(True, False))
    first = (k, m) if flags.get("transpose_a") else (m, k)
    second = (n, k) if flags.get("transpose_b") else (k, n)
    if d.rng.randint(2):
        return Call("batch_dot", on(d.values((2, *first), dtype)), on(d.values((2, *second), dtype)), **flags)
    if d.rng.randint(3) == 0:
        first, second, flags = d.one(((k,), (k,)), ((m, k), (k,)), ((m, n, k), (k, 2))) + ({},)
    return Call("dot", on(d.values(first, dtype)), on(d.values(second, dtype)), **flags)


def joining(d):
    shape, count = d.shape(), int(d.rng.randint(1, 4))
    arrays = [on(d.values(shape, "float32")) for _ in range(count)]
    which = d.one("concat", "stack", "concatenate", "split", "add_n", "concat")
    axis = d.axis(len(shape), none=False)
    if which == "concat":
        return Call(
            d.one("concat", "Concat"), *arrays, **({"dim": axis} if len(shape) < 2 else d.some(dim=axis))
        )
    if which == "stack":
        return Call("stack", *arrays, **d.some(axis=axis))
    if which == "concatenate":
        return Call("concatenate", arrays, **d.some(axis=axis % len(shape)))
    if which == "add_n":
        return Call("add_n", *arrays)
    parts = int(d.rng.randint(1, 4))
    shape = list(shape)
    shape[axis] = parts * int(d.rng.randint(1, 3))
    keywords = {
        "num_outputs": parts,
        "axis": axis,
        **(d.some(squeeze_axis=d.one(True, False)) if len(shape) > 1 else {}),
    }
    return Call("split", on(d.values(shape)), method=bool(d.rng.randint(2)), **keywords)


def reshaping(d):
    # A code without a dimension for it corrupts MXNet's memory, so all of these fit three dimensions.
    forward = [
        (-1,),
        (0, -1),
        (-1, 0),
        (0, 0, -1),
        (-2,),
        (-3, 0),
        (-3, -2),
        (0, -3),
        (2, -1),
        (-1, 2),
        (6, 4),
    ]
    forward += [
        (-4, 1, -1, -2),
        (-4, -1, 2, 0, 0),
        (2, 3, 4),
        (-3, -1),
        (-2, 1),
        (-1, -3),
        (4, 0, -1),
    ]
    backward = [
        (-1,),
        (-1, 0),
        (0, -1),
        (-1, 0, 0),
        (-2,),
        (-3, 0),
        (0, -3),
        (-1, 2),
        (8, 3),
        (-2, -3),
    ]
    reverse = d.one(False, True)
    codes = d.one(*(backward if reverse else forward))
    values = on(d.values(d.one((2, 3, 4), (2, 2, 6))))
    keywords = {"reverse": d.one(True, 1)} if reverse else d.some(reverse=d.one(False, 0))
    if d.rng.randint(2):
        return Call("reshape", values, *d.one((codes,), codes), method=True, **keywords)
    return Call(d.one("reshape", "Reshape"), values, shape=codes, **keywords)


def shapes(d):
    values = d.values(d.shape(3))
    name = d.one(
        "transpose",
        "swapaxes",
        "moveaxis",
        "expand_dims",
        "squeeze",
        "flatten",
        "flip",
        "reverse",
        "tile",
        "repeat",
        "broadcast_to",
        "broadcast_axis",
        "broadcast_like",
        "reshape_like",
        "diag",
        "slice_axis",
        "slice",
        "slice_like",
        "SwapAxis",
        "Flatten",
    )
    one, two = d.axis(3, none=False), d.axis(3, none=False)
    method = bool(d.rng.randint(2)) and name in (
        "transpose",
        "expand_dims",
        "flatten",
        "flip",
        "tile",
        "repeat",
        "swapaxes",
        "squeeze",
        "slice_axis",
        "slice",
        "slice_like",
        "broadcast_to",
        "broadcast_like",
        "reshape_like",
    )
    if name == "transpose":
        return Call(
            name, on(values), method=method, **d.some(axes=tuple(int(a) for a in d.rng.permutation(3)))
        )
    if name in ("swapaxes", "SwapAxis"):
        return Call(name, on(values), one % 3, two % 3, method=method)
    if name == "moveaxis":
        return Call(name, on(values), one, two)
    if name == "expand_dims":
        return Call(name, on(values), method=method, axis=d.one(-4, -1, 0, 2, 3))
    if name == "squeeze":
        values = d.values(tuple(d.one(1, 1, 2) for _ in range(3)))
        return Call(name, on(values), method=method, **d.some(axis=d.one(0, 1, -1, (0, 2))))
    if name in ("flip", "reverse"):
        return Call(name, on(values), method=method, axis=d.one(one % 3, (0, 2)))
    if name == "tile":
        return Call(name, on(values), method=method, reps=d.one((2,), (1, 2), (2, 1, 2), (2, 1, 1, 2)))
    if name == "repeat":
        return Call(name, on(values), method=method, repeats=2, **d.some(axis=d.one(one, None)))
    if name in ("broadcast_to", "broadcast_like", "broadcast_axis"):
        values = d.values(tuple(d.one(1, n) for n in values.shape))
        shape = tuple(n if n > 1 else int(d.rng.randint(1, 4)) for n in values.shape)
        if name == "broadcast_to":
            return Call(
                name,
                on(values),
                method=method,
                shape=tuple(d.one(0, n) if n == m and not method else n for n, m in zip(shape, values.shape)),
            )
        if name == "broadcast_like":
            return Call(name, on(values), on(d.values(shape)), method=method)
        axis = [a for a in range(3) if values.shape[a] == 1]
        return Call(name, on(values), axis=tuple(axis), size=tuple(shape[a] for a in axis))
    if name == "reshape_like":
        return Call(name, on(values), on(d.values(values.shape[::-1])), method=method)
    if name == "diag":
        return Call(
            name, on(values[0] if d.rng.randint(3) else values[0, 0]), **d.some(k=int(d.rng.randint(-1, 2)))
        )
    if name == "slice_axis":
        begin = int(d.rng.randint(0, values.shape[one]))
        end = d.one(None, values.shape[one])
        return Call(name, on(values), method=method, axis=one, begin=begin, end=end)
    if name == "slice":
        begin = tuple(d.one(None, 0, n - 1) for n in values.shape[: d.rng.randint(1, 4)])
        return Call(
            name,
            on(values),
            method=method,
            begin=begin,
            end=tuple(None for _ in begin),
            **d.some(step=tuple(d.one(1, 2) for _ in begin)),
        )
    if name == "slice_like":
        smaller = tuple(int(d.rng.randint(1, n + 1)) for n in values.shape)
        return Call(
            name,
            on(values),
            on(d.values(smaller)),
            method=method,
            **d.some(axes=d.one((0,), (0, -1), (1, 2))),
        )
    return Call(name, on(values), method=method)


def picking(d):
    values = d.values(d.shape(2, 2), d.one("float32", "int32"))
    name = d.one("take", "pick", "one_hot", "where", "clip", "Cast", "cast", "astype")
    ids = d.rng.randint(-2, 7, d.shape()).astype(d.one("float32", "int32"))
    if name == "take":
        return Call(
            name,
            on(values),
            on(ids),
            method=bool(d.rng.randint(2)),
            **d.some(axis=d.one(0, 1, -1), mode=d.one("clip", "wrap")),
        )
    if name == "pick":
        axis = d.one(0, 1, -1, None)
        keywords = d.some(keepdims=d.one(True, False), mode=d.one("clip", "wrap"))
        length = values.shape[0 if axis in (1, -1, None) else 1]
        if axis is not None or d.rng.randint(2):
            keywords["axis"] = -1 if axis is None else axis
        index = d.rng.randint(-1, 6, length).astype("float32")
        if d.rng.randint(2):  # an index may keep the axis; along the wrong one both refuse it
            index = np.expand_dims(index, d.one(0, 1) if axis is None else axis)
        return Call(name, on(values), on(index), **keywords)
    if name == "one_hot":
        return Call(
            name,
            on(np.abs(ids)),
            d.one(4, 7),
            **d.some(on_value=2.0, off_value=-1.0, dtype=d.one("float32", "int32")),
        )
    if name == "where":
        condition = d.rng.randint(0, 2, d.one(values.shape, values.shape[:1])).astype("float32")
        return Call(name, on(condition), on(values), on(values * 2))
    if name == "clip":
        return Call(name, on(values), d.one(-1, -1.5), d.one(2, 1.5), method=bool(d.rng.randint(2)))
    return Call(
        name, on(values), dtype=d.one("float32", "float64", "int32", "float16"), method=name == "astype"
    )


def making(d):
    name = d.one("zeros", "ones", "full", "arange", "eye", "linspace", "array")
    dtype = d.some(dtype=d.one("float32", "float64", "int32"))
    if name == "full":
        return Call(name, d.one((2, 3), 4), d.one(2, 1.5), **dtype)
    if name == "arange":
        args = d.one((5,), (1, 6), (0, 7, 2), (5, 0, -1), (0.5, 3), (0, 1, 0.25))
        return Call(name, *args, **d.some(repeat=d.one(1, 3)), **dtype)
    if name == "eye":
        return Call(name, 3, **d.some(M=d.one(0, 2, 4), k=d.one(-1, 0, 1)), **dtype)
    if name == "linspace":
        return Call(name, 0, d.one(1, 5), d.one(2, 5), **d.some(endpoint=d.one(True, False)), **dtype)
    if name == "array":
        source = d.one([1, 2], [[1.5, 2]], np.arange(3), np.arange(3.0), 3, np.float64(2.5), (1, 2))
        return Call(name, source, **dtype)
    return Call(name, d.one((2, 3), 4, (1,)), **dtype)


def functions(d):
    values = d.values(d.shape(3), d.one("float32", "float64"))
    name = d.one(
        "softmax",
        "log_softmax",
        "L2Normalization",
        "smooth_l1",
        "all_finite",
        "multi_sum_sq",
        "contrib.isnan",
        "contrib.isinf",
        "contrib.isfinite",
        "multi_all_finite",
    )
    if name in ("softmax", "log_softmax"):
        return Call(name, on(values), **d.some(axis=d.one(-1, 0, 1), temperature=2.0))
    if name == "L2Normalization":
        return Call(name, on(values), **d.some(mode=d.one("instance", "channel", "spatial"), eps=1e-3))
    if name == "smooth_l1":
        return Call(name, on(values), scalar=d.one(1.0, 2.0))
    if name.startswith("contrib"):
        values.flat[0] = d.one(np.nan, np.inf, 1)
        return Call(name, on(values))
    if name == "all_finite":
        values.flat[0] = d.one(np.nan, np.inf, 1)
        return Call(name, on(values))
    values = values.astype("float32")
    return Call(name, on(values), on(values * 2), num_arrays=2)


class Item(Call):
    """``array[key]``, or an assignment and the array after it."""

    def __init__(self, values, key, value=None):
        super().__init__("item", values, key, value)

    def __call__(self, package):
        return self.with_arguments(package)[0]

    def with_arguments(self, package):
        array, key, value = args = [made(package, x) for x in self.args]
        if value is None:
            return array[key], args
        array[key] = value
        return array, args


def items(d):
    values = d.values(d.shape(3, 2), d.one("float32", "int32"))

    def part(length):
        return d.one(
            int(d.rng.randint(-length, length)),
            slice(None),
            slice(1, None),
            slice(None, -1),
            slice(None, None, 2),
            slice(None, None, -1),
            slice(0, length),
        )

    key = d.one(
        part(values.shape[0]),
        tuple(part(n) for n in values.shape[: d.rng.randint(1, 4)]),
        on(d.rng.randint(0, values.shape[0], 3).astype(d.one("float32", "int32"))),
        [int(x) for x in d.rng.randint(0, values.shape[0], 2)],
        None,
        Ellipsis,
        (Ellipsis, int(d.rng.randint(values.shape[2]))),
    )
    if d.rng.randint(2):
        return Item(on(values), key)
    shape = np.empty(values.shape)[made_key(key)].shape
    broadcast = tuple(d.one(n, n, 1) for n in shape)
    value = d.one(
        2,
        1.5,
        on(d.values(shape or (1,), str(values.dtype))),
        on(d.values((1,), str(values.dtype))),
        d.values(broadcast or (1,)),
        [3],
        np.float64(2),
    )
    return Item(on(values), key, value)


def made_key(key):
    return key.values.astype(int) if isinstance(key, Array) else key


METHODS = [name for name in UNARY if name not in ("identity", "BlockGrad", "logical_not", "negative",
                                                  "softsign", "stop_gradient")]  # fmt: skip


def methods(d):
    """Methods that are functions under the same name."""
    name = d.one("argsort", "diag", "log_softmax", "one_hot", "pick", "softmax", "sort", "topk",
                 "broadcast_axes", *METHODS)  # fmt: skip
    if name in METHODS:
        values = d.values(d.shape(), d.one(*FLOATS), "positive")
        return Call(name, on(values / 8 if name in ("arccos", "arcsin", "arctanh") else values), method=True)
    if name == "broadcast_axes":
        return Call(name, on(d.values((1, 3))), axis=0, size=2, method=True)
    if name == "one_hot":
        return Call(name, on(d.rng.randint(0, 4, 3).astype("float32")), d.one(4, 5), method=True)
    if name == "pick":
        return Call(name, on(d.values((3, 4))), on(d.rng.randint(0, 4, 3).astype("float32")), method=True)
    values = d.values(d.shape(2), kind="distinct")
    keywords = d.some(k=1) if name in ("diag", "topk") else d.some(axis=d.one(0, 1, -1))
    return Call(name, on(values), method=True, **keywords)


def spellings(d):
    """Other names of functions, and arguments by name that are mostly given by position."""
    shape = d.shape(3, 2)
    values, dtype = d.values(shape, kind="distinct"), d.one("float32", "float64")
    one, two = (int(a) for a in d.rng.permutation(3)[:2])
    whole = on(values)
    return d.one(
        Call("ElementWiseSum", whole, on(values * 2)),
        Call("SliceChannel", whole, num_outputs=shape[one], axis=one, squeeze_axis=d.one(True, False)),
        Call(d.one("max_axis", "min_axis", "sum_axis"), whole, axis=one, **d.some(keepdims=1, exclude=1)),
        Call("broadcast_axes", on(values[:1]), axis=0, size=3),
        Call("crop", whole, begin=(0, 1), end=(None, 2), **d.some(step=(1, 1))),
        Call(d.one("power", "true_divide"), on(abs(values) + 1), d.one(2, 0.5, on(abs(values) + 1))),
        Call(
            d.one(*(f"broadcast_{end}" for end in ("greater", "greater_equal", "hypot", "lesser_equal",
                    "logical_or", "logical_xor", "minus", "not_equal", "plus"))),
            whole,
            on(d.values(tuple(d.one(n, 1) for n in shape))),
        ),
        Call("swapaxes", whole, dim1=one, dim2=two),
        Call("SwapAxis", whole, dim1=one, dim2=two),
        Call("diag", whole, axis1=one, axis2=two, **d.some(k=d.one(-1, 1))),
        Call("clip", whole, a_min=-2, a_max=d.one(1, 2.5)),
        Call("arange", 1, stop=7, step=d.one(1, 2.0), infer_range=d.one(False, None), **d.some(dtype=dtype)),
        Call(d.one("concat", "Concat"), whole, whole, dim=one, num_args=2),
        Call("stack", whole, whole, axis=one, num_args=2),
        Call("concatenate", [whole, whole], axis=one, always_copy=d.one(True, False)),
        Call("norm", whole, axis=one, out_dtype="float32"),
        Call("zeros", shape, stype=d.one("default", "row_sparse")),
        Call("amp_cast", whole, dtype=d.one("float32", "float16")),
        Call("all_finite", on(values / d.one(1, np.inf)), init_output=True),
        Call("multi_all_finite", whole, whole, num_arrays=2, init_output=True),
        Call("contrib.boolean_mask", whole, on(np.arange(shape[0]).astype("float32") % 2 == 0)),
        Call("multi_lars", *(on(abs(values[0, 0]) + part) for part in (1, 2, 3, 4)), eta=0.5, eps=0.25,
             **d.some(rescale_grad=0.5)),
        Call("broadcast_like", on(values[:1]), whole, lhs_axes=(0,), rhs_axes=(0,)),
        Call("flatten", whole, method=True, inplace=d.one(True, False)),
        Call("expand_dims", whole, method=True, axis=1, inplace=d.one(True, False)),
        Call("squeeze", on(values[:1]), method=True, axis=0, inplace=d.one(True, False)),
    )  # fmt: skip


class Into(Call):
    """A call with ``out=``: what it returns, and what that array holds."""

    def __call__(self, package):
        dense = super().__call__(package)
        out = package.nd.zeros(dense.shape, dtype=dense.dtype)
        again = Call(self.name, *self.args, **self.kwargs, out=out)(package)
        assert again is out
        return out


def into(d):
    """Functions that write into a given array."""
    unaries = [name for name in UNARY if not name.startswith(("arc", "log"))]
    values = d.values(d.shape(2), d.one("float32", "float64"), "positive")
    call = d.one(
        Call(d.one(*unaries), on(values)),
        Call(d.one("elemwise_add", "broadcast_sub", "broadcast_mul", "elemwise_div"), on(values), on(values)),
        Call("clip", on(values), 1, 2),
        Call("add_n", on(values), on(values)),
        Call(d.one("sum", "max", "mean"), on(values), axis=0),
        Call("concat", on(values), on(values), dim=0),
        Call("dot", on(values), on(values.T)),
        Call("where", on(values), on(values), on(values * 2)),
        Call("transpose", on(values)),
    )
    return Into(call.name, *call.args, **call.kwargs)


KINDS = [
    unary,
    binary,
    between,
    operators,
    reductions,
    positions,
    ordering,
    products,
    joining,
    reshaping,
    shapes,
    picking,
    making,
    functions,
    items,
    methods,
    spellings,
    into,
]


def draw(kind, seed):
    """The call of a kind with a number."""
    return kind(Draw(seed))
