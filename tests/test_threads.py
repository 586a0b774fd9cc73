"""Python threads, each with an updater of its own: the hardest test for free-threaded Pythons."""

import sys
import sysconfig
import threading

import numpy as np

import mxopt as mx

NAMES = ("adam", "sgd", "lamb", "ftrl", "rmsprop", "adagrad")


def run(name, seed, steps=25):
    """Weights and states after a run."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape).astype("f4") for shape in ((40, 30), (7,), (300, 2))]
    updater = mx.get_updater(mx.create(name, learning_rate=0.01))
    for _ in range(steps):
        grads = [rng.normal(size=weight.shape).astype("f4") for weight in weights]
        updater([0, 1, 2], grads, weights)
        rows = mx.RowSparseArray(np.ones((2, 2), "f4"), [5, 1], (300, 2))
        updater(2, rows, weights[2])
    return updater.get_states(), [weight.tobytes() for weight in weights]


def test_updaters_of_several_threads_do_not_interfere():
    cases = [(name, seed) for seed in range(2) for name in NAMES]
    alone = {case: run(*case) for case in cases}
    found, failed, start = {}, [], threading.Barrier(len(cases) + 1)

    def work(case):
        try:
            start.wait()
            found[case] = run(*case)
        except BaseException as error:
            failed.append(error)

    def meddle():
        start.wait()
        for n in range(200):  # the one thing that all share
            mx.set_num_threads(1 + n % 2)
            mx.get_num_threads()

    threads = [threading.Thread(target=work, args=(case,)) for case in cases]
    threads.append(threading.Thread(target=meddle))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert found == alone


def test_importing_leaves_the_lock_as_it_was():
    """A module that is not marked as safe without the GIL re-enables it for the whole process."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled()
    else:
        assert getattr(sys, "_is_gil_enabled", lambda: True)()
