"""Our own format: a tree of plain data and arrays as a valid safetensors file.

The file is eight bytes with the length of the header, the header (JSON, padded with spaces to a multiple of
64), and the arrays without gaps. Beside the table of arrays that safetensors asks for, the header's
``__metadata__`` has

``checksum``
    the CRC-32 of the eight bytes and of the whole header, taken with zeros in this field's own place;
``format``, ``version``
    ``"mxopt-states"`` and the number of the version that a reader must know;
``document``
    the tree as JSON, in which each array stands as its name and its checksums.

So no bit of a file is without a checksum. `docs/state-files.md` describes the format with a worked example.
"""

import json
import os
import zlib
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from mxopt.sparse import RowSparseArray
from mxopt.states.dtypes import (
    ITEMSIZE,
    SAFETENSORS,
    SAFETENSORS_NAME,
    as_bytes,
    check_booleans,
    empty,
    numpy_dtype,
)
from mxopt.states.errors import DamagedStateFile, ForeignStateFile, StateFileError, StateMismatch
from mxopt.states.files import BLOCK, BufferSource, FileSource, progress

FORMAT = "mxopt-states"
VERSION = 1

#: the checksum's field stands first, so that it is found without understanding the rest
_PREFIX = b'{"__metadata__":{"checksum":"crc32:'
_SUM = slice(8 + len(_PREFIX), 8 + len(_PREFIX) + 8)

_ALIGNMENT = 64
_MAX_HEADER = 100_000_000  # safetensors' own bound
_MAX_DEPTH = 64
_MAX_NDIM = 32
_MAX_DIGITS = 320

#: A parsed header takes about 64 bytes for each bracket or comma. Their number is bounded by the size of
#: the file, so that a small file cannot fill the memory; the constant lets thousands of tiny arrays
#: through.
_FREE_TOKENS = 1 << 20
_BYTES_PER_TOKEN = 16

#: smaller files are checked on the calling thread
_WORTH_THREADS = 2 * BLOCK
#: how many blocks wait for their checksums where none is kept
_BLOCKS_AT_ONCE = 8

Tensor = namedtuple("Tensor", "name dtype shape offset nbytes")
Tensor.__doc__ = "An entry of a safetensors header; `offset` counts from the start of the file."


# writing


def to_pieces(tree, names=None):
    """The buffers whose concatenation is the file for ``tree``.

    Parameters
    ----------
    tree : object
        Dicts with int or str keys, lists, tuples, None, bool, int, float, str, NumPy scalars, arrays and
        `RowSparseArray` in any nesting.
    names : dict, optional
        What arrays are called in the file instead of their own path: path to path, both as tuples of keys.

    Returns
    -------
    list of buffers
        The header, then the memory of the arrays themselves: nothing of them is copied.

    Raises
    ------
    StateMismatch
        For what is not data, with the place where it stands.
    """
    writer = _Writer(names or {})
    document = writer.node(tree, ())
    # aligned by construction, as safetensors recommends: wide elements first
    entries = sorted(writer.arrays, key=lambda entry: -entry.array.dtype.itemsize)
    with _checksums(sum(entry.flat.size for entry in entries)) as checksum:
        for entry in entries:
            for start, stop in _blocks(entry.flat.size):
                entry.node.append(checksum(entry.flat[start:stop]))
        for entry in entries:
            entry.node[1:] = [f"{result():08x}" for result in entry.node[1:]]
    header = _header(document, entries)
    return [header] + [entry.flat for entry in entries if entry.flat.size]


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
        code = SAFETENSORS_NAME[entry.array.dtype.name]
        table[entry.name] = {"dtype": code, "shape": list(entry.array.shape), "data_offsets": [offset, end]}
        offset = end
    text = _compact(table).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    _check_header_size(len(text), text, 8 + len(text) + offset, StateMismatch)
    header = bytearray(len(text).to_bytes(8, "little") + text)
    header[_SUM] = b"%08x" % zlib.crc32(header)
    return bytes(header)


def _compact(node):
    return json.dumps(node, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


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
        # what derives from a plain type and says no more than it: enum members, str subclasses
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
        array = np.asarray(array)
        _dtype_name(array.dtype, path)
        name = base = "/".join(str(part).replace("/", "|") for part in self._given.get(path, path)) or "array"
        count = 1
        while name in self._taken or name == "__metadata__":
            count += 1
            name = f"{base}~{count}"
        self._taken.add(name)
        node = [name]
        self.arrays.append(_Entry(name, array, as_bytes(array), node))
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
    if dtype.name not in SAFETENSORS_NAME:
        raise StateMismatch(
            f"{_spell(path)} has dtype {dtype}, which a state file cannot hold; convert it first"
        )
    return dtype.name


def _text(value, path):
    try:
        value.encode()
    except UnicodeEncodeError:
        raise StateMismatch(f"{_spell(path)} holds {value!r}, which is not valid Unicode") from None
    return value


def _spell(path):
    """A path the way Python would write the look-up: ``optimizer['lr_mult'][3]``."""
    if not path:
        return "the value"
    return str(path[0]) + "".join(f"[{part!r}]" for part in path[1:])


# reading


def loads(data):
    """The tree that `dumps` made bytes of; its arrays are new and writable.

    Raises
    ------
    StateFileError
        Where anything in the bytes is not as it was written.
    """
    return load(BufferSource(data))


def load(source):
    """The tree in a file; ``source`` is a `BufferSource` or a `FileSource`, or an open file."""
    source = as_source(source)
    header = read_header(source)
    if not header.ours:
        raise ForeignStateFile("this is a safetensors file, but not one with optimizer states of mxopt")
    return _Reader(header.tensors).tree(header.document, source)


def tree_of(header, make):
    """The tree in a file as its header tells it.

    Parameters
    ----------
    header : Header
    make : callable
        Makes what stands for an array, of its `Tensor`; for a row-sparse one, of its rows and its whole
        shape.
    """
    return _Reader(header.tensors).outline(header.document, make)


def load_plain(header, source):
    """The arrays of a safetensors file of another origin by name; it has no checksums."""
    arrays = {name: empty(tensor.shape, tensor.dtype) for name, tensor in header.tensors.items()}
    for name, array in arrays.items():
        source.read_into(header.tensors[name].offset, array.reshape(-1).view(np.uint8))
        check_booleans(array, f"array {name!r}")
    return arrays


def verify(source):
    """Compare every array of a file with its checksums, a block at a time."""
    source = as_source(source)
    header = read_header(source)
    if header.ours:
        _Reader(header.tensors).verify(header.document, source)


def as_source(file):
    """A file object or bytes as something to read from."""
    if isinstance(file, (BufferSource, FileSource)):
        return file
    return FileSource(file) if hasattr(file, "fileno") else BufferSource(file)


Header = namedtuple("Header", "tensors metadata ours document")
Header.__doc__ = """What the header of a safetensors file says.

A dict of `Tensor`, the metadata, whether the file is in our format, and then its document (JSON, parsed).
"""


def read_header(source):
    """Read and check the header of a safetensors file: ours in full, others by their own rules."""
    source = as_source(source)
    if source.size < 10:
        raise DamagedStateFile(f"a state file has at least 10 bytes, this one has {source.size}")
    length = int.from_bytes(source.read(0, 8), "little")
    if length > source.size - 8:
        raise DamagedStateFile(
            f"bytes 0 to 7 announce a header of {length} bytes but {source.size - 8} follow; the file was "
            "cut, or is not a state file"
        )
    _check_header_size(length, b"", source.size, ForeignStateFile)
    text = bytearray(source.read(0, 8 + length))
    ours = text.startswith(_PREFIX, 8) or FORMAT.encode() in text[:256]
    if ours:
        stored, text[_SUM] = bytes(text[_SUM]), b"00000000"
        if stored != b"%08x" % zlib.crc32(text):
            raise DamagedStateFile(f"the header, bytes 0 to {7 + length}, does not match its checksum")
    del text[:8]
    _check_header_size(length, text, source.size, ForeignStateFile)
    table = _parse(text, "the header")
    del text
    if not isinstance(table, dict):
        raise ForeignStateFile("the header must be a JSON object")
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ForeignStateFile("the header's __metadata__ must map strings to strings")
    tensors = _tensors(table, 8 + length, source.size)
    return Header(tensors, metadata, ours, _document(metadata) if ours else None)


def _check_header_size(length, text, size, error):
    if length > _MAX_HEADER:
        raise error(f"the header has {length} bytes; at most {_MAX_HEADER} are allowed")
    tokens = text.count(b"[") + text.count(b",") + 4 * text.count(b"{")
    if tokens > _FREE_TOKENS + size // _BYTES_PER_TOKEN:
        raise error(f"the header has more entries ({tokens}) than a file of {size} bytes may have")


def _parse(text, where):
    try:
        # bytes would also be taken for UTF-16 and UTF-32
        text = text if isinstance(text, str) else text.decode()
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)
    except StateFileError as error:
        raise ForeignStateFile(f"{where}: {error}") from None
    except RecursionError:
        raise ForeignStateFile(f"{where} is nested too deeply") from None
    except ValueError as error:  # of the JSON or of its UTF-8
        raise ForeignStateFile(f"{where} is not JSON: {error}") from None


def _object(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ForeignStateFile("a name stands twice in one object")
    return result


def _integer(digits):
    if len(digits) > _MAX_DIGITS:
        raise ForeignStateFile(f"an integer of {len(digits)} digits")
    return int(digits)


def _constant(name):
    raise ForeignStateFile(f"{name} is not JSON")


def _is_size(value):
    return type(value) is int and 0 <= value < 1 << 63


def _tensors(table, base, size):
    """The entries of the header, checked: known types, sizes that fit, no gap and no overlap."""
    tensors = {}
    for name, entry in table.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ForeignStateFile(f"array {name!r} must have dtype, shape and data_offsets")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in SAFETENSORS:
            raise ForeignStateFile(f"array {name!r} has the unknown dtype {code!r}")
        if not isinstance(shape, list) or len(shape) > _MAX_NDIM or not all(map(_is_size, shape)):
            raise ForeignStateFile(
                f"array {name!r} must have up to {_MAX_NDIM} lengths >= 0 as its shape, got {shape!r}"
            )
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
            raise ForeignStateFile(f"array {name!r} must have two offsets, got {offsets!r}")
        begin, end = offsets
        if not begin <= end <= size - base:
            raise DamagedStateFile(
                f"array {name!r} is said to end {end} bytes into the data, which has {size - base}; "
                "the file was cut"
            )
        dtype, nbytes = SAFETENSORS[code], _size(shape) * ITEMSIZE[SAFETENSORS[code]]
        if nbytes != end - begin:
            raise ForeignStateFile(
                f"array {name!r} of shape {shape} needs {nbytes} bytes and has {end - begin}"
            )
        tensors[name] = Tensor(name, dtype, tuple(shape), base + begin, nbytes)
    position = base
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.nbytes)):
        if tensor.offset != position:
            what = "overlaps the array before it" if tensor.offset < position else "leaves a gap before it"
            raise ForeignStateFile(f"array {tensor.name!r} at byte {tensor.offset} {what}")
        position += tensor.nbytes
    if position != size:
        raise DamagedStateFile(f"the arrays end at byte {position} but the file has {size} bytes")
    return tensors


def _size(shape):
    size = 1
    for length in shape:
        size *= length
    return size


def _document(metadata):
    if metadata.get("format") != FORMAT:
        raise ForeignStateFile(f"format must be {FORMAT!r}, got {metadata.get('format')!r}")
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise StateMismatch(
            f"the file has version {version!r} of the format and this mxopt reads version {VERSION}; "
            "load it with a newer mxopt"
        )
    return _parse(metadata.pop("document", ""), "the document")


class _Reader:
    """Turns the JSON of a document back into a tree and fills its arrays."""

    def __init__(self, tensors):
        self._tensors = tensors
        self._wanted = {}

    def tree(self, document, source):
        """The tree; arrays are allocated once every name is known to be right, and filled in file order."""
        tree = self._checked(document)
        arrays = {name: empty(tensor.shape, tensor.dtype) for name, tensor in self._tensors.items()}
        self._read(source, lambda tensor: arrays[tensor.name].reshape(-1).view(np.uint8))
        for name, array in arrays.items():
            check_booleans(array, f"array {name!r}")

        def rows(data, indices, shape):
            check_rows(arrays[indices], shape[0], f"array {indices!r}")
            return RowSparseArray(arrays[data], arrays[indices], shape)

        return _resolved(tree, arrays.__getitem__, rows)

    def outline(self, document, make):
        tensors = self._tensors
        return _resolved(
            self._checked(document),
            lambda name: make(tensors[name]),
            lambda data, indices, shape: make(tensors[data], shape),
        )

    def verify(self, document, source):
        self._checked(document)
        self._read(source, None)

    def _checked(self, document):
        tree = self._node(document, 0)
        if len(self._wanted) != len(self._tensors):
            name = next(name for name in self._tensors if name not in self._wanted)
            raise ForeignStateFile(f"array {name!r} stands in the header but nowhere in the document")
        return tree

    def _node(self, node, depth):
        if depth > 2 * _MAX_DEPTH:
            raise ForeignStateFile("the document is nested too deeply")
        if isinstance(node, list):
            return [self._node(item, depth + 1) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) != 1:
            raise ForeignStateFile(f"the document has an object with {len(node)} names where one is due")
        ((tag, body),) = node.items()
        read = self._TAGS.get(tag)
        if read is None:
            raise ForeignStateFile(f"the document has the unknown tag {tag!r}")
        return read(self, body, depth + 1)

    def _tuple(self, body, depth):
        if not isinstance(body, list):
            raise ForeignStateFile("a tuple must be a list of its items")
        return tuple(self._node(item, depth) for item in body)

    def _dict(self, body, depth):
        if not isinstance(body, list):
            raise ForeignStateFile("a dict must be a list of its items")
        result = {}
        for item in body:
            if not isinstance(item, list) or len(item) != 2 or type(item[0]) not in (int, str):
                raise ForeignStateFile("a dict's item must be a pair of an int or str and a value")
            if item[0] in result:
                raise ForeignStateFile(f"the key {item[0]!r} stands twice in one dict")
            result[item[0]] = self._node(item[1], depth)
        return result

    def _float(self, body, depth):
        if body not in ("nan", "inf", "-inf"):
            raise ForeignStateFile(f"a float by name must be nan, inf or -inf, got {body!r}")
        return float(body)

    def _scalar(self, body, depth):
        if not isinstance(body, list) or len(body) != 2 or body[0] not in ITEMSIZE:
            raise ForeignStateFile("a scalar must be a pair of a dtype and a value")
        value = self._node(body[1], depth)
        dtype = numpy_dtype(body[0])
        if type(value) not in (bool, int, float) or (dtype.kind in "iub") != (type(value) is not float):
            raise ForeignStateFile(f"{value!r} is not a scalar of dtype {dtype}")
        # Not left to NumPy: before 2 it wraps around.
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            raise ForeignStateFile(f"{value!r} is out of range for dtype {dtype}")
        return dtype.type(value)

    def _array(self, body, depth):
        if not isinstance(body, list) or not body or not all(isinstance(item, str) for item in body):
            raise ForeignStateFile("an array must be a list of its name and its checksums")
        name, sums = body[0], body[1:]
        if name not in self._tensors:
            raise ForeignStateFile(f"the document names the array {name!r}, which the header lacks")
        if name in self._wanted:
            raise ForeignStateFile(f"the document names the array {name!r} twice")
        if len(sums) != len(_blocks(self._tensors[name].nbytes)):
            raise ForeignStateFile(
                f"array {name!r} has {len(sums)} checksums; one is due for every {BLOCK} bytes"
            )
        self._wanted[name] = sums
        return _Placeholder(name)

    def _row_sparse(self, body, depth):
        if not isinstance(body, list) or len(body) != 3:
            raise ForeignStateFile("a row-sparse array must be a list of its data, indices and shape")
        data, indices = self._node(body[0], depth), self._node(body[1], depth)
        shape = body[2]
        if not isinstance(data, _Placeholder) or not isinstance(indices, _Placeholder):
            raise ForeignStateFile("a row-sparse array must have arrays as its data and indices")
        if not isinstance(shape, list) or not 0 < len(shape) <= _MAX_NDIM or not all(map(_is_size, shape)):
            raise ForeignStateFile(f"a row-sparse array must have lengths >= 0 as its shape, got {shape!r}")
        rows, columns = self._tensors[indices.name], self._tensors[data.name].shape
        if (
            "float" not in self._tensors[data.name].dtype
            or rows.dtype != "int64"
            or rows.shape != columns[:1]
            or columns[1:] != tuple(shape[1:])
        ):
            raise ForeignStateFile(
                f"the data, indices and shape of the row-sparse array {data.name!r} do not belong together"
            )
        return _SparsePlaceholder(data, indices, tuple(shape))

    _TAGS = {
        "tuple": _tuple,
        "dict": _dict,
        "float": _float,
        "scalar": _scalar,
        "array": _array,
        "row_sparse": _row_sparse,
    }

    def _read(self, source, place):
        """Read all arrays in file order and compare them with their checksums.

        Parameters
        ----------
        place : callable or None
            The bytes of a tensor's array, to be filled; None where they are only to be compared.
        """
        tensors = sorted(self._tensors.values(), key=lambda tensor: tensor.offset)
        total = sum(tensor.nbytes for tensor in tensors)
        pending = []
        with _checksums(total) as checksum, progress("loading" if place else "checking", total) as advance:
            for tensor in tensors:
                flat = place and place(tensor)
                for (start, stop), stored in zip(_blocks(tensor.nbytes), self._wanted[tensor.name]):
                    block = np.empty(stop - start, np.uint8) if flat is None else flat[start:stop]
                    source.read_into(tensor.offset + start, block)
                    pending.append((tensor, start, stop, stored, checksum(block)))
                    if flat is None and len(pending) > _BLOCKS_AT_ONCE:
                        self._compare(pending.pop(0))
                    advance(stop - start)
            for one in pending:
                self._compare(one)

    @staticmethod
    def _compare(one):
        tensor, start, stop, stored, result = one
        if stored != f"{result():08x}":
            raise DamagedStateFile(
                f"array {tensor.name!r}, bytes {tensor.offset + start} to {tensor.offset + stop - 1} of "
                "the file, "
                "does not match its checksum"
            )


_Placeholder = namedtuple("_Placeholder", "name")
_SparsePlaceholder = namedtuple("_SparsePlaceholder", "data indices shape")


def _resolved(node, array, row_sparse):
    """A tree with what two functions make in the places that it keeps for arrays."""
    if isinstance(node, _Placeholder):
        return array(node.name)
    if isinstance(node, _SparsePlaceholder):
        return row_sparse(node.data.name, node.indices.name, node.shape)
    if isinstance(node, dict):
        return {key: _resolved(item, array, row_sparse) for key, item in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)([_resolved(item, array, row_sparse) for item in node])
    return node


def check_rows(indices, rows, where):
    """Refuse row numbers that are outside the array, repeated or out of order."""
    if indices.size and (indices[0] < 0 or indices[-1] >= rows or not (indices[1:] > indices[:-1]).all()):
        raise ForeignStateFile(f"{where}: row numbers must ascend from 0 to {rows - 1}")


# checksums


def _blocks(nbytes):
    """The spans that have a checksum each, so that several threads can check one array."""
    return [(start, min(start + BLOCK, nbytes)) for start in range(0, nbytes, BLOCK)]


@contextmanager
def _checksums(total):
    """A function that starts a block's checksum and returns a function that gives it.

    Blocks are checked on other threads while the caller reads or writes; small files are not worth threads.
    """
    if total < _WORTH_THREADS or (os.cpu_count() or 1) == 1:
        yield _checksum_now
        return
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        yield lambda block: pool.submit(zlib.crc32, block).result


def _checksum_now(block):
    value = zlib.crc32(block)
    return lambda: value
