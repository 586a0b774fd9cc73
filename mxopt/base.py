"""``mx.base``: what scripts import from there; names of MXNet's C library say that it is not here."""

from __future__ import annotations

import numpy as np

from .namespace import Absent

string_types = (str,)
numeric_types = (float, int, np.generic)
integer_types = (int, np.integer)


class MXNetError(RuntimeError):
    """MXNet's error; mxopt raises Python's own."""


def py_str(text):
    """Bytes as str."""
    return text.decode("utf-8")


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Absent(f"mxopt.base.{name}", "C library of MXNet", "use NumPy on the arrays")
