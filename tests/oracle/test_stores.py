"""Stores beside MXNet's: every combination of storage types that a value can take on its way through one."""

import itertools

import mxnet
import numpy as np
import pytest

from oracle.comparison import dialects_here
from oracle.driver import mxopt_for, quiet

OURS = mxopt_for(dialects_here()[0]).package
SHAPE = (4, 2)
WEIGHT = np.arange(1, 9, dtype=np.float32).reshape(SHAPE)
SPARSE_WEIGHT = WEIGHT * [[1], [1], [0], [1]]
GRADIENTS = np.zeros((2, *SHAPE), np.float32)
GRADIENTS[0, [1, 3]] = [[1, 2], [3, 4]]
GRADIENTS[1, [0, 1]] = [[5, 6], [7, 8]]
STORAGE = ("default", "row_sparse")
CALLS = ("pull", "pull all", "row_sparse_pull", "pushpull", "pushpull back")


def grid():
    for store, kind, pushed, devices, updater in itertools.product(
        STORAGE, ("local", "device"), (None, *STORAGE), (1, 2), (None, "optimizer", "function")
    ):
        # with an optimizer MXNet needs a row-sparse weight that stores every row, or refuses it
        for out, call in itertools.product(STORAGE, CALLS):
            if pushed is None and call.startswith("pushpull"):
                continue
            if call == "pushpull back" and out == "row_sparse":
                continue
            yield store, kind, pushed, devices, updater, out, call


GRID = list(grid())


def run(package, store, kind, pushed, devices, updater, out, call):
    """What the outs hold. MXNet's engine is waited for after each call, as its row-sparse arrays race."""
    nd = package.nd

    def array(values, storage):
        made = nd.array(values).tostype(storage)
        nd.waitall()
        return made

    def given():
        arrays = [array(values, pushed) for values in GRADIENTS[:devices]]
        return arrays if devices > 1 else arrays[0]

    kv = package.kv.create(kind)
    # an optimizer of MXNet's takes row-sparse weights that store every row, and no others
    kv.init("w", array(WEIGHT if updater == "optimizer" else SPARSE_WEIGHT.astype(np.float32), store))
    nd.waitall()
    if updater == "optimizer":
        kv.set_optimizer(package.optimizer.create("sgd", learning_rate=1.0, wd=0.0))
    if updater == "function":

        def double(_key, gradient, stored):
            stored += 2 * gradient

        kv._set_updater(double)
    if pushed is not None:
        kv.push("w", given())
        nd.waitall()
    outs = [array(np.full(SHAPE, 9, np.float32), out) for _ in range(devices)]
    target = outs if devices > 1 else outs[0]
    if call.startswith("pull"):
        kv.pull("w", out=target, ignore_sparse=call == "pull")
    elif call == "row_sparse_pull":
        kv.row_sparse_pull("w", out=target, row_ids=nd.array([3, 1, 1]))
    elif call == "pushpull":
        kv.pushpull("w", given(), out=target)
    else:
        outs = given()
        kv.pushpull("w", outs)
        outs = outs if devices > 1 else [outs]
    nd.waitall()
    return [
        (x.stype, x.indices.asnumpy().tolist() if x.stype == "row_sparse" else None, x.asnumpy().tolist())
        for x in outs
    ]


def attempt(package, case):
    with quiet():
        try:
            return run(package, *case)
        except Exception as error:  # whatever the messages say
            return error


@pytest.mark.parametrize("store", STORAGE)
@pytest.mark.parametrize("pushed", [None, *STORAGE])
@pytest.mark.parametrize("updater", [None, "optimizer", "function"])
def test_storage_types(store, pushed, updater):
    cases = [case for case in GRID if (case[0], case[2], case[4]) == (store, pushed, updater)]
    assert len(cases) >= 24
    for case in cases:
        theirs, ours = attempt(mxnet, case), attempt(OURS, case)
        if isinstance(theirs, Exception):
            assert isinstance(ours, Exception), (case, theirs, ours)
        else:
            assert ours == theirs, case


def row_ids(package, nested):
    nd = package.nd
    kv = package.kv.create()
    kv.init(["a", "b"], [nd.array(WEIGHT).tostype("row_sparse"), nd.array(WEIGHT * 2).tostype("row_sparse")])
    outs = [nd.sparse.zeros("row_sparse", SHAPE) for _ in range(4)]
    ids = [nd.array(rows) for rows in ([0, 3], [[2, 1], [1, 1]], [3], [0, 1, 2])]
    if nested == "lists of lists":
        kv.row_sparse_pull(["a", "b"], out=[outs[:2], outs[2:]], row_ids=[ids[:2], ids[2:]])
    elif nested == "a list":
        kv.row_sparse_pull("a", out=outs, row_ids=ids)
    elif nested == "one for all":
        kv.row_sparse_pull("b", out=outs, row_ids=ids[1])
    elif nested == "one a key":
        kv.row_sparse_pull(["b", "a"], out=outs[:2], row_ids=[nd.array([1], dtype="int64"), ids[3]])
    else:
        kv.push("a", nd.sparse.row_sparse_array(([[1, 1]], [1]), shape=SHAPE))
        kv.row_sparse_pull("a", out=outs[0], row_ids=nd.array([1, 2]))
    return [(x.indices.asnumpy().tolist(), x.asnumpy().tolist()) for x in outs]


@pytest.mark.parametrize(
    "nested", ["lists of lists", "a list", "one for all", "one a key", "a row that is not stored"]
)
def test_rows_for_nested_outs(nested):
    assert row_ids(OURS, nested) == row_ids(mxnet, nested)


def test_a_push_without_updater_and_pushpull_replace_the_value():
    found = []
    for package in (mxnet, OURS):
        nd, kv, out, later = package.nd, package.kv.create(), package.nd.zeros(2), package.nd.zeros(2)
        kv.init(3, nd.ones(2))
        kv.pushpull(3, [nd.ones(2) * 3, nd.ones(2)], out=out)
        kv.pull(3, out=later)
        found.append((out.asnumpy().tolist(), later.asnumpy().tolist()))
    assert found[0] == found[1] == ([4, 4], [4, 4])
