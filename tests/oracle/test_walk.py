"""A random walk beside MXNet: over the functions and methods of ``mx.nd``, over stores and over trainers."""

import inspect

import mxnet
import numpy as np
import pytest

from oracle import walk
from oracle.comparison import dialects_here
from oracle.driver import mxopt_for, quiet

OURS = mxopt_for(dialects_here()[0]).package
CALLS = 150
SHAPE = (5, 2)


def told(call, package):
    """Shapes, dtypes and numbers of what a call gives, or the error that it raises."""
    with np.errstate(all="ignore"):
        try:
            found = call(package)
            found = found if isinstance(found, (list, tuple)) else [found]
            return [x.asnumpy() if hasattr(x, "asnumpy") else np.asarray(x) for x in found]
        except Exception as error:  # whatever the messages say
            return error


def compare(call):
    theirs, ours = told(call, mxnet), told(call, OURS)
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        assert isinstance(theirs, Exception), f"{call}: {ours}"
        assert isinstance(ours, Exception), f"{call}: {theirs}"
        return
    assert [(x.shape, x.dtype) for x in ours] == [(x.shape, x.dtype) for x in theirs], call
    for x, y in zip(ours, theirs):
        if call.name in walk.INEXACT:
            close = 2e-3 if y.dtype == np.float16 else 1e-5
            np.testing.assert_allclose(x, y, rtol=close, atol=close, err_msg=str(call))
        else:
            np.testing.assert_array_equal(x, y, err_msg=str(call))


@pytest.mark.parametrize("kind", walk.KINDS, ids=lambda kind: kind.__name__)
def test_arrays(kind):
    for number in range(CALLS):
        compare(walk.draw(kind, number))


def written_through(call, package):
    """What the arguments hold once the results of the call are overwritten; None if it raises."""
    with np.errstate(all="ignore"):
        try:
            found, args = call.with_arguments(package)
            for result in found if isinstance(found, (list, tuple)) else [found]:
                if isinstance(result, package.nd.NDArray) and result.stype == "default" and result.shape:
                    result[:] = 77
            package.nd.waitall()
        except Exception:  # compared in test_arrays
            return None
        return [x.asnumpy() for x in args if isinstance(x, package.nd.NDArray)]


@pytest.mark.parametrize(
    "kind", [k for k in walk.KINDS if k is not walk.into], ids=lambda kind: kind.__name__
)
def test_results_share_memory_with_arguments_where_mxnets_do(kind):
    for number in range(CALLS):
        call = walk.draw(kind, number)
        theirs, ours = written_through(call, mxnet), written_through(call, OURS)
        if theirs is not None and ours is not None:
            for x, y in zip(ours, theirs):
                np.testing.assert_array_equal(x, y, err_msg=str(call))


#: Functions of MXNet's that the walk leaves out, by the tests that have them; a name may be an ending.
ELSEWHERE = {
    "test_update_operators": ("_update", "_update_phase1", "_update_phase2", "reset_arrays"),
    "test_storage": ("cast_storage",),
    "tests/legacy/test_nd.py": (
        *("normal", "random_gamma", "random_normal", "random_poisson", "random_randint", "random_uniform"),
        *("shuffle", "uniform", "empty", "from_numpy", "waitall"),
    ),
    "tests/legacy/test_npz.py": ("load", "save", "load_frombuffer"),
}  # fmt: skip


def test_the_walk_draws_every_function_with_every_keyword():
    drawn = {}
    for kind in walk.KINDS:
        for number in range(2000):
            call = walk.draw(kind, number)
            if not call.method:
                drawn.setdefault(call.name, set()).update(call.kwargs)
    elsewhere = tuple(end for ends in ELSEWHERE.values() for end in ends)
    missing = []
    for name, function in vars(OURS.nd).items():
        if not (inspect.isfunction(function) and hasattr(mxnet.nd, name)) or name.endswith(elsewhere):
            continue
        keywords = {
            p.name for p in inspect.signature(function).parameters.values() if p.default is not p.empty
        }
        if name not in drawn:
            missing.append(name)
        else:
            missing += [
                (name, keyword) for keyword in keywords - drawn[name] - {"out", "name", "ctx", "dtype"}
            ]
    assert not missing


# -- stores -----------------------------------------------------------------------------------------------


def store_walk(package, seed):
    """What the arrays of a script hold after each of its random calls of a store."""
    rng, nd = np.random.RandomState(seed), package.nd
    kind, workers = ("local", "device")[rng.randint(2)], rng.randint(1, 4)
    keys = [["a", "b", "c"], [3, 5, 7]][rng.randint(2)]

    def drawn(storage):
        dense = rng.randint(-8, 9, SHAPE) / 4
        dense *= rng.randint(0, 2, (SHAPE[0], 1)) if storage == "row_sparse" else 1
        return nd.array(dense).tostype(storage)

    storages = {key: ("default", "row_sparse")[rng.randint(2)] for key in keys}
    store, updater = package.kv.create(kind), rng.randint(3)
    for key in keys:  # optimizers of MXNet's want row-sparse weights with every row
        store.init(key, nd.array(rng.randint(1, 9, SHAPE) / 4).tostype(storages[key]))
    if updater == 1:
        store.set_optimizer(package.optimizer.create("sgd", learning_rate=0.5, momentum=0.5, wd=0.25))
    elif updater == 2:

        def move(_key, pushed, stored):
            stored += 0.5 * pushed

        store._set_updater(move)
    seen = []
    for _ in range(8):
        some = [key for key in keys if rng.randint(2)] or keys[:1]
        act = rng.randint(4)
        values = [[drawn(storages[key]) for _ in range(workers)] for key in some]
        if act == 0:
            store.push(some, values)
            continue
        outs = [[nd.zeros(SHAPE) for _ in range(workers)] for _ in some]
        if act == 1:
            store.pull(some, out=outs)
        elif act == 2:
            store.pushpull(some, values, out=outs)
        else:
            some = [key for key in some if storages[key] == "row_sparse"]
            if not some:
                continue
            outs = [[nd.sparse.zeros("row_sparse", SHAPE) for _ in range(workers)] for _ in some]
            ids = [[nd.array(rng.randint(0, SHAPE[0], 3)) for _ in range(workers)] for _ in some]
            store.row_sparse_pull(some, out=outs, row_ids=ids)
        seen += [x.asnumpy() for row in outs for x in row]
    return seen


@pytest.mark.parametrize("seed", range(25))
def test_stores(seed):
    with quiet():
        theirs, ours = store_walk(mxnet, seed), store_walk(OURS, seed)
    assert len(theirs) == len(ours)
    for x, y in zip(ours, theirs):
        np.testing.assert_array_equal(x, y)


# -- trainers ---------------------------------------------------------------------------------------------


def trainer_walk(package, seed, folder):
    """All copies' weights after each step of a training that also sets, saves, loads and changes rates."""
    rng, theirs = np.random.RandomState(seed), package is mxnet
    nd = package.nd
    contexts = [package.cpu(i) for i in range(rng.randint(1, 3))]
    optimizer, settings = [
        ("sgd", {"learning_rate": 0.5, "momentum": 0.5}),
        ("adam", {"learning_rate": 0.125}),
        ("rmsprop", {"learning_rate": 0.125}),
        ("adagrad", {"learning_rate": 0.25, "wd": 0.125}),
    ][rng.randint(4)]
    on_store = [None, False][rng.randint(2)]
    new = mxnet.np.array if theirs and not mxnet.__version__.startswith("1.") else nd.array
    parameters = []
    for name in ("fc_weight", "fc_bias", "fc_gamma"):
        parameter = package.gluon.Parameter(name, shape=SHAPE, lr_mult=float(rng.randint(1, 3)))
        parameter.initialize(ctx=contexts)
        parameter.set_data(new(rng.randint(-8, 9, SHAPE) / 4))
        parameters.append(parameter)
    parameters[2].grad_req = ("write", "null")[rng.randint(2)]
    trainer = package.gluon.Trainer(
        parameters, optimizer, settings, kvstore="local", update_on_kvstore=on_store
    )
    path, seen, saved = str(folder / ("theirs" if theirs else "ours")), [], False

    def step():
        for parameter in parameters:
            if parameter.grad_req == "null":
                continue
            for context in contexts:
                values = rng.randint(-8, 9, SHAPE) / 4
                if theirs:
                    parameter.grad(context)[:] = new(values)
                    parameter.data(context)._fresh_grad = True
                else:
                    parameter.grad(context)[:] = values
        trainer.step(4)

    step()
    for _ in range(6):
        act = rng.randint(5)
        if act == 0:
            parameters[rng.randint(3)].set_data(new(rng.randint(-8, 9, SHAPE) / 4))
        elif act == 1:
            trainer.set_learning_rate(float(rng.randint(1, 5)) / 8)
        elif act == 2:
            trainer.save_states(path)
            saved = True
        elif act == 3 and saved:
            trainer.load_states(path)
        step()
        seen += [array.asnumpy() for parameter in parameters for array in parameter.list_data()]
    return seen


@pytest.mark.parametrize("seed", range(20))
def test_trainers(seed, tmp_path):
    with quiet():
        theirs, ours = trainer_walk(mxnet, seed, tmp_path), trainer_walk(OURS, seed, tmp_path)
    for x, y in zip(ours, theirs):
        np.testing.assert_array_equal(x, y)
