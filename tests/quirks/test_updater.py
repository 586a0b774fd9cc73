"""MXNet's habits in the Updater: which are kept, which are not."""

import re
from pathlib import Path

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1 as v1

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("package", "aggregate_num"), [(mx, 4), (v1, None)], ids=["2.x", "1.x"])
def test_lists_go_as_the_loaded_optimizer_takes_them(package, aggregate_num):
    """MXNet's updater goes on as before, and hands lists to an optimizer that takes single tensors."""
    handed = []

    class Single(package.Optimizer):
        def update(self, index, weight, grad, state):
            handed.append(index)
            weight -= grad

    package.register(Single)
    try:
        settings = {} if aggregate_num is None else {"aggregate_num": aggregate_num}
        updater = package.get_updater(package.create("sgd", **settings))
        assert updater.aggregate_updates
        updater.set_states(package.get_updater(Single()).get_states(dump_optimizer=True))
        assert isinstance(updater.optimizer, Single)
        assert not updater.aggregate_updates
        weights = [np.ones(2, np.float32) for _ in range(3)]
        updater([0, 1, 2], [w.copy() for w in weights], weights)
        assert handed == [0, 1, 2]
        assert not np.any(weights)
    finally:
        package.Optimizer.opt_registry.pop("single")


def test_every_difference_names_its_tests():
    """The table of docs/differences.rst: each row ends with tests that exist."""
    text = (TESTS.parent / "docs" / "differences.rst").read_text(encoding="utf-8")
    table = text[text.index(".. list-table::") : text.index("The two dialects")]
    rows = re.split(r"\n   \* - ", table)[2:]
    sources = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)", sources))
    assert len(rows) > 40
    for row in rows:
        cells = re.split(r"\n     - ", row)
        named = re.findall(r"``(test_\w+)``", cells[-1])
        assert len(cells) == 4 and named, row
        assert set(named) <= defined, row


@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
@pytest.mark.parametrize("momentum", [0.0, 0.9], ids=["plain", "momentum"])
@pytest.mark.parametrize("name", ["sgd", "lars"])
def test_masters_update_lazily_too(package, momentum, name):
    """2.0 refuses this, and 1.9 makes the gradient dense without a word."""
    settings = {"momentum": momentum, "wd": 0.5, **({"eta": 0.5} if name == "lars" else {})}
    updater = package.get_updater(package.create(name, lazy_update=True, multi_precision=True, **settings))
    weight = np.linspace(1, 2, 10).astype(np.float16).reshape(5, 2)
    start = weight.copy()
    for _ in range(2):
        updater(0, mx.RowSparseArray(np.ones((2, 2), np.float16), [1, 4], (5, 2)), weight)
    master = updater.states[0][updater.optimizer.master_position]
    for array in (weight, master):
        assert (array[[0, 2, 3]] == start[[0, 2, 3]]).all()
        assert (array[[1, 4]] < start[[1, 4]]).all()
