"""``mx.init``: MXNet's initializers, on arrays.

Random ones draw from the stream that ``mx.random.seed`` restarts; the numbers are NumPy's, and their
distribution is MXNet's.
"""

from __future__ import annotations

import json
import logging
import math
import re
import warnings

import numpy as np

from . import namespace
from .named import Named
from .nd import load
from .stream import generator

__all__ = [
    "Bilinear", "Constant", "InitDesc", "Initializer", "LSTMBias", "Load", "MSRAPrelu", "Mixed", "Normal",
    "One", "Orthogonal", "Uniform", "Xavier", "Zero", "alias", "create", "register",
]  # fmt: skip


class InitDesc(str):
    """A parameter's name, with what is known about the parameter.

    Parameters
    ----------
    name : str
    attrs : dict of str to str, optional
        ``__init__`` names the parameter's own initializer.
    global_init : Initializer, optional
        The initializer for all parameters.
    """

    def __new__(cls, name, attrs=None, global_init=None):
        made = super().__new__(cls, name)
        made.attrs, made.global_init = attrs or {}, global_init
        return made


#: endings of names, and the method that fills such a parameter
_ENDINGS = {
    "weight": "_init_weight",
    "bias": "_init_bias",
    "gamma": "_init_gamma",
    "beta": "_init_beta",
    "min": "_init_zero",
    "max": "_init_one",
    "moving_mean": "_init_zero",
    "moving_var": "_init_one",
    "moving_inv_var": "_init_zero",
    "moving_avg": "_init_zero",
    "running_mean": "_init_zero",
    "running_var": "_init_one",
}


class Initializer:
    """Base of all initializers.

    Called with a name and an array, it fills the array in place: biases and betas with 0, gammas with 1, and
    weights as the subclass's ``_init_weight(name, arr)`` says.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> weight = np.zeros((2, 3), np.float32)
    >>> mx.init.Constant(0.5)(mx.init.InitDesc("fc_weight"), weight)
    >>> weight
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]], dtype=float32)
    """

    def __init__(self, **kwargs):
        self._kwargs = kwargs
        self._verbose, self._print_func = False, None

    def set_verbosity(self, verbose=False, print_func=None):
        """Log each array that is filled, with the result of `print_func` (by default its scaled norm)."""
        self._verbose = verbose
        self._print_func = print_func or _scaled_norm
        return self

    def dumps(self):
        """A description that `create` accepts."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __call__(self, desc, arr):
        """Fill an array.

        Parameters
        ----------
        desc : InitDesc or str
            The name decides how; a plain string is deprecated, as in MXNet.
        arr : array
            Filled in place.
        """
        if not isinstance(desc, str):
            raise TypeError(f"the name of a parameter must be a string, got {type(desc).__name__}")
        own = ""
        if isinstance(desc, InitDesc):
            desc.global_init = desc.global_init or self
            own = desc.attrs.get("__init__", "")
        else:
            warnings.warn(
                "an initializer takes mx.init.InitDesc(name) rather than a plain string",
                DeprecationWarning,
                stacklevel=2,
            )
        if own:
            create(own)._init_weight(desc, arr)
        else:
            endings = [ending for ending in _ENDINGS if desc.endswith(ending)]
            method = _ENDINGS[max(endings, key=len)] if endings else "_init_default"
            getattr(self, method)(desc, arr)
        if self._verbose and self._print_func:
            logging.info("Initialized %s as %s: %s", desc, own or type(self).__name__, self._print_func(arr))

    def _init_zero(self, _, arr):
        arr[:] = 0

    def _init_one(self, _, arr):
        arr[:] = 1

    _init_bias = _init_beta = _init_zero
    _init_gamma = _init_one

    def _init_weight(self, name, arr):
        raise NotImplementedError(f"{type(self).__name__} must override _init_weight(name, arr)")

    def _init_default(self, name, _):
        raise ValueError(
            f"the name {name!r} does not say how to fill the parameter, since it ends in none of "
            f"{', '.join(_ENDINGS)}; pass InitDesc(name, attrs={{'__init__': init.dumps()}})"
        )

    def __eq__(self, other):
        if not isinstance(other, Initializer):
            return NotImplemented
        return type(self) is type(other) and self._kwargs == other._kwargs

    __hash__ = object.__hash__


def _scaled_norm(arr):
    return str(np.linalg.norm(np.asarray(arr).ravel()) / math.sqrt(arr.size))


_named = Named(Initializer, "initializer")
register, alias, create = _named.register, _named.alias, _named.create


class Load:
    """Fill parameters from arrays by name.

    Parameters
    ----------
    param : dict of str to array, or str
        The arrays, or the name of a ``.params`` file; ``arg:`` and ``aux:`` before a name are dropped.
    default_init : Initializer, optional
        For parameters that are not among them.
    verbose : bool
        Log how each parameter was filled.
    """

    def __init__(self, param, default_init=None, verbose=False):
        arrays = load(param) if isinstance(param, str) else param
        if not isinstance(arrays, dict):
            raise TypeError(f"param must hold arrays by name, got {type(arrays).__name__}")
        self.param = {re.sub("^(arg|aux):", "", name): array for name, array in arrays.items()}
        self.default_init, self.verbose = default_init, verbose

    def __call__(self, name, arr):
        if name in self.param:
            if self.param[name].shape != arr.shape:
                raise ValueError(
                    f"parameter {name!r} has shape {arr.shape}, the loaded one {self.param[name].shape}"
                )
            arr[:] = self.param[name]
        elif self.default_init is None:
            raise ValueError(f"parameter {name!r} is not among those loaded; pass default_init")
        else:
            self.default_init(name, arr)
        if self.verbose:
            logging.info("Initialized %s by %s", name, "loading" if name in self.param else "default")


class Mixed:
    """The initializer of the first pattern that matches a parameter's name.

    Parameters
    ----------
    patterns : list of str
        Regular expressions, matched at the beginning of a name.
    initializers : list of Initializer
    """

    def __init__(self, patterns, initializers):
        if len(patterns) != len(initializers):
            raise ValueError(f"{len(patterns)} patterns do not go with {len(initializers)} initializers")
        self.map = [(re.compile(pattern), init) for pattern, init in zip(patterns, initializers)]

    def __call__(self, name, arr):
        for pattern, init in self.map:
            if pattern.match(name):
                init(name, arr)
                return
        raise ValueError(f"no pattern matches {name!r}; add '.*' as the last, with a default")


@register
@alias("zeros")
class Zero(Initializer):
    """Zeros."""

    def __init__(self):
        super().__init__()

    _init_weight = Initializer._init_zero


@register
@alias("ones")
class One(Initializer):
    """Ones."""

    def __init__(self):
        super().__init__()

    _init_weight = Initializer._init_one


@register
class Constant(Initializer):
    """One value, or an array of values."""

    def __init__(self, value):
        super().__init__(value=value if np.isscalar(value) else np.asarray(value).tolist())
        self.value = value

    def _init_weight(self, _, arr):
        arr[:] = self.value


@register
class Uniform(Initializer):
    """Uniformly distributed between ``-scale`` and ``scale``."""

    def __init__(self, scale=0.07):
        super().__init__(scale=scale)
        self.scale = scale

    def _init_weight(self, _, arr):
        arr[:] = generator().uniform(-self.scale, self.scale, arr.shape)


@register
class Normal(Initializer):
    """Normally distributed with standard deviation `sigma`."""

    def __init__(self, sigma=0.01):
        super().__init__(sigma=sigma)
        self.sigma = sigma

    def _init_weight(self, _, arr):
        arr[:] = generator().normal(0, self.sigma, arr.shape)


@register
class Orthogonal(Initializer):
    """Orthogonal rows or columns, whichever are fewer.

    Parameters
    ----------
    scale : float, default 1.414
        Their length.
    rand_type : {'uniform', 'normal'}
        The distribution of the matrix before it is made orthogonal.
    """

    def __init__(self, scale=1.414, rand_type="uniform"):
        super().__init__(scale=scale, rand_type=rand_type)
        if rand_type not in ("uniform", "normal"):
            raise ValueError(f"rand_type must be 'uniform' or 'normal', got {rand_type!r}")
        self.scale, self.rand_type = scale, rand_type

    def _init_weight(self, _, arr):
        shape = arr.shape[0], math.prod(arr.shape[1:])
        draw = generator()
        start = draw.uniform(-1, 1, shape) if self.rand_type == "uniform" else draw.normal(0, 1, shape)
        left, _, right = np.linalg.svd(start, full_matrices=False)
        arr[:] = self.scale * (left if left.shape == shape else right).reshape(arr.shape)


@register
class Xavier(Initializer):
    """Random numbers scaled by the numbers of inputs and outputs, so that signals keep their size.

    Parameters
    ----------
    rnd_type : {'uniform', 'gaussian'}
    factor_type : {'avg', 'in', 'out'}
        Inputs, outputs, or the mean of both.
    magnitude : float, default 3
        The scale is ``sqrt(magnitude / factor)``.
    """

    def __init__(self, rnd_type="uniform", factor_type="avg", magnitude=3):
        super().__init__(rnd_type=rnd_type, factor_type=factor_type, magnitude=magnitude)
        if rnd_type not in ("uniform", "gaussian"):
            raise ValueError(f"rnd_type must be 'uniform' or 'gaussian', got {rnd_type!r}")
        if factor_type not in ("avg", "in", "out"):
            raise ValueError(f"factor_type must be 'avg', 'in' or 'out', got {factor_type!r}")
        self.rnd_type, self.factor_type, self.magnitude = rnd_type, factor_type, float(magnitude)

    def _init_weight(self, name, arr):
        if len(arr.shape) < 2:
            raise ValueError(f"Xavier needs a matrix or more, got shape {arr.shape} for {name!r}")
        field = math.prod(arr.shape[2:])
        fan_in, fan_out = arr.shape[1] * field, arr.shape[0] * field
        factor = {"avg": (fan_in + fan_out) / 2, "in": fan_in, "out": fan_out}[self.factor_type]
        scale, draw = math.sqrt(self.magnitude / factor), generator()
        if self.rnd_type == "uniform":
            arr[:] = draw.uniform(-scale, scale, arr.shape)
        else:
            arr[:] = draw.normal(0, scale, arr.shape)


@register
class MSRAPrelu(Xavier):
    """`Xavier` for layers followed by a PReLU of this slope."""

    def __init__(self, factor_type="avg", slope=0.25):
        super().__init__("gaussian", factor_type, 2.0 / (1 + slope**2))
        self._kwargs = {"factor_type": factor_type, "slope": slope}


@register
class Bilinear(Initializer):
    """The weights of bilinear upsampling, for 4-dimensional arrays."""

    def __init__(self):
        super().__init__()

    def _init_weight(self, _, arr):
        height, width = arr.shape[2:]
        half = math.ceil(width / 2)
        center = (2 * half - 1 - half % 2) / (2 * half)
        across = 1 - np.abs(np.arange(width) / half - center)
        down = 1 - np.abs(np.arange(height) / half - center)
        arr[:] = np.broadcast_to(down[:, None] * across, arr.shape).astype(np.float32)


@register
class LSTMBias(Initializer):
    """Zeros, except `forget_bias` in the second quarter, which is the forget gate's."""

    def __init__(self, forget_bias=1.0):
        super().__init__(forget_bias=forget_bias)
        self.forget_bias = forget_bias

    def _init_weight(self, _, arr):
        arr[:] = 0
        quarter = arr.shape[0] // 4
        arr[quarter : 2 * quarter] = self.forget_bias


namespace.complete(__name__)
