"""``mx.nd.random``: samples from the stream that `mxopt.random.seed` restarts."""

from __future__ import annotations

import numpy as np

from .. import namespace
from ..stream import generator, seed
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


def _sample(draw, shape, dtype, ctx, out):
    if out is not None:
        return _give(draw(out.shape), out)
    return _placed(np.asarray(draw(_shape(shape))).astype(_dtype(dtype)), ctx)


def normal(loc=0, scale=1, shape=None, dtype=None, ctx=None, out=None, **_attributes):
    """Normal samples."""
    return _sample(lambda size: generator().normal(loc, scale, size), shape, dtype, ctx, out)


def randn(*shape, loc=0, scale=1, dtype=None, ctx=None, out=None, **_attributes):
    """Normal samples; the shape comes as arguments."""
    return normal(loc, scale, shape or None, dtype, ctx, out)


def uniform(low=0, high=1, shape=None, dtype=None, ctx=None, out=None, **_attributes):
    """Uniform samples."""
    return _sample(lambda size: generator().uniform(low, high, size), shape, dtype, ctx, out)


def randint(low, high, shape=None, dtype="int32", ctx=None, out=None, **_attributes):
    """Integers from `low` up to, not including, `high`."""
    return _sample(lambda size: generator().integers(low, high, size), shape, dtype, ctx, out)


def exponential(scale=1, shape=None, dtype=None, ctx=None, out=None, **_attributes):
    """Exponential samples."""
    return _sample(lambda size: generator().exponential(scale, size), shape, dtype, ctx, out)


def gamma(alpha=1, beta=1, shape=None, dtype=None, ctx=None, out=None, **_attributes):
    """Gamma samples; `beta` is a scale."""
    return _sample(lambda size: generator().gamma(alpha, beta, size), shape, dtype, ctx, out)


def poisson(lam=1, shape=None, dtype=None, ctx=None, out=None, **_attributes):
    """Poisson samples."""
    return _sample(lambda size: generator().poisson(lam, size), shape, dtype, ctx, out)


def multinomial(data, shape=1, get_prob=False, dtype="int32", **_attributes):
    """Positions drawn with the probabilities of a vector."""
    if get_prob:
        raise NotImplementedError("mxopt's multinomial gives positions only; use nd.pick for those")
    weights = np.asarray(data, np.float64)
    drawn = generator().choice(len(weights), shape, p=weights / weights.sum())
    return _give(np.asarray(drawn).astype(dtype))


def shuffle(data, **_attributes):
    """Rows in a random order."""
    return _give(generator().permutation(np.asarray(data)))


__getattr__ = namespace.missing_from(__name__, namespace.ARRAYS)
