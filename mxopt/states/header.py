"""Headers of safetensors files, ours and others': where everything is, checked against the file's size.

A parsed header takes several times its own bytes. `cost` gives an upper bound; a reader refuses files with
headers that cost more than `allowance`, and a writer pads its header with spaces until it costs less.
"""

import re
from collections import namedtuple

from mxopt.states.checksums import crc32
from mxopt.states.dtypes import ITEMSIZE, SAFETENSORS
from mxopt.states.errors import DamagedStateFile, ForeignStateFile, StateMismatch
from mxopt.states.files import BufferSource, FileSource
from mxopt.states.jsontext import JSONText

FORMAT = "mxopt-states"
#: the version written, and those read (by `mxopt.saving.document.READERS`)
VERSION = 1
READABLE = ("1",)

#: the checksum comes first, so that it is found without parsing the rest
PREFIX = b'{"__metadata__":{"checksum":"crc32:'
SUM = slice(8 + len(PREFIX), 8 + len(PREFIX) + 8)

ALIGNMENT = 64
MAX_NDIM = 32
_MAX_FOREIGN_HEADER = 100_000_000  # safetensors' own bound
_MAX_ENTRY = 4096
_MAX_METADATA = 1 << 14

#: The most that a list, an object (which often holds a list) and an item of either take, with the small
#: objects around them. An array is made of several of all three.
_COST_LIST = 64
_COST_OBJECT = 24
_COST_ITEM = 40
#: what a header may cost on top of four times the size of the file
_FREE = 3 << 23

_NO_SPACE = re.compile(rb"[^ \t\r\n]")
_WIDE = re.compile(rb"[\xc4-\xef]|\\u(?!00)")
#: an escape of a printable ASCII character, which would hide brackets and further escapes from `cost`
_DISGUISED = re.compile(rb"(?<!\\)(?:\\\\)*\\u00(?:[2-6]|7[^fF])")
_WIDEST = re.compile(rb"[\xf0-\xff]|\\u[dD][89abAB]")

Tensor = namedtuple("Tensor", "name dtype shape offset nbytes")
Tensor.__doc__ = "An entry of a safetensors header; `offset` counts from the start of the file."

Header = namedtuple("Header", "tensors metadata ours document")
Header.__doc__ = """What the header of a safetensors file says.

A dict of `Tensor`, the metadata, whether the file is in our format, and then its document as JSON.
"""


def cost(text):
    """An upper bound of the memory that reading a header takes, besides the arrays' own elements.

    Parameters
    ----------
    text : bytes
    """
    # one wide character widens its whole string
    width = 1
    if not text.isascii() or b"\\u" in text:
        width = 4 if _WIDEST.search(text) else 2 if _WIDE.search(text) else 1
    return (
        # the text itself, and the document in it
        (len(text) - _padding(text)) * width * 5 // 4
        + _COST_LIST * text.count(b"[")
        + _COST_OBJECT * text.count(b"{")
        + _COST_ITEM * text.count(b",")
    )


def _padding(text):
    return len(text) - 1 - text.rfind(b"}")


def allowance(length, size):
    """What a header of `length` bytes may cost in a file of `size`: four file sizes, elements included."""
    return _FREE + 4 * (8 + length) + 3 * (size - 8 - length)


def padded(text, nbytes):
    """A header padded so that a reader accepts it, before `nbytes` of elements."""
    lacking = cost(text) - allowance(len(text), 8 + len(text) + nbytes)
    text += b" " * max(-(-lacking // 4), 0)
    return text + b" " * (-(8 + len(text)) % ALIGNMENT)


def as_source(file):
    """A source that reads from a file object or bytes."""
    if isinstance(file, (BufferSource, FileSource)):
        return file
    return FileSource(file) if hasattr(file, "fileno") else BufferSource(file)


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
    start = bytes(source.read(0, 8 + min(length, 256)))
    ours = start.startswith(PREFIX, 8) or FORMAT.encode() in start
    if not ours and length > _MAX_FOREIGN_HEADER:
        raise ForeignStateFile(f"the header has {length} bytes; at most {_MAX_FOREIGN_HEADER} are allowed")
    tensors, metadata = _read_table(_text(source, length, ours), 8 + length, source.size)
    return Header(tensors, metadata, ours, _document(metadata) if ours else None)


def _text(source, length, ours):
    """The header as JSON, after checking its checksum and its cost."""
    data = bytes(source.read(8, length))
    if ours:
        place = slice(SUM.start - 8, SUM.stop - 8)
        with memoryview(data) as view:
            crc = crc32(view[: place.start], crc32(length.to_bytes(8, "little")))
            crc = crc32(view[place.stop :], crc32(b"00000000", crc))
        if data[place] != b"%08x" % crc:
            raise DamagedStateFile(f"the header, bytes 0 to {7 + length}, does not match its checksum")
        if _DISGUISED.search(data):
            raise ForeignStateFile("the header spells ASCII characters as escapes, which no writer does")
    if cost(data) > allowance(length, source.size):
        raise ForeignStateFile(f"the header has more entries than a file of {source.size} bytes may have")
    end = length - _padding(data)
    if _NO_SPACE.search(data, end):
        raise ForeignStateFile(
            "the header is not JSON: it must be an object, and nothing may follow its last brace"
        )
    try:
        return str(memoryview(data)[:end], "utf-8")
    except UnicodeDecodeError as error:
        raise ForeignStateFile(f"the header is not JSON: {error}") from None


def _read_table(text, base, size):
    """The entries and the metadata, checked: known types, sizes that fit, no gap and no overlap."""
    table, tensors, metadata = JSONText(text, "the header"), {}, {}
    if table.peek() != "{":
        raise ForeignStateFile("the header must be a JSON object")
    shapes = {}
    for name in table.members():
        if name in tensors or (name == "__metadata__" and metadata):
            raise ForeignStateFile(f"the header: the name {name[:80]!r} occurs twice in one object")
        if name == "__metadata__":
            metadata = _read_metadata(table)
        else:
            tensors[name] = _tensor(name, table.short_object(_MAX_ENTRY), base, size, shapes)
    table.end()
    position = base
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.nbytes)):
        if tensor.offset != position:
            what = "overlaps the array before it" if tensor.offset < position else "leaves a gap before it"
            raise ForeignStateFile(f"array {tensor.name!r} at byte {tensor.offset} {what}")
        position += tensor.nbytes
    if position != size:
        raise DamagedStateFile(f"the arrays end at byte {position} but the file has {size} bytes")
    return tensors, metadata


def _read_metadata(table):
    metadata = {}
    if table.peek() != "{":
        raise ForeignStateFile("the header's __metadata__ must map strings to strings")
    for key in table.members():
        if table.peek() != '"' or key in metadata:
            raise ForeignStateFile("the header's __metadata__ must map strings to strings, each once")
        if len(metadata) == _MAX_METADATA:
            raise ForeignStateFile(f"the header's __metadata__ has more than {_MAX_METADATA} entries")
        metadata[key] = table.scalar()
    return metadata


def _tensor(name, entry, base, size, shapes):
    if entry is None or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ForeignStateFile(f"array {name!r} must have dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in SAFETENSORS:
        raise ForeignStateFile(f"array {name!r} has the unknown dtype {code!r}")
    if not isinstance(shape, list) or len(shape) > MAX_NDIM or not all(map(is_size, shape)):
        raise ForeignStateFile(
            f"array {name!r} must have up to {MAX_NDIM} lengths >= 0 as its shape, got {shape!r}"
        )
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_size, offsets)):
        raise ForeignStateFile(f"array {name!r} must have two offsets, got {offsets!r}")
    begin, end = offsets
    if not begin <= end <= size - base:
        raise DamagedStateFile(
            f"array {name!r} is said to end {end} bytes into the data, which has {size - base}; "
            "the file was cut"
        )
    dtype, nbytes = SAFETENSORS[code], ITEMSIZE[SAFETENSORS[code]]
    for length in shape:
        nbytes *= length
    if nbytes != end - begin:
        raise ForeignStateFile(f"array {name!r} of shape {shape} needs {nbytes} bytes and has {end - begin}")
    # thousands of arrays have few shapes
    shape = shapes.setdefault(tuple(shape), tuple(shape))
    return Tensor(name, dtype, shape, base + begin, nbytes)


def is_size(value):
    """Whether a value of JSON can be a length or an offset."""
    return type(value) is int and 0 <= value < 1 << 63


def _document(metadata):
    if metadata.get("format") != FORMAT:
        raise ForeignStateFile(f"format must be {FORMAT!r}, got {metadata.get('format')!r}")
    version = metadata.get("version", "")
    if version not in READABLE:
        raise StateMismatch(
            f"the file has version {version!r} of the format and this mxopt reads version "
            f"{' and '.join(READABLE)}; load it with a newer mxopt"
        )
    return metadata.pop("document", "")
