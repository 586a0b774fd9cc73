"""The files that a release leaves in `fixtures/mxopt-states/<version>`: ``python tests/states/released.py``.

Run once for each release; `test_released.py` reads those of all releases with the code of today.
"""

from pathlib import Path

import ml_dtypes
import numpy as np

import mxopt

FOLDER = Path(__file__).parents[1] / "fixtures" / "mxopt-states"


def _array(shape, dtype="f4", start=0):
    return (np.arange(np.prod(shape, dtype=int)) / 8 + start).astype(dtype).reshape(shape)


def _adam():
    schedule = mxopt.lr_scheduler.MultiFactorScheduler([5, 9], 0.5, base_lr=0.25)
    schedule(7)
    updater = mxopt.get_updater(
        mxopt.create(
            "adam", learning_rate=None, lr_scheduler=schedule, beta1=0.75, param_idx2name={0: "w", 7: "b"}
        )
    )
    updater.optimizer.lr_mult = {"b": 2.0}
    updater.states = {0: (_array((2, 3)), _array((2, 3), start=9)), 7: (_array(4), _array(4, start=1))}
    return updater, {0: 7, 7: 6}


def _masters():
    updater = mxopt.get_updater(mxopt.create("sgd", momentum=0.5, multi_precision=True))
    updater.states = {
        "w": (_array((2, 2)), _array((2, 2), start=1)),
        "naïve/name": (_array(3), _array(3, start=5)),
    }
    return updater, {"w": 3, "naïve/name": 2**40}


def _halves():
    updater = mxopt.get_updater(mxopt.create("nadam"))
    updater.optimizer.m_schedule = 0.375
    updater.states = {
        0: (_array(3, "f2"), _array(3, "f8")),
        1: (_array((), ml_dtypes.bfloat16), _array((0, 2))),
    }
    return updater, {0: 1, 1: 1}


def _nothing():
    updater = mxopt.get_updater(mxopt.create("sgd"))
    updater.states = {0: None, 1: None}
    return updater, {0: 1, 1: 1}


UPDATERS = {"adam": _adam, "masters": _masters, "halves": _halves, "nothing": _nothing}


def made(name):
    """The updater whose states a file holds."""
    updater, counts = UPDATERS[name]()
    updater.optimizer._index_update_count.update(counts)
    updater.optimizer.num_update = max(counts.values())
    return updater


def main():
    folder = FOLDER / mxopt.__version__
    folder.mkdir(parents=True)
    for name in UPDATERS:
        for dump in (False, True):
            made(name).save_states(folder / f"{name}{'-dump' if dump else ''}.states", dump_optimizer=dump)


if __name__ == "__main__":
    main()
