"""``mx.util``: MXNet's switches of array semantics, which have no effect here.

Arrays are NumPy's, and so are their shapes. The switches only remember their positions, for scripts that ask.
"""

from __future__ import annotations

import contextlib
import os
import threading

from . import namespace

__all__ = [
    "get_gpu_count", "getenv", "is_np_array", "is_np_shape", "makedirs", "np_array", "np_shape", "reset_np",
    "set_module", "set_np", "set_np_shape", "setenv", "use_np", "use_np_array", "use_np_shape",
]  # fmt: skip


class _Switches(threading.local):
    shape = array = False


_switches = _Switches()


def is_np_shape():
    """Whether `set_np_shape` is on; shapes are NumPy's either way."""
    return _switches.shape


def is_np_array():
    """Whether `set_np` is on; arrays are NumPy's either way."""
    return _switches.array


def set_np_shape(active):
    """Remember whether NumPy's shapes are wanted; returns the previous setting."""
    before, _switches.shape = _switches.shape, bool(active)
    return before


def set_np(shape=True, array=True, dtype=False):
    """Remember that NumPy's semantics are wanted."""
    if array and not shape:
        raise ValueError("array=True needs shape=True: arrays of NumPy's kind have NumPy's shapes")
    _switches.shape, _switches.array = bool(shape), bool(array)


def reset_np():
    """Undo `set_np`."""
    set_np(shape=False, array=False)


@contextlib.contextmanager
def np_shape(active=True):
    """`set_np_shape` for a ``with`` block."""
    before = set_np_shape(active)
    try:
        yield
    finally:
        set_np_shape(before)


@contextlib.contextmanager
def np_array(active=True):
    """NumPy's arrays for a ``with`` block."""
    before, _switches.array = _switches.array, bool(active)
    try:
        yield
    finally:
        _switches.array = before


def use_np(func):
    """Return the function or class unchanged: its arrays are NumPy's already."""
    return func


use_np_shape = use_np_array = use_np


def set_module(module):
    """A decorator that sets the ``__module__`` of a function or class."""

    def mark(func):
        if module is not None:
            func.__module__ = module
        return func

    return mark


def makedirs(d):
    """Make a folder and its parents, unless it exists."""
    os.makedirs(os.path.expanduser(d), exist_ok=True)


def getenv(name):
    """An environment variable, or None."""
    return os.environ.get(name)


def setenv(name, value):
    """Set an environment variable; None unsets it."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def get_gpu_count():
    """Zero: mxopt works on the CPU."""
    return 0


namespace.complete(__name__)
