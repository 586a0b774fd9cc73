"""Arguments that change under a step, limits, forks, floating-point settings: no crash and no other bits.

What could end the process runs in one of its own.
"""

import os
import platform
import subprocess
import sys

import pytest

from mxopt import kernels

openmp_only = pytest.mark.skipif(not kernels.openmp_version(), reason="these kernels are serial")
posix_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

HEAD = """
import ctypes, hashlib, os, sys, threading, warnings
import numpy as np
import mxopt as mx
from mxopt import kernels

def arrays(size=300_000, count=2, seed=1):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)

def digest(name="adam", **settings):
    weight, grad = (row.copy() for row in arrays())
    updater = mx.get_updater(mx.create(name, wd=0.01, **settings))
    for _ in range(3):
        updater(0, grad, weight)
    return hashlib.md5(weight.tobytes()).hexdigest()
"""


def printed(code, *options, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MXOPT_NUM"))}
    done = subprocess.run(
        [sys.executable, *options, "-c", HEAD + code],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.strip()


# --- what a plan checked ------------------------------------------------------------------------------------


def test_row_indices_may_change_after_they_were_checked():
    assert (
        printed("""
weight, grad, rows = np.zeros((100, 4), np.float32), np.ones((3, 4), np.float32), np.arange(3)
rule = kernels.RULES["sgd"]
plan = kernels.Plan(rule, [weight], [grad], [None], -1, [rows], True)
rows[:] = 1 << 40
plan.run(rule, [(1.0, 0.0, 1.0, np.inf)])
print(weight[:3].sum(), weight.sum())
""")
        == "-12.0 -12.0"
    )


RESIZED = {
    "weight": "weight",
    "gradient": "grad",
    "state": "state[1]",
    "list as a state": "listed[1]",
}


@pytest.mark.parametrize("what", RESIZED)
def test_arrays_resized_by_a_scheduler_are_refused(what):
    code = f"""
weight, grad = (row.copy() for row in arrays())
state = (np.zeros_like(weight), np.zeros_like(weight))
listed = list(state)
class Scheduler(mx.lr_scheduler.LRScheduler):
    def __call__(self, t):
        ({RESIZED[what]}).resize(0, refcheck=False)
        return 0.1
opt = mx.create("adam", lr_scheduler=Scheduler())
kept = [a.copy() for a in (weight, *state)]
try:
    opt.update([0], [weight], [grad], [{"listed" if what.startswith("list") else "state"}])
except Exception as error:
    print(type(error).__name__, str(error))
print(all((a == b).all() for a, b in zip((weight, *state), kept) if a.size), opt.num_update)
"""
    refusal, unchanged = printed(code).split("\n")
    assert refusal.startswith("RuntimeError") and "was given other memory during the call" in refusal
    assert unchanged == "True 0"


def test_arrays_resized_by_what_draws_are_refused():
    code = """
weight, grad = (row.copy() for row in arrays())
class Generator:
    def standard_normal(self, out, dtype):
        out[:] = 0
        weight.resize(0, refcheck=False)
opt = mx.create("sgld")
opt.generator = Generator()
try:
    opt.update([0], [weight], [grad], [None])
except Exception as error:
    print("refused")
"""
    assert printed(code) == "refused"


def test_lists_that_change_while_they_are_planned():
    code = """
class Odd(np.ndarray):
    @property
    def _mask(self):
        for held in (weights, grads, states):
            held.clear()
        raise AttributeError
made = lambda: np.ones(50_000, np.float32)
weights, grads, states = [made().view(Odd), made()], [made(), made()], [[made()], [made()]]
rule = kernels.RULES["sgd_mom"]
plan = kernels.Plan(rule, weights, grads, states)
junk = [made() * 7 for _ in range(8)]
plan.run(rule, [(1.0, 0.0, 1.0, np.inf, 1.0)])
print(all((j == 7).all() for j in junk))
"""
    assert printed(code) == "True"


def test_scalars_of_other_lengths_are_refused():
    rule = kernels.RULES["adam"]
    with pytest.raises(ValueError, match="corrections must name places"):
        kernels.corrected((0.1, 0.9), ((0, 1_000_000),), 3)
    with pytest.raises(ValueError, match="corrections must name places"):
        kernels.read_row((0.1, 0.9), (False, False), ((-5, 1),), 3)
    with pytest.raises(ValueError, match="read must have an entry"):
        kernels.as_read_by_mxnet((0.1, 0.9, 3.0), (True,))
    import numpy as np

    one = np.ones(3, np.float32)
    plan = kernels.Plan(rule, [one], [one.copy()], [(one.copy(), one.copy())])
    full = tuple(range(len(rule.scalars)))
    for scalars, singles in (([full], [(1.0,)]), ([(1.0,)], None), ([full], [()]), ([()], [full])):
        with pytest.raises(ValueError, match="takes rows of"):
            plan.run(rule, scalars, None, singles)


# --- threads and forks --------------------------------------------------------------------------------------


SERIAL = """
warnings.simplefilter("always")
mx.set_num_threads(3)
with warnings.catch_warnings(record=True) as seen:
    print(digest(), digest() == digest(), [w.category.__name__ for w in seen], mx.get_num_threads())
"""
LIMITED = """
import resource
mx.set_num_threads(1)
digest()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
"""


@openmp_only
@pytest.mark.skipif(sys.platform != "linux", reason="limits are the system's own affair")
@pytest.mark.parametrize(("limit", "stack"), [("", "90000G"), (LIMITED, "256M")])
def test_without_threads_steps_run_serially(limit, stack):
    expected = printed("print(digest())", OMP_NUM_THREADS="1")
    assert printed(limit + SERIAL, OMP_STACKSIZE=stack) == f"{expected} True ['RuntimeWarning'] 1"


@posix_only
def test_fork_inside_a_callback():
    code = """
parent = os.getpid()
forked = []
class Generator:
    def standard_normal(self, out, dtype):
        out[:] = 1
        if not forked:
            forked.append(os.fork())
weight, grad = (row.copy() for row in arrays())
opt = mx.create("sgld", learning_rate=0.5)
opt.generator = Generator()
mx.set_num_threads(2)
warm = mx.get_updater(mx.create("sgd"))
warm(0, grad, weight.copy())
opt.update([0], [weight], [grad], [None])
line = hashlib.md5(weight.tobytes()).hexdigest()
if os.getpid() == parent:
    print(os.waitpid(forked[0], 0)[1] == 0, open(sys.argv[1]).read() == line)
else:
    open(sys.argv[1], "w").write(line)
    os._exit(0)
"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        code = code.replace("sys.argv[1]", repr(os.path.join(folder, "child")))
        assert printed(code) == "True True"


@posix_only
@pytest.mark.parametrize("module", ["nd", "v1", "gluon"])
def test_fork_during_another_thread_s_first_import(module):
    code = f"""
import importlib.machinery, signal
begun, go_on = threading.Event(), threading.Event()
execute = importlib.machinery.SourceFileLoader.exec_module
def slowly(self, of):
    first = of.__name__.startswith("mxopt.{module}.") and not begun.is_set()
    if first and threading.current_thread() is thread:
        begun.set()
        go_on.wait()
    execute(self, of)
assert "mxopt.{module}" not in sys.modules
importlib.machinery.SourceFileLoader.exec_module = slowly
thread = threading.Thread(target=importlib.import_module, args=["mxopt.{module}"])
thread.start()
assert begun.wait(60)
child = os.fork()
if child == 0:
    signal.alarm(30)  # were it to hang
    importlib.import_module("mxopt.{module}")
    digest()
    os._exit(7)
status = os.waitpid(child, 0)[1]
go_on.set()
thread.join()
print(os.waitstatus_to_exitcode(status))
"""
    assert printed(code, "-W", "ignore::DeprecationWarning") == "7"


# --- floating-point settings --------------------------------------------------------------------------------


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="settings by their numbers there"
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["adam", "lamb", "sgd"])
def test_floating_point_settings_of_the_caller_change_nothing(name, threads):
    code = f"""
libm = ctypes.CDLL("libm.so.6")
mx.set_num_threads({threads})
def under(prepare):
    weight, grad = (row.copy() for row in arrays())
    grad[5] = 0.0
    updater = mx.get_updater(mx.create("{name}"))
    updater(0, grad, weight)
    prepare()
    try:
        updater(0, grad, weight)
        rounding, traps = libm.fegetround(), libm.fegetexcept()
    finally:
        libm.fesetround(0)
        libm.fedisableexcept(0x3d)
    return hashlib.md5(weight.tobytes()).hexdigest(), rounding, traps
plain = under(lambda: None)
assert plain[1:] == (0, 0)
for rounding in (0x400, 0x800, 0xc00):  # down, up, towards zero
    assert under(lambda: libm.fesetround(rounding)) == (plain[0], rounding, 0), rounding
def trap():
    libm.feclearexcept(0x3d)  # or what NumPy 1.23 left in the x87 when it was imported traps at once
    libm.feenableexcept(0x30)  # inexact and underflow
assert under(trap) == (plain[0], 0, 0x30)
print("same")
"""
    assert printed(code) == "same"


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="settings by their numbers there"
)
@pytest.mark.parametrize("threads", [1, 2])
def test_sums_of_micro_batches_have_one_rounding(threads):
    """Of large ones, which threads share: every thread has settings of its own."""
    code = f"""
libm = ctypes.CDLL("libm.so.6")
mx.set_num_threads({threads})
def summed(rounding):
    weight, *grads = (row.copy() for row in arrays(count=5))
    updater = mx.get_updater(mx.create("sgd"), accumulate=4)
    libm.fesetround(rounding)
    try:
        for grad in grads:
            updater(0, grad, weight)
    finally:
        libm.fesetround(0)
    return hashlib.md5(weight.tobytes()).hexdigest()
print(len({{summed(rounding) for rounding in (0, 0x400, 0x800, 0xc00)}}))
"""
    assert printed(code) == "1"


@posix_only
def test_a_forked_child_sums_micro_batches():
    code = """
def summed():
    weight, *grads = (row.copy() for row in arrays(count=5))
    updater = mx.get_updater(mx.create("sgd"), accumulate=4)
    for grad in grads:
        updater(0, grad, weight)
    return hashlib.md5(weight.tobytes()).hexdigest()
mx.set_num_threads(2)
before = summed()
child = os.fork()
if child == 0:
    os._exit(7 if summed() == before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert printed(code, "-W", "ignore::DeprecationWarning") == "7"


@posix_only
def test_a_forked_child_catches_rows_up():
    code = """
def caught_up():
    weight, grad = arrays(64 * 5000).reshape(2, 5000, 64)
    updater = mx.get_updater(mx.create("adam", lazy_update="exact", wd=0.01))
    for step in range(30):
        updater(0, mx.RowSparseArray(grad[:2], [step, 4999], weight.shape), weight)
    updater.flush()
    return hashlib.md5(weight.tobytes()).hexdigest()
mx.set_num_threads(2)
before = caught_up()
child = os.fork()
if child == 0:
    os._exit(7 if caught_up() == before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert printed(code, "-W", "ignore::DeprecationWarning") == "7"
