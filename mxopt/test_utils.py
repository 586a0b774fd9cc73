"""``mx.test_utils``: which devices there are, and nothing else of it."""

from __future__ import annotations

from . import namespace
from .context import current_context

__all__ = ["default_context", "list_gpus"]


def list_gpus():
    """None: mxopt works on the CPU."""
    return range(0)


def default_context():
    """The current context."""
    return current_context()


default_device = default_context


__getattr__ = namespace.missing_from(__name__, namespace.REST)
