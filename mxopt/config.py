"""Threads, instruction set, and what is in use."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import sys
import threading
from collections.abc import Iterator
from typing import Any

from . import kernels
from ._version import __version__

__all__ = ["get_num_threads", "num_threads", "set_num_threads", "show_config"]


def set_num_threads(n: int | None) -> None:
    """Set how many threads a step may use, for the whole process.

    Parameters
    ----------
    n : int or None
        1 or more; None goes back to the default: ``MXOPT_NUM_THREADS``, then ``OMP_NUM_THREADS``, then one
        thread a core. Results do not depend on it.
    """
    kernels.set_num_threads(_default() if n is None else _count("n", n))


def get_num_threads() -> int:
    """Threads that the next large step would use (1 in a forked child and without OpenMP)."""
    return kernels.get_num_threads()


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use `n` threads within a ``with`` block.

    Examples
    --------
    >>> import mxopt
    >>> with mxopt.num_threads(1):
    ...     mxopt.get_num_threads()
    1
    """
    before = kernels.get_num_threads_setting()
    set_num_threads(n)
    try:
        yield
    finally:
        kernels.set_num_threads(before)


def show_config(mode: str = "print") -> dict[str, Any] | None:
    """Say what is in use: versions, instruction set, OpenMP, threads.

    Parameters
    ----------
    mode : {'print', 'dict'}
        Print it, or return it as a dict.
    """
    if mode not in ("print", "dict"):
        raise ValueError(f"mode must be 'print' or 'dict', got {mode!r}")
    import numpy

    openmp = kernels.openmp_version()
    config = {
        "mxopt": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "instruction set": kernels.INSTRUCTION_SET,
        "available": ", ".join(kernels.available_instruction_sets()),
        "openmp": str(openmp) if openmp else "none (serial kernels)",
        "threads": get_num_threads(),
    }
    if mode == "dict":
        return config
    for key, value in config.items():
        print(f"{key:>16}: {value}")
    return None


def aggregation_size(most=None, default=4):
    """What ``MXNET_OPTIMIZER_AGGREGATION_SIZE`` says, `default` when it says nothing.

    Parameters
    ----------
    most : int, optional
        The result is limited to 1 ... `most`.
    default : int, default 4
    """
    name = "MXNET_OPTIMIZER_AGGREGATION_SIZE"
    text = os.environ.get(name, str(default))
    try:
        size = int(text)
    except ValueError:
        raise ValueError(f"{name} must be an integer, got {text!r}") from None
    return size if most is None else min(max(size, 1), most)


def _count(name, value):
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 1:
        raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}")
    return min(int(value), 1024) if kernels.openmp_version() else 1


def _default():
    """0: what OpenMP itself would use, which OMP_NUM_THREADS steers."""
    text = os.environ.get("MXOPT_NUM_THREADS", "").strip()
    if not text:
        return 0
    return _count("MXOPT_NUM_THREADS", int(text) if text.isdecimal() else text)


def _forget_half_imports():
    """In a forked child: import anew what other threads of the parent were importing.

    They are not there to end it, and whoever imports such a module waits for them.
    """
    locks = getattr(importlib._bootstrap, "_module_locks", {})
    for name, reference in list(locks.items()):
        lock = reference()
        if lock is not None and lock.owner not in (None, threading.get_ident()):
            del locks[name]
            sys.modules.pop(name, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_half_imports)

set_num_threads(None)
