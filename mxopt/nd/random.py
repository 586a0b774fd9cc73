"""``mx.nd.random``: samples from the stream that `mxopt.random.seed` restarts."""

from __future__ import annotations

import math

import numpy as np

from .. import namespace
from ..stream import fill, generator, seed
from .ops import _dtype, _give, _placed

__all__ = [
    "exponential",
    "gamma",
    "multinomial",
    "normal",
    "poisson",
    "randint",
    "randn",
    "seed",
    "shuffle",
    "uniform",
]


def _shape(shape):
    return (1,) if shape is None else (shape,) if np.isscalar(shape) else tuple(shape)


def _sample(draw, parameters, shape, dtype, ctx, out):
    """Draw; `draw` takes the size, the dtype to draw in, and the parameters.

    A parameter that is an array gives a sample of shape `shape` for each of its elements.
    """
    arrays = [np.asarray(x) for x in parameters if isinstance(x, np.ndarray) and x.size > 1]
    if arrays:
        each = np.broadcast_shapes(*(x.shape for x in arrays))
        more = () if shape is None else _shape(shape)
        size = (*each, *more)
        parameters = [
            x.reshape(*x.shape, *[1] * len(more)) if isinstance(x, np.ndarray) and x.size > 1 else x
            for x in map(_value, parameters)
        ]
    else:
        size = _shape(shape) if out is None or shape is not None else out.shape
        parameters = [x.item() if isinstance(x, np.ndarray) else x for x in map(_value, parameters)]
    if out is not None:
        if size != out.shape:
            raise ValueError(f"out must have the shape of the samples, {size}, got {out.shape}")
        return _give(draw(size, out.dtype, *parameters), out)
    dtype = _dtype(dtype)
    return _placed(np.asarray(draw(size, dtype, *parameters)).astype(dtype), ctx)


def _value(x):
    return np.asarray(x) if isinstance(x, np.ndarray) else x


def _normal(size, dtype, loc, scale):
    # float32 is drawn as float32, so that these are the numbers that SGLD adds
    drawn = np.empty(math.prod(size), np.float32 if dtype == np.float32 else np.float64)
    fill(drawn)
    return loc + scale * drawn.reshape(size)


def normal(loc=0, scale=1, shape=None, dtype=None, ctx=None, out=None, name=None):
    """Normal samples, from the stream that SGLD's noise comes from."""
    return _sample(_normal, (loc, scale), shape, dtype, ctx, out)


def randn(*shape, loc=0, scale=1, dtype=None, ctx=None, out=None):
    """Normal samples; the arguments are the shape."""
    return normal(loc, scale, shape or None, dtype, ctx, out)


def uniform(low=0, high=1, shape=None, dtype=None, ctx=None, out=None, name=None):
    """Uniform samples."""
    return _sample(
        lambda size, _, low, high: generator().uniform(low, high, size), (low, high), shape, dtype, ctx, out
    )


def randint(low, high, shape=None, dtype="int32", ctx=None, out=None, name=None):
    """Integers from `low` up to, not including, `high`."""
    return _sample(
        lambda size, _, low, high: generator().integers(low, high, size), (low, high), shape, dtype, ctx, out
    )


def exponential(scale=1, shape=None, dtype=None, ctx=None, out=None, name=None):
    """Exponential samples."""
    return _sample(
        lambda size, _, scale: generator().exponential(scale, size), (scale,), shape, dtype, ctx, out
    )


def gamma(alpha=1, beta=1, shape=None, dtype=None, ctx=None, out=None, name=None):
    """Gamma samples; `beta` is a scale."""
    return _sample(
        lambda size, _, alpha, beta: generator().gamma(alpha, beta, size),
        (alpha, beta),
        shape,
        dtype,
        ctx,
        out,
    )


def poisson(lam=1, shape=None, dtype=None, ctx=None, out=None, name=None):
    """Poisson samples."""
    return _sample(lambda size, _, lam: generator().poisson(lam, size), (lam,), shape, dtype, ctx, out)


def multinomial(data, shape=1, get_prob=False, out=None, dtype="int32", name=None):
    """Positions drawn with the probabilities in a vector; with `get_prob` also the logarithms of these."""
    weights = np.asarray(data, np.float64)
    if weights.ndim != 1:
        raise NotImplementedError(f"mxopt's multinomial takes one vector, got shape {weights.shape}")
    drawn = generator().choice(len(weights), shape, p=weights / weights.sum())
    positions = np.asarray(drawn).astype(dtype)
    if not get_prob:
        return _give(positions, out)
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(data))[drawn]
    return [_give(*pair) for pair in zip((positions, logs), out or (None, None))]


def shuffle(data, out=None, name=None):
    """Rows in a random order."""
    return _give(generator().permutation(np.asarray(data)), out)


__getattr__ = namespace.missing_from(__name__, namespace.ARRAYS)
