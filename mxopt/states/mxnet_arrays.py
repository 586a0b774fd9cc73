"""The bytes in which MXNet writes one array: three layouts with a magic number and one without.

The reader takes a view of the bytes and checks every length against what is there before it makes an array.
"""

import struct
from collections import namedtuple

import numpy as np

from mxopt.sparse import RowSparseArray
from mxopt.states.dtypes import ITEMSIZE, MXNET, MXNET_FLAG, as_bytes, check_booleans, empty
from mxopt.states.errors import DamagedStateFile, ForeignStateFile, StateMismatch
from mxopt.states.native import check_rows

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA

#: V2: written by 1.x, and by 2.x with NumPy shapes off; V3: written by 2.x; V1: still read by both
LAYOUTS = {V2: "V2", V3: "V3", V1: "V1"}

_MAX_NDIM = 32
_DENSE, _ROW_SPARSE, _CSR = 0, 1, 2
_NEWER_FLAGS = range(8, 12)  # known to 2.x only

Layout = namedtuple("Layout", "layout stype dtype shape stored values auxiliary end")
Layout.__doc__ = """What the fields before an array's elements say.

`layout` is V1, V2, V3 or None (no magic); `stype` the storage type; `stored` the shape of the elements that
are there; `values` where they start; `auxiliary` the (start, length) of each index array; `end` where the
array ends. `shape` is None for an array that has no elements and no shape, MXNet's empty handle.
"""


class CSRArray(namedtuple("CSRArray", "data indptr indices shape")):
    """A CSR array of a foreign file: none of our optimizers has such a state, but it can be inspected."""

    __slots__ = ()

    @property
    def dtype(self):
        return self.data.dtype


class _Fields:
    """A cursor over the bytes of one array that cannot run past their end."""

    def __init__(self, data, where):
        self.data = data
        self.where = where
        self.position = 0

    def take(self, form):
        size = struct.calcsize(form)
        if size > len(self.data) - self.position:
            raise DamagedStateFile(
                f"{self.where}: the array's bytes end after {len(self.data)}, inside its header"
            )
        values = struct.unpack_from(form, self.data, self.position)
        self.position += size
        return values[0] if len(values) == 1 else values

    def foreign(self, what):
        return ForeignStateFile(f"{self.where}: {what}")

    def shape(self):
        return self.lengths(self.take("<i"), "q")

    def lengths(self, ndim, code):
        """A shape of ``ndim`` lengths, or None for MXNet's "unknown" (-1)."""
        if ndim == -1:
            return None
        if not 0 <= ndim <= _MAX_NDIM:
            raise self.foreign(f"the array has {ndim} dimensions; at most {_MAX_NDIM} are possible")
        shape = struct.unpack(f"<{ndim}{code}", self.block(ndim * struct.calcsize(f"<{code}")))
        if any(length < 0 for length in shape):
            raise self.foreign(f"the array's shape {shape} has a negative length")
        return shape

    def block(self, count):
        if count > len(self.data) - self.position:
            raise DamagedStateFile(
                f"{self.where}: the array's bytes end after {len(self.data)}, inside its header"
            )
        start, self.position = self.position, self.position + count
        return self.data[start : self.position]

    def dtype(self):
        flag = self.take("<i")
        if flag not in MXNET:
            raise self.foreign(f"the array has the unknown type flag {flag}")
        return MXNET[flag]

    def span(self, shape, dtype):
        """Where the elements of an array start, after checking that all of them are there."""
        count = ITEMSIZE[dtype]
        for length in shape:
            count *= length
        if count > len(self.data) - self.position:
            raise DamagedStateFile(
                f"{self.where}: an array of shape {shape} and dtype {dtype} needs {count} bytes "
                f"and {len(self.data) - self.position} are there"
            )
        start, self.position = self.position, self.position + count
        return start


def read_layout(data, where, whole=True):
    """Check the fields of an array; see `Layout`.

    Parameters
    ----------
    data : memoryview
        The bytes of one array, all of them.
    where : str
        The place, for error messages.
    whole : bool, default True
        Whether the array must end where the bytes do; False when others follow it.
    """
    fields = _Fields(data, where)
    magic = fields.take("<I")
    layout = magic if magic in LAYOUTS else None
    stype = _DENSE
    if layout in (V2, V3):
        stype = fields.take("<i")
        if stype not in (_DENSE, _ROW_SPARSE, _CSR) or (layout == V3 and stype != _DENSE):
            raise fields.foreign(
                f"the array has the storage type {stype}, which layout {LAYOUTS[layout]} does not know"
            )
    dense = stype == _DENSE
    read = _dense_layout(fields, layout, magic) if dense else _sparse_layout(fields, layout, stype)
    if whole and read.end != len(data):
        raise ForeignStateFile(f"{where}: {len(data) - read.end} bytes are left over after the array's end")
    return read


def _dense_layout(fields, layout, magic):
    # without a magic number the first field is the number of dimensions itself
    shape = fields.lengths(magic, "I") if layout is None else fields.shape()
    if shape is None or (shape == () and layout != V3):
        return Layout(layout, "default", None, None, None, 0, (), fields.position)
    fields.take("<ii")  # the device, which does not matter for the contents
    dtype = fields.dtype()
    start = fields.span(shape, dtype)
    return Layout(layout, "default", dtype, shape, shape, start, (), fields.position)


def _sparse_layout(fields, layout, stype):
    name, count = ("row_sparse", 1) if stype == _ROW_SPARSE else ("csr", 2)
    stored, shape = fields.shape(), fields.shape()
    if not stored or not shape:
        raise fields.foreign(f"a {name} array must have a shape")
    fields.take("<ii")
    dtype = fields.dtype()
    lengths = []
    for _ in range(count):
        if fields.dtype() != "int64":
            raise fields.foreign(f"the indices of a {name} array must be int64")
        length = fields.shape()
        if length is None or len(length) != 1:
            raise fields.foreign(f"the indices of a {name} array must have one dimension, got shape {length}")
        lengths.append(length[0])
    if stype == _ROW_SPARSE:
        fits = lengths[0] == stored[0] and stored[1:] == shape[1:]
    else:
        fits = len(shape) == 2 and lengths[0] in (shape[0] + 1, 0) and stored == (lengths[1],)
    if not fits:
        raise fields.foreign(
            f"the {name} array of shape {shape} stores elements of shape {stored} with {lengths} indices"
        )
    start = fields.span(stored, dtype)
    auxiliary = tuple((fields.span((length,), "int64"), length) for length in lengths)
    return Layout(layout, name, dtype, shape, stored, start, auxiliary, fields.position)


def read_array(data, where):
    """The array in MXNet's bytes: ndarray, `RowSparseArray`, `CSRArray`, or None for an empty handle."""
    return array_at(read_layout(data, where), data, where)


def array_at(found, data, where):
    """As `read_array`, for an array whose `Layout` has been read."""
    if found.shape is None:
        return None
    if found.stype == "row_sparse" and not found.dtype.startswith(("float", "bfloat")):
        raise ForeignStateFile(
            f"{where}: a row_sparse array of dtype {found.dtype}; states are floating point"
        )
    values = _elements(data, found.dtype, found.stored, found.values)
    check_booleans(values, where)
    indices = [_elements(data, "int64", (length,), start) for start, length in found.auxiliary]
    if found.stype == "default":
        return values
    if found.stype == "csr":
        indptr, columns = indices
        return CSRArray(values, indptr, columns, found.shape)
    check_rows(indices[0], found.shape[0], where)
    return RowSparseArray(values, indices[0], found.shape)


def _elements(data, dtype, shape, start):
    # the copy is writable, aligned and outlives the file
    array = empty(shape, dtype)
    flat = array.reshape(-1).view(np.uint8)
    np.copyto(flat, np.frombuffer(data, np.uint8, flat.size, start))
    return array


def write_array(array, layout, where):
    """MXNet's bytes of an array, as buffers to be joined.

    Parameters
    ----------
    array : ndarray or RowSparseArray
    layout : {V2, V3}
        V3 has no form for row-sparse arrays, V2 none for arrays without dimensions.
    where : str
        The array, for error messages.
    """
    flag = MXNET_FLAG.get(array.dtype.name)
    if flag is None or (flag in _NEWER_FLAGS and layout != V3):
        raise StateMismatch(
            f"{where} has dtype {array.dtype}, which these MXNet files cannot hold; convert it first"
        )
    device_and_type = struct.pack("<iii", 1, 0, flag)
    if isinstance(array, RowSparseArray):
        data, indices = np.asarray(array.data), np.asarray(array.indices, np.int64)
        head = (
            struct.pack("<Ii", V2, _ROW_SPARSE) + _shape(data.shape) + _shape(array.shape) + device_and_type
        )
        head += struct.pack("<i", MXNET_FLAG["int64"]) + _shape(indices.shape)
        return [head, as_bytes(data), as_bytes(indices)]
    if array.ndim == 0 and layout != V3:
        raise StateMismatch(
            f"{where} has no dimensions, which these MXNet files cannot say; give it the shape (1,)"
        )
    return [struct.pack("<Ii", layout, _DENSE) + _shape(array.shape) + device_and_type, as_bytes(array)]


def _shape(shape):
    return struct.pack(f"<i{len(shape)}q", len(shape), *shape)
