"""A step over ranks against bare MPI exchanges: ``mxopt launch -n 2 -m benchmarks.distributed``."""

import argparse
import time

import numpy as np

import mxopt
from mxopt.distributed import world


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=float, default=30e6)
    parser.add_argument("--transport", choices=("windows", "messages"))
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    ranks, size = world.world(), int(options.elements)
    weight, grad = np.ones(size, np.float32), np.full(size, 0.5, np.float32)
    count = max(ranks.size, 2)
    updater = mxopt.get_updater(
        mxopt.create("adam"), comm=ranks, accumulate=count, transport=options.transport
    )
    begin, end = getattr(updater, "micro_batches", (0, count))

    def step():
        for _ in range(begin, end):
            updater(0, grad, weight)

    least = best(ranks, step, options.repeats)
    if ranks.rank == 0:
        print(f"{ranks.size} ranks, {size} elements: {least * 1e3:.1f} ms", flush=True)
    if ranks.size > 1:
        bare(ranks, weight, grad, options.repeats)


def best(ranks, step, repeats):
    """The shortest time of some steps, after two untimed ones."""
    step()
    step()
    found = []
    for _ in range(repeats):
        ranks.agree("the beginning of a step")
        start = time.perf_counter()
        step()
        ranks.agree("the end of a step")
        found.append(time.perf_counter() - start)
    return min(found)


def bare(ranks, weight, grad, repeats):
    """Alltoallv, the step of a part, Allgather: the least that a step by messages needs."""
    from mpi4py import MPI

    part = grad.size // ranks.size
    counts, starts = [part] * ranks.size, [part * rank for rank in range(ranks.size)]
    came, own, some = np.empty(part * ranks.size, np.float32), weight[:part].copy(), grad[:part].copy()
    updater = mxopt.get_updater(mxopt.create("adam"))
    everything = np.empty(part * ranks.size, np.float32)

    def step():
        MPI.COMM_WORLD.Alltoallv([grad, counts, starts, MPI.FLOAT], [came, counts, starts, MPI.FLOAT])
        updater(0, some, own)
        MPI.COMM_WORLD.Allgather(own, everything)

    least = best(ranks, step, repeats)
    if ranks.rank == 0:
        print(f"bare exchanges and the step of a part: {least * 1e3:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
