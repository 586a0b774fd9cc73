"""The files that real MXNet wrote, and what the live Updater held (`fixtures/mxnet-states/manifest.json`)."""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "fixtures" / "mxnet-states"
MANIFEST = {row["name"]: row for row in json.loads((FOLDER / "manifest.json").read_text())}
NAMES = sorted(MANIFEST)


def data(name):
    """The bytes of a file."""
    return (FOLDER / MANIFEST[name]["file"]).read_bytes()


class Expected:
    """What a file holds, in plain objects: arrays, `Sparse`, `Object`, and plain values."""

    def __init__(self, name):
        self._row = MANIFEST[name]
        self._arrays = np.load(FOLDER / self._row["arrays"])

    @property
    def states(self):
        return {_key(key): self._node(node) for key, node in self._row["states"]}

    @property
    def optimizer(self):
        return self._node(self._row["optimizer"]) if self._row.get("optimizer") else None

    def _node(self, node):
        ((kind, body),) = [(kind, node[kind]) for kind in node if kind in self._KINDS]
        return self._KINDS[kind](self, body, node)

    def _array(self, body, node):
        if node["stype"] == "default":
            return self._arrays[body]
        return Sparse(self._arrays[f"{body}#data"], self._arrays[f"{body}#indices"], tuple(node["shape"]))

    _KINDS = {
        "array": _array,
        "value": lambda self, body, node: body,
        "float": lambda self, body, node: float(body),
        "tuple": lambda self, body, node: tuple(map(self._node, body)),
        "list": lambda self, body, node: list(map(self._node, body)),
        "dict": lambda self, body, node: {_key(key): self._node(item) for key, item in body},
        "object": lambda self, body, node: Object(body, {k: self._node(v) for k, v in node["attrs"].items()}),
    }


def _key(text):
    kind, _, value = text.partition(":")
    return int(value) if kind == "int" else value


class Sparse:
    def __init__(self, data, indices, shape):
        self.data, self.indices, self.shape = data, indices, shape


class Object:
    def __init__(self, path, attributes):
        self.path, self.attributes = path, attributes


def assert_same(got, expected, where="states"):
    """Equal in every bit, dtype, shape, container type and order of keys."""
    if isinstance(expected, np.ndarray):
        assert type(got) is np.ndarray, where
        assert (got.dtype, got.shape, got.tobytes()) == (
            expected.dtype,
            expected.shape,
            expected.tobytes(),
        ), where
        assert got.flags.writeable and got.flags.aligned and got.flags.c_contiguous, where
    elif hasattr(expected, "indices"):
        assert tuple(got.shape) == tuple(expected.shape), where
        assert_same(got.data, expected.data, f"{where}.data")
        assert_same(got.indices, expected.indices, f"{where}.indices")
    elif hasattr(expected, "attributes"):
        assert got.path == expected.path, where
        assert_same(got.attributes, expected.attributes, where)
    elif isinstance(expected, dict):
        assert type(got) is dict, where
        assert list(got) == list(expected), where
        for key in expected:
            assert_same(got[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, (tuple, list)):
        assert type(got) is type(expected), where
        assert len(got) == len(expected), where
        for i, pair in enumerate(zip(got, expected)):
            assert_same(*pair, f"{where}[{i}]")
    else:
        assert type(got) is type(expected), where
        assert got == expected or got != got and expected != expected, where
