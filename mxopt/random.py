"""``mx.random``: MXNet's sampling functions, and the seed of the one stream that they and SGLD draw from."""

from __future__ import annotations


def __getattr__(name):
    from .nd import random  # loaded when first used: it brings all of `nd`

    if name.startswith("_") or not hasattr(random, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(random, name)
