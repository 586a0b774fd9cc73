"""Several Python threads, and libraries that bring their own OpenMP."""

import importlib.util
import threading
import time

import numpy as np
import pytest
from processes import printed

import mxopt


def run_of(seed, size, steps):
    """Train a tensor of this thread's own; return its final bits."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal(size, np.float32)
    updater = mxopt.get_updater(mxopt.create("adam"))
    for _ in range(steps):
        updater(0, rng.standard_normal(size, np.float32), weight)
    return weight.tobytes()


@pytest.mark.parametrize("size", [64, 40_000], ids=["small", "with threads of their own"])
def test_python_threads_step_their_own_updaters(size):
    alone = [run_of(seed, size, 30) for seed in range(4)]
    together = [None] * 4

    def work(seed):
        together[seed] = run_of(seed, size, 30)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert together == alone


def test_other_threads_go_on_during_a_step():
    weight = np.ones(5_000_000)
    updater = mxopt.get_updater(mxopt.create("adam"))
    updater(0, weight * 0.5, weight)
    grad, ticks, done = np.ones_like(weight), [], threading.Event()

    def tick():
        small, own = np.ones(64, np.float32), mxopt.get_updater(mxopt.create("adam"))
        while not done.is_set():
            own(0, small * 0.5, small)
            ticks.append(time.perf_counter())

    with mxopt.num_threads(1):
        other = threading.Thread(target=tick)
        other.start()
        try:
            # On a busy machine the other thread may get no time during some steps. Were the GIL held, it
            # would get none in the middle half of any: a step could release the GIL only at its ends.
            for _ in range(100):
                begin = time.perf_counter()
                updater(0, grad, weight)
                end = time.perf_counter()
                quarter = (end - begin) / 4
                if any(begin + quarter < tick < end - quarter for tick in ticks):
                    break
                ticks.clear()
            else:
                pytest.fail("the other thread stands still during a step")
        finally:
            done.set()
            other.join()


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("library", ["torch", "sklearn.ensemble"])
def test_other_openmp_users_keep_their_threads(library, order):
    if importlib.util.find_spec(library.partition(".")[0]) is None:
        pytest.skip(f"{library} is not installed; tox -e interop installs it")
    imports = [f"import {library}", "import mxopt"]
    if order == "after":
        imports.reverse()
    code = "\n".join(
        [
            *imports,
            "import numpy as np, threadpoolctl",
            "mxopt.set_num_threads(2)",
            "weight, grad = np.ones(100_000, np.float32), np.ones(100_000, np.float32)",
            "updater = mxopt.get_updater(mxopt.create('sgd'))",
            "updater(0, grad, weight)",
            f"import {library}",
            "print(mxopt.get_num_threads())",
            "pools = threadpoolctl.threadpool_info()",
            "print(min(pool['num_threads'] for pool in pools if pool['user_api'] == 'openmp'))",
        ]
    )
    assert printed("-c", code, OMP_NUM_THREADS="2").split() == ["2", "2"]
