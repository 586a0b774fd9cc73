"""The element types of both formats, by the names that safetensors and MXNet give them."""

import functools

import numpy as np

from mxopt.states.errors import ForeignStateFile, StateMismatch

#: safetensors name -> NumPy name
SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}

#: MXNet's type flag -> NumPy name; only 2.x knows flags 8 to 11
MXNET = {
    0: "float32",
    1: "float64",
    2: "float16",
    3: "uint8",
    4: "int32",
    5: "int8",
    6: "int64",
    7: "bool",
    8: "int16",
    9: "uint16",
    10: "uint32",
    11: "uint64",
    12: "bfloat16",
}

SAFETENSORS_NAME = {name: code for code, name in SAFETENSORS.items()}
MXNET_FLAG = {name: flag for flag, name in MXNET.items()}

ITEMSIZE = {name: 2 if name == "bfloat16" else np.dtype(name).itemsize for name in SAFETENSORS_NAME}


@functools.cache
def name_of(dtype):
    """The name of a NumPy type, cached because NumPy is slow to find it."""
    return dtype.name


def numpy_dtype(name):
    """The little-endian NumPy type for a name in the tables above."""
    if name != "bfloat16":
        return np.dtype(name).newbyteorder("<")
    try:
        import ml_dtypes
    except ImportError:
        raise StateMismatch(
            "the file holds bfloat16 arrays, which need the package ml_dtypes; install it and load again"
        ) from None
    return np.dtype(ml_dtypes.bfloat16)


def empty(shape, name):
    """A new array; the file is known to hold that many bytes, so only odd shapes can fail."""
    dtype = numpy_dtype(name)
    try:
        return np.empty(shape, dtype)
    except ValueError as error:
        raise ForeignStateFile(f"an array of shape {shape} cannot be made: {error}") from None


def as_bytes(array):
    """The elements of an array as a flat uint8 view (a copy where they are not contiguous or big-endian)."""
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and not np.little_endian):
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def check_booleans(array, where):
    """Raise for truth values other than 0 and 1, which NumPy does not check."""
    if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise ForeignStateFile(f"{where}: a bool array must hold 0 and 1 only, got another byte")
    return array
