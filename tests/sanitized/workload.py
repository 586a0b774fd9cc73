"""A short run through every rule, dtype and layout, and through the errors: for memory checkers."""

import contextlib
import warnings

import ml_dtypes
import numpy as np

import mxopt
from mxopt import kernels

warnings.simplefilter("ignore")
RNG = np.random.default_rng(0)
DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)


def values(shape, dtype):
    # Arrays end where their memory ends, so that a step too far is seen.
    return np.ascontiguousarray(RNG.standard_normal(shape).astype(dtype))


def call(name, weights, grads, **options):
    settings = {"momentum": 0.9} if name in ("sgd", "nag", "signum", "lars", "lbsgd", "ccsgd") else {}
    updater = mxopt.get_updater(mxopt.create(name, **settings, **options))
    with contextlib.suppress(TypeError, ValueError):  # what an optimizer refuses, it refuses here as well
        for _ in range(2):
            updater(list(range(len(weights))), grads, weights)


def call_exactly(name, dtype, shape, **options):
    """Rows that lag behind, caught up one by one and all together."""
    updater = mxopt.get_updater(mxopt.create(name, lazy_update="exact", wd=0.0, **options))
    weight = values(shape, dtype)
    for step in range(130):
        rows = [step % 3, shape[0] - 1] if step < 3 else [1]
        updater(0, mxopt.RowSparseArray(values((len(rows), shape[1]), dtype), rows, shape), weight)
    updater.catch_up(0, [shape[0] - 1, 0])
    updater.flush()


def call_in_the_pass(name, weights, grads, sparse):
    """Everything that joins a step, with states in fewer bits, and NaNs on the way."""
    for width in ("int8", "bfloat16", None):
        with contextlib.suppress(TypeError, ValueError):
            options = {"state_dtype": width} if width else {}
            updater = mxopt.get_updater(
                mxopt.create(name, **options), accumulate=2, ema=0.9, report=True, clip_global_norm=1.0
            )
            for grad in (grads, grads, sparse, [np.full_like(g, np.nan) for g in grads]):
                for _ in range(2):
                    updater(list(range(len(weights))), grad, weights)
            with updater.average_parameters(list(range(len(weights))), weights):
                pass
            updater.set_states(updater.get_states(dump_optimizer=True))
    with contextlib.suppress(TypeError, ValueError):
        updater = mxopt.get_updater(mxopt.create(name), loss_scale="dynamic", ema=0.9, clip_global_norm=1.0)
        updater(list(range(len(weights))), [np.full_like(g, np.inf) for g in grads], weights)
        updater(list(range(len(weights))), grads, weights)


def main():
    assert kernels.openmp_version()
    for name in sorted(mxopt.optimizer.opt_registry):
        for dtype in DTYPES:
            shapes = [(0, 3), (1, 1), (7, 5), (33, 17), (400, 50)]
            weights, grads = ([values(s, dtype) for s in shapes] for _ in range(2))
            call(name, weights, grads)
            call(name, weights, grads, multi_precision=True, skip_nonfinite=True)
            call(name, weights, grads, multi_precision="split")
            with contextlib.suppress(ValueError):  # some cannot
                call(name, weights, grads, cautious=True)
            for shape in ((5, 3), (9, 70)):
                with contextlib.suppress(TypeError, ValueError):
                    call_exactly(name, dtype, shape)
                    call_exactly(name, dtype, shape, momentum=0.9, multi_precision=True)
                    call_exactly(name, dtype, shape, multi_precision="split")
            strided = [np.repeat(w, 2, axis=1)[:, ::2] for w in weights]
            call(name, strided, [np.asfortranarray(g) for g in grads])
            for shape in ((50, 1), (50, 3), (300, 64), (40, 700)):
                count = shape[0] // 3
                rows = np.sort(RNG.choice(shape[0], count, replace=False))
                rows[-1] = shape[0] - 1
                grad = mxopt.RowSparseArray(values((count, shape[1]), dtype), rows, shape)
                for lazy in (True, False):
                    with contextlib.suppress(TypeError, ValueError):
                        call(name, [values(shape, dtype)], [grad], lazy_update=lazy)
        for dtype in DTYPES:
            shapes = [(5_000,), (70, 90)]
            weights, grads = ([values(s, dtype) for s in shapes] for _ in range(2))
            rows = mxopt.RowSparseArray(values((3, 90), dtype), [0, 7, 69], (70, 90))
            call_in_the_pass(name, weights, grads, [grads[0], rows])
    for n in (10_000, 600):  # a long list, read ahead
        weights, grads = ([values((3,), np.float32) for _ in range(n)] for _ in range(2))
        call("adam", weights, grads)
    large = values((100_001,), np.float32)
    call("adam", [large], [large.copy()])
    shared = [large[:100], large[50:150]]
    call("sgd", shared, [np.ones(100, np.float32)] * 2)
    mxopt.RowSparseArray(values((90, 7), np.float32), RNG.integers(0, 20, 90), (20, 7))


if __name__ == "__main__":
    main()
