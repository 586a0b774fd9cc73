"""MXNet's ``.params`` files: named arrays one after the other, in a raw format that state files also use."""

from __future__ import annotations

import os
import struct

import numpy as np

from ..sparse import RowSparseArray
from ..states.errors import DamagedStateFile, ForeignStateFile
from ..states.files import write_atomically
from ..states.mxnet_arrays import V2, V3, array_at, read_layout, write_array
from . import npz
from .ndarray import view

_MAGIC = 0x112
#: bytes that an array with its name takes, however small; a file's arrays may take 4x its size + _FREE
_COST = 600
_FREE = 3 << 24
_LAYOUTS = {"mxnet-1.x": V2, "mxnet-2.x": V3}


def save(fname, data, format="mxnet-2.x"):
    """Write arrays to a ``.params`` file that real MXNet loads.

    Parameters
    ----------
    fname : str or os.PathLike
    data : array, list of arrays, or dict of str to array
    format : {'mxnet-2.x', 'mxnet-1.x', 'npz'}
        Each generation of MXNet reads only its own (unless NumPy shapes are switched). A file with a
        row-sparse array is always written in the format of 1.x, the only one that has them. 'npz' is what
        MXNet 2 writes under NumPy shapes and NumPy reads; unnamed arrays become ``arr_0``, ``arr_1``...
    """
    if format not in (*_LAYOUTS, "npz"):
        raise ValueError(f"format must be 'mxnet-1.x', 'mxnet-2.x' or 'npz', got {format!r}")
    names, arrays = [], data
    if isinstance(data, dict):
        names, arrays = [str(name) for name in data], list(data.values())
    elif not isinstance(data, (list, tuple)):
        arrays = [data]
    arrays = [x if isinstance(x, RowSparseArray) else np.asarray(x, order="C") for x in arrays]
    if format == "npz":
        if any(isinstance(x, RowSparseArray) for x in arrays):
            raise TypeError(
                "npz has no row-sparse arrays; save them in another format, or .tostype('default')"
            )
        names = names or [f"arr_{i}" for i in range(len(arrays))]
        write_atomically(fname, [npz.dumps(names, arrays)])
        return
    layout = V2 if any(isinstance(x, RowSparseArray) for x in arrays) else _LAYOUTS[format]
    pieces = [struct.pack("<QQQ", _MAGIC, 0, len(arrays))]
    for i, x in enumerate(arrays):
        pieces += write_array(x, layout, f"array {names[i] if names else i!r}")
    pieces.append(struct.pack("<Q", len(names)))
    for name in names:
        raw = name.encode("utf-8")
        pieces.append(struct.pack("<Q", len(raw)) + raw)
    write_atomically(fname, pieces)


def load(fname):
    """Read a ``.params`` file that MXNet or `save` wrote, in any of their formats.

    Returns
    -------
    list of NDArray, or dict of str to NDArray
        As it was saved; for an ``.npz``, a dict.

    Raises
    ------
    StateFileError
        When the file is damaged or is something else.
    """
    with open(fname, "rb") as file:
        return load_frombuffer(file.read(), os.fspath(fname))


def load_frombuffer(buf, where="buffer"):
    """As `load`, from the bytes of a file."""
    data = memoryview(buf).cast("B")
    if data[:4] in (npz.ZIP, npz.EMPTY_ZIP):
        return {name: view(array) for name, array in npz.loads(data, where).items()}
    if data[:6] == npz.NPY:
        return [view(npz.npy(data, where))]
    position = 0

    def number():
        nonlocal position
        if len(data) - position < 8:
            raise DamagedStateFile(
                f"{where}: the file ends after {len(data)} bytes, before its arrays or names do"
            )
        position += 8
        return struct.unpack_from("<Q", data, position - 8)[0]

    if len(data) < 8 or number() != _MAGIC:
        raise ForeignStateFile(f"{where}: not a file of MXNet arrays, which begins with the number 0x112")
    number()  # reserved
    arrays, count = [], _count(number(), 8, data, where)
    if count * _COST > 4 * len(data) + _FREE:
        raise ForeignStateFile(f"{where}: {count} arrays, more than a file of {len(data)} bytes may have")
    for i in range(count):
        rest, place = data[position:], f"{where}, array {i}"
        found = read_layout(rest, place, whole=False)
        if found.stype == "csr":
            raise ForeignStateFile(
                f"{place}: a CSR array, which mxopt does not have; save it with .tostype('default')"
            )
        arrays.append(view(array_at(found, rest, place)))
        position += found.end
    names, count = [], _count(number(), 8, data, where)
    if count not in (0, len(arrays)):
        raise ForeignStateFile(f"{where}: {len(arrays)} arrays with {count} different names")
    for _ in range(count):
        length = _count(number(), 1, data, where)
        names.append(_text(data[position : position + length], where))
        position += length
    if position != len(data):
        raise (DamagedStateFile if position > len(data) else ForeignStateFile)(
            f"{where}: its arrays and names take {position} bytes and the file has {len(data)}"
        )
    if names and (len(names) != len(arrays) or len(set(names)) != len(names)):
        raise ForeignStateFile(f"{where}: {len(arrays)} arrays with {len(set(names))} different names")
    return dict(zip(names, arrays)) if names else arrays


def _count(number, size, data, where):
    """A count from the file, limited to what the file has room for."""
    if number * size > len(data):
        raise DamagedStateFile(f"{where}: the file declares {number} entries and has {len(data)} bytes")
    return number


def _text(raw, where):
    try:
        return bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise ForeignStateFile(f"{where}: an array's name is not text") from None
