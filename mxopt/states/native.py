"""Our own format: a tree of plain data and arrays as a valid safetensors file.

The file is eight bytes with the length of the header, the header (JSON, padded with spaces to a multiple of
64), and the arrays without gaps. Besides the table of arrays that safetensors requires, the header's
``__metadata__`` has

``checksum``
    the CRC-32 of the eight bytes and the whole header, computed with zeros in this field;
``format``, ``version``
    ``"mxopt-states"`` and the version number, which a reader must know;
``document``
    the tree as JSON, with each array replaced by its name and checksums.

So every bit of a file is covered by a checksum. `docs/state-files.md` describes the format, with a worked
example.
"""

import functools
import json
from collections import namedtuple
from contextlib import contextmanager

import numpy as np

from mxopt.sparse import RowSparseArray
from mxopt.states.checksums import WORTH_THREADS, blocks, checksums, compare, crc32, is_checksum
from mxopt.states.dtypes import (
    ITEMSIZE,
    SAFETENSORS_NAME,
    as_bytes,
    check_booleans,
    empty,
    name_of,
    numpy_dtype,
)
from mxopt.states.errors import ForeignStateFile, StateMismatch
from mxopt.states.files import BLOCK, BufferSource, progress
from mxopt.states.header import FORMAT, MAX_NDIM, SUM, VERSION, as_source, is_size, padded, read_header
from mxopt.states.jsontext import JSONText
from mxopt.states.spread import Spread

_MAX_DEPTH = 64

#: how many blocks may wait for their checksums when the arrays are not kept
_BLOCKS_AT_ONCE = 8


# writing


def to_pieces(tree, names=None):
    """The buffers whose concatenation is the file for ``tree``.

    Parameters
    ----------
    tree : object
        Dicts with int or str keys, lists, tuples, None, bool, int, float, str, NumPy scalars, arrays and
        `RowSparseArray` in any nesting.
    names : dict, optional
        Names of arrays in the file that differ from their paths: path to path, both as tuples of keys.

    Returns
    -------
    list of buffers
        The header, then the memory of the arrays themselves, without copies.

    Raises
    ------
    StateMismatch
        For anything that is not data, with its place in the tree.
    """
    with draft(tree, names) as (elements, _, header):
        return [header(), *elements]


@contextmanager
def draft(tree, names=None):
    """As `to_pieces`, but the header comes last: meanwhile other threads compute its checksums.

    Yields
    ------
    elements : list of buffers
        What follows the header.
    length : int
        The length of the header.
    header : callable
        Makes the header once the checksums are ready.
    """
    writer = _Writer(names or {})
    document = writer.node(tree, ())
    # aligned by construction, as safetensors recommends: wide elements first
    entries = sorted(writer.arrays, key=lambda entry: -entry.array.dtype.itemsize)
    elements = [entry.flat for entry in entries if entry.flat.size]
    total = sum(flat.size for flat in elements)
    with checksums(total >= WORTH_THREADS) as checksum:
        pending = [
            [checksum(entry.flat[slice(*span)]) for span in blocks(entry.flat.size)] for entry in entries
        ]

        def header():
            for entry, results in zip(entries, pending):
                entry.node[1:] = [f"{result():08x}" for result in results]
            return _header(document, entries)

        if total < WORTH_THREADS:  # the checksums are ready
            made = header()
            yield elements, len(made), lambda: made
        else:
            # all checksums have the same length, so placeholders give the header its final size
            for entry, results in zip(entries, pending):
                entry.node[1:] = ["00000000"] * len(results)
            yield elements, len(_header(document, entries)), header


def frame(tree, names=None):
    """As `draft`, for a file with arrays written by several processes.

    Returns
    -------
    elements : list of uint8 arrays
        The arrays in file order; placeholders for those that are spread (`mxopt.states.spread`).
    length : int
        The length of the header.
    header : callable
        Makes the header from the checksums of all blocks of each array.
    """
    writer = _Writer(names or {})
    document = writer.node(tree, ())
    entries = sorted(writer.arrays, key=lambda entry: -entry.array.dtype.itemsize)

    def header(sums):
        for entry, some in zip(entries, sums):
            entry.node[1:] = [f"{one:08x}" for one in some]
        return _header(document, entries)

    elements = [entry.flat for entry in entries]
    return elements, len(header([[0] * len(blocks(flat.size)) for flat in elements])), header


def dumps(tree):
    """The file for ``tree`` as bytes; see `to_pieces`."""
    return b"".join(to_pieces(tree))


def _header(document, entries):
    metadata = {
        "checksum": "crc32:00000000",
        "format": FORMAT,
        "version": str(VERSION),
        "document": _compact(document),
    }
    table, offset = {"__metadata__": metadata}, 0
    for entry in entries:
        end = offset + entry.flat.size
        code = SAFETENSORS_NAME[name_of(entry.array.dtype)]
        table[entry.name] = {"dtype": code, "shape": list(entry.array.shape), "data_offsets": [offset, end]}
        offset = end
    text = padded(_compact(table).encode(), offset)
    header = bytearray(len(text).to_bytes(8, "little") + text)
    header[SUM] = b"%08x" % crc32(header)
    return bytes(header)


def _compact(node):
    # ASCII: one wide character would widen the whole header in the reader's memory
    return json.dumps(node, allow_nan=False, separators=(",", ":"))


_Entry = namedtuple("_Entry", "name array flat node")


class _Writer:
    """Turns a tree into the JSON of the document and collects its arrays."""

    def __init__(self, names):
        self.arrays = []
        self._given = names
        self._taken = set()

    def node(self, value, path):
        if len(path) > _MAX_DEPTH:
            raise StateMismatch(
                f"{_spell(path[:4])}... is nested deeper than {_MAX_DEPTH} levels, or contains itself"
            )
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return _text(value, path)
        if kind is int:
            return self._int(value, path)
        if kind is float:
            return value if np.isfinite(value) else {"float": repr(value)}
        if isinstance(value, dict):
            return {
                "dict": [[self._key(key, path), self.node(item, (*path, key))] for key, item in value.items()]
            }
        if isinstance(value, tuple):
            return {"tuple": [self.node(item, (*path, i)) for i, item in enumerate(value)]}
        if isinstance(value, list):
            return [self.node(item, (*path, i)) for i, item in enumerate(value)]
        if isinstance(value, RowSparseArray):
            return self._row_sparse(value, path)
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, np.generic) and not isinstance(value, str):
            name = _dtype_name(value.dtype, path)
            plain = float(value) if name == "bfloat16" else value.item()
            return {"scalar": [name, self.node(plain, path)]}
        # subclasses of plain types are written as plain values: enum members, str subclasses
        for plain in (int, float, str):
            if isinstance(value, plain):
                return self.node(plain(value), path)
        raise StateMismatch(
            f"{_spell(path)} is a {kind.__module__}.{kind.__qualname__}, which is not data; a state file "
            "holds numbers, strings, arrays and dicts, lists and tuples of them"
        )

    @staticmethod
    def _key(key, path):
        if isinstance(key, (bool, np.bool_)) or not isinstance(key, (int, str, np.integer)):
            raise StateMismatch(f"{_spell(path)} has the key {key!r}; keys must be int or str")
        return _text(str(key), path) if isinstance(key, str) else _Writer._int(int(key), path)

    @staticmethod
    def _int(value, path):
        if value.bit_length() > 1024:
            raise StateMismatch(
                f"{_spell(path)} is an integer of {value.bit_length()} bits; at most 1024 are kept"
            )
        return value

    def _array(self, array, path):
        array = np.asanyarray(array)
        _dtype_name(array.dtype, path)
        name = base = "/".join(str(part).replace("/", "|") for part in self._given.get(path, path)) or "array"
        count = 1
        while name in self._taken or name == "__metadata__":
            count += 1
            name = f"{base}~{count}"
        self._taken.add(name)
        node = [name]
        flat = array.as_bytes() if isinstance(array, Spread) else as_bytes(np.asarray(array))
        self.arrays.append(_Entry(name, array, flat, node))
        return {"array": node}

    def _row_sparse(self, value, path):
        return {
            "row_sparse": [
                self._array(np.asarray(value.data), (*path, "data")),
                self._array(np.asarray(value.indices, np.int64), (*path, "indices")),
                [int(length) for length in value.shape],
            ]
        }


def _dtype_name(dtype, path):
    name = name_of(dtype)
    if name not in SAFETENSORS_NAME:
        raise StateMismatch(
            f"{_spell(path)} has dtype {dtype}, which a state file cannot hold; convert it first"
        )
    return name


def _text(value, path):
    try:
        value.encode()
    except UnicodeEncodeError:
        raise StateMismatch(f"{_spell(path)} holds {value!r}, which is not valid Unicode") from None
    return value


def _spell(path):
    """A path written as a Python lookup: ``optimizer['lr_mult'][3]``."""
    if not path:
        return "the value"
    return str(path[0]) + "".join(f"[{part!r}]" for part in path[1:])


# reading


def loads(data):
    """The tree that `dumps` made bytes of; its arrays are new and writable.

    Raises
    ------
    StateFileError
        If anything in the bytes is not as it was written.
    """
    return load(BufferSource(data))


def load(source):
    """The tree in a file; ``source`` is a `BufferSource` or a `FileSource`, or an open file."""
    return load_version(source)[1]


def load_version(source):
    """A file's format version, as written there, and its tree; see `load`."""
    source = as_source(source)
    header = read_header(source)
    if not header.ours:
        raise ForeignStateFile("this is a safetensors file, but not one with optimizer states of mxopt")
    version = header.metadata["version"]
    outlined = getattr(source, "outlined", None)  # leaves the elements in the file
    reader = _Reader(header, outlined or (lambda tensor: empty(tensor.shape, tensor.dtype)))
    del header
    tree, arrays = reader.tree(), reader.arrays
    holds_row_sparse = reader.holds_row_sparse
    del reader
    if outlined and holds_row_sparse:
        return load_version(source.whole)
    if outlined:
        source.verify(arrays)
        return version, tree
    _read(source, arrays, "loading")
    for tensor, array, _ in arrays:
        check_booleans(array, f"array {tensor.name!r}")
    return version, _resolved(tree, _row_sparse_array) if holds_row_sparse else tree


def tree_of(header, make):
    """The tree in a file, built from its header alone.

    Parameters
    ----------
    header : Header
    make : callable
        Makes the stand-in for an array from its `Tensor`; for a row-sparse one, from its rows and its whole
        shape.
    """
    tree = _Reader(header, make).tree()
    return _resolved(tree, lambda rows: make(rows.tensor, rows.shape))


def load_plain(header, source):
    """The arrays, by name, of a safetensors file that is not ours; it has no checksums."""
    arrays = {name: empty(tensor.shape, tensor.dtype) for name, tensor in header.tensors.items()}
    for name, array in arrays.items():
        source.read_into(header.tensors[name].offset, array.reshape(-1).view(np.uint8))
        check_booleans(array, f"array {name!r}")
    return arrays


def verify(source):
    """Check every array of a file against its checksums, a block at a time."""
    source = as_source(source)
    header = read_header(source)
    if header.ours:
        reader = _Reader(header, lambda tensor: None)
        reader.tree()
        _read(source, reader.arrays, "checking")


class _Reader:
    """Turns the JSON of a document back into a tree.

    Parameters
    ----------
    header : Header
    make : callable
        Makes the stand-in for an array from its `Tensor`.
    """

    def __init__(self, header, make):
        self._tensors = dict(header.tensors)
        self._json = JSONText(header.document, "the document")
        self._make = make
        self.arrays = []
        self.holds_row_sparse = False

    def tree(self):
        """The tree. `arrays` lists what was made, with its tensor and checksums."""
        try:
            tree = self._node(0)
        except RecursionError:
            raise ForeignStateFile("the document is nested too deeply") from None
        self._json.end()
        name = next((name for name, tensor in self._tensors.items() if tensor is not None), None)
        if name is not None:
            raise ForeignStateFile(f"array {name!r} is in the header but nowhere in the document")
        return tree

    def _node(self, depth):
        if depth > 2 * _MAX_DEPTH:
            raise ForeignStateFile("the document is nested too deeply")
        json = self._json
        first = json.peek()
        if first == "[":
            return [self._node(depth + 1) for _ in json.items()]
        if first != "{":
            return json.scalar()
        result, names = None, 0
        for tag in json.members():
            read = self._TAGS.get(tag)
            if read is None:
                raise ForeignStateFile(f"the document has the unknown tag {tag!r}")
            result, names = read(self, depth + 2), names + 1
            if names > 1:
                break
        if names != 1:
            raise ForeignStateFile("the document has an object without one name, its kind")
        return result

    def _list(self, message):
        if self._json.peek() != "[":
            raise ForeignStateFile(message)
        return self._json.items()

    def _tuple(self, depth):
        return tuple([self._node(depth) for _ in self._list("a tuple must be a list of its items")])

    def _dict(self, depth):
        json, result = self._json, {}
        wrong = "a dict's item must be a pair of an int or str and a value"
        for _ in self._list("a dict must be a list of its items"):
            length, key = 0, None
            for _ in self._list(wrong):
                if length == 0:
                    key = json.scalar() if json.peek() not in "[{" else None
                    if type(key) not in (int, str):
                        raise ForeignStateFile(wrong)
                    if key in result:
                        raise ForeignStateFile(f"the key {key!r} occurs twice in one dict")
                elif length == 1:
                    result[key] = self._node(depth)
                else:
                    raise ForeignStateFile(wrong)
                length += 1
            if length != 2:
                raise ForeignStateFile(wrong)
        return result

    def _float(self, depth):
        body = self._node(depth)
        if not isinstance(body, str) or body not in ("nan", "inf", "-inf"):
            raise ForeignStateFile(f"a float by name must be nan, inf or -inf, got {body!r}")
        return float(body)

    def _scalar(self, depth):
        body = self._node(depth)
        pair = isinstance(body, list) and len(body) == 2 and isinstance(body[0], str)
        if not pair or body[0] not in ITEMSIZE:
            raise ForeignStateFile("a scalar must be a pair of a dtype and a value")
        value, dtype = body[1], numpy_dtype(body[0])
        if type(value) not in (bool, int, float) or (dtype.kind in "iub") != (type(value) is not float):
            raise ForeignStateFile(f"{value!r} is not a scalar of dtype {dtype}")
        # Not left to NumPy: before 2 it wraps around.
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            raise ForeignStateFile(f"{value!r} is out of range for dtype {dtype}")
        return dtype.type(value)

    def _array(self, depth):
        return self._named_array()[1]

    def _named_array(self):
        json, wrong = self._json, "an array must be a list of its name and its checksums"
        name, sums = None, []
        for _ in self._list(wrong):
            text = json.scalar() if json.peek() == '"' else None
            if text is None or (name is not None and not is_checksum(text)):
                raise ForeignStateFile(wrong)
            if name is None:
                name = text
            else:
                sums.append(int(text, 16))
        if name not in self._tensors:
            raise ForeignStateFile(f"the document names the array {name!r}, which the header lacks")
        tensor = self._tensors[name]
        if tensor is None:
            raise ForeignStateFile(f"the document names the array {name!r} twice")
        if len(sums) != len(blocks(tensor.nbytes)):
            raise ForeignStateFile(
                f"array {name!r} has {len(sums)} checksums; it needs one for every {BLOCK} bytes"
            )
        self._tensors[name] = None
        made = self._make(tensor)
        self.arrays.append((tensor, made, tuple(sums)))
        return tensor, made

    def _row_sparse(self, depth):
        wrong = "a row-sparse array must be a list of its data, indices and shape"
        parts, shape = [], None
        for _ in self._list(wrong):
            if len(parts) < 2:
                tags = [self._named_array() for tag in self._json.members() if tag == "array"]
                if len(tags) != 1:
                    raise ForeignStateFile("a row-sparse array must have arrays as its data and indices")
                parts += tags
            elif shape is None:
                shape = self._node(depth)
            else:
                raise ForeignStateFile(wrong)
        if len(parts) != 2:
            raise ForeignStateFile(wrong)
        if not isinstance(shape, list) or not 0 < len(shape) <= MAX_NDIM or not all(map(is_size, shape)):
            raise ForeignStateFile(f"a row-sparse array must have lengths >= 0 as its shape, got {shape!r}")
        (data, values), (rows, indices) = parts
        if (
            "float" not in data.dtype
            or rows.dtype != "int64"
            or rows.shape != data.shape[:1]
            or data.shape[1:] != tuple(shape[1:])
        ):
            raise ForeignStateFile(
                f"the data, indices and shape of the row-sparse array {data.name!r} do not belong together"
            )
        self.holds_row_sparse = True
        return _Rows(rows.name, data, values, indices, tuple(shape))

    _TAGS = {
        "tuple": _tuple,
        "dict": _dict,
        "float": _float,
        "scalar": _scalar,
        "array": _array,
        "row_sparse": _row_sparse,
    }


def _read(source, arrays, doing):
    """Read arrays in file order and check them against their checksums.

    Parameters
    ----------
    arrays : list of (Tensor, ndarray or None, checksums)
        The array is filled; if it is None, the bytes are only checked.
    """
    arrays.sort(key=lambda one: one[0].offset)
    total = sum(tensor.nbytes for tensor, _, _ in arrays)
    pending = []
    with checksums(total >= WORTH_THREADS) as checksum, progress(doing, total) as advance:
        for tensor, array, sums in arrays:
            flat = None if array is None else array.reshape(-1).view(np.uint8)
            for (start, stop), stored in zip(blocks(tensor.nbytes), sums):
                block = np.empty(stop - start, np.uint8) if flat is None else flat[start:stop]
                source.read_into(tensor.offset + start, block)
                pending.append((tensor, start, stop, stored, checksum(block)))
                if len(pending) > _BLOCKS_AT_ONCE:
                    compare(*pending.pop(0))
                advance(stop - start)
        for one in pending:
            compare(*one)


def verify_blocks(source, arrays, rank, size):
    """As `verify`, but only every `size`-th block, for processes that share the work.

    Parameters
    ----------
    arrays : list of (Tensor, object, checksums)
    """
    number = 0
    for tensor, _, sums in arrays:
        for (start, stop), stored in zip(blocks(tensor.nbytes), sums):
            if number % size == rank:
                block = np.empty(stop - start, np.uint8)
                source.read_into(tensor.offset + start, block)
                compare(tensor, start, stop, stored, functools.partial(crc32, block))
            number += 1


_Rows = namedtuple("_Rows", "name tensor values indices shape")
_Rows.__doc__ = "Stands for a row-sparse array whose elements have not been read yet."


def _resolved(node, make):
    """A tree with every `_Rows` replaced by what `make` returns."""
    if isinstance(node, _Rows):
        return make(node)
    if isinstance(node, dict):
        return {key: _resolved(item, make) for key, item in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)([_resolved(item, make) for item in node])
    return node


def _row_sparse_array(rows):
    check_rows(rows.indices, rows.shape[0], f"array {rows.name!r}")
    return RowSparseArray(rows.values, rows.indices, rows.shape)


def check_rows(indices, rows, where):
    """Raise for row numbers that are out of bounds, repeated or out of order."""
    if indices.size and (indices[0] < 0 or indices[-1] >= rows or not (indices[1:] > indices[:-1]).all()):
        raise ForeignStateFile(f"{where}: row numbers must ascend from 0 to {rows - 1}")
