"""Recorded results: the cases and what MXNet made of them, in one small .npz for each optimizer and version.

A file has the member ``cases``, JSON text, and one flat array for each dtype. The JSON says for each case its
fields and where its results are: the trees of arrays in order, each as dtype and shape; the values follow one
another in the flat arrays.
"""

import dataclasses
import json
import pathlib

import numpy as np
from cases import Case

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "recorded"


def _tuples(value):
    """JSON's lists as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _case_from(fields):
    fields = {name: value if name == "settings" else _tuples(value) for name, value in fields.items()}
    if fields["scheduler"]:
        name, settings = fields["scheduler"]
        fields["scheduler"] = (
            name,
            {key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()},
        )
    return Case(**fields)


class _Writer:
    def __init__(self):
        self.values = {}

    def layout(self, tree):
        if tree is None:
            return None
        if isinstance(tree, tuple):
            return [self.layout(part) for part in tree]
        self.values.setdefault(tree.dtype.name, []).append(tree.ravel())
        return {"dtype": tree.dtype.name, "shape": tree.shape}


class _Reader:
    def __init__(self, values):
        self.values = values
        self.position = dict.fromkeys(values, 0)

    def tree(self, layout):
        if layout is None:
            return None
        if isinstance(layout, list):
            return tuple(self.tree(part) for part in layout)
        dtype, shape = layout["dtype"], tuple(layout["shape"])
        start = self.position[dtype]
        self.position[dtype] = stop = start + int(np.prod(shape))
        return self.values[dtype][start:stop].reshape(shape)


def write(path, results):
    """Write (case, snapshots) pairs to `path`; a snapshot is (step, weights, states)."""
    writer, entries = _Writer(), []
    for case, snapshots in results:
        layouts = [
            {
                "step": step,
                "weights": [writer.layout(weight) for weight in weights],
                "states": [[key, writer.layout(state)] for key, state in states.items()],
            }
            for step, weights, states in snapshots
        ]
        entries.append({"case": dataclasses.asdict(case), "snapshots": layouts})
    flat = {dtype: np.concatenate(arrays) for dtype, arrays in writer.values.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, cases=np.array(json.dumps(entries)), **flat)


def read(path):
    """Return the (case, snapshots) pairs of a file."""
    with np.load(path, allow_pickle=False) as file:
        entries = json.loads(str(file["cases"]))
        reader = _Reader({name: file[name] for name in file.files if name != "cases"})
    results = []
    for entry in entries:
        snapshots = []
        for layouts in entry["snapshots"]:
            weights = [reader.tree(layout) for layout in layouts["weights"]]
            states = {key: reader.tree(layout) for key, layout in layouts["states"]}
            snapshots.append((layouts["step"], weights, states))
        results.append((_case_from(entry["case"]), snapshots))
    return results
