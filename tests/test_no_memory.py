"""Want of memory at each allocation of a call: an error, and everything as before, or a whole step.

On CPython 3.11 alone, which survives it: 3.13 itself ends where it makes a function without memory for one.
"""

import json
import sys

import numpy as np
import pytest
from processes import printed

import mxopt as mx

SHAPE = (40, 3)
#: So many calls in a row that no missing allocation stops end a walk.
ENOUGH = 8


def gradient(rows=False):
    grad = np.full(SHAPE, 0.25, np.float32)
    return mx.RowSparseArray(grad[:2], [1, 7], SHAPE) if rows else grad


def stepping(name, count=1, dtype="float32", rows=False, steps=1, options=(), **settings):
    """An updater that has made some steps, the weights, and the next step."""
    updater = mx.get_updater(mx.create(name, **settings), **dict(options))
    weights = [np.ones(SHAPE, dtype) for _ in range(count)]
    grads = [gradient() if dtype == "float32" and not rows else gradient(rows) for _ in weights]
    grads = [g if rows else g.astype(dtype) for g in grads]
    key = list(range(count))
    for _ in range(steps):
        updater(key, grads, weights)
    return updater, weights, lambda: updater(key, grads, weights)


def loading():
    source, _, _ = stepping("adam", count=5)
    states = source.get_states(dump_optimizer=True)
    updater = mx.get_updater(mx.create("adam"))
    return updater, [], lambda: updater.set_states(states)


def saving():
    updater, weights, _ = stepping("adam", count=5)
    return updater, weights, lambda: updater.get_states(dump_optimizer=True)


def pushing():
    store = mx.kv.create("local")
    store.set_optimizer(mx.create("sgd", momentum=0.9))
    weight = mx.nd.array(np.ones(SHAPE))
    store.init("w", weight)

    def push():
        store.push("w", mx.nd.array(gradient()))
        store.pull("w", weight)

    push()
    return store._updater, [], lambda: store.push("w", mx.nd.array(gradient()))


CASES = {
    "one": lambda: stepping("sgd", momentum=0.9),
    "the first": lambda: stepping("adam", steps=0),
    "list": lambda: stepping("adam", count=40),
    "rows": lambda: stepping("adam", rows=True, lazy_update=True),
    "exact rows": lambda: stepping("adam", rows=True, lazy_update="exact"),
    "all rows": lambda: stepping("sgd", rows=True, momentum=0.9),
    "masters": lambda: stepping("adam", dtype="float16", multi_precision=True),
    "step in NumPy": lambda: stepping("adam", use_fused_step=False),
    "norms": lambda: stepping("lamb", count=3),
    "matrices": lambda: stepping("adafactor", count=2),
    "schedule": lambda: stepping("sgd", lr_scheduler=mx.lr_scheduler.FactorScheduler(1, 0.5)),
    "all that joins": lambda: stepping(
        "adam",
        options={
            "ema": 0.9,
            "loss_scale": "dynamic",
            "report": True,
            "clip_global_norm": 1.0,
            "accumulate": 1,
        },
    ),
    "loading": loading,
    "saving": saving,
    "pushing": pushing,
}


def seen(updater, weights):
    """Everything that a step changes."""
    updater.flush()
    return [w.tobytes().hex() for w in weights], updater.get_states(dump_optimizer=True).hex()


def walk(name):
    """Let each allocation of a call fail, one after the other; how many there were."""
    import _testcapi

    updater, weights, call = CASES[name]()
    before = seen(updater, weights)
    call()  # and what is imported at first use
    after = seen(updater, weights)
    start = whole = 0
    while whole < ENOUGH:
        updater, weights, call = CASES[name]()
        failed = True
        _testcapi.set_nomemory(start, start + 1)
        try:
            call()
            failed = False
        except MemoryError:
            pass
        except (SystemError, TypeError):  # what Python and NumPy make of it here and there
            pass
        finally:
            _testcapi.remove_mem_hooks()
        found = seen(updater, weights)
        assert found in (before, after), f"{name}, allocation {start}: half done"
        assert failed or found == after, f"{name}, allocation {start}: nothing done, and nothing said"
        whole = 0 if failed else whole + 1
        start += 1
    return start - ENOUGH


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="this Python itself may end for want of memory")
@pytest.mark.parametrize("name", CASES)
def test_all_or_nothing(name):
    pytest.importorskip("_testcapi", reason="this Python is built without its test modules")
    code = (
        "import sys, json; sys.path[:0] = json.loads(sys.argv[1]); import test_no_memory as t; "
        "print(t.walk(sys.argv[2]))"
    )
    found = int(printed("-W", "ignore", "-c", code, json.dumps(sys.path), name).splitlines()[-1])
    assert found > 5
