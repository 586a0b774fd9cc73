"""``mx.random``: MXNet's sampling functions, and the seed of the one stream that they and SGLD draw from."""

from __future__ import annotations

from . import namespace

_missing = namespace.missing_from(__name__, namespace.ARRAYS)


def __getattr__(name):
    if name.startswith("_"):
        return _missing(name)
    from .nd import random  # loaded when first used: it imports all of `nd`

    return getattr(random, name) if hasattr(random, name) else _missing(name)
