"""State files of sharded states: the ordinary file, byte for byte; every rank writes and reads its part.

While a file is written or read, outlines take the place of whole arrays (`mxopt.states.spread`), so that
exactly what one process writes and checks is written and checked. Elements go directly between the file and
the ranks' parts; no rank ever holds a whole state, except for MXNet's formats, which are pickles.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os

import numpy as np

from .. import kernels
from ..optimizer.updater import Updater
from ..saving import document, loading, writing
from ..sparse import RowSparseArray
from ..states import files, native, spread
from ..states.dtypes import numpy_dtype
from ..states.spread import Spread


class Outlined(files.FileSource):
    """A state file read as outlines: elements stay in the file until a part of them is needed."""

    def __init__(self, file, ranks):
        super().__init__(file)
        self._ranks = ranks

    @property
    def whole(self):
        """The same file, to read with all elements."""
        return files.FileSource(self._file)

    def outlined(self, tensor):
        """The stand-in for an array of the file."""
        dtype = numpy_dtype(tensor.dtype)

        def read(begin, end):
            found = np.empty(end - begin, dtype)
            self.read_into(tensor.offset + begin * dtype.itemsize, found.view(np.uint8))
            return found

        return Spread.made(tensor.shape, dtype, read=read)

    def verify(self, arrays):
        """Check this rank's share of the blocks against their checksums."""
        with together(self._ranks, "the check of a state file"):
            native.verify_blocks(self, arrays, self._ranks.rank, self._ranks.size)


def save(updater, path, dump_optimizer=False, format="mxopt", keep_previous=False):
    """Write the states of a sharded updater; see `mxopt.saving.writing.save_states`."""
    ranks = updater.ranks
    ranks.agree("save_states", {"path": os.fspath(path), "dump_optimizer": dump_optimizer, "format": format})
    if format != "mxopt" or updater._row_sparse:
        with together(ranks, "save_states"), whole(updater) as alone:
            if ranks.rank == 0:
                writing.save_states(alone, path, dump_optimizer, format, keep_previous)
        return
    with contextlib.ExitStack() as stack:
        with together(ranks, "the header of save_states"):
            elements, length, header = _framed(updater, dump_optimizer)
        temporary = descriptor = None
        with together(ranks, "the new file of save_states"):
            if ranks.rank == 0:
                descriptor, temporary = stack.enter_context(files.replacing(path, keep_previous))
        temporary = ranks.broadcast(temporary)
        with together(ranks, "the parts of save_states"):
            if ranks.rank:
                descriptor = os.open(temporary, os.O_WRONLY)
                stack.callback(os.close, descriptor)
            written = spread.write(descriptor, elements, length, ranks.rank, ranks.size)
            if ranks.rank:
                os.fsync(descriptor)
        everything = [
            one for came in ranks.gather_bytes(json.dumps(written).encode()) for one in json.loads(came)
        ]
        with together(ranks, "the end of save_states"):
            if ranks.rank == 0:
                sums = spread.checksums(map(tuple, everything), elements)
                os.pwrite(descriptor, header(sums), 0)
                stack.close()  # renames the file into place


def load(updater, path, **options):
    """Load the states of a sharded updater from a file; see `mxopt.saving.loading.load_states`."""
    ranks = updater.ranks
    ranks.agree("load_states", {"path": os.fspath(path), **options})
    file = None
    try:
        with together(ranks, "the end of load_states"):
            file = files.open_for_reading(path)
            return _taken(updater, Outlined(file, ranks), options)
    finally:
        if file is not None:
            updater.keep_open(file)


def get(updater, dump_optimizer=False, format="mxopt"):
    """The states as bytes, on every rank; see `mxopt.saving.writing.get_states`."""
    updater.ranks.agree("get_states", {"dump_optimizer": dump_optimizer, "format": format})
    with together(updater.ranks, "the end of get_states"), whole(updater) as alone:
        return writing.get_states(alone, dump_optimizer, format)


def set_from(updater, states, **options):
    """Load the states from bytes that every rank has; see `mxopt.saving.loading.set_states`."""
    updater.ranks.agree("set_states", options)
    with together(updater.ranks, "the end of set_states"):
        if not isinstance(states, (bytes, bytearray, memoryview)):
            raise TypeError(f"states must be bytes, got {type(states).__name__}; load_states reads files")
        return _taken(updater, files.BufferSource(states), options)


def _taken(updater, source, options):
    with _in_place_of(updater, updater.outline) as alone:
        report = loading.load_from(alone, source, **options)
        if alone._undecided:
            raise ValueError(
                "the file does not say which array of a state is the float32 master, and weights of which "
                "each rank has a part cannot tell; pass format='mxnet-1.x' or 'mxnet-2.x', whichever wrote it"
            )
    updater.take(alone)
    return report


@contextlib.contextmanager
def together(ranks, what):
    """Let all ranks continue after a ``with`` block, or make all raise if one of them has raised."""
    try:
        yield
    except Exception as error:
        ranks.agree(what, error=error)
    ranks.agree(what)


def _own_progress(optimizer):
    """How far an optimizer has come, by the attributes that it keeps itself."""
    return {name: getattr(optimizer, name) for name in optimizer.progress if name in vars(optimizer)}


@contextlib.contextmanager
def _in_place_of(updater, convert):
    """A one-process updater with the states of a sharded one, each array as ``convert(index, array)``."""
    optimizer = updater.optimizer
    alone = Updater(optimizer)
    alone.states = {index: mapped(state, index, convert) for index, state in updater.states.items()}
    alone.states_synced = dict.fromkeys(alone.states, True)
    alone._row_sparse = updater._row_sparse
    if updater._averages is not None:
        alone._averages = copy.copy(updater._averages)
        for part in ("arrays", "marks"):
            kept = getattr(updater._averages, part)
            setattr(
                alone._averages, part, {index: mapped(one, index, convert) for index, one in kept.items()}
            )
    if updater._scaler is not None:
        alone._stepping = copy.copy(updater._scaler)
    before = _own_progress(optimizer)
    for name, value in before.items():
        if isinstance(value, dict):
            setattr(optimizer, name, {index: mapped(one, index, convert) for index, one in value.items()})
    try:
        yield alone
    except BaseException:
        for name, value in before.items():
            setattr(optimizer, name, value)
        raise


def mapped(value, index, convert):
    """A state, or what an optimizer keeps for a tensor, with its arrays converted."""
    if isinstance(value, np.ndarray):
        return convert(index, value)
    if isinstance(value, kernels.Split):
        weight = None if value.weight is None else convert(index, np.asarray(value.weight))
        return kernels.Split(convert(index, value.low), weight)
    if isinstance(value, RowSparseArray):
        raise ValueError(
            f"rows are gathered for index {index!r} and their sum is not stepped yet; save after the step "
            "that takes them"
        )
    if isinstance(value, (tuple, list)):
        return type(value)([mapped(part, index, convert) for part in value])
    if isinstance(value, dict):
        return {key: mapped(part, index, convert) for key, part in value.items()}
    return value


@contextlib.contextmanager
def _restored(updater, convert):
    """As `_in_place_of`, but restores the optimizer after the block."""
    optimizer = updater.optimizer
    before = _own_progress(optimizer)
    try:
        with _in_place_of(updater, convert) as alone:
            yield alone
    finally:
        for name, value in before.items():
            setattr(optimizer, name, value)


def whole(updater):
    """A one-process updater with all elements of all states, on every rank."""
    ranks = updater.ranks

    def join(index, array):
        outline = updater.outline(index, array)
        if outline.part is None:
            return outline.elements(0, outline.size).reshape(outline.shape)
        joined = b"".join(ranks.gather_bytes(outline.part))
        return np.frombuffer(bytearray(joined), outline.dtype).reshape(outline.shape)

    return _restored(updater, join)


def _framed(updater, dump_optimizer):
    with _restored(updater, updater.outline) as alone:
        return native.frame(document.describe(alone, dump_optimizer), document.array_names(alone))
