"""Reading and writing MXNet's state files."""

import struct
from collections import namedtuple

import numpy as np

from mxopt.sparse import RowSparseArray
from mxopt.states.errors import ForeignStateFile, StateMismatch
from mxopt.states.mxnet_arrays import V2, V3, CSRArray, Layout, read_array, read_layout, write_array
from mxopt.states.mxnet_pickle import Interpreter, Record

#: how many items of a dict go on the reader's stack at once, as in Python's own pickle
_BATCH = 1000

FORMATS = ("mxnet-1.x", "mxnet-2.x")

MXNetStates = namedtuple("MXNetStates", "states optimizer layouts protocol")
MXNetStates.__doc__ = """The contents of a file that MXNet wrote.

`states` maps indices (int or str) to None, an array, or tuples of them; `optimizer` is a `Record`, or None
in a file without one; `layouts` are the array layouts that occur ("V2", "V3", "V1", "no magic"), `protocol`
is the pickle's.
"""


def read(data, headers_only=False):
    """Read a state file of MXNet, any version.

    Parameters
    ----------
    data : buffer
    headers_only : bool
        Whether to leave arrays in the file and return their `mxnet_arrays.Layout` instead.

    Raises
    ------
    StateFileError
        DamagedStateFile for a truncated file, ForeignStateFile for anything else that is not such a file.
    """
    interpreter = Interpreter(data, read_layout if headers_only else read_array)
    content = interpreter.run()
    optimizer = None
    # MXNet's own rule for telling its two kinds of files apart
    if type(content) is tuple and len(content) == 2:
        content, optimizer = content
        if type(optimizer) is not Record or optimizer.attributes is None:
            raise ForeignStateFile(
                "expected a pair of states and an optimizer, but the second is not an object"
            )
    if type(content) is not dict:
        raise ForeignStateFile(f"expected a dict of states, got {_kind(content)}")
    for index, state in content.items():
        _check_state(state, index)
    return MXNetStates(content, optimizer, interpreter.layouts, interpreter.protocol)


_LEAVES = (np.ndarray, np.generic, RowSparseArray, CSRArray, Layout, type(None), bool, int, float, str)


def _check_state(state, index):
    if isinstance(state, _LEAVES):
        return
    if not isinstance(state, (tuple, list, dict)):
        raise ForeignStateFile(f"the state of {index!r} holds {_kind(state)}, which is not data")
    for item in state.values() if isinstance(state, dict) else state:
        _check_state(item, index)


def _kind(value):
    return f"an object of {value.path}" if isinstance(value, Record) else f"a {type(value).__name__}"


def to_pieces(states, optimizer, format):
    """The buffers whose concatenation is a file that MXNet loads; see `FORMATS`.

    Parameters
    ----------
    states : dict
    optimizer : Record or None
        One of MXNet's own classes, with all the attributes that it has in that version.
    format : {'mxnet-1.x', 'mxnet-2.x'}

    Notes
    -----
    MXNet 2.x writes and expects a layout that cannot hold row-sparse arrays. If there is one, all arrays use
    the layout of 1.x, which 2.x reads after ``mxnet.npx.reset_np()``.
    """
    content = states if optimizer is None else (states, optimizer)
    layout = V2 if format == "mxnet-1.x" or _holds_row_sparse(states) else V3
    writer = _Writer(layout)
    writer.value(content, "the states")
    return writer.pieces()


def _holds_row_sparse(value):
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return isinstance(value, RowSparseArray)
    return any(_holds_row_sparse(item) for item in value)


class _Writer:
    """A pickle of protocol 3, which every Python 3 reads; of 4 if an array needs longer lengths."""

    def __init__(self, layout):
        self._layout = layout
        self._pieces = []
        self._small = bytearray()
        self._protocol = 3
        self._memo = {}

    def pieces(self):
        self._flush()
        return [bytes([0x80, self._protocol]), *self._pieces, b"."]

    def _flush(self):
        if self._small:
            self._pieces.append(bytes(self._small))
            self._small.clear()

    def _put(self, data):
        self._small += data

    def value(self, value, where):
        if value is None:
            self._put(b"N")
        elif isinstance(value, (bool, np.bool_)):
            self._put(b"\x88" if value else b"\x89")
        elif isinstance(value, (int, np.integer)):
            self._int(int(value), where)
        elif isinstance(value, (float, np.floating)):
            self._put(b"G" + struct.pack(">d", value))
        elif isinstance(value, str):
            self._text(value, where)
        elif isinstance(value, dict):
            self._dict(value, where)
        elif isinstance(value, tuple):
            self._put(b"(")
            self._items(value, where)
            self._put(b"t")
        elif isinstance(value, list):
            self._put(b"](")
            self._items(value, where)
            self._put(b"e")
        elif isinstance(value, Record):
            self._global(value.module, value.name)
            self._put(b")\x81")
            self._dict(value.attributes, value.name)
            self._put(b"b")
        elif isinstance(value, (np.ndarray, RowSparseArray)):
            self._array(value, where)
        else:
            raise StateMismatch(f"{where} is a {type(value).__qualname__}, which MXNet's files cannot hold")

    def _items(self, items, where):
        for i, item in enumerate(items):
            self.value(item, f"{where}[{i}]")

    def _int(self, value, where):
        if -(1 << 31) <= value < 1 << 31:
            self._put(b"J" + struct.pack("<i", value))
            return
        length = value.bit_length() // 8 + 1
        if length > 128:
            raise StateMismatch(
                f"{where} is an integer of {value.bit_length()} bits, which is too long for a file"
            )
        self._put(b"\x8a" + bytes([length]) + value.to_bytes(length, "little", signed=True))

    def _text(self, value, where):
        try:
            data = value.encode()
        except UnicodeEncodeError:
            raise StateMismatch(f"{where} holds {value!r}, which is not valid Unicode") from None
        self._put(b"X" + struct.pack("<I", len(data)) + data)

    def _dict(self, value, where):
        # the update counts of the current device are one object with their entry in the table of all devices
        number = self._memo.get(id(value))
        if number is not None:
            self._put(b"j" + struct.pack("<I", number))
            return
        number = self._memo[id(value)] = len(self._memo)
        self._put(b"}r" + struct.pack("<I", number) + b"(")
        for count, (key, item) in enumerate(value.items(), 1):
            if isinstance(key, (bool, np.bool_)) or not isinstance(key, (int, np.integer, str)):
                raise StateMismatch(f"{where} has the key {key!r}; keys must be int or str")
            self.value(key, where)
            self.value(item, f"{where}[{key!r}]")
            if count % _BATCH == 0:
                self._put(b"u(")
        self._put(b"u")

    def _global(self, module, name):
        self._put(f"c{module}\n{name}\n".encode())

    def _array(self, array, where):
        if isinstance(array, RowSparseArray):
            self._global("mxnet.ndarray.sparse", "RowSparseNDArray")
        else:
            self._global("mxnet.ndarray.ndarray", "NDArray")
        self._put(b"N\x85R}")
        self._text("handle", where)
        # MXNet writes into the buffer, so it has to be a bytearray
        self._global("builtins", "bytearray")
        buffers = write_array(array, self._layout, where)
        length = sum(memoryview(buffer).nbytes for buffer in buffers)
        if length < 1 << 32:
            self._put(b"B" + struct.pack("<I", length))
        else:
            self._protocol = 4
            self._put(b"\x8e" + struct.pack("<Q", length))
        self._put(buffers[0])
        self._flush()
        self._pieces += buffers[1:]
        self._put(b"\x85Rsb")
