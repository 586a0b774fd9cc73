"""A handful of cases to follow over time: ``pytest benchmarks/track.py`` with pytest-benchmark.

Save a run with ``--benchmark-autosave`` and compare the next with ``--benchmark-compare``. No test fails on
time.
"""

import numpy as np
import pytest

import mxopt

from . import peers

CASES = {
    "adam_1M": ("adam", [(1_000_000,)], np.float32, {}),
    "sgd_momentum_1M": ("sgd", [(1_000_000,)], np.float32, {}),
    "adam_float16_masters_1M": ("adam", [(1_000_000,)], np.float16, {"multi_precision": True}),
    "adam_500_of_1024": ("adam", 500 * [(1024,)], np.float32, {}),
    "adam_10000_of_64": ("adam", 10_000 * [(64,)], np.float32, {}),
    "adam_one_of_64": ("adam", [(64,)], np.float32, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_step(benchmark, case):
    name, shapes, dtype, options = CASES[case]
    rng = np.random.default_rng(0)
    weights, grads = ([peers.sized(rng, shape, dtype) for shape in shapes] for _ in range(2))
    benchmark(peers.ours(name, weights, grads, **options))


def test_lazy_rows(benchmark):
    rng = np.random.default_rng(0)
    table = peers.sized(rng, (200_000, 64))
    updater = mxopt.get_updater(mxopt.create("adam", lazy_update=True))
    rows = np.sort(rng.choice(len(table), 8192, replace=False))
    grad = mxopt.RowSparseArray(peers.sized(rng, (8192, 64)), rows, table.shape)
    benchmark(lambda: updater(0, grad, table))
