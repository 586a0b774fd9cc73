"""MXNet's pickles as data: an interpreter that can build records and nothing else.

A pickle is a small program that may call anything by name. This module runs only the few instructions that
MXNet's state files consist of. Where the program names a class or function, it looks up the pair of strings
in a closed table of entries that make inert records. Nothing is imported, nothing in the file is called, and
every size is checked against the bytes that are there before memory is allocated.

Protocols 0 to 5 are read, in the forms in which Python 2 and Python 3 wrote them.
"""

import codecs
import re
import struct
import sys
from collections import namedtuple

import numpy as np

from mxopt.states.errors import DamagedStateFile, ForeignStateFile
from mxopt.states.mxnet_arrays import LAYOUTS, read_array

_MAX_STACK = 1 << 20
_MAX_MARKS = 100
_MAX_DEPTH = 100
_MAX_DIGITS = 320
_MAX_LONG = 128  # bytes
_MAX_MEMO_GAP = 1 << 16

#: The memory that a file's objects may take besides the elements of its arrays, by the estimates below: three
#: times the file, a constant that allows the counts of 200,000 parameters, and for each array with its own
#: bytes the object that any reader has to make.
_BUDGET = 5 << 23
_BUDGET_PER_BYTE = 3
_BUDGET_PER_ARRAY = _COST_ARRAY = 240
_COST_OBJECT = 64
_COST_DICT = 380  # including the resolved copy: some Pythons allocate room for five items at once
_COST_INT = 32
_COST_DICT_ITEM = 80
_COST_RESOLVED = 250
#: how many memo entries one array leaves
_NEAR = 16

#: strings up to this length are decoded before their width is known
_LONG_TEXT = 1 << 16
#: byte strings from this length on stay views of the file
_LONG_BYTES = 1 << 10

_ARRAY_CLASSES = {
    ("mxnet.ndarray.ndarray", "NDArray"),
    ("mxnet.ndarray.sparse", "RowSparseNDArray"),
    ("mxnet.ndarray.sparse", "CSRNDArray"),
    ("mxnet.numpy", "ndarray"),
    ("mxnet.numpy.multiarray", "ndarray"),
    ("mxnet.ndarray", "NDArray"),  # before 0.12
    ("mxnet.ndarray.ndarray", "RowSparseNDArray"),  # 0.11
    ("mxnet.ndarray", "RowSparseNDArray"),
}
_BYTEARRAY = {("builtins", "bytearray"), ("__builtin__", "bytearray")}
_BYTES = {("builtins", "bytes"), ("__builtin__", "bytes")}
_OBJECT = {("builtins", "object"), ("__builtin__", "object")}
_ENCODE = {("_codecs", "encode")}
_RECONSTRUCTOR = {("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")}
_ORDERED_DICT = {("collections", "OrderedDict")}
_SCALAR = {("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")}
_DTYPE = {("numpy", "dtype")}
_FUNCTIONS = set().union(
    _BYTEARRAY, _BYTES, _OBJECT, _ENCODE, _RECONSTRUCTOR, _ORDERED_DICT, _SCALAR, _DTYPE, _ARRAY_CLASSES
)

_IDENTIFIERS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
# Python's own modules contain no optimizers. Their names are never looked up anyway; refusing them early just
# gives an attack its own message. Python 3.9 has no list of them: there the rule for calls refuses the rest.
_PYTHON_MODULES = getattr(sys, "stdlib_module_names", frozenset()) | {
    "__builtin__", "builtins", "codecs", "commands", "copy_reg", "ctypes", "importlib", "io", "marshal", "nt",
    "operator", "os", "pickle", "cPickle", "popen2", "posix", "pty", "runpy", "shutil", "socket",
    "subprocess", "sys", "types", "urllib2",
}  # fmt: skip

_NEWLINE = re.compile(rb"\n")
_NOT_LATIN = re.compile(rb"[\xc4-\xff]")
_NOT_LATIN_ESCAPE = re.compile(rb"\\(?:U|u(?!00))")
_INTEGER = re.compile(rb"[+-]?[0-9]+")
_FLOAT = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|inf|nan)")
_DTYPE_NAME = re.compile(r"[iu][1248]|f[248]|b1")


class Record:
    """An object of a file as data: the path of its class, which is never imported, and its attributes.

    `attributes` is None where the file only names a class or function.
    """

    __slots__ = ("module", "name", "attributes")

    def __init__(self, module, name, attributes=None):
        self.module = module
        self.name = name
        self.attributes = attributes

    @property
    def path(self):
        return f"{self.module}.{self.name}"

    def __repr__(self):
        return f"Record({self.path!r}, {self.attributes!r})"


Global = namedtuple("Global", "module name")
Global.__doc__ = "A name in a file; only a pair of strings."


class _Shell:
    """An array still waiting for its bytes; `before` records the interpreter's state when it was made."""

    __slots__ = ("value", "built", "before")

    def __init__(self, before):
        self.value = None
        self.built = False
        self.before = before


class _Dtype:
    __slots__ = ("name", "order")

    def __init__(self, name):
        self.name = name
        self.order = "<"


_UNSET = object()
_SPENT = object()


class Interpreter:
    """One run over one pickle.

    Parameters
    ----------
    data : buffer
        The whole file.
    array : callable
        Makes an array from (its bytes, the name of the place); `mxnet_arrays.read_layout` reads no elements.
    """

    def __init__(self, data, array=read_array):
        self._data = memoryview(data).cast("B")
        self._make_array = array
        self._position = 0
        self._opcode_at = 0
        self._stack = []
        self._marks = []
        self._memo = []
        self._budget = _BUDGET + _BUDGET_PER_BYTE * len(self._data)
        self._array_bytes = 0
        # the containers that the file refers to again: only these can be in the result twice
        self._shared = set()
        self._uses = 0
        self._encoded = None
        self.protocol = 0
        self.layouts = set()

    def run(self):
        """The object the file describes: plain data, arrays and `Record`."""
        data, opcodes = self._data, _OPCODES
        while True:
            self._opcode_at = position = self._position
            if position >= len(data):
                raise self._cut("before its end mark")
            self._position = position + 1
            opcode = data[position]
            if opcode == 0x2E:  # STOP
                break
            execute = opcodes.get(opcode)
            if execute is None:
                raise self._foreign(
                    f"the pickle instruction {_spell_opcode(opcode)}, which no state file of MXNet has"
                )
            execute(self)
            if len(self._stack) > _MAX_STACK:
                raise self._foreign(f"more than {_MAX_STACK} values wait for their use")
        if self._position != len(data):
            raise self._foreign(f"{len(data) - self._position} bytes are left over after the end mark")
        if self._marks or len(self._stack) != 1:
            raise self._foreign("the pickle must end with one value")
        return _Resolver(len(data), self._budget, self._shared).value(self._stack[0])

    # errors and sizes

    def _foreign(self, what):
        return ForeignStateFile(f"byte {self._opcode_at}: {what}")

    def _cut(self, where):
        return DamagedStateFile(f"the file ends after {len(self._data)} bytes, {where}; it was cut")

    def _spend(self, cost):
        self._budget -= cost
        if self._budget < 0:
            raise self._foreign("the file unfolds into far more than its own size")

    def _take(self, count):
        start, stop = self._position, self._position + count
        if stop > len(self._data):
            raise self._cut(f"inside the {count} bytes that are due from byte {start} on")
        self._position = stop
        return self._data[start:stop]

    def _number(self, form):
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self, limit=None):
        found = _NEWLINE.search(self._data, self._position)
        if found is None:
            raise self._cut("inside a line")
        line = self._data[self._position : found.start()]
        if limit is not None and len(line) > limit:
            raise self._foreign(f"a line of {len(line)} bytes where at most {limit} make sense")
        self._position = found.end()
        return line

    # stack and memo

    def _push(self, value):
        self._stack.append(value)

    def _pop(self):
        if not self._stack:
            raise self._foreign("an instruction lacks its operand")
        return self._stack.pop()

    def _top(self):
        if not self._stack:
            raise self._foreign("an instruction lacks its operand")
        return self._stack[-1]

    def _pop_to_mark(self):
        if not self._marks:
            raise self._foreign("an instruction lacks its mark")
        items, self._stack = self._stack, self._marks.pop()
        return items

    def mark(self):
        if len(self._marks) >= _MAX_MARKS:
            raise self._foreign(f"more than {_MAX_MARKS} marks are open")
        if sum(map(len, self._marks)) > _MAX_STACK:
            raise self._foreign(f"more than {_MAX_STACK} values wait for their use")
        self._spend(_COST_OBJECT)
        self._marks.append(self._stack)
        self._stack = []

    def _put(self, index):
        gap = index - len(self._memo)
        if gap >= 0:
            if gap > _MAX_MEMO_GAP:
                raise self._foreign(f"the memo's entry {index} after {len(self._memo)} entries")
            self._spend(8 * (gap + 1))
            self._memo.extend([_UNSET] * (gap + 1))
        self._memo[index] = self._top()

    def _get(self, index):
        if index >= len(self._memo) or self._memo[index] is _UNSET:
            raise self._foreign(f"the memo has no entry {index}")
        value = self._memo[index]
        if value is _SPENT:
            raise self._foreign("the contents of an array are used again")
        if type(value) in _SHAREABLE:
            self._uses += 1
            if id(value) not in self._shared:
                self._spend(_COST_OBJECT)
                self._shared.add(id(value))
        self._push(value)

    def put_line(self):
        self._put(self._index_of(self._line(20)))

    def get_line(self):
        self._get(self._index_of(self._line(20)))

    def _index_of(self, line):
        if not bytes(line).isdigit():
            raise self._foreign(f"the memo's index {bytes(line)!r}")
        return int(bytes(line))

    def memoize(self):
        self._put(len(self._memo))

    # frames

    def proto(self):
        self.protocol = self._number("<B")
        if self.protocol > 5 or self._opcode_at != 0:
            raise self._foreign(
                f"the announcement of pickle protocol {self.protocol}; 0 to 5 exist, and it comes first"
            )

    def frame(self):
        length = self._number("<Q")
        if length > len(self._data) - self._position:
            raise self._cut(f"inside a frame of {length} bytes")

    # plain values

    def int_line(self):
        line = bytes(self._line(_MAX_DIGITS))
        if line in (b"00", b"01"):
            self._push(line == b"01")
        else:
            self._push_digits(line)

    def long_line(self):
        line = bytes(self._line(_MAX_DIGITS))
        self._push_digits(line[:-1] if line.endswith(b"L") else line)

    def _push_digits(self, digits):
        if not _INTEGER.fullmatch(digits):
            raise self._foreign(f"{digits!r} is not an integer")
        self._spend(_COST_OBJECT)
        self._push(int(digits))

    def _long(self, count):
        if count < 0 or count > _MAX_LONG:
            raise self._foreign(f"an integer of {count} bytes; at most {_MAX_LONG} make sense")
        self._spend(_COST_OBJECT)
        self._push(int.from_bytes(self._take(count), "little", signed=True))

    def float_line(self):
        line = bytes(self._line(64))
        if not _FLOAT.fullmatch(line):
            raise self._foreign(f"{line!r} is not a number")
        self._spend(_COST_OBJECT)
        self._push(float(line))

    def _push_number(self, form):
        self._spend(_COST_INT)
        self._push(self._number(form))

    def _push_bytes(self, count):
        data = self._take(count)
        self._spend(_COST_OBJECT + min(count, 256))
        self._push(bytes(data) if count < _LONG_BYTES else data)

    def _push_text(self, count):
        data = self._take(count)
        if count > _LONG_TEXT and _NOT_LATIN.search(data):
            # one wide character would widen all the others
            raise self._foreign(f"a text of {count} bytes that is not the escape of binary data")
        self._spend(_COST_OBJECT + (4 * count if count <= _LONG_TEXT else count))
        try:
            self._push(str(data, "utf-8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise self._foreign(f"a text that is not UTF-8 ({error.reason})") from None

    def unicode_line(self):
        line = self._line()
        if len(line) > _LONG_TEXT and _NOT_LATIN_ESCAPE.search(line):
            raise self._foreign(f"a text of {len(line)} bytes that is not the escape of binary data")
        self._spend(_COST_OBJECT + (4 * len(line) if len(line) <= _LONG_TEXT else len(line)))
        try:
            self._push(str(line, "raw-unicode-escape"))
        except UnicodeDecodeError as error:
            raise self._foreign(f"a text with a broken escape ({error.reason})") from None

    def string_line(self):
        line = bytes(self._line(_LONG_TEXT))
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1] != line[0]:
            raise self._foreign("a string without its quotes")
        self._spend(_COST_OBJECT + len(line))
        try:
            self._push(codecs.escape_decode(line[1:-1])[0])
        except ValueError as error:
            raise self._foreign(f"a string with a broken escape ({error})") from None

    # containers

    def make_tuple(self):
        items = self._pop_to_mark()
        self._spend(_COST_OBJECT + 8 * len(items))
        self._push(tuple(items))

    def _tuple_of(self, count):
        if len(self._stack) < count:
            raise self._foreign("an instruction lacks its operand")
        self._spend(_COST_OBJECT + 8 * count)
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._push(items)

    def make_list(self):
        items = self._pop_to_mark()
        self._spend(_COST_OBJECT + 8 * len(items))
        self._push(items)

    def empty_list(self):
        self._spend(_COST_OBJECT)
        self._push([])

    def append(self):
        item = self._pop()
        self._extend([item])

    def appends(self):
        self._extend(self._pop_to_mark())

    def _extend(self, items):
        target = self._top()
        if type(target) is not list:
            raise self._foreign("items are added to what is not a list")
        self._spend(16 * len(items))
        target.extend(items)

    def make_dict(self):
        items = self._pop_to_mark()
        self.empty_dict()
        self._update(items)

    def empty_dict(self):
        self._spend(_COST_DICT)
        self._push({})

    def setitem(self):
        value = self._pop()
        key = self._pop()
        self._update([key, value])

    def setitems(self):
        self._update(self._pop_to_mark())

    def _update(self, items):
        target = self._top()
        if type(target) is not dict:
            raise self._foreign("items are set in what is not a dict")
        if len(items) % 2:
            raise self._foreign("a key without a value")
        self._spend(_COST_DICT_ITEM * (len(items) // 2))
        for key, value in zip(items[::2], items[1::2]):
            target[self._key(key)] = value

    def _key(self, key):
        if type(key) is str:
            return key
        if isinstance(key, np.integer):
            key = int(key)
        if type(key) is int:
            # larger ones could be chosen to collide in the dict
            if not -(1 << 63) <= key < 1 << 63:
                raise self._foreign("a key of more than 64 bits")
            return key
        if type(key) in (bytes, memoryview):
            return self._text(key)
        raise self._foreign(f"a key of type {type(key).__name__}; keys of state files are int, str or bytes")

    def _text(self, value):
        """A string, even if Python 2 wrote it as bytes."""
        if type(value) is str:
            return value
        if type(value) in (bytes, memoryview) and len(value) <= _LONG_TEXT:
            # one string of the memo can be used as a key many times
            self._spend(_COST_OBJECT + len(value))
            return _decode(bytes(value))
        raise self._foreign("a string is missing")

    # names and objects

    def global_lines(self):
        module, name = bytes(self._line(256)), bytes(self._line(256))
        self._push_global(_decode(module), _decode(name))

    def stack_global(self):
        name, module = self._text(self._pop()), self._text(self._pop())
        self._push_global(module, name)

    def _push_global(self, module, name):
        if (module, name) not in _FUNCTIONS:
            shown = f"{module}.{name}"[:80]
            if not _IDENTIFIERS.fullmatch(module) or not name.isidentifier():
                raise self._foreign(f"{shown!r} is not the name of a class")
            if module.partition(".")[0] in _PYTHON_MODULES:
                raise self._foreign(
                    f"{shown} is named, which no state file of MXNet needs; the file may be an attack"
                )
        self._spend(_COST_OBJECT + len(module) + len(name))
        self._push(Global(module, name))

    def _object_of(self, target):
        """A new record for an object of a named class."""
        if type(target) is not Global or (target in _FUNCTIONS and target not in _ARRAY_CLASSES):
            raise self._foreign("an object without a class")
        self._spend(_COST_OBJECT)
        return self._shell() if target in _ARRAY_CLASSES else Record(*target)

    def _shell(self):
        return _Shell((self._budget, len(self._memo), self._uses))

    def newobj(self):
        arguments = self._pop()
        target = self._pop()
        if type(arguments) is not tuple or arguments:
            raise self._foreign("an object with arguments, which MXNet's have not")
        self._push(self._object_of(target))

    def reduce(self):
        arguments = self._pop()
        target = self._pop()
        if type(target) is not Global or type(arguments) is not tuple:
            raise self._foreign("a call of what is not a name")
        make = _CALLS.get(target)
        if make is None:
            raise self._foreign(f"a call of {target.module}.{target.name}, which no state file of MXNet has; "
                         "the file may be an attack")  # fmt: skip
        self._push(make(self, arguments))

    def _call_array(self, arguments):
        if len(arguments) > 1 or (arguments and arguments[0] is not None):
            raise self._foreign("an array is made with arguments")
        self._spend(_COST_OBJECT)
        return self._shell()

    def _call_bytes(self, arguments):
        """``bytes()``, ``bytearray(b'...')`` or, from Python 2, ``bytearray(u'...', 'latin-1')``."""
        if arguments == ():
            return b""
        if len(arguments) == 1 and type(arguments[0]) in (bytes, memoryview):
            return arguments[0]
        return self._call_encode(arguments)

    def _call_encode(self, arguments):
        if len(arguments) != 2 or type(arguments[0]) is not str:
            raise self._foreign("bytes are made of something else")
        text, encoding = arguments[0], self._text(arguments[1])
        if encoding.replace("-", "").replace("_", "").lower() not in ("latin1", "iso88591"):
            raise self._foreign(f"bytes in the encoding {encoding[:40]!r}")
        self._spend(_COST_OBJECT + len(text))
        self._encoded = text
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            raise self._foreign("bytes with a value above 255") from None

    def _call_reconstructor(self, arguments):
        base = arguments[1] if len(arguments) == 3 else None
        if type(base) is not Global or base not in _OBJECT or arguments[2] is not None:
            raise self._foreign("an object is made in a way MXNet's are not")
        return self._object_of(arguments[0])

    def _call_ordered_dict(self, arguments):
        self._spend(_COST_OBJECT)
        result = {}
        for pair in arguments[0] if arguments and type(arguments[0]) is list else ():
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise self._foreign("an OrderedDict of what is not pairs")
            self._spend(_COST_DICT_ITEM)
            result[self._key(pair[0])] = pair[1]
        if arguments and (len(arguments) > 1 or type(arguments[0]) is not list):
            raise self._foreign("an OrderedDict with arguments that are not its items")
        return result

    def _call_dtype(self, arguments):
        name = self._text(arguments[0]) if arguments else ""
        if not _DTYPE_NAME.fullmatch(name):
            raise self._foreign(f"the NumPy type {name[:40]!r}; a scalar of a state file is a plain number")
        self._spend(_COST_OBJECT)
        return _Dtype(name)

    def _call_scalar(self, arguments):
        if len(arguments) != 2 or type(arguments[0]) is not _Dtype or type(arguments[1]) is not bytes:
            raise self._foreign("a NumPy scalar is made in a way NumPy's are not")
        dtype = np.dtype(arguments[0].name).newbyteorder(arguments[0].order)
        if len(arguments[1]) != dtype.itemsize:
            raise self._foreign(f"a scalar of dtype {dtype} has {len(arguments[1])} bytes")
        if dtype == np.bool_ and arguments[1] not in (b"\0", b"\1"):
            raise self._foreign("a truth value other than 0 and 1")
        self._spend(_COST_OBJECT)
        return np.frombuffer(arguments[1], dtype)[0]

    def build(self):
        state = self._pop()
        target = self._top()
        if type(target) is _Shell:
            self._build_array(target, state)
        elif type(target) is Record:
            if (
                target.attributes is not None
                or type(state) is not dict
                or not all(type(k) is str for k in state)
            ):
                raise self._foreign(f"the attributes of {target.path} are not a dict of names, or come twice")
            target.attributes = state
        elif type(target) is _Dtype:
            if type(state) is not tuple or len(state) < 3 or self._text(state[1]) not in ("<", ">", "=", "|"):
                raise self._foreign("a NumPy type with a state that NumPy's have not")
            target.order = "<" if self._text(state[1]) in "=|" else self._text(state[1])
        else:
            raise self._foreign("a state for what has none")

    def _build_array(self, shell, state):
        if (
            shell.built
            or type(state) is not dict
            or not state.keys() <= {"handle", "writable"}
            or "handle" not in state
        ):
            raise self._foreign("the contents of an array are not one handle, or come twice")
        shell.built = True
        handle = state["handle"]
        if handle is None:
            return
        if type(handle) not in (bytes, memoryview):
            raise self._foreign("the contents of an array are not bytes")
        # the same bytes may be used many times
        self._array_bytes += len(handle)
        if self._array_bytes > len(self._data):
            raise self._foreign("the arrays have more bytes than the file")
        self._spend(2 * _COST_OBJECT)
        view = memoryview(handle)
        shell.value = self._make_array(view, f"byte {self._opcode_at}")
        self.layouts.add(LAYOUTS.get(int.from_bytes(view[:4], "little"), "no magic"))
        self._forget_parts(shell, state, handle)

    def _forget_parts(self, shell, state, handle):
        """Free the parts an array was made from, which only the memo still holds, and refund their cost."""
        budget, start, uses = shell.before
        memo = self._memo
        if len(memo) - start > _NEAR:
            return
        kept, parts = False, (state, handle, self._encoded)
        for i in range(start, len(memo)):
            entry = memo[i]
            first = entry[0] if type(entry) is tuple and entry else entry
            if entry is shell:
                memo[i] = shell.value
            elif any(one is part for one in (entry, first) for part in parts):
                memo[i] = _SPENT
            else:
                kept = True
        self._stack[-1] = shell.value
        # refund what was spent since, unless it went into something that is kept
        if not kept and self._uses == uses:
            self._budget = budget - _COST_ARRAY - 8 * (len(memo) - start) + _BUDGET_PER_ARRAY


_SHAREABLE = (dict, list, tuple, bytes, memoryview, Record, _Shell)
_TO_RESOLVE = {*_SHAREABLE, _Dtype, Global}


class _Resolver:
    """Replaces shells by arrays, and makes sure that the result is a tree of reasonable size.

    An object that the file refers to twice is one object in the result, too.
    """

    def __init__(self, size, budget, shared):
        self._budget = budget
        self._shared = shared
        self._done = {}
        self._open = set()
        self._limit = _MAX_STACK + size

    def value(self, root):
        return self._resolve(root, 0)[0]

    def _resolve(self, value, depth):
        """The value's replacement, and the number of values in it when written out as a tree."""
        kind = type(value)
        if kind is _Shell:
            if not value.built:
                raise ForeignStateFile("an array has no contents")
            return value.value, 1
        if kind is _Dtype:
            raise ForeignStateFile("a NumPy type takes the place of a value")
        if kind is Global:
            return Record(*value), 1
        if kind not in _TO_RESOLVE:
            return value, 1
        key = id(value)
        if depth > _MAX_DEPTH:
            raise ForeignStateFile(f"values are nested deeper than {_MAX_DEPTH} levels")
        if key not in self._shared:
            return self._container(value, kind, depth + 1)
        if key in self._done:
            return self._done[key][:2]
        if key in self._open:
            raise ForeignStateFile("a value contains itself")
        self._budget -= _COST_RESOLVED
        if self._budget < 0:
            raise ForeignStateFile("the file unfolds into far more than its own size")
        self._open.add(key)
        result, count = self._container(value, kind, depth + 1)
        self._open.discard(key)
        if count > self._limit:
            raise ForeignStateFile("the file unfolds into far more than its own size")
        # keep the original so that its id is not reused
        self._done[key] = result, count, value
        return result, count

    def _container(self, value, kind, depth):
        if kind in (bytes, memoryview):
            return _decode(bytes(value)), 1
        if kind is Record:
            attributes, count = self._resolve(self._without_parameters(value), depth)
            return Record(value.module, value.name, attributes), count + 1
        items, count = [], 1
        for item in value.values() if kind is dict else value:
            if type(item) in _TO_RESOLVE:
                item, inside = self._resolve(item, depth)
                count += inside
            else:
                count += 1
            items.append(item)
        if kind is dict:
            return dict(zip(value, items)), count
        return (items if kind is list else tuple(items)), count

    @staticmethod
    def _without_parameters(record):
        # before 1.3 the pickle of an optimizer included the whole network's parameters
        return {name: item for name, item in (record.attributes or {}).items() if name != "param_dict"}


def _decode(data):
    """A string that Python 2 wrote as bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


_CALLS = {
    **dict.fromkeys(_ARRAY_CLASSES, Interpreter._call_array),
    **dict.fromkeys(_BYTEARRAY | _BYTES, Interpreter._call_bytes),
    **dict.fromkeys(_ENCODE, Interpreter._call_encode),
    **dict.fromkeys(_RECONSTRUCTOR, Interpreter._call_reconstructor),
    **dict.fromkeys(_ORDERED_DICT, Interpreter._call_ordered_dict),
    **dict.fromkeys(_DTYPE, Interpreter._call_dtype),
    **dict.fromkeys(_SCALAR, Interpreter._call_scalar),
}

#: the instructions of state files; all others are refused
_OPCODES = {
    ord(code): execute
    for code, execute in {
        "\x80": Interpreter.proto,
        "\x95": Interpreter.frame,
        "(": Interpreter.mark,
        # values
        "N": lambda self: self._push(None),
        "\x88": lambda self: self._push(True),
        "\x89": lambda self: self._push(False),
        "I": Interpreter.int_line,
        "L": Interpreter.long_line,
        "F": Interpreter.float_line,
        "J": lambda self: self._push_number("<i"),
        "K": lambda self: self._push(self._number("<B")),
        "M": lambda self: self._push_number("<H"),
        "G": lambda self: self._push_number(">d"),
        "\x8a": lambda self: self._long(self._number("<B")),
        "\x8b": lambda self: self._long(self._number("<i")),
        "S": Interpreter.string_line,
        "V": Interpreter.unicode_line,
        "U": lambda self: self._push_bytes(self._number("<B")),
        "T": lambda self: self._push_bytes(self._number("<I")),
        "C": lambda self: self._push_bytes(self._number("<B")),
        "B": lambda self: self._push_bytes(self._number("<I")),
        "\x8e": lambda self: self._push_bytes(self._number("<Q")),
        "\x96": lambda self: self._push_bytes(self._number("<Q")),
        "\x8c": lambda self: self._push_text(self._number("<B")),
        "X": lambda self: self._push_text(self._number("<I")),
        "\x8d": lambda self: self._push_text(self._number("<Q")),
        # containers
        ")": lambda self: self._push(()),
        "\x85": lambda self: self._tuple_of(1),
        "\x86": lambda self: self._tuple_of(2),
        "\x87": lambda self: self._tuple_of(3),
        "t": Interpreter.make_tuple,
        "]": Interpreter.empty_list,
        "l": Interpreter.make_list,
        "a": Interpreter.append,
        "e": Interpreter.appends,
        "}": Interpreter.empty_dict,
        "d": Interpreter.make_dict,
        "s": Interpreter.setitem,
        "u": Interpreter.setitems,
        # the memo
        "p": Interpreter.put_line,
        "q": lambda self: self._put(self._number("<B")),
        "r": lambda self: self._put(self._number("<I")),
        "\x94": Interpreter.memoize,
        "g": Interpreter.get_line,
        "h": lambda self: self._get(self._number("<B")),
        "j": lambda self: self._get(self._number("<I")),
        # objects
        "c": Interpreter.global_lines,
        "\x93": Interpreter.stack_global,
        "\x81": Interpreter.newobj,
        "R": Interpreter.reduce,
        "b": Interpreter.build,
    }.items()
}


def _spell_opcode(opcode):
    return f"{chr(opcode)!r}" if 32 < opcode < 127 else f"0x{opcode:02x}"
