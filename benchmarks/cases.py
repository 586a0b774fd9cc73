"""The cases, each a function that yields rows for the tables. The bars are the project's own goals."""

import ctypes
import gc
import itertools
import os
import time

import numpy as np

import mxopt
from mxopt import kernels, v1

from . import peers
from .limit import stream
from .timing import Times, race

RNG = np.random.default_rng(0)
FULL = 30_000_000

RESNET_50 = [(64, 3, 7, 7), (64,), (64,)] + [
    shape
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)])
    for block in range(blocks)
    for conv in (
        [(width, (64 if stage == 0 else 2 * width) if block == 0 else 4 * width, 1, 1), (width, width, 3, 3)]
        + [(4 * width, width, 1, 1)]
        + ([(4 * width, 64 if stage == 0 else 2 * width, 1, 1)] if block == 0 else [])
    )
    for shape in (conv, conv[:1], conv[:1])
]
RESNET_50 += [(1000, 2048), (1000,)]
BERT_BASE = [(30522, 768), (512, 768), (2, 768), (768,), (768,)]
BERT_BASE += 12 * (
    4 * [(768, 768), (768,)] + 2 * [(768,)] + [(3072, 768), (3072,), (768, 3072), (768,)] + 2 * [(768,)]
)
BERT_BASE += [(768, 768), (768,)]
assert (len(RESNET_50), len(BERT_BASE)) == (161, 199)


class Row:
    """One line of the report: the times of a case, and the bars it has to reach.

    Parameters
    ----------
    case : str
    times : dict of str to Times
        mxopt's under ``'mxopt'``.
    bars : dict of str to float
        ``'limit'``: at least this share of the limit's speed; a contestant: at least this many times as fast;
        ``'ms'``: at most this many milliseconds.
    """

    def __init__(self, group, case, times, bars=None, absent=None, elements=None, note=""):
        self.group, self.case, self.times, self.bars = group, case, times, bars or {}
        self.absent, self.elements, self.note = absent or {}, elements, note

    def reached(self, what):
        """The figures reached, for each of the bars."""
        own = self.times["mxopt"]
        if what == "ms":
            return own.median * 1e3
        return self.times[what].ratio_to(own) if what in self.times else None


def drawn(shapes, dtype=np.float32):
    return [peers.sized(RNG, shape, dtype) for shape in shapes]


def arrays_of(state):
    if isinstance(state, (tuple, list)):
        return [array for part in state for array in arrays_of(part)]
    return [] if state is None else [state]


def limit_of(step, weights, grads):
    """The memory streams of all passes of an optimizer's step, on its own weights, gradients and states."""
    updater = step.updater
    states = [arrays_of(updater.states[i]) for i in range(len(weights))]
    runs = []
    for name in updater.optimizer.passes:
        rule = kernels.RULES[name]
        columns = [weights, grads, *map(list, zip(*states))]
        # Not counted: states with one number per row.
        whole = [(c, role) for c, role in zip(columns, rule.streams) if c[0].size == weights[0].size]
        written = [c for c, role in whole if role == "written"]
        read = [c for c, role in whole if role == "read"]
        runs.append(stream(written, read))
    runs = runs or [stream([weights], [grads])]  # Adafactor: whatever else it reads, it cannot do with less

    def run():
        for one in runs:
            one()

    return run


def contestants(name, weights, grads, names=None, limit=True, **options):
    """mxopt, the limit and the peers that can take part, and why the others cannot."""
    step = peers.ours(name, weights, grads, **options)
    found, absent = {"mxopt": step}, {}
    if limit:
        found["limit"] = limit_of(step, weights, grads)
    for peer, make in peers.DENSE.items():
        if names is not None and peer not in names:
            continue
        try:
            found[peer] = make(name, weights, grads)
            found[peer]()
        except peers.Absent as error:
            absent[peer] = str(error)
        except Exception as error:
            found.pop(peer, None)
            absent[peer] = f"{type(error).__name__}: {str(error).splitlines()[0][:90] if str(error) else ''}"
    return found, absent


def dense(seconds):
    """Single tensors of all sizes, the four optimizers that peers fuse."""
    full = {"limit": 0.95, "torch fused": 1.0, "DeepSpeedCPUAdam": 1.0}
    small = {1_000_000: 1.3, 100_000: 2.5, 1000: 8.0}
    bars = {FULL: full, **{size: {"torch fused": times} for size, times in small.items()}}
    quick = ("torch fused", "torch foreach", "DeepSpeedCPUAdam", "optax", "MXNet")
    for name in ("adam", "adamw", "sgd", "adagrad"):
        for size in (1000, 10_000, 100_000, 1_000_000, 10_000_000, FULL):
            if name != "adam" and size in (10_000, 10_000_000):
                continue
            weights, grads = drawn([size]), drawn([size])
            found, absent = contestants(name, weights, grads, None if size == 1_000_000 else quick)
            times = race(found, seconds, (9 if size == FULL else 5, 200))
            yield Row("dense", f"{name} {size:,}", times, bars.get(size), absent, size)
            del weights, grads, found
            gc.collect()


def linear(seconds):
    """Time against size from 10^2 to 10^8."""
    for size in (
        first * 10**power for power in range(2, 9) for first in (1, 3) if first * 10**power <= 10**8
    ):
        weights, grads = drawn([size]), drawn([size])
        step = peers.ours("adam", weights, grads)
        found = {"mxopt": step, "limit": limit_of(step, weights, grads)}
        yield Row("size", f"adam {size:,}", race(found, seconds / 2), None, None, size)
        del weights, grads, step, found
        gc.collect()


def family(seconds):
    """Every optimizer at 30M against the limit for its bytes; of 1.x, those with rules of their own."""
    ours = {name: mxopt.create(name).rules for name in sorted(mxopt.optimizer.opt_registry)}
    cases = [(f"{name} 30M", name, mxopt) for name in ours]
    cases += [(f"{name} 1.x 30M", name, v1) for name in ours
              if name in v1.optimizer.opt_registry and v1.create(name).rules != ours[name]]  # fmt: skip
    for case, name, package in cases:
        shape = (FULL // 1000, 1000) if name in ("groupadagrad", "adafactor") else (FULL,)
        weights, grads = drawn([shape]), drawn([shape])
        step = peers.ours(name, weights, grads, package=package)
        found = {"mxopt": step, "limit": limit_of(step, weights, grads)}
        if name == "sgld":
            yield without_noise(step, found["limit"], seconds)
        note = "draws its noise with NumPy's generator" if name == "sgld" else ""
        yield Row("family", case, race(found, seconds, (7, 30)), {"limit": 0.85}, None, FULL, note)
        del weights, grads, step, found
        gc.collect()


def without_noise(step, limit, seconds):
    """SGLD's update by itself."""
    optimizer = step.updater.optimizer
    optimizer._draw = lambda block: None
    times = race({"mxopt": step, "limit": limit}, seconds, (7, 30))
    del optimizer._draw
    return Row("family", "sgld 30M without noise", times, {"limit": 0.85}, None, FULL)


def composed(seconds, size=4_000_000):
    """Optimizers that MXNet composes of array operations and torch has not fused, at 4M elements."""
    bars = {
        "MXNet": ("adadelta", "adamax", "nadam", "adagrad", "sgld"),
        "torch foreach": ("rmsprop", "nadam", "adadelta", "adamax"),
    }
    for name in ("rmsprop", "nadam", "adadelta", "adamax", "adagrad", "sgld"):
        weights, grads = drawn([size]), drawn([size])
        found, absent = contestants(name, weights, grads, tuple(bars))
        if name == "sgld":  # without noise: the generator would take most of either's time
            found["mxopt"].updater.optimizer._draw = lambda block: None
            found.pop("MXNet", None)
            try:
                found["MXNet"] = peers.mxnet_drift(weights[0], grads[0])
            except peers.Absent as error:
                absent["MXNet"] = str(error)
        bar = {peer: {"MXNet": 10.0, "torch foreach": 3.0}[peer] for peer in bars if name in bars[peer]}
        if (peers.versions()["mxnet"] or "").startswith("2"):
            bar.pop("MXNet", None)  # it is held against 1.9.1
        note = "without noise" if name == "sgld" else ""
        yield Row("composed", f"{name} 4M", race(found, seconds, (7, 60)), bar, absent, size, note)
        del weights, grads, found
        gc.collect()


def later(seconds):
    """The optimizers published since, beside the implementations that their numbers are taken from."""
    names = [name for name in sorted(mxopt.optimizer.opt_registry)
             if mxopt.optimizer.opt_registry[name].family == "later" and name != "muon"]  # fmt: skip
    for name in names:
        for case, shapes, bar in (("4M", [(2000, 2000)], 3.0), ("500 x 1024", 500 * [(1024,)], 10.0)):
            weights, grads = drawn(shapes), drawn(shapes)
            found, absent = contestants(name, weights, grads, (), limit=len(shapes) == 1)
            try:
                found["original"] = peers.original(name, weights, grads)
            except peers.Absent as error:
                absent["original"] = str(error)
            times = race(found, seconds, (9, 200))
            yield Row("later", f"{name} {case}", times, {"original": bar}, absent)
            del weights, grads, found
            gc.collect()
    for shape in ((1024, 1024), (512, 2048), (256, 256)):
        weights, grads = drawn([shape]), drawn([shape])
        steps = mxopt.create("muon").ns_steps
        found = {"mxopt": peers.ours("muon", weights, grads), "products": peers.products(steps, shape)}
        times = race(found, seconds, (9, 200))
        yield Row("later", f"muon {shape[0]} x {shape[1]}", times, {"products": 0.8})


def lists(seconds):
    """Many tensors in one call."""
    cases = (
        ("ResNet-50, 161 tensors", RESNET_50, {"limit": 0.93}, ("torch fused", "torch foreach", "MXNet"), 1),
        ("BERT-base, 199 tensors", BERT_BASE, {"limit": 0.93}, ("torch fused", "MXNet"), 2),
        ("500 x 1024", 500 * [(1024,)], {"ms": 0.35, "torch fused": 8.0},
         ("torch fused", "torch foreach", "optax", "MXNet"), 1),
        ("10,000 x 64", 10_000 * [(64,)], {"ms": 3.0, "torch fused": 20.0},
         ("torch fused", "torch foreach"), 1),
        ("one of 64, updater(i, g, w)", [(64,)], {"ms": 0.003}, None, 1),
    )  # fmt: skip
    for case, shapes, bars, names, factor in cases:
        weights, grads = drawn(shapes), drawn(shapes)
        found, absent = contestants("adam", weights, grads, names, limit=len(shapes) < 10_000)
        rounds = (7, 60) if factor == 2 else (15, 200)
        yield Row("lists", f"adam {case}", race(found, seconds * factor, rounds), bars, absent)


def zipf(rng, rows, count):
    found = np.unique(np.minimum(rng.zipf(1.1, 40 * count) - 1, 2**62) % rows)
    rng.shuffle(found)
    return np.sort(found[:count]).astype(np.int64)


def sparse(seconds, rows=1_000_000, width=64, count=8192):
    """A table of a million rows, 8192 of which have gradients."""
    rng = np.random.default_rng(1)
    data = peers.sized(rng, (count, width))
    draws = {
        "uniform": [np.sort(rng.choice(rows, count, replace=False)).astype(np.int64) for _ in range(16)],
        "Zipf": [zipf(rng, rows, count) for _ in range(16)],
        "the same rows": [np.sort(rng.choice(rows, count, replace=False)).astype(np.int64)],
    }
    for kind, picked in draws.items():
        yield lazy_rows(rng, kind, data, picked, (rows, width), seconds)
        gc.collect()
    yield from standard(rng, data, rows, width, count, seconds)
    for touched in (16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144):
        yield touched_rows(rng, touched, (rows, width), seconds / 4)


def in_turn(function, choices):
    """Call a function with each of several arguments in turn."""
    turn = itertools.cycle(choices)

    def step():
        function(next(turn))

    return step


def lazy_rows(rng, kind, data, picked, shape, seconds):
    table, absent = peers.sized(rng, shape), {}
    updater = mxopt.get_updater(mxopt.create("adam", learning_rate=1e-3, lazy_update=True))
    grads = [mxopt.RowSparseArray(data[: len(p)], p, shape) for p in picked]
    found = {"mxopt": in_turn(lambda grad: updater(0, grad, table), grads)}
    found["mxopt"]()
    for state in updater.states[0]:
        state[...] = 1e-3  # touches every page, as in a table that has been trained
    if len(picked) == 1:
        touched = [np.ones(data.shape, np.float32) for _ in range(4)]
        found["limit"] = stream([[a] for a in touched[:3]], [[touched[3]]])
    pairs = [(data[: len(p)], p) for p in picked]
    peers_of_rows = {
        "torch SparseAdam": lambda: peers.torch_sparse_adam(table, pairs),
        "MXNet": lambda: peers.mxnet("adam", [table], [d for d, _ in pairs], True, picked, shape),
    }
    for peer, make in peers_of_rows.items():
        try:
            found[peer] = make()
            found[peer]()
        except peers.Absent as error:
            absent[peer] = str(error)
    bars = {"limit": 0.7} if "limit" in found else {"torch SparseAdam": 9.0, "MXNet": 6.0}
    return Row("sparse", f"lazy adam, {kind}", race(found, seconds, (16, 200)), bars, absent)


def exact(seconds, rows=1_000_000, width=64, count=8192, steps=2000):
    """Exact rows beside lazy and standard updates, on one thread; ids by Zipf's law, late in training."""
    mxopt.set_num_threads(1)
    shape, rng = (rows, width), np.random.default_rng(1)
    shares = np.cumsum(1 / np.arange(1, rows + 1))
    places, data = rng.permutation(rows), peers.sized(rng, (count, width)) * np.float32(0.1)
    hardly, thrice, momentum = {"lazy": 1 / 1.2}, {"lazy": 1 / 3}, {"momentum": 0.9}
    cases = (
        *(("sgd", {}, hardly), ("adagrad", {}, hardly), ("ftrl", {}, hardly)),
        *(("sgd", momentum, thrice), ("nag", momentum, thrice), ("rmsprop", {}, thrice)),
        ("adadelta", {}, thrice),
        ("adam", {}, {"lazy": 1 / 10, "standard": 5.0}),
        ("adam", {"wd": 1e-4}, {"standard": 2.5}),
    )

    def step_of(name, lazy, options):
        options = {"wd": 0.0, **options}
        updater = mxopt.get_updater(mxopt.create(name, learning_rate=0.01, lazy_update=lazy, **options))
        table, draw = peers.sized(np.random.default_rng(2), shape), np.random.default_rng(3)

        def step():
            ids = np.searchsorted(shares, draw.random(count) * shares[-1])
            at = np.unique(places[np.minimum(ids, rows - 1)])
            return lambda: updater(0, mxopt.RowSparseArray(data[: len(at)], at, shape), table)

        return step

    try:
        for name, options, bars in cases:
            times = {}
            kinds = (("mxopt", "exact", steps, 100), ("lazy", True, 100, 100), ("standard", False, 2, 5))
            for kind, lazy, before, timed in kinds:
                step, found = step_of(name, lazy, options), []
                for number in range(before + timed):
                    call = step()
                    begin = time.process_time()
                    call()
                    if number >= before:
                        found.append(time.process_time() - begin)
                times[kind] = Times(found)
                del step, call
                gc.collect()
            words = "".join(f", {key} {value}" for key, value in options.items())
            yield Row("exact", f"exact {name}{words}", times, bars)
    finally:
        mxopt.set_num_threads(None)


def touched_rows(rng, count, shape, seconds):
    table, data = peers.sized(rng, shape), peers.sized(rng, (count, shape[1]))
    updater = mxopt.get_updater(mxopt.create("adam", learning_rate=1e-3, lazy_update=True))
    picked = [np.sort(rng.choice(shape[0], count, replace=False)) for _ in range(4)]
    grads = [mxopt.RowSparseArray(data, p, shape) for p in picked]
    step = in_turn(lambda grad: updater(0, grad, table), grads)
    return Row("rows", f"lazy adam, {count:,} rows", race({"mxopt": step}, seconds), None, None, count)


def standard(rng, data, rows, width, count, seconds):
    picked = np.sort(rng.choice(rows, count, replace=False)).astype(np.int64)
    table, absent = peers.sized(rng, (rows, width)), {}
    grad = mxopt.RowSparseArray(data, picked, table.shape)
    full = peers.sized(rng, (rows, width))
    updater = mxopt.get_updater(mxopt.create("adam", learning_rate=1e-3, lazy_update=False))
    found = {
        "mxopt": lambda: updater(0, grad, table),
        "mxopt, dense gradient": lambda: updater(0, full, table),
    }
    try:
        found["MXNet"] = peers.mxnet("adam", [table], [data], False, [picked], table.shape)
    except peers.Absent as error:
        absent["MXNet"] = str(error)
    bars = {"mxopt, dense gradient": 0.8, "MXNet": 4.0}
    yield Row("sparse", "standard adam from 8192 rows", race(found, seconds, (7, 60)), bars, absent)

    shuffled = rng.permutation(np.concatenate([picked[: count // 2], picked[: count // 2]]))
    lazy = mxopt.get_updater(mxopt.create("adam", learning_rate=1e-3, lazy_update=True))
    ready = mxopt.RowSparseArray(data, shuffled, table.shape)
    found = {
        "mxopt": lambda: mxopt.RowSparseArray(data, shuffled, table.shape),
        "the step": lambda: lazy(0, ready, table),
    }
    yield Row("sparse", "summing 8192 unsorted rows, each twice", race(found, seconds), {"the step": 1.0})


def dtypes(seconds):
    """Per element against float32; float64 against its own limit."""
    try:
        import ml_dtypes

        bfloat16 = ml_dtypes.bfloat16
    except ImportError:
        bfloat16 = None
    size = FULL
    weights, grads = drawn([size]), drawn([size])
    base = peers.ours("adam", weights, grads)
    for label, dtype, options in (
        ("float16", np.float16, {}),
        ("float16, float32 masters", np.float16, {"multi_precision": True}),
        ("bfloat16", bfloat16, {}),
        ("bfloat16, float32 masters", bfloat16, {"multi_precision": True}),
    ):
        if dtype is None:
            yield Row("dtypes", f"adam {label}", {}, None, {"mxopt": "ml_dtypes is not installed"})
            continue
        low, low_grads = [weights[0].astype(dtype)], [grads[0].astype(dtype)]
        found = {"mxopt": peers.ours("adam", low, low_grads, **options), "mxopt float32": base}
        yield Row(
            "dtypes", f"adam {label} 30M", race(found, seconds, (7, 40)), {"mxopt float32": 1.0}, None, size
        )
        del low, low_grads, found
        gc.collect()
    del weights, grads, base
    weights, grads = drawn([size], np.float64), drawn([size], np.float64)
    step = peers.ours("adam", weights, grads)
    found = {"mxopt": step, "limit": limit_of(step, weights, grads)}
    yield Row("dtypes", "adam float64 30M", race(found, seconds, (7, 40)), {"limit": 0.9}, None, size)


def clipping(seconds):
    """Clipping by the global norm."""
    if not hasattr(mxopt, "clip_global_norm"):
        yield Row("clipping", "clip_global_norm", {}, None, {"mxopt": "not there yet"})
        return
    for case, shapes, bar in (("500 x 1024", 500 * [(1024,)], 5.0), ("32M", [(32_000_000,)], 1.3)):
        yield clipped(case, drawn(shapes), bar, seconds)


def clipped(case, arrays, bar, seconds):
    absent, found = {}, {"mxopt": lambda: mxopt.clip_global_norm(arrays, 1e9)}
    try:
        found["torch"] = peers.torch_clip(arrays, 1e9)
    except peers.Absent as error:
        absent["torch"] = str(error)
    return Row("clipping", f"clip_global_norm {case}", race(found, seconds, (9, 200)), {"torch": bar}, absent)


def with_options(weights, grads, optimizer=(), **options):
    """A step of an updater with options of its own; with ``accumulate``, of all its micro-batches."""
    updater = mxopt.get_updater(mxopt.create("adam", **peers.settings("adam"), **dict(optimizer)), **options)
    indices = list(range(len(weights)))

    def step():
        for _ in range(updater.accumulate):
            updater(indices, grads, weights)

    step()
    return step


def in_the_pass(seconds):
    """What an updater does beside the step, against the bare step and torch."""
    weights, grads = drawn([FULL]), drawn([FULL])
    bare = with_options(weights, grads)
    for case, options, bar, theirs in (
        ("ema=0.999", {"ema": 0.999}, 1.35, peers.torch_ema),
        ("clip_global_norm=1, skip_nonfinite", {"clip_global_norm": 1.0}, 1.2, peers.torch_clipped_step),
        ("report=True", {"report": True}, 1.05, None),
        ("loss_scale='dynamic'", {"loss_scale": "dynamic"}, None, None),
    ):
        checks = {"skip_nonfinite": True} if "skip" in case else {}
        found, absent = {"mxopt": with_options(weights, grads, checks, **options), "mxopt, bare": bare}, {}
        try:
            if theirs is not None:
                found["torch"] = theirs(weights, grads)
        except peers.Absent as error:
            absent["torch"] = str(error)
        bars = None if bar is None else {"mxopt, bare": 1 / bar}
        yield Row("in the pass", f"adam 30M, {case}", race(found, 2 * seconds, (11, 60)), bars, absent, FULL)
        del found
        gc.collect()
    total = np.zeros_like(grads[0])

    def by_numpy():
        for _ in range(4):
            np.add(total, grads[0], out=total)
        bare()

    found = {"mxopt": with_options(weights, grads, accumulate=4), "NumPy's += and a step": by_numpy}
    times = race(found, 2 * seconds, (11, 60))
    yield Row("in the pass", "adam 30M, accumulate=4", times, {"NumPy's += and a step": 1.0}, None, FULL)


def guard(seconds):
    """The cost of skip_nonfinite."""
    for case, shapes in (("30M", [(FULL,)]), ("500 x 1024", 500 * [(1024,)])):
        weights, grads = drawn(shapes), drawn(shapes)
        found = {"mxopt": peers.ours("adam", weights, grads, skip_nonfinite=True),
                 "mxopt, no guard": peers.ours("adam", weights, grads)}  # fmt: skip
        bars = {"mxopt, no guard": 1 / 1.05} if case == "30M" else None
        yield Row("guard", f"adam {case}, skip_nonfinite=True", race(found, 2 * seconds, (11, 100)), bars)


def subnormal(seconds, steps=20_000, size=10_000):
    """Zero gradients until the moments turn subnormal and vanish: the slowest steps against the median."""
    weights, grads = drawn([size]), [np.zeros(size, np.float32)]
    step, found = peers.ours("adam", weights, grads), {}
    for state in step.updater.states[0]:
        state[...] = 1e-3

    def record(function, steps):
        taken = []
        for _ in range(steps):
            begin = time.perf_counter()
            function()
            taken.append(time.perf_counter() - begin)
        # Medians of 100 consecutive steps, so that other work on the machine does not count.
        return Times([float(np.median(taken[i : i + 100])) for i in range(0, steps, 100)])

    found["mxopt"] = record(step, steps)
    try:
        torch = peers.torch("adam", weights, grads, fused=True)
        lib = peers._need("torch")
        torch()
        for state in torch.__self__.state.values():
            for key in ("exp_avg", "exp_avg_sq"):
                state[key].fill_(1e-3 if key == "exp_avg" else 1e-6)
        found["torch fused"] = record(torch, 3000)
        del lib
    except (peers.Absent, AttributeError):
        pass
    slowest = {name: max(times.seconds) / times.median for name, times in found.items()}
    note = ", ".join(f"slowest/median {ratio:.2f} ({name})" for name, ratio in slowest.items())
    yield Row("subnormal", f"adam, {steps:,} zero gradients", found, None, None, size, note)


def threads(seconds):
    """One thread against two."""
    available = mxopt.get_num_threads()
    for size in (1000, 10_000, 20_000, 50_000, 100_000, 300_000, 1_000_000, 10_000_000):
        weights, grads = drawn([size]), drawn([size])
        step = peers.ours("adam", weights, grads)

        def with_threads(n, step=step):
            def run():
                mxopt.set_num_threads(n)
                step()

            return run

        found = {"mxopt": with_threads(available), "one thread": with_threads(1)}
        bars = {"one thread": 1.8} if size in (100_000, 300_000) else {"one thread": 0.97}  # no slower
        yield Row(
            "threads", f"adam {size:,}, {available} threads", race(found, seconds / 2), bars, None, size
        )
        mxopt.set_num_threads(None)


def memory(seconds):
    """Peak memory of a step beyond the arrays, from the kernel's count of resident pages."""
    if not os.path.exists("/proc/self/clear_refs"):
        yield Row("memory", "adam", {}, None, {"mxopt": "no /proc/self/clear_refs here"})
        return

    def status(name):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name))

    libc = ctypes.CDLL(None)
    cases = (
        ("float32 30M", [(FULL,)], np.float32, {}),
        ("float16 10M with masters", [(10_000_000,)], np.float16, {"multi_precision": True}),
        ("10,000 x 64", 10_000 * [(64,)], np.float32, {}),
    )
    for case, shapes, dtype, options in cases:
        weights, grads = drawn(shapes, dtype), drawn(shapes, dtype)
        step = peers.ours("adam", weights, grads, **options)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)  # so that this step cannot reuse what the one before freed
        before = status("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        step()
        grown = max(status("VmHWM") - before, 0)
        yield Row("memory", f"adam {case}", {}, None, None, None,
                  f"{grown} KB beyond the arrays, {mxopt.get_num_threads()} threads")  # fmt: skip


def narrow(seconds, size=FULL):
    """Adam with states in 16 and 8 bits, beside its own float32 step; and with masters in two halves."""
    weights, grads = drawn([size]), drawn([size])
    plain = peers.ours("adam", weights, grads)
    for width, times, most in (("bfloat16", 1.1, 4.0), ("int8", 1.3, 2.04)):
        found, absent = contestants(
            "adam", weights, grads, ("torch fused", "bitsandbytes 8-bit"), limit=False, state_dtype=width
        )
        found["mxopt float32"] = plain
        state = found["mxopt"].updater.states[0]
        kept = sum(part.nbytes for part in state) / size
        assert kept <= most, (width, kept)
        bars = {"mxopt float32": 1 / times, **({"bitsandbytes 8-bit": 20.0} if width == "int8" else {})}
        row = race(found, seconds, (9, 100))
        yield Row("narrow", f"adam {width}", row, bars, absent, size, f"{kept:.3f} bytes of states a weight")
    import ml_dtypes

    weights, grads = drawn([size], ml_dtypes.bfloat16), drawn([size], ml_dtypes.bfloat16)
    found = {
        label: peers.ours("adam", weights, grads, multi_precision=masters)
        for label, masters in (("mxopt", "split"), ("mxopt whole masters", True))
    }
    kept = found["mxopt"].updater.states[0][0].nbytes / size
    row = race(found, seconds, (9, 100))
    yield Row("narrow", "adam split masters", row, {"mxopt whole masters": 1.0}, None, size,
              f"{2 + kept:.0f} bytes of weight and master")  # fmt: skip


def machine(seconds, size=FULL):
    """What this machine reaches, in a minute: the limit, torch with the same dtype, the engine's choices."""
    import ml_dtypes

    dtypes = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float64": float}
    cases = [("adam", dtype) for dtype in dtypes] + [("sgd", "float32"), ("adagrad", "float32")]
    for name, label in cases:
        weights, grads = drawn([size], dtypes[label]), drawn([size], dtypes[label])
        found, absent = contestants(name, weights, grads, ("torch fused",), label in ("float32", "float64"))
        if label.endswith("16"):
            wide = [weights[0].astype(np.float32)], [grads[0].astype(np.float32)]
            found["mxopt float32"] = peers.ours(name, *wide)
        for _ in range(10):  # the engine's own trials
            found["mxopt"]()
        yield Row(
            "machine", f"{name} {label} {size:,}", race(found, seconds / 4, (5, 40)), None, absent, size
        )
        del weights, grads, found
        gc.collect()
    weights, grads = drawn([size]), drawn([size])
    step = peers.ours("sgld", weights, grads)
    found = {"mxopt": step, "limit": stream([weights], [grads])}
    yield Row("machine", f"sgld {size:,}", race(found, seconds / 4, (3, 20)), {"limit": 0.2}, None, size)
    yield Row("machine", "chosen", {}, note=mxopt.show_config("dict")["tuning"])


#: Cases that a full run leaves out, because others cover them.
APART = ("machine",)

GROUPS = {
    function.__name__: function
    for function in (
        dense,
        linear,
        family,
        composed,
        later,
        lists,
        sparse,
        exact,
        dtypes,
        clipping,
        in_the_pass,
        guard,
        subnormal,
        threads,
        memory,
        narrow,
        machine,
    )
}
