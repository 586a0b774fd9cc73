"""Mistakes that only several ranks can make, each followed by the cure that its message names."""

import json

import numpy as np
from mpi4py import MPI

import mxopt as mx
from mxopt.distributed import world

RANKS = world.world()


def apart():
    """A communicator of two groups."""
    here = MPI.COMM_WORLD.Split(RANKS.rank % 2)
    return here.Create_intercomm(0, MPI.COMM_WORLD, 1 - RANKS.rank % 2)


def sharded(name="sgd", **options):
    return mx.get_updater(
        mx.create(name, learning_rate=0.5, **options.pop("settings", {})), comm=RANKS, **options
    )


def half_a_step():
    updater, weight = sharded(accumulate=2 * RANKS.size), np.ones(9, "f4")
    updater(0, np.ones(9, "f4"), weight)
    return updater, weight


def whole_after_dropping():
    updater, weight = half_a_step()
    updater.drop_micro_batches()
    updater.get_states()
    for _ in range(2):
        updater(0, np.ones(9, "f4"), weight)
    updater.get_states()
    assert (weight < 1).all()


def rows():
    return mx.RowSparseArray(np.ones((1, 2), "f4"), [1], (4, 2))


def trained(weight, **settings):
    trainer = mx.gluon.Trainer({"w": weight}, "ftrl", settings, sharded=True)
    trainer.step(1, grads={"w": rows()})


def table_of_rows():
    made = mx.gluon.Parameter("w", shape=(4, 2), stype="row_sparse", grad_stype="row_sparse")
    made.initialize(init="ones")
    trainer = mx.gluon.Trainer([made], "ftrl", sharded=True)
    made.set_grad(mx.nd.sparse.row_sparse_array((np.ones((1, 2), "f4"), [1]), shape=(4, 2)))
    trainer.step(1)


def lazily():
    weight = np.ones((4, 2), "f4")
    trained(weight, lazy_update=True)
    assert (weight[1] < 1).all() and (weight[[0, 2, 3]] == 1).all()


def stepped(updater):
    weight = np.ones(9, "f4")
    updater(0, np.ones(9, "f4"), weight)
    assert (weight < 1).all()


def store_of(ranks):
    """A store whose optimizer, which cannot be pickled, some ranks are given."""
    store = mx.kv.create("dist_sync")
    store.init("w", np.ones(3, "f4"))
    if RANKS.rank in ranks:
        rate = 0.5
        store.set_optimizer(mx.create("sgd", learning_rate=None, lr_scheduler=lambda _: rate))
    store.push("w", np.ones(3, "f4"))
    out = np.zeros(3, "f4")
    store.pull("w", out=out)
    assert (out < 1).all()


def gathering(steps):
    optimizer = mx.create("lbsgd", batch_scale=2, warmup_strategy="linear", lazy_update=True)
    updater, weight = mx.get_updater(optimizer, comm=RANKS), np.ones((4, 2), "f4")
    for _ in range(steps):
        updater(0, rows(), weight)
    updater.get_states()


MIXED = {"learning_rate": 0.1, "momentum": 0.9, "multi_precision": True}


def of_mxnet():
    """States as MXNet writes them; they do not say which array is the master of the half-precision weight."""
    updater = mx.get_updater(mx.create("sgd", **MIXED))
    updater(0, np.ones(9, "f2"), np.ones(9, "f2"))
    return updater.get_states(format="mxnet-2.x")


def loaded(**options):
    updater, weight = mx.get_updater(mx.create("sgd", **MIXED), comm=RANKS), np.ones(9, "f2")
    updater.set_states(of_mxnet(), num_update=1, **options)
    updater(0, np.ones(9, "f2"), weight)
    assert np.allclose(weight, 0.9 - 0.09 - 0.1 * RANKS.size, atol=0.001)  # from the master and the momentum


#: What goes wrong, words of the line, and what to do instead
CURES = [
    (lambda: sharded(accumulate=1), "cut the batch into more micro-batches",
     lambda: stepped(sharded(accumulate=RANKS.size))),
    (lambda: half_a_step()[0].get_states(), "drop them with updater.drop_micro_batches()",
     whole_after_dropping),
    (lambda: mx.get_updater(mx.create("sgd"), comm=apart()), "merge it with comm.Merge()",
     lambda: stepped(mx.get_updater(mx.create("sgd"), comm=apart().Merge()))),
    (lambda: trained([mx.nd.ones((4, 2)), mx.nd.ones((4, 2))]), "start a process for each",
     lambda: trained(np.ones((4, 2), "f4"))),
    (lambda: store_of({0}), "call set_optimizer on every rank", lambda: store_of(range(RANKS.size))),
    (lambda: gathering(1), "save after the step that takes them", lambda: gathering(2)),
    (loaded, "pass format='mxnet-1.x' or 'mxnet-2.x', whichever wrote it",
     lambda: loaded(format="mxnet-2.x")),
    (table_of_rows, "store the weights dense, and pass lazy_update= to the optimizer", lazily),
]  # fmt: skip

if __name__ == "__main__":
    for mistake, words, cure in CURES:
        try:
            mistake()
            line = "nothing was raised"
        except Exception as error:
            line = str(error)
        assert words in line, line
        assert "\n" not in line
        cure()
        print(json.dumps([RANKS.rank, line]), flush=True)
