"""Stores and modules over plain arrays."""

import os

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt import nd

dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.9"])


def drawn(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype(np.float32)


def pulled(store, key, shape):
    out = np.zeros(shape, np.float32)
    store.pull(key, out=out)
    return out


@dialects
@pytest.mark.parametrize("kind", ["local", "device"])
def test_several_workers_gradients_are_summed_before_the_update(mx, kind):
    store = mx.kv.create(kind)
    store.init(3, np.zeros((2, 2), np.float32))
    store.set_optimizer(mx.optimizer.create("adam", learning_rate=0.1))
    store.push(3, [np.ones((2, 2), np.float32) * i for i in (1, 2, -1)])
    alone = np.zeros((2, 2), np.float32)
    mx.optimizer.get_updater(mx.optimizer.create("adam", learning_rate=0.1))(
        3, np.full((2, 2), 2, np.float32), alone
    )
    np.testing.assert_array_equal(pulled(store, 3, (2, 2)), alone)
    assert list(store._updater.states) == [3]
    assert (store.rank, store.num_workers, store.type) == (0, 1, kind)


def test_the_order_of_summation_is_mxnets():
    values = [drawn(50, seed=i) * np.float32(10.0**i) for i in range(6)]
    found = {}
    for kind in ("local", "device"):
        store = mxopt.kv.create(kind)
        store.init("w", np.zeros(50, np.float32))
        store.push("w", values)
        found[kind] = pulled(store, "w", 50)
    one_by_one = values[0]
    for value in values[1:]:
        one_by_one = one_by_one + value
    in_fours = values[0] + (((values[1] + values[2]) + values[3]) + values[4]) + values[5]
    np.testing.assert_array_equal(found["device"], one_by_one)
    np.testing.assert_array_equal(found["local"], in_fours)


def test_without_updater_a_push_replaces():
    store = mxopt.kv.create()
    store.init(["a", "b"], [drawn(2), drawn(3)])
    store.push(["a", "b", "a"], [np.ones(2, np.float32), drawn(3), np.ones(2, np.float32)])
    assert pulled(store, "a", 2).tolist() == [2, 2]
    grads = [nd.ones((2,)), nd.ones((2,))]
    store.pushpull("a", grads)
    assert [grad.tolist() for grad in grads] == [[2, 2], [2, 2]]


def test_values_are_copied_in_and_out():
    value = np.ones(2, np.float32)
    store = mxopt.kv.create()
    store.init(0, value)
    value[:] = 5
    assert pulled(store, 0, 2).tolist() == [1, 1]


def test_an_updater_of_ones_own():
    seen = []

    def update(key, pushed, stored):
        seen.append(key)
        stored += pushed * 2

    store = mxopt.kv.create()
    store.init("w", np.zeros(2, np.float32))
    store.set_updater(update)
    store.push("w", nd.ones((2,)))
    store._set_updater(update)
    store.push(b"w", nd.ones((2,)))
    assert pulled(store, "w", 2).tolist() == [4, 4]
    assert seen == ["w", "w"]


def test_rows_are_pulled_and_pushed():
    start = drawn(6, 2)
    store = mxopt.kv.create()
    store.init("w", nd.array(start).tostype("row_sparse"))
    rows = nd.sparse.zeros("row_sparse", (6, 2))
    store.row_sparse_pull("w", out=rows, row_ids=nd.array([4, 1, 4]))
    assert rows.indices.tolist() == [1, 4]
    np.testing.assert_array_equal(rows.data, start[[1, 4]])
    store.set_optimizer(mxopt.create("sgd", learning_rate=1.0, lazy_update=True))
    store.push("w", [nd.sparse.row_sparse_array(([[1, 1]], [row]), shape=(6, 2)) for row in (1, 3, 1)])
    everything = nd.zeros((6, 2))
    store.pull("w", out=everything)  # row-sparse values are for row_sparse_pull
    assert not everything.any()
    store.pull("w", out=everything, ignore_sparse=False)
    moved = start - everything
    np.testing.assert_allclose(moved[[1, 3]], [[2, 2], [1, 1]], rtol=1e-6)
    assert not np.delete(moved, [1, 3], axis=0).any()


@dialects
def test_states_go_to_a_file_and_back(mx, tmp_path):
    path = str(tmp_path / "store.states")
    first, second = (mx.kv.create() for _ in range(2))
    for store in (first, second):
        store.init("w", np.zeros(3, np.float32))
        store.set_optimizer(mx.optimizer.create("adam", learning_rate=0.1))
    first.push("w", drawn(3))
    first.save_optimizer_states(path, dump_optimizer=True)
    second.init("copy", np.zeros(3, np.float32))
    second._stored["w"].set(pulled(first, "w", 3))
    second.load_optimizer_states(path)
    for store in (first, second):
        store.push("w", drawn(3, seed=1))
    np.testing.assert_array_equal(pulled(first, "w", 3), pulled(second, "w", 3))


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        (lambda kv: kv.init("w", np.ones(2)), ValueError, "key 'w' is in the store already"),
        (lambda kv: kv.push("v", np.ones(2)), KeyError, "key 'v' is not in the store"),
        (
            lambda kv: kv.push("w", drawn(3)),
            ValueError,
            r"key 'w' must have the stored shape \(2,\), got \(3,\)",
        ),
        (lambda kv: kv.pull("w", out=np.zeros(3)), ValueError, "out for key 'w' must have shape"),
        (lambda kv: kv.pull("w"), ValueError, "pull needs out"),
        (lambda kv: kv.row_sparse_pull("w", out=np.zeros(2)), ValueError, "needs out and row_ids"),
        (lambda kv: kv.push(["w", "v"], np.ones(2)), ValueError, "a list of 2 keys needs"),
        (lambda kv: kv.push(1.5, np.ones(2)), TypeError, "an index must be an int or a str"),
        (lambda kv: kv.save_optimizer_states("x"), RuntimeError, "call set_optimizer first"),
        (lambda kv: kv.load_optimizer_states("x"), RuntimeError, "call set_optimizer first"),
        (lambda kv: kv.set_updater(3), TypeError, "must be callable"),
        (lambda kv: kv.set_gradient_compression({"type": "2bit"}), NotImplementedError, "does not compress"),
        (lambda kv: mxopt.kv.create("dist_async"), NotImplementedError, "use 'dist_sync'"),
        (lambda kv: mxopt.kv.create("locale"), ValueError, "unknown kind of store 'locale'"),
        (lambda kv: mxopt.kv.create(3), TypeError, "must be a string"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_use_of_a_store(use, error, words):
    store = mxopt.kv.create()
    store.init("w", np.zeros(2, np.float32))
    with pytest.raises(error, match=words):
        use(store)
    assert pulled(store, "w", 2).tolist() == [0, 0]


def test_a_push_with_one_wrong_gradient_changes_no_weight():
    store = mxopt.kv.create()
    store.init(["a", "b"], [np.zeros(2, np.float32), np.zeros(2, np.float32)])
    store.set_optimizer(mxopt.create("sgd", learning_rate=1.0))
    with pytest.raises(TypeError, match="gradient of index 'b' must be float32"):
        store.push(["a", "b"], [np.ones(2, np.float32), np.ones(2, int)])
    assert pulled(store, "a", 2).tolist() == [0, 0]


# -- modules ---------------------------------------------------------------------------------------


def module_of(mx, **settings):
    weights = {name: drawn(2, 3, seed=i) for i, name in enumerate(("fc1_weight", "fc1_bias", "fc2_weight"))}
    return weights, mx.mod.ParameterModule(weights, **settings)


@dialects
def test_a_module_names_and_scales_as_mxnets(mx):
    weights, module = module_of(mx, batch_size=8, fixed_param_names=["fc2_weight"])
    before = {name: weight.copy() for name, weight in weights.items()}
    module.init_optimizer(optimizer="sgd", optimizer_params=(("learning_rate", 0.5), ("wd", 0.25)))
    assert module._optimizer.rescale_grad == 1 / 8
    assert module._optimizer.idx2name == {0: "fc1_weight", 1: "fc1_bias"}
    assert module._optimizer.wd_mult == ({"fc1_bias": 0.0} if mx is mxopt.v1 else {})
    module.update({"fc1_weight": np.ones((2, 3), np.float32), "fc1_bias": None})
    assert not (weights["fc1_weight"] == before["fc1_weight"]).any()
    for name in ("fc1_bias", "fc2_weight"):
        np.testing.assert_array_equal(weights[name], before[name])


@dialects
def test_a_modules_files(mx, tmp_path):
    prefix = str(tmp_path / "net")
    settings = {"learning_rate": 0.1, "momentum": 0.9}
    weights, module = module_of(mx, batch_size=2)
    grads = {name: weight.copy() for name, weight in weights.items()}
    module.init_optimizer(optimizer_params=settings)
    module.update(grads)
    module.save_checkpoint(prefix, 7, save_optimizer_states=True)
    assert sorted(os.listdir(tmp_path)) == ["net-0007.params", "net-0007.states"]
    others, other = module_of(mx, batch_size=2)
    other.load_checkpoint(prefix, 7, load_optimizer_states=True)
    with pytest.raises(RuntimeError, match="call init_optimizer first"):
        other.update(grads)
    other.init_optimizer(optimizer_params=settings)
    for one in (module, other):
        one.update(grads)
    for name in weights:
        np.testing.assert_array_equal(weights[name], others[name])
    assert mx.model.load_params(prefix, 7)[0].keys() == weights.keys()


def test_a_module_on_two_devices_sums_its_gradients():
    copies = [np.zeros(3, np.float32) for _ in range(2)]
    module = mxopt.mod.ParameterModule({"w": copies}, batch_size=2)
    module.init_optimizer(optimizer_params={"learning_rate": 1.0})
    module.update({"w": [np.ones(3, np.float32), np.ones(3, np.float32) * 3]})
    assert [copy.tolist() for copy in copies] == [[-2] * 3] * 2


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        (
            lambda m: m.update({"fc1_weight": None, "fc1_bias": None}),
            ValueError,
            "'fc2_weight' has no gradient",
        ),
        (
            lambda m: m.update(dict.fromkeys(["fc1_weight", "fc1_bias", "fc2_weight", "x"])),
            ValueError,
            "for 'x'",
        ),
        (lambda m: m.set_params({"fc1_weight": drawn(2, 3)}), ValueError, "arg_params lacks 'fc1_bias'"),
        (lambda m: m.set_params({"y": drawn(1)}, allow_missing=True), ValueError, "arg_params has 'y'"),
        (
            lambda m: m.set_params({"fc1_bias": drawn(2)}, allow_missing=True),
            ValueError,
            r"shape \(2, 3\), got",
        ),
        (lambda m: mxopt.mod.ParameterModule({}), ValueError, "at least one weight"),
        (
            lambda m: mxopt.mod.ParameterModule({"w": drawn(2)}, fixed_param_names=["v"]),
            ValueError,
            "has 'v'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_use_of_a_module(use, error, words):
    _, module = module_of(mxopt)
    module.init_optimizer()
    with pytest.raises(error, match=words):
        use(module)


def test_an_optimizer_that_is_not_averaged_is_told_of():
    _, module = module_of(mxopt, batch_size=4)
    with pytest.warns(UserWarning, match="rescale_grad is 1.0 and 1/batch_size is 0.25"):
        module.init_optimizer(optimizer=mxopt.create("sgd"))


@pytest.mark.parametrize("lazy", [True, False], ids=["row-sparse weight", "dense weight"])
@pytest.mark.parametrize("place", ["store", "trainer"])
def test_ftrl_is_lazy_where_weights_are_stored_by_rows(place, lazy):
    """As MXNet's, whose kernel follows the storage of the weight."""
    weight = np.ones((4, 2), np.float32)
    gradient = mxopt.RowSparseArray(np.ones((1, 2), np.float32), [2], (4, 2))
    if place == "store":
        store = mxopt.kv.create("local")
        start = nd.array(weight)
        store.init(["w", "other"], [start.tostype("row_sparse") if lazy else start, start])
        store.set_optimizer(mxopt.create("ftrl", learning_rate=0.5))
        store.push(["w", "other"], [gradient, gradient])
        found = nd.zeros((4, 2))
        store.pull("w", out=found, ignore_sparse=False)
        other = nd.zeros((4, 2))
        store.pull("other", out=other)
        assert not other[0].asnumpy().any()
    else:
        found = weight
        storage = "row_sparse" if lazy else "default"
        param = mxopt.gluon.Parameter("w", weight, stype=storage, grad_stype="row_sparse")
        mxopt.gluon.Trainer([param], "ftrl", {"learning_rate": 0.5}).step(1, grads=[gradient])
    assert (found[0] == (1 if lazy else 0)).all()
    assert (found[2] != 1).all()
