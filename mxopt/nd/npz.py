"""Named arrays as ``.npz``: what MXNet 2 writes under NumPy shapes (``npx.savez``, ``save_parameters``)."""

from __future__ import annotations

import ast
import io
import math
import struct
import zipfile
import zlib

import numpy as np

from ..states.errors import DamagedStateFile, ForeignStateFile, StateFileError

#: How a zip archive and a single array begin.
ZIP, NPY = b"PK\x03\x04", b"\x93NUMPY"
EMPTY_ZIP = b"PK\x05\x06"

#: How much larger than the file its arrays may be: MXNet does not compress, and weights hardly do.
_PACKED = 64
#: What zipfile raises for bad archives, besides Python's own errors.
_OF_ZIPS = (zipfile.BadZipFile, zlib.error, struct.error)

_HEADERS = {1: "<H", 2: "<I", 3: "<I"}


def dumps(names, arrays):
    """The bytes of an uncompressed archive, with each array under its name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in zip(names, arrays):
            if array.dtype.kind not in "fiub":
                raise TypeError(
                    f"array {name!r} is {array.dtype}, which npz has not; cast it to float32 first"
                )
            # a fixed time, so that equal arrays give equal files
            info = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(info, "w", force_zip64=array.nbytes >= 1 << 31) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
    return file.getvalue()


def loads(data, where):
    """The arrays of an archive by name.

    Parameters
    ----------
    data : memoryview
    where : str
        What messages call it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check(members, len(data), where)
            found = {}
            for member in members:
                name = member.filename[: -len(".npy")]
                place = f"{where}, array {name!r}"
                found[name] = npy(memoryview(archive.read(member)), place)
            return found
    except StateFileError:
        raise
    except (*_OF_ZIPS, ArithmeticError, EOFError, LookupError, OSError, RuntimeError, ValueError) as error:
        raise DamagedStateFile(f"{where}: a damaged zip archive: {error}") from None


def _check(members, size, where):
    names = [member.filename for member in members]
    for member in members:
        if not member.filename.endswith(".npy"):
            raise ForeignStateFile(f"{where}: a zip archive with {member.filename!r}, which is no array")
        if member.flag_bits & 1:
            raise ForeignStateFile(f"{where}: {member.filename!r} is encrypted")
    if len(set(names)) != len(names):
        raise ForeignStateFile(f"{where}: two arrays have one name")
    packed, unpacked = (sum(getattr(m, what) for m in members) for what in ("compress_size", "file_size"))
    if packed > size or unpacked > _PACKED * size:
        raise ForeignStateFile(
            f"{where}: {size} bytes claim to hold {unpacked} bytes of arrays; "
            "write it by numpy.savez, which packs nothing"
        )


def npy(data, where):
    """The array of a ``.npy`` file; a copy.

    Parameters
    ----------
    data : memoryview
    where : str
    """
    version = data[6] if len(data) > 8 and data[:6] == NPY else None
    if version not in _HEADERS:
        raise ForeignStateFile(f"{where}: not an array in NumPy's format")
    width = struct.calcsize(_HEADERS[version])
    if len(data) < 8 + width:
        raise DamagedStateFile(f"{where}: the file ends within its header")
    (length,) = struct.unpack_from(_HEADERS[version], data, 8)
    begin = 8 + width + length
    if length > 10_000 or begin > len(data):
        raise DamagedStateFile(f"{where}: a header of {length} bytes in a file of {len(data)}")
    dtype, fortran, shape = _header(bytes(data[8 + width : begin]), where)
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(data) - begin:
        raise DamagedStateFile(
            f"{where}: shape {shape} of {dtype} takes {expected} bytes, and there are {len(data) - begin}"
        )
    array = np.frombuffer(data, dtype, offset=begin).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), order="C")


def _header(text, where):
    try:
        found = ast.literal_eval(text.decode("latin1").strip())
        descr, fortran, shape = found["descr"], found["fortran_order"], found["shape"]
        if not (isinstance(descr, str) and isinstance(fortran, bool) and isinstance(shape, tuple)):
            raise TypeError("its entries")
        if not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 32:
            raise ValueError("its shape")
        dtype = np.dtype(descr)
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError) as error:
        raise DamagedStateFile(f"{where}: a header that is none: {error}") from None
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise ForeignStateFile(f"{where}: an array of {dtype}, and mxopt reads numbers only")
    return dtype, fortran, shape
