"""The contents of a state file of any kind, read from its headers alone: no array is touched."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field

from mxopt.states import kind_of, mxnet, native
from mxopt.states.files import FileSource
from mxopt.states.mxnet_arrays import Layout


@dataclass(frozen=True)
class Array:
    """An array in a file.

    Attributes
    ----------
    name : str
    dtype : str
    shape : tuple of int
    nbytes : int
        Its size in the file, without headers.
    stype : {'default', 'row_sparse', 'csr'}
    stored : int
        How many rows (of a CSR array: elements) are stored.
    """

    name: str
    dtype: str
    shape: tuple
    nbytes: int
    stype: str = "default"
    stored: int | None = None


@dataclass
class Outline:
    """A file's contents, with an `Array` in place of each array.

    Attributes
    ----------
    kind : {'mxopt', 'mxnet', 'safetensors'}
    version : str
        The format version: our number, or the pickle's protocol and the layouts of MXNet's arrays.
    size : int
    arrays : list of Array
    document : dict or None
        What our own format says besides the arrays.
    record : Record or None
        The optimizer in a file of MXNet.
    states : dict
        By index; empty for safetensors files that are not ours.
    """

    kind: str
    version: str
    size: int
    arrays: list = field(default_factory=list)
    document: dict | None = None
    record: object = None
    states: dict = field(default_factory=dict)


def summary(file):
    """Read the headers of an open file (unbuffered, binary).

    Raises
    ------
    StateFileError
        If they are damaged, or not those of a state file.
    """
    source = FileSource(file)
    if kind_of(source) == "pickle":
        return _of_mxnet(file, source.size)
    header = native.read_header(source)
    if not header.ours:
        arrays = [_of_tensor(tensor) for tensor in header.tensors.values()]
        return Outline("safetensors", "", source.size, arrays)
    tree = native.tree_of(header, _of_tensor)
    arrays = list(_walk(tree))
    return Outline(
        "mxopt", header.metadata["version"], source.size, arrays, tree, states=tree.get("states", {})
    )


def _of_tensor(tensor, shape=None):
    """The `Array` of a header's entry; for a row-sparse array, of its rows' entry and the whole shape."""
    if shape is None:
        return Array(tensor.name, tensor.dtype, tensor.shape, tensor.nbytes)
    nbytes = tensor.nbytes + 8 * tensor.shape[0]
    return Array(tensor.name, tensor.dtype, shape, nbytes, "row_sparse", tensor.shape[0])


def _of_mxnet(file, size):
    # Mapped, so that the elements are never read from the disk. Not closed here: the traceback of a damaged
    # file holds parts of it.
    data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    content = mxnet.read(data, headers_only=True)
    states = {key: _named(state, f"{key}") for key, state in content.states.items()}
    version = f"protocol {content.protocol}, arrays {', '.join(sorted(content.layouts)) or 'none'}"
    return Outline("mxnet", version, size, list(_walk(states)), None, content.optimizer, states)


def _named(state, name):
    if isinstance(state, Layout):
        if state.shape is None:
            return None
        nbytes = state.end - state.values
        stored = None if state.stype == "default" else state.stored[0]
        return Array(f"states/{name}", state.dtype, state.shape, nbytes, state.stype, stored)
    if isinstance(state, (tuple, list)):
        return type(state)(_named(part, f"{name}/{i}") for i, part in enumerate(state))
    if isinstance(state, dict):
        return {key: _named(part, f"{name}/{key}") for key, part in state.items()}
    return state


def _walk(tree):
    if isinstance(tree, Array):
        yield tree
    elif isinstance(tree, (dict, list, tuple)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _walk(part)
