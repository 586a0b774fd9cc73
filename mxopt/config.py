"""Threads, instruction set, and what is in use."""

from __future__ import annotations

import contextlib
import importlib
import math
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
        1 or more; None restores the default: ``MXOPT_NUM_THREADS``, then ``OMP_NUM_THREADS``, then one
        thread per core. Results do not depend on it.
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
        "tuning": _described_tuning(),
    }
    if mode == "dict":
        return config
    for key, value in config.items():
        print(f"{key:>16}: {value}")
    return None


def aggregation_size(most=None, default=4):
    """The value of ``MXNET_OPTIMIZER_AGGREGATION_SIZE``, or `default` when it is not set.

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
    """The default number of threads; 0 leaves it to OpenMP, which heeds OMP_NUM_THREADS."""
    text = os.environ.get("MXOPT_NUM_THREADS", "").strip()
    if not text:
        return 0 if os.environ.get("OMP_NUM_THREADS") else _granted()
    return _count("MXOPT_NUM_THREADS", int(text) if text.isdecimal() else text)


def _granted():
    """Threads that a container's CPU quota can keep busy; 0: no quota, or one that covers every core."""
    shares = []
    try:
        with open("/proc/self/cgroup", encoding="ascii") as lines:
            folders = [line.strip().split(":", 2) for line in lines]
        for _, controllers, path in folders:
            if not controllers:  # version 2: the limits of all parent folders count too
                parts = path.strip("/").split("/")
                for depth in range(len(parts) + 1):
                    with contextlib.suppress(OSError):
                        name = os.path.join("/sys/fs/cgroup", *parts[:depth], "cpu.max")
                        with open(name, encoding="ascii") as file:
                            shares.append(file.read().split())
            elif "cpu" in controllers.split(","):
                for folder in (path.lstrip("/"), ""):
                    with contextlib.suppress(OSError):
                        values = []
                        for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"):
                            with open(
                                os.path.join("/sys/fs/cgroup/cpu", folder, name), encoding="ascii"
                            ) as file:
                                values.append(file.read().strip())
                        shares.append(values)
        granted = [int(quota) / int(period) for quota, period in shares if quota not in ("max", "-1")]
    except (OSError, ValueError):  # not Linux, or a system with another layout
        return 0
    threads = max(1, math.ceil(min(granted))) if granted else 0
    return threads if threads < (os.cpu_count() or 1) else 0


def _forget_half_imports():
    """In a forked child: drop the imports that other threads of the parent had under way.

    Those threads do not exist in the child, so importing such a module would wait for them forever.
    """
    locks = getattr(importlib._bootstrap, "_module_locks", {})
    for name, reference in list(locks.items()):
        lock = reference()
        if lock is not None and lock.owner not in (None, threading.get_ident()):
            del locks[name]
            sys.modules.pop(name, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_half_imports)


def _described_tuning():
    """How the engine tunes itself, and what it has chosen so far."""
    chosen = [
        f"{rule.name} from {size} {way}"
        for rule in kernels.RULES.values()
        for size, way in sorted(rule.chosen.items())
    ]
    return ", ".join([kernels.get_tuning(), *chosen])


def _tuning():
    """The value of ``MXOPT_TUNE``: auto, off (fixed), or one way for all large steps (prefetch, plain)."""
    word = os.environ.get("MXOPT_TUNE", "").strip().lower() or "auto"
    if word not in kernels.tuning_words():
        raise ValueError(f"MXOPT_TUNE must be one of {', '.join(kernels.tuning_words())}, got {word!r}")
    return word


kernels.set_tuning(_tuning())
set_num_threads(None)
