"""``mx.base``: the error, the default dtype and the types that scripts import from there."""

from __future__ import annotations

import ctypes
import os

import numpy as np

from . import namespace

__all__ = ["MXNetError"]

string_types = (str,)
numeric_types = (float, int, np.generic)
integer_types = (int, np.int32, np.int64)

#: a handle of MXNet's C library, which releases before 1.0 had here
OptimizerHandle = ctypes.c_void_p

#: the dtype of arrays that are made without one
mx_real_t = np.float32


class MXNetError(RuntimeError):
    """MXNet's error; mxopt raises Python's own."""


def py_str(text):
    """Bytes as str."""
    return text.decode("utf-8")


def data_dir():
    """The folder where MXNet keeps downloads: ``$MXNET_HOME``, or ``~/.mxnet``."""
    return os.environ.get("MXNET_HOME", data_dir_default())


def data_dir_default():
    """``~/.mxnet``"""
    return os.path.join(os.path.expanduser("~"), ".mxnet")


__getattr__ = namespace.missing_from(__name__, namespace.REST)
