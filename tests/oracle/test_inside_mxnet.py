"""mxopt working inside real MXNet: on its arrays, and as the updater of its KVStore."""

import mxnet
import numpy as np
import pytest

import mxopt
from mxopt.arrays import as_array
from oracle.comparison import dialects_here
from oracle.driver import mxopt_for, quiet

DIALECT = dialects_here()[0]
RSP = mxnet.nd.sparse.row_sparse_array


def ours():
    return mxopt_for(DIALECT).package


def address(array):
    return as_array(array).ctypes.data


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_a_view_is_the_memory_of_mxnets_array(dtype):
    array = mxnet.nd.ones((3, 4), dtype=dtype)
    array += 1  # still running in MXNet's engine, perhaps
    view = as_array(array)
    assert type(view) is np.ndarray
    assert view.dtype == dtype
    assert (view == 2).all()
    view[:] = 5
    assert (array + 1).asnumpy().sum() == 72
    assert address(array) == address(array)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_updater_steps_mxnets_arrays_in_place(name):
    weight, grad = mxnet.nd.ones((4, 3)), mxnet.nd.full((4, 3), 0.5)
    plain = np.ones((4, 3), np.float32)
    before = address(weight)
    updaters = [
        ours().optimizer.get_updater(ours().optimizer.create(name, learning_rate=0.1)) for _ in range(2)
    ]
    for _ in range(3):
        updaters[0](0, grad, weight)
        updaters[1](0, grad.asnumpy(), plain)
    assert address(weight) == before
    np.testing.assert_array_equal(weight.asnumpy(), plain)
    assert (grad.asnumpy() == 0.5).all()


@pytest.mark.parametrize("kind", ["local", "device"])
@pytest.mark.parametrize("key", [3, "fc_weight"])
def test_the_updater_is_that_of_mxnets_kvstore(kind, key):
    """Each store sums five workers' gradients; its own updater and mxopt's end in the same bits."""
    found = []
    for package in (mxnet, ours()):
        rng = np.random.RandomState(5)
        store = mxnet.kv.create(kind)
        store.init(key, mxnet.nd.array(rng.normal(size=(6, 5))))
        updater = package.optimizer.get_updater(package.optimizer.create("adam", learning_rate=0.1, wd=0.01))
        store._set_updater(updater)
        for _ in range(5):
            store.push(key, [mxnet.nd.array(rng.normal(size=(6, 5))) for _ in range(5)])
        out = mxnet.nd.zeros((6, 5))
        store.pull(key, out=out)
        found.append(out.asnumpy())
        assert list(updater.states) == [key]
    np.testing.assert_array_equal(*found)


def test_row_sparse_gradients_of_a_kvstore_touch_the_rows_of_its_weight():
    found = []
    for package in (mxnet, ours()):
        rng = np.random.RandomState(7)
        store = mxnet.kv.create("local")
        store.init("embedding", mxnet.nd.array(rng.normal(size=(8, 3))).tostype("row_sparse"))
        optimizer = package.optimizer.create("adam", learning_rate=0.1, lazy_update=True)
        store._set_updater(package.optimizer.get_updater(optimizer))
        with quiet():
            for _ in range(4):
                rows = np.sort(rng.permutation(8)[:3])
                store.push("embedding", RSP((rng.normal(size=(3, 3)).astype("float32"), rows), shape=(8, 3)))
        out = mxnet.nd.sparse.zeros("row_sparse", (8, 3))
        store.row_sparse_pull("embedding", out=out, row_ids=mxnet.nd.arange(8))
        found.append(out.asnumpy())
    np.testing.assert_array_equal(*found)


def test_a_custom_optimizer_steps_mxnets_arrays():
    class Plain(mxopt.optimizer.Optimizer):
        def update(self, index, weight, grad, state):
            self._update_count(index)
            weight[:] -= self._get_lr(index) * grad

    weight = mxnet.nd.ones((2, 2))
    mxopt.optimizer.get_updater(Plain(learning_rate=0.5))(0, mxnet.nd.ones((2, 2)), weight)
    assert (weight.asnumpy() == 0.5).all()


def test_gluons_trainer_takes_an_optimizer_of_mxopt_by_its_updater():
    """gluon.Trainer checks the class of an optimizer, but its updaters are objects that are only called."""
    parameter = mxnet.gluon.Parameter("weight", shape=(3,))
    parameter.initialize(init="zeros")
    trainer = mxnet.gluon.Trainer([parameter], "sgd", {"learning_rate": 0.1})
    updater = ours().optimizer.get_updater(ours().optimizer.create("sgd", learning_rate=0.5))
    trainer._updaters = [updater]
    parameter.grad()[:] = 1
    parameter.data()._fresh_grad = True
    trainer.step(1)
    assert (parameter.data().asnumpy() == -0.5).all()


def test_params_files_are_exchanged(tmp_path):
    theirs, mine = str(tmp_path / "theirs.params"), str(tmp_path / "mine.params")
    arrays = {
        "arg:w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "aux:mean": np.ones(4, np.float64),
        "half": np.full((1,), 0.5, np.float16),
        "count": np.arange(3, dtype=np.int64),
    }
    mxnet.nd.save(theirs, {name: mxnet.nd.array(a, dtype=a.dtype) for name, a in arrays.items()})
    ours().nd.save(mine, arrays)
    loaded = (mxnet.nd.load(mine), ours().nd.load(theirs))
    for name, array in arrays.items():
        for side in loaded:
            np.testing.assert_array_equal(side[name].asnumpy(), array)
            assert side[name].dtype == array.dtype
    with open(mine, "rb") as a, open(theirs, "rb") as b:
        assert a.read() == b.read()


#: Large enough that MXNet is still computing when the step begins.
SIZE = 1024


@pytest.mark.parametrize("place", ["updater", "trainer", "trainer, between", "module"])
def test_what_mxnet_still_computes_is_waited_for(place):
    """MXNet computes in the background: the gradient is written, the old weight read, before the step."""
    # A matrix product with `four` multiplies by 4, exactly, in whatever order the sums are formed.
    four = mxnet.nd.full((SIZE, SIZE), 4 / SIZE)
    weight, grad = mxnet.nd.zeros((SIZE, SIZE)), mxnet.nd.zeros((SIZE, SIZE))
    package, settings = ours(), {"learning_rate": 1.0}
    if place == "module":
        module = package.mod.ParameterModule({"w": weight}, {"w": grad})
        module.init_optimizer(optimizer="sgd", optimizer_params=settings)
        step = module.update
    elif place == "updater":
        updater = package.optimizer.get_updater(package.optimizer.create("sgd", **settings))

        def step():
            updater(0, grad, weight)
    else:
        parameter = package.gluon.Parameter("w", weight, grad=grad)
        trainer = package.gluon.Trainer([parameter], "sgd", settings)

        def step():
            if "between" in place:
                trainer.allreduce_grads()
                trainer.update(1)
            else:
                trainer.step(1)

    weight[:] = 1
    mxnet.nd.waitall()
    for _ in range(2):
        old = mxnet.nd.dot(mxnet.nd.dot(four, weight), four)
        mxnet.nd.dot(four, weight, out=grad)
        step()
    mxnet.nd.waitall()
    assert (weight.asnumpy() == (1 - 4) ** 2).all()
    assert (old.asnumpy() == (1 - 4) * 4**2).all()


@pytest.fixture
def shapes_of_1x():
    """Without NumPy's shapes, under which MXNet 2 writes no sparse arrays."""
    array, shape = mxnet.util.is_np_array(), mxnet.util.is_np_shape()
    mxnet.npx.reset_np()
    yield
    mxnet.npx.set_np(shape=shape, array=array)


ROWS = {
    "rows": lambda nd: nd.sparse.row_sparse_array(([[1, 2], [3, 4]], [1, 4]), shape=(6, 2)),
    "no rows": lambda nd: nd.sparse.zeros("row_sparse", (3, 2)),
    "three dimensions": lambda nd: nd.sparse.row_sparse_array((np.ones((1, 2, 3)), [0]), shape=(2, 2, 3)),
    "float64": lambda nd: nd.sparse.zeros("row_sparse", (3, 2), dtype="float64"),
    "dense": lambda nd: nd.array([[1, 2]]),
}
FILES = {name: {name: make} for name, make in ROWS.items()}
FILES["all, with names"] = ROWS
FILES["a list"] = list(ROWS.values())


@pytest.mark.parametrize("file", FILES)
def test_params_files_with_rows_are_exchanged(file, tmp_path, shapes_of_1x):
    theirs, mine = str(tmp_path / "theirs.params"), str(tmp_path / "mine.params")
    made = []
    for package, path in ((mxnet, theirs), (ours(), mine)):
        content = FILES[file]
        if isinstance(content, dict):
            content = {name: make(package.nd) for name, make in content.items()}
        else:
            content = [make(package.nd) for make in content]
        if package is mxnet:
            mxnet.nd.waitall()  # `save` writes a sparse array's shapes without waiting for them
        made.append(content)
        options = {"format": "mxnet-1.x"} if package is not mxnet else {}
        package.nd.save(path, content, **options)
    with open(mine, "rb") as a, open(theirs, "rb") as b:
        assert a.read() == b.read()
    loaded = (mxnet.nd.load(mine), ours().nd.load(theirs))
    for side in loaded:
        assert type(side) is type(made[0])
        keys = made[0] if isinstance(side, dict) else range(len(side))
        assert len(side) == len(made[0])
        for key in keys:
            assert side[key].stype == made[0][key].stype
            np.testing.assert_array_equal(side[key].asnumpy(), made[0][key].asnumpy())
            if side[key].stype == "row_sparse":
                np.testing.assert_array_equal(side[key].indices.asnumpy(), made[0][key].indices.asnumpy())


def test_a_params_file_with_a_csr_array_is_refused(tmp_path, shapes_of_1x):
    path = str(tmp_path / "theirs.params")
    array = mxnet.nd.sparse.csr_matrix(np.eye(3))
    array.wait_to_read()  # `save` writes a sparse array's shapes without waiting for them
    mxnet.nd.save(path, {"c": array})
    with pytest.raises(mxopt.StateFileError, match="array 0: a CSR array, which mxopt does not have"):
        ours().nd.load(path)
