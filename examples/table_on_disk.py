"""A table larger than memory: weights and states in files, of which a step touches only its rows.

The process limits itself to half of what the table with Adam's states takes, and steps rows of it. Files have
holes where nothing was written, so the disk holds only what was touched.

    python examples/table_on_disk.py
    python examples/table_on_disk.py --rows 4000000 --steps 500
"""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np

import mxopt as mx


def on_disk(path, shape):
    """An array of float32 zeros in a new file."""
    return np.memmap(path, np.float32, "w+", shape=shape)


def limit_memory(size):
    """Let the process have no more memory than this, files not counted, where the system can say so."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        return f"limited to {size / 1e6:.0f} MB"
    return "not limited on this system"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=256, help="rows of a step")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    shape = options.rows, options.width
    size = 3 * 4 * options.rows * options.width

    with tempfile.TemporaryDirectory() as folder:
        table, mean, var = (on_disk(Path(folder, name), shape) for name in ("table", "mean", "var"))
        updater = mx.get_updater(mx.create("adam", learning_rate=0.05, lazy_update=True))
        updater.states["table"] = mean, var  # instead of those that the first step would make
        updater.states_synced["table"] = True
        print(f"table and states: {size / 1e6:.0f} MB; memory {limit_memory(size // 2)}")

        rng, losses, begin = np.random.default_rng(0), [], time.perf_counter()
        for _ in range(options.steps):
            rows = np.unique((options.rows * rng.random(options.batch) ** 20).astype(np.int64))
            errors = table[rows] - 1.0
            losses.append(float(np.square(errors).mean()))
            updater("table", mx.RowSparseArray(errors, rows, shape), table)
        elapsed = time.perf_counter() - begin

        used = sum(path.stat().st_blocks * 512 for path in Path(folder).iterdir())
        print(f"{options.steps} steps, {1e3 * elapsed / options.steps:.1f} ms each")
        print(f"loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last; on disk: {used / 1e6:.0f} MB")
        del table, mean, var, updater  # before the folder goes


if __name__ == "__main__":
    main()
