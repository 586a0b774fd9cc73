"""Stores and modules over plain arrays."""

import os
import sys

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt import nd

dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])


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


def test_a_custom_updater():
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
    store.pull("w", out=everything)
    before = rows.data.copy()
    store.pull("w", out=rows)  # what has rows is left out, unless asked for
    np.testing.assert_array_equal(rows.data, before)
    store.pull("w", out=rows, ignore_sparse=False)
    np.testing.assert_array_equal(rows.asnumpy(), everything)
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
        (lambda kv: kv.init(3, np.ones(2)), TypeError, "the keys of this store are str, as 'w'; got 3"),
        (lambda kv: kv.init(["v", 3], [np.ones(2)] * 2), TypeError, "the keys of this store are str"),
        (lambda kv: kv.init(["v", "v"], [np.ones(2)] * 2), ValueError, "key 'v' is in the store already"),
        (lambda kv: kv.push(3, np.ones(2)), TypeError, "the keys of this store are str, as 'w'; got 3"),
        (
            lambda kv: kv.row_sparse_pull("w", out=np.zeros(2), row_ids=[0]),
            TypeError,
            "out for key 'w' must be row-sparse, got ndarray; use pull",
        ),
        (
            lambda kv: kv.row_sparse_pull(
                "w", out=nd.sparse.zeros("row_sparse", (2,)), row_ids=np.array([0])
            ),
            TypeError,
            "key 'w' has a dense value",
        ),
        (lambda kv: kv.is_capable("sparse"), ValueError, "capability must be 'optimizer'"),
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


PACKAGE = os.path.dirname(mxopt.__file__) + os.sep


class Interrupted:
    """Raises KeyboardInterrupt at the n-th line that mxopt runs."""

    def __init__(self, at):
        self.left = at

    def __call__(self, frame, event, _argument):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def interrupted_everywhere(call, *expected):
    """Run a call again and again, interrupted at every line; what is left must be one of the expected."""
    reached = set()
    tracing = sys.gettrace()
    for at in range(1, 10_000):
        run, left = call()
        sys.settrace(Interrupted(at))
        try:
            run()
        except KeyboardInterrupt:
            pass
        else:
            sys.settrace(tracing)
            assert left() == expected[-1]
            break
        finally:
            sys.settrace(tracing)
        found = left()
        assert found in expected, (at, found)
        reached.add(expected.index(found))
    assert at > 10
    return reached


KEYS = ["a", "b", "c"]


def filled(value):
    return [np.full(2, value, np.float32) for _ in KEYS]


def of_store(store):
    return {key: store._stored[key].array.tolist() for key in KEYS if key in store._stored}


def told(value):
    return {key: [value, value] for key in KEYS}


def test_an_interrupted_init_push_or_pull_is_done_for_all_keys_or_for_none():
    def init():
        store = mxopt.kv.create()
        return lambda: store.init(KEYS, filled(1)), lambda: of_store(store)

    def push(updater):
        def call():
            store = mxopt.kv.create()
            store.init(KEYS, filled(1))
            if updater:
                store.set_updater(updater)
            return lambda: store.push(KEYS, filled(3)), lambda: of_store(store)

        return call

    def pull():
        store, outs = mxopt.kv.create(), filled(0)
        store.init(KEYS, filled(1))
        outs[1] = nd.sparse.zeros("row_sparse", (2,))
        return (
            lambda: store.pull(KEYS, out=outs, ignore_sparse=False),
            lambda: [np.asarray(x.asnumpy() if hasattr(x, "asnumpy") else x).tolist() for x in outs],
        )

    def pull_rows():
        store = mxopt.kv.create()
        store.init(KEYS, [nd.ones((3, 1)).tostype("row_sparse") for _ in KEYS])
        outs = [nd.sparse.zeros("row_sparse", (3, 1)) for _ in KEYS]
        return (
            lambda: store.row_sparse_pull(KEYS, out=outs, row_ids=[np.array([2, 0])] * 3),
            lambda: [(x.indices.tolist(), x.data.tolist()) for x in outs],
        )

    def add(_key, pushed, stored):
        stored += pushed
        stored[:] = stored * 2

    interrupted_everywhere(init, {}, told(1))
    interrupted_everywhere(push(None), told(1), told(3))
    interrupted_everywhere(push(add), told(1), told(8))
    interrupted_everywhere(pull, [[0, 0]] * 3, [[1, 1]] * 3)
    interrupted_everywhere(pull_rows, [([], [])] * 3, [([0, 2], [[1], [1]])] * 3)


@pytest.mark.parametrize("kind", ["plain", "function", "optimizer"])
def test_an_interrupted_pushpull_never_writes_out_what_the_store_has_not(kind):
    def add(key, pushed, stored):
        stored += pushed

    def call():
        store, outs = mxopt.kv.create(), filled(0)
        store.init(KEYS, filled(1))
        if kind == "function":
            store.set_updater(add)
        elif kind == "optimizer":
            store.set_optimizer(mxopt.create("sgd", learning_rate=1.0))
        return (
            lambda: store.pushpull(KEYS, filled(3), out=outs),
            lambda: (of_store(store), [x.tolist() for x in outs]),
        )

    new = {"plain": 3, "function": 4, "optimizer": -2}[kind]
    before, after = (told(1), [[0, 0]] * 3), (told(new), [[new, new]] * 3)
    halfway = [(told(new), [[0, 0]] * 3)] if kind == "optimizer" else []
    reached = interrupted_everywhere(call, before, *halfway, after)
    assert 0 in reached


def test_an_interrupted_broadcast_stores_and_writes_all_or_nothing():
    def call():
        store, outs = mxopt.kv.create(), filled(0)
        return (
            lambda: store.broadcast(KEYS, filled(3), out=outs),
            lambda: (of_store(store), [x.tolist() for x in outs]),
        )

    reached = interrupted_everywhere(call, ({}, [[0, 0]] * 3), (told(3), [[3, 3]] * 3))
    assert 0 in reached


def test_a_function_that_raises_for_one_key_changes_none():
    store = mxopt.kv.create()
    store.init(KEYS, filled(1))

    def updater(key, pushed, stored):
        stored += pushed
        if key == "b":
            raise ArithmeticError("not this one")

    store.set_updater(updater)
    with pytest.raises(ArithmeticError):
        store.push(KEYS, filled(3))
    assert of_store(store) == told(1)


def test_a_pull_with_one_wrong_out_writes_none():
    store = mxopt.kv.create()
    store.init(KEYS, filled(1))
    outs = [np.zeros(2, np.float32), np.zeros(2, np.float16), np.zeros(3, np.float32)]
    with pytest.raises(ValueError, match="out for key 'c' must have shape"):
        store.pull(KEYS, out=outs)
    assert not outs[0].any()
    readonly = np.zeros(2, np.float32)
    readonly.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        store.pull(["a", "b"], out=[outs[0], readonly])
    assert not outs[0].any()


@dialects
def test_a_pull_rounds_to_the_dtype_of_out_whatever_the_caller_s_errstate(mx):
    store = mx.kv.create()
    store.init("a", np.array([1.0, 1e6], np.float32))
    out = np.zeros(2, np.float16)
    with np.errstate(all="raise"):
        store.pull("a", out=out)
    assert out.tolist() == [1.0, np.inf]


# -- custom stores ---------------------------------------------------------------------------


@dialects
def test_the_test_store(mx):
    kv = mx.kv.create("teststore")
    assert (kv.type, kv.rank, kv.num_workers, kv.is_capable("optimizer")) == ("teststore", 0, 1, False)
    assert not type(kv).is_capable("optimizer")
    outs = [mx.nd.zeros((2, 2)) for _ in range(3)]
    kv.broadcast("a", mx.nd.ones((2, 2)), out=outs)
    assert all((out == 1).asnumpy().all() for out in outs)
    kv.pushpull("a", [mx.nd.ones((2, 2), mx.cpu(i)) for i in range(4)], out=outs)
    assert all((out == 4).asnumpy().all() for out in outs)
    kv.pushpull("a", outs)
    assert all((out == 12).asnumpy().all() for out in outs)
    for call in (
        lambda: kv.set_optimizer(mx.optimizer.create("sgd")),
        lambda: kv.save_optimizer_states("states"),
        lambda: kv.load_optimizer_states("states"),
    ):
        with pytest.raises(NotImplementedError, match="the store TestStore has no"):
            call()


@dialects
def test_a_registered_store_serves_a_trainer(mx):
    calls = []

    @mx.kv.KVStoreBase.register
    class Summing(mx.kv.TestStore):
        type = "summing"

        def pushpull(self, key, value, out=None, priority=0):
            calls.append(key)
            super().pushpull(key, value, out, priority)

    try:
        weights = [np.zeros(2, np.float32) for _ in range(2)]
        parameter = mx.gluon.Parameter("w", weights)
        trainer = mx.gluon.Trainer([parameter], "sgd", {"learning_rate": 1.0}, kvstore="summing")
        parameter.set_grad([np.ones(2, np.float32), np.full(2, 2, np.float32)])
        trainer.step(1)
        assert not trainer.update_on_kvstore
        assert calls == [0]
        assert [w.tolist() for w in weights] == [[-3, -3]] * 2
        with pytest.raises(ValueError, match="the store 'summing' applies no optimizer"):
            mx.gluon.Trainer(
                [mx.gluon.Parameter("w", weights)], "sgd", kvstore="Summing", update_on_kvstore=True
            ).step(1, grads={"w": [np.ones(2, np.float32)] * 2})
        with pytest.warns(UserWarning, match="the store 'summing' is now"):
            mx.kv.KVStoreBase.register(type("Summing", (mx.kv.TestStore,), {"__module__": "elsewhere"}))
    finally:
        del mx.kv.KVStoreBase.kv_registry["summing"]


def test_a_store_that_defines_nothing_says_what_it_lacks():
    class Nothing(mxopt.kv.KVStoreBase):
        pass

    kv = Nothing()
    for call in (
        lambda: kv.type,
        lambda: kv.rank,
        lambda: kv.num_workers,
        lambda: kv.is_capable("optimizer"),
        lambda: kv.broadcast("a", np.ones(2), np.ones(2)),
        lambda: kv.pushpull("a", np.ones(2)),
    ):
        with pytest.raises(NotImplementedError, match="the store Nothing has no"):
            call()
    with pytest.raises(TypeError, match="register takes a class"):
        mxopt.kv.KVStoreBase.register(kv)


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


def test_an_optimizer_that_is_not_averaged_gives_a_warning():
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


@dialects
@pytest.mark.parametrize("stepped", [False, True], ids=["fresh", "stepped"])
def test_a_module_on_two_devices_resumes_from_a_file_of_mxnets_form(mx, stepped, tmp_path):
    """The optimizer is the store's then, and the states' keys are names there."""

    def made():
        weights = {"w": drawn(2), "b": drawn(3)}
        module = mx.mod.ParameterModule({name: [w, w.copy()] for name, w in weights.items()}, batch_size=2)
        module.init_optimizer("local", "sgd", {"learning_rate": 0.5, "momentum": 0.5})
        assert module._update_on_kvstore
        return module, [np.ones(2, np.float32)] * 2, [np.ones(3, np.float32)] * 2

    (module, w, b), (resumed, _, _) = made(), made()
    for _ in range(3):
        module.update({"w": w, "b": b})
    path = tmp_path / "module.states"
    module.save_optimizer_states(path, format=mx.mod.ParameterModule.dialect.format)
    if stepped:
        resumed.update({"w": w, "b": b})
    resumed.load_optimizer_states(path, num_update=3)
    ours, theirs = resumed._kvstore._updater.states, module._kvstore._updater.states
    assert ours.keys() == theirs.keys() == {"w", "b"}
    for key, state in theirs.items():
        np.testing.assert_array_equal(ours[key], state)
