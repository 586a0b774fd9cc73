"""What mxopt does to a process: its import, threads, instruction sets and forks."""

import os

import processes
import pytest

from mxopt import kernels

openmp_only = pytest.mark.skipif(not kernels.openmp_version(), reason="these kernels are serial")

#: A step that is large enough for threads; prints a digest of the result.
STEP = """
import hashlib, numpy as np, mxopt
def step():
    rng = np.random.default_rng(1)
    weight, grad = rng.normal(size=(2, 300_000)).astype(np.float32)
    updater = mxopt.get_updater(mxopt.create("adam"))
    for _ in range(3):
        updater(0, grad, weight)
    return hashlib.md5(weight.tobytes()).hexdigest()
"""


def python(code, *options, **variables):
    return processes.python(*options, "-c", code, **variables)


def printed(code, *options, **variables):
    return processes.printed(*options, "-c", code, **variables).strip()


def test_import_is_silent():
    done = python("import mxopt", "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


#: Slow to import, and needed by few programs.
LEFT_OUT = {
    *("mxopt.nd", "mxopt.gluon", "mxopt.module", "mxopt.kvstore", "mxopt.v1", "mxopt.cli"),
    *("mxopt.states.native", "mxopt.states.mxnet", "safetensors", "ml_dtypes", "isal"),
    *("argparse", "asyncio", "email", "multiprocessing", "tempfile", "unittest", "urllib"),
}


def test_import_leaves_out_what_few_programs_need():
    code = "import sys, numpy; before = set(sys.modules); import mxopt; print(*set(sys.modules) - before)"
    loaded = set(printed(code).split())
    assert not loaded & LEFT_OUT


# --- instruction sets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", kernels.available_instruction_sets())
def test_instruction_set_is_chosen_by_name(isa):
    code = "import mxopt; print(mxopt.show_config('dict')['instruction set'])"
    assert printed(code, MXOPT_ISA=isa) == printed(code, MXOPT_ISA=isa.upper()) == isa


def test_widest_instruction_set_is_the_default():
    code = "import mxopt; print(mxopt.show_config('dict')['instruction set'])"
    assert printed(code) == printed(code, MXOPT_ISA="") == kernels.available_instruction_sets()[-1]


def test_unknown_instruction_set_is_an_error():
    done = python("import mxopt", MXOPT_ISA="sse9")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    names = ", ".join(kernels.available_instruction_sets())
    assert last.startswith(f"ImportError: MXOPT_ISA must be one of {names} on this machine, got 'sse9'")


# --- threads ------------------------------------------------------------------------------------------------

THREADS = "import mxopt; print(mxopt.get_num_threads())"


@openmp_only
@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        ({"OMP_NUM_THREADS": "3"}, "3"),
        ({"MXOPT_NUM_THREADS": "2"}, "2"),
        ({"MXOPT_NUM_THREADS": "2", "OMP_NUM_THREADS": "3"}, "2"),
        ({"MXOPT_NUM_THREADS": "", "OMP_NUM_THREADS": "3"}, "3"),
    ],
    ids=str,
)
def test_threads_come_from_the_environment(variables, threads):
    assert printed(THREADS, **variables) == threads


@openmp_only
def test_threads_are_one_a_core_by_default():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert printed(THREADS) == str(cores)


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_nonsense_in_the_environment_is_an_error(text):
    done = python(THREADS, MXOPT_NUM_THREADS=text)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("ValueError: MXOPT_NUM_THREADS must be an integer of 1 or more, got ")
    )


@openmp_only
def test_threads_are_set_and_set_back():
    code = """
import mxopt
mxopt.set_num_threads(3)
with mxopt.num_threads(1):
    print(mxopt.get_num_threads())
print(mxopt.get_num_threads())
mxopt.set_num_threads(None)
print(mxopt.get_num_threads())
"""
    assert printed(code, OMP_NUM_THREADS="2").split() == ["1", "3", "2"]


@openmp_only
@pytest.mark.parametrize("set_before", [False, True], ids=["default", "set"])
def test_threadpoolctl_sees_and_limits_the_pool(set_before):
    code = f"""
import mxopt, threadpoolctl
if {set_before}:
    mxopt.set_num_threads(2)
assert "openmp" in {{pool["user_api"] for pool in threadpoolctl.threadpool_info()}}
print(mxopt.get_num_threads())
with threadpoolctl.threadpool_limits(1, user_api="openmp"):
    print(mxopt.get_num_threads())
print(mxopt.get_num_threads())
"""
    assert printed(code, OMP_NUM_THREADS="2").split() == ["2", "1", "2"]


# --- forks --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a system that cannot fork has no forked children to go wrong"
)
def test_forked_child_steps_serially_with_the_same_bits():
    # libgomp alone would hang here: its threads are not in the child.
    code = (
        STEP
        + """
import os
print(step(), mxopt.get_num_threads(), flush=True)
child = os.fork()
if child == 0:
    print(step(), mxopt.get_num_threads(), flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(step(), status)
"""
    )
    before, in_child, after = (
        line.split() for line in printed(code, "-W", "ignore", OMP_NUM_THREADS="2").splitlines()
    )
    assert before[0] == in_child[0] == after[0]
    assert in_child[1] == "1"
    assert after[1] == "0"


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a system that cannot fork has no forked children to go wrong"
)
def test_pool_of_forked_workers_steps():
    code = (
        STEP
        + """
import multiprocessing
step()
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(len(set(pool.starmap(step, [()] * 4) + [step()])))
"""
    )
    assert printed(code, "-W", "ignore", OMP_NUM_THREADS="2") == "1"


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a system that cannot fork has no forked children to go wrong"
)
def test_large_states_are_not_shared_with_a_forked_child():
    code = """
import os, pickle, numpy as np
from mxopt import arrays
zeros = arrays.zeros_like(np.empty(arrays.HUGE, np.uint8))
child = os.fork()
if child == 0:
    zeros[:] = 1
    os._exit(0 if zeros.all() else 1)
_, status = os.waitpid(child, 0)
print(status, zeros.any())
zeros[:] = 2
print((pickle.loads(pickle.dumps(zeros)) == 2).all())
"""
    assert printed(code).split() == ["0", "False", "True"]


# --- tuning -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", kernels.tuning_words())
def test_tuning_is_chosen_by_a_word(word):
    code = "import mxopt; print(mxopt.show_config('dict')['tuning'])"
    assert printed(code, MXOPT_TUNE=word.upper()) == word


def test_another_tuning_word_is_refused_in_a_line():
    done = python("import mxopt", MXOPT_TUNE="fast")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last == "ValueError: MXOPT_TUNE must be one of auto, off, prefetch, plain, got 'fast'"
