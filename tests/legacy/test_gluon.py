"""Trainer and parameters over plain arrays."""

from copy import copy as shallow
from copy import deepcopy

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt import gluon, nd
from mxopt.states import StateMismatch

dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])


def ones(*shape):
    return np.ones(shape, np.float32)


@dialects
def test_the_callers_memory_is_updated(mx):
    weight, grad = np.zeros((2, 3), np.float32), ones(2, 3)
    param = mx.gluon.Parameter("w", weight, grad=grad)
    trainer = mx.gluon.Trainer([param], "sgd", {"learning_rate": 0.5})
    trainer.step(2)
    grad[:] = 2
    trainer.step(2)
    assert (weight == -0.75).all()
    assert (grad == 2).all()
    assert param.data().ctypes.data == weight.ctypes.data
    assert type(trainer._optimizer) is mx.optimizer.SGD
    assert trainer._optimizer._index_update_count == {0: 2}


def test_gradients_handed_over_by_step():
    weights = {"b": np.zeros(2, np.float32), "a": np.zeros(3, np.float32)}
    trainer = gluon.Trainer(weights, "adam", {"learning_rate": 0.1})
    trainer.step(1, grads={"a": ones(3), "b": ones(2)})
    assert [param.name for param in trainer._params] == ["a", "b"]  # sorted, as MXNet does
    assert all((weight < 0).all() for weight in weights.values())


def test_parameters_multipliers_win():
    params = [gluon.Parameter("w", np.zeros(2, np.float32), ones(2), lr_mult=0.5, wd_mult=0.0),
              gluon.Parameter("b", np.zeros(2, np.float32), ones(2))]  # fmt: skip
    trainer = gluon.Trainer(params, "sgd", {"learning_rate": 1.0, "wd": 0.5})
    trainer.step(1)
    assert params[0].data().tolist() == [-0.5, -0.5]
    params[1].lr_mult = 0.0
    trainer.step(1, grads=[ones(2), ones(2)])
    assert params[1].data().tolist() == [-1, -1]
    assert [(e.name, e.lr, e.wd, e.count) for e in trainer.optimizer.effective()] == [
        ("w", 0.5, 0.0, 2),
        ("b", 0.0, 0.5, 2),
    ]


def test_multipliers_by_pattern():
    params = {name: np.ones(1, np.float32) for name in ("fc_weight", "fc_bias", "bn_gamma")}
    trainer = gluon.Trainer(params, "sgd", {"learning_rate": 1.0, "wd": 0.5})
    assert trainer.set_wd_mult({"*gamma": 0, "*_bias": 0}) == {"*gamma": ["bn_gamma"], "*_bias": ["fc_bias"]}
    assert trainer.set_lr_mult({"fc_*": 0.5, "fc_bias": 2}) == {
        "fc_*": ["fc_bias", "fc_weight"],
        "fc_bias": ["fc_bias"],
    }
    assert {e.name: (e.lr, e.wd) for e in trainer.optimizer.effective()} == {
        "bn_gamma": (1, 0),
        "fc_bias": (2, 0),
        "fc_weight": (0.5, 0.5),
    }
    with pytest.warns(
        UserWarning,
        match="lr_mult is set for 'fc_bais', but no parameter has that name; did you mean 'fc_bias'",
    ):
        trainer.set_lr_mult({"fc_bais": 3})


def test_multipliers_that_parameters_override_give_a_warning():
    """MXNet ignores them without a word."""
    trainer = gluon.Trainer({"w": np.ones(1, np.float32)}, "sgd")
    trainer.optimizer.set_lr_mult({"w": 0.0})
    with pytest.warns(UserWarning, match="lr_mult is set for 'w', but parameter 'w' has its own, which wins"):
        trainer.step(1, grads={"w": ones(1)})


def test_a_missing_or_unknown_gradient_is_named():
    trainer = gluon.Trainer({"w": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}, "sgd")
    with pytest.raises(UserWarning, match="for 'b'"):
        trainer.step(1, grads={"w": ones(2)})
    with pytest.raises(ValueError, match="grads has 'ww', but no parameter has that name; did you mean 'w'"):
        trainer.step(1, grads={"ww": ones(2)})
    with pytest.raises(ValueError, match=r"gradient of parameter 'w' must have the shape of its data"):
        trainer.step(1, grads={"w": ones(3), "b": ones(2)})


def test_accumulation():
    param = gluon.Parameter("w", np.zeros(2, np.float32), grad_req="add")
    trainer = gluon.Trainer([param], "sgd", {"learning_rate": 1.0})
    given = ones(2)
    for _ in range(3):
        param.set_grad(given)
    assert given.tolist() == [1, 1]
    assert param.grad().tolist() == [3, 3]
    trainer.step(3)
    assert param.data().tolist() == [-1, -1]
    param.zero_grad()
    param.set_grad(nd.sparse.row_sparse_array((ones(1), [1]), shape=(2,)))
    trainer.step(1)
    assert param.data().tolist() == [-1, -2]


def test_accumulation_of_rows():
    param = gluon.Parameter("w", np.zeros((3, 1), np.float32), grad_req="add", grad_stype="row_sparse")
    for row in (2, 0, 2):
        param.set_grad(mxopt.RowSparseArray(ones(1, 1), np.array([row]), (3, 1)))
    assert param.grad().indices.tolist() == [0, 2]
    assert param.grad().data.tolist() == [[1], [2]]


def test_frozen_parameters_keep_their_place():
    weights = [np.zeros(2, np.float32) for _ in range(3)]
    params = [gluon.Parameter(f"p{i}", w, ones(2), grad_req="null" if i == 1 else "write")
              for i, w in enumerate(weights)]  # fmt: skip
    trainer = gluon.Trainer(params, "adam")
    trainer.step(1)
    assert list(trainer._updaters[0].states) == [0, 2]
    assert not weights[1].any()


@pytest.mark.parametrize("on_store", [True, False])
def test_copies_on_several_contexts_get_the_sum(on_store):
    copies = [np.zeros(3, np.float32) for _ in range(2)]
    param = gluon.Parameter("w", copies)
    trainer = gluon.Trainer([param], "adam", {"learning_rate": 0.1}, update_on_kvstore=on_store)
    for step in range(3):
        param.set_grad([ones(3) * step, ones(3)])
        trainer.step(2)
    single = np.zeros(3, np.float32)
    updater = mxopt.get_updater(mxopt.create("adam", learning_rate=0.1, rescale_grad=0.5))
    for step in range(3):
        updater(0, ones(3) * step + 1, single)
    assert param.list_ctx() == [mxopt.cpu(0), mxopt.cpu(1)]
    assert trainer.update_on_kvstore is on_store
    for copy in copies:
        np.testing.assert_array_equal(copy, single)
    if on_store:
        with pytest.raises(ValueError, match="update_on_kvstore=False"):
            trainer.allreduce_grads()


@dialects
def test_states_come_back_with_counts_and_rate(mx, tmp_path):
    path = str(tmp_path / "trainer.states")

    def make(values):
        params = [mx.gluon.Parameter("w", values.copy())]
        return params[0], mx.gluon.Trainer(params, "adam", {"learning_rate": 0.1, "clip_gradient": 0.5})

    param, trainer = make(np.zeros(4, np.float32))
    for _ in range(3):
        trainer.step(1, grads=[ones(4)])
    trainer.set_learning_rate(0.05)
    trainer.save_states(path)
    other, resumed = make(param.data().asnumpy())
    other.lr_mult = 1.0
    resumed.load_states(path)
    assert resumed.learning_rate == 0.05
    for _ in range(2):
        trainer.step(1, grads=[ones(4)])
        resumed.step(1, grads=[ones(4)])
    np.testing.assert_array_equal(other.data(), param.data())
    assert resumed._optimizer.param_dict == {0: other}


def test_states_of_renamed_parameters_are_matched_by_name(tmp_path):
    path = str(tmp_path / "trainer.states")

    def make(*names):
        params = [gluon.Parameter(n, np.zeros(2, np.float32), ones(2) * len(n)) for n in names]
        return gluon.Trainer(params, "adam")

    trainer = make("a", "bb")
    trainer.step(1)
    trainer.save_states(path, keep_previous=True)
    other = make("bb", "a")
    other.load_states(path)
    np.testing.assert_array_equal(other._updaters[0].states[0][0], trainer._updaters[0].states[1][0])
    with pytest.raises(ValueError, match="different parameters"):
        make("a", "ccc").load_states(path)
    make("a", "ccc").load_states(path, rename={"bb": "ccc"})


def test_a_file_of_another_optimizer_is_told_of(tmp_path):
    path = str(tmp_path / "trainer.states")
    trainer, other = (gluon.Trainer([gluon.Parameter("w", np.zeros(2, np.float32), ones(2))], name)
                      for name in ("adam", "adadelta"))  # fmt: skip
    trainer.step(1)
    trainer.save_states(path)
    with pytest.warns(UserWarning, match="saved with Adam, which now replaces this trainer's AdaDelta"):
        other.load_states(path)


def test_torch_parameters_bring_their_gradients():
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = gluon.Trainer(dict(model.named_parameters()), "sgd", {"learning_rate": 0.5})
    with pytest.raises(UserWarning, match="'bias', 'weight'"):
        trainer.step(1)
    model(torch.ones(4, 3)).sum().backward()
    trainer.step(4)
    for name, p in model.named_parameters():
        assert torch.equal(p.detach(), before[name] - 0.5 * (p.grad / 4))
    model.zero_grad()
    with pytest.raises(UserWarning):
        trainer.step(1)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: gluon.Trainer([], "sgd"), ValueError, "not be empty"),
        (lambda: gluon.Trainer([ones(2)], "sgd"), ValueError, "plain arrays need names: pass a dict"),
        (lambda: gluon.Trainer({"w": ones(2)}, "sgdd"), ValueError, "did you mean 'sgd'"),
        (lambda: gluon.Trainer({"w": ones(2)}, mxopt.create("sgd"), {"wd": 1}), ValueError, "left out"),
        (
            lambda: gluon.Trainer({"w": ones(2)}, "sgd", kvstore="dist_async").step(1),
            NotImplementedError,
            "dist_async",
        ),
        (lambda: gluon.Trainer({"w": ones(2)}, None), TypeError, r"got None; make one with create\('sgd'"),
        (
            lambda: gluon.Trainer({"w": ones(2)}, mxopt.Adam),
            TypeError,
            r"got Adam; make one with create\('adam'",
        ),
        (lambda: mxopt.get_updater("sgd"), TypeError, r"got 'sgd'; make one with create\('sgd'"),
        (lambda: gluon.Trainer({"w": ones(2)}, "sgd").step(1, grads=3), ValueError, "grads must be a dict"),
        (lambda: gluon.Trainer({"w": ones(2)}, "sgd").step(0), ValueError, "batch_size must not be 0"),
        (lambda: gluon.Trainer({"w": ones(2)}, "sgd").step("a"), TypeError, "batch_size must be a number"),
        (lambda: gluon.Parameter("w", ones(2), grad_req="all"), ValueError, "grad_req of parameter 'w'"),
        (lambda: gluon.Parameter("w", ones(2), stype="csr"), ValueError, "stype of parameter 'w'"),
        (lambda: gluon.Parameter("w", ones(2), lr_mult="big"), TypeError, "lr_mult of parameter 'w'"),
        (lambda: gluon.Parameter("w", ones(2), grad=ones(3)), ValueError, "grad of parameter 'w'"),
        (lambda: gluon.Parameter("w", [[1.0]]), TypeError, "data of parameter 'w' must be an array"),
        (lambda: gluon.Parameter("w", shape=(2,)).data(), RuntimeError, "'w' has no data yet"),
        (lambda: gluon.Parameter("w", ones(2), grad_req="null").grad(), RuntimeError, "no gradient"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_failed_step_changes_nothing():
    weights = {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}
    trainer = gluon.Trainer(weights, "adam")
    with pytest.raises(TypeError, match="gradient of index 1 .'b'. must be float32"):
        trainer.step(4, grads={"a": ones(2), "b": np.ones(2, int)})
    assert not weights["a"].any()
    assert trainer._optimizer.rescale_grad == 1.0
    assert trainer._optimizer._index_update_count == {}
    assert trainer._updaters[0].states == {}


@pytest.mark.parametrize("request_", ["write", "add"])
def test_of_gradients_handed_over_all_are_taken_or_none(request_):
    params = [gluon.Parameter(name, np.zeros(2, np.float32), grad_req=request_) for name in "ab"]
    trainer = gluon.Trainer(params, "sgd", {"learning_rate": 1.0})
    trainer.step(1, grads={"a": ones(2), "b": ones(2)})
    for param in params:
        param.zero_grad()
    with pytest.raises(ValueError, match="gradient of parameter 'b' must have the shape"):
        trainer.step(1, grads={"a": ones(2), "b": ones(3)})
    with pytest.raises(UserWarning, match="'a', 'b'"):
        trainer.step(1)
    trainer.step(1, grads=[ones(2), ones(2)])
    assert [param.data().tolist() for param in params] == [[-2, -2]] * 2


def test_settings_may_be_pairs():
    trainer = gluon.Trainer({"w": ones(2)}, "sgd", (("learning_rate", 0.5), ("momentum", 0.9)))
    assert (trainer.learning_rate, trainer.optimizer.momentum) == (0.5, 0.9)


def test_the_batch_size_may_be_an_array():
    """Loss scaling passes an array as batch size; an overflow arrives in it, and AdamW skips the update."""
    weight = np.ones(2, np.float32)
    trainer = gluon.Trainer({"w": weight}, "adamw", {"learning_rate": 0.1})
    trainer.step(nd.array([2.0]), grads={"w": ones(2)})
    moved = weight.copy()
    assert trainer.optimizer.rescale_grad == 0.5
    trainer.step(nd.array([np.nan]), grads={"w": ones(2)})
    trainer.step(np.inf, grads={"w": ones(2)})
    np.testing.assert_array_equal(weight, moved)
    assert trainer.optimizer.num_update == 3


def test_new_weights_reach_the_store():
    copies = [np.zeros(2, np.float32) for _ in range(2)]
    param = gluon.Parameter("w", copies)
    trainer = gluon.Trainer([param], "sgd", {"learning_rate": 1.0})
    param.set_grad([ones(2), ones(2)])
    trainer.step(2)
    param.set_data(np.full(2, 5, np.float32))
    param.set_grad([ones(2), ones(2)])
    trainer.step(2)
    assert [copy.tolist() for copy in copies] == [[4, 4], [4, 4]]


def test_a_trainer_with_its_own_reduction():
    """As Horovod's: the scale is divided by the workers, and the gradients are reduced elsewhere."""

    class Distributed(gluon.Trainer):
        def __init__(self, params, optimizer, optimizer_params=None):
            super().__init__(params, optimizer, optimizer_params=optimizer_params, kvstore=None)
            self._scale /= 4

        def _allreduce_grads(self):
            for param in self._params:
                if param.grad_req != "null":
                    param.list_grad()[0][:] = param.list_grad()[0] * 4

    weight, grad = np.zeros(2, np.float32), ones(2)
    trainer = Distributed([gluon.Parameter("w", weight, grad=grad)], "sgd", {"learning_rate": 1.0})
    trainer.step(1)
    assert weight.tolist() == [-1, -1]
    assert not trainer._params_to_init


def test_parameters_by_name_go_to_a_file(tmp_path):
    path = str(tmp_path / "net.params")
    params = gluon.ParameterDict()
    params.get("w", shape=(2,), lr_mult=0.5)
    params.get("b", shape=(3,), init="ones")
    params.initialize()
    params.save(path)
    params["b"].set_data(np.zeros(3))
    params.load(path)
    assert params["b"].data().tolist() == [1, 1, 1]
    params.setattr("grad_req", "null")
    assert {param.grad_req for param in params.values()} == {"null"}
    del params["b"]
    with pytest.raises(ValueError, match="has 'b', but no parameter has that name"):
        params.load(path)
    assert params.get("x") is None


def test_parameters_have_a_prefix():
    params = gluon.ParameterDict("net_")
    weight = params.get("weight", shape=(2,))
    assert (weight.name, list(params), params.prefix) == ("net_weight", ["net_weight"], "net_")
    assert params.get("weight") is weight
    assert params.get("bias") is None
    assert gluon.ParameterDict(params).get("net_weight") is weight


def test_clip_global_norm():
    arrays = [np.full(4, 3, np.float32), nd.full((3,), 0.0)]
    norm = gluon.utils.clip_global_norm(arrays, 1.0)
    assert norm == 6
    np.testing.assert_allclose(arrays[0], 0.5, rtol=1e-6)
    assert gluon.utils.clip_global_norm(arrays, 10.0) == pytest.approx(1)
    np.testing.assert_allclose(arrays[0], 0.5, rtol=1e-6)
    with pytest.warns(UserWarning, match="norm is inf"):
        gluon.utils.clip_global_norm([np.array([np.inf], np.float32)], 1.0)
    with pytest.raises((ValueError, IndexError, AssertionError), match="empty"):
        gluon.utils.clip_global_norm([], 1.0)


def test_batches_are_cut_for_contexts():
    batch = np.arange(8.0).reshape(4, 2)
    parts = gluon.utils.split_and_load(batch, [mxopt.cpu(0), mxopt.cpu(1)])
    assert [part.context for part in parts] == [mxopt.cpu(0), mxopt.cpu(1)]
    np.testing.assert_array_equal(np.concatenate(parts), batch)
    assert gluon.utils.split_and_load(batch, [mxopt.cpu()])[0].dtype == np.float32
    assert [len(part) for part in gluon.utils.split_data(nd.zeros((5, 1)), 2, even_split=False)] == [3, 2]
    with pytest.raises(ValueError, match="cannot be cut into 3 equal slices"):
        gluon.utils.split_data(nd.zeros((4, 1)), 3)


def derive_a_block(mx):
    class Net(mx.gluon.HybridBlock):
        pass

    Net()


@pytest.mark.parametrize(
    ("use", "instead"),
    [
        (lambda mx: mx.autograd.record(), "compute gradients with another library"),
        (lambda mx: mx.sym.Variable("data"), "define the model with a library"),
        (lambda mx: mx.gluon.nn.Dense(3), "define the model with a library"),
        (lambda mx: mx.gluon.loss.L2Loss(), "compute gradients"),
        (lambda mx: mx.mod.Module(None), "use mx.mod.ParameterModule"),
        (lambda mx: mx.np.zeros(3), "use numpy"),
        (derive_a_block, "define the model with a library"),
        (lambda mx: mx.nd.ones((1,)).attach_grad(), "no autograd"),
    ],
    ids=["autograd", "sym", "nn", "loss", "Module", "np", "HybridBlock", "attach_grad"],
)
@dialects
def test_what_is_missing_says_so_at_its_first_use(mx, use, instead):
    with pytest.raises(NotImplementedError, match=instead):
        use(mx)


@pytest.mark.parametrize(
    "path",
    ["nd.Konvolution", "nd.contrib.ROIAlignment", "nd.sparse.csr_matrices", "nd.random.biased", "rtk",
     "FeedForward", "gluon.Foo"],
)  # fmt: skip
@dialects
def test_a_missing_name_says_what_the_namespace_has(mx, path):
    *parents, name = path.split(".")
    for parent in parents:
        mx = getattr(mx, parent)
    assert not hasattr(mx, name)
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; mxopt has .* optimizers"):
        getattr(mx, name)


@dialects
def test_imports_of_what_is_missing_work(mx):
    name = mx.__name__
    exec(f"from {name} import autograd, engine, gluon, nd, init, util\nfrom {name}.gluon import nn, loss", {})
    found = {}
    exec(f"from {name}.gluon.trainer import Trainer\nfrom {name}.optimizer.optimizer import Optimizer", found)
    assert found["Trainer"] is mx.gluon.Trainer
    assert found["Optimizer"] is mx.optimizer.Optimizer
    exec(f"from {name}.ndarray import NDArray, zeros, clip, sqrt, abs as NDabs, sgd_update", {})
    exec(f"from {name}.gluon.utils import clip_global_norm\nimport {name}.kvstore, {name}.ndarray.sparse", {})


# -- copies, and files of other models ---------------------------------------------------------------------

PLACES = pytest.mark.parametrize(
    ("copies", "options"),
    [(1, {}), (2, {}), (2, {"update_on_kvstore": False})],
    ids=["one device", "in the store", "two devices"],
)


def trainer_of(mx, copies, options, shape=(2,)):
    weights = [np.zeros(shape, np.float32) for _ in range(copies)]
    parameter = mx.gluon.Parameter("w", weights, lr_mult=0.5, wd_mult=2.0)
    return parameter, mx.gluon.Trainer([parameter], "adam", {"learning_rate": 0.1}, **options)


def stepped(parameter, trainer, value, copies):
    parameter.set_grad([np.full(parameter.shape, value, np.float32) for _ in range(copies)])
    trainer.step(1)
    return [array.asnumpy().tolist() for array in parameter.list_data()]


@dialects
@PLACES
def test_a_deep_copy_of_a_trainer_goes_on_alone_and_alike(mx, copies, options):
    parameter, trainer = trainer_of(mx, copies, options)
    stepped(parameter, trainer, 1.0, copies)
    other = deepcopy(trainer)
    (twin,) = other._params
    assert twin is not parameter
    assert other.optimizer.param_dict == {0: twin}
    alone = stepped(twin, other, 2.0, copies)
    assert stepped(parameter, trainer, 2.0, copies) == alone
    twin.set_data(np.ones(2, np.float32))
    twin.lr_mult = 0.0
    assert stepped(twin, other, 1.0, copies) == [[1, 1]] * copies
    assert [array.asnumpy().tolist() for array in parameter.list_data()] == alone


@dialects
def test_copies_of_optimizers_and_updaters_keep_their_multipliers(mx):
    parameter = mx.gluon.Parameter("w", np.zeros(2, np.float32), lr_mult=0.5)
    opt = mx.optimizer.create("sgd", learning_rate=1.0, param_dict={0: parameter}, param_idx2name={0: "w"})
    opt.set_wd_mult({"w": 0.25})
    updater = mx.optimizer.get_updater(opt)
    for copied in (shallow(opt), deepcopy(opt), deepcopy(updater).optimizer):
        assert copied is not opt
        assert copied.param_dict[0] is parameter
        assert copied._get_lrs([0]) == [0.5]
        assert copied.wd_mult == {"w": 0.25}


@dialects
@PLACES
def test_a_file_of_other_shapes_is_refused_when_it_is_loaded(mx, copies, options, tmp_path):
    path = tmp_path / "trainer.states"
    parameter, trainer = trainer_of(mx, copies, options)
    stepped(parameter, trainer, 1.0, copies)
    trainer.save_states(path)
    other, wrong = trainer_of(mx, copies, options, shape=(3,))
    with pytest.raises(StateMismatch, match=r"its weight has shape \(3,\); load the file into a"):
        wrong.load_states(path)
    fresh, expected = trainer_of(mx, copies, options, shape=(3,))
    assert stepped(other, wrong, 1.0, copies) == stepped(fresh, expected, 1.0, copies)


@dialects
@pytest.mark.parametrize("copies", [1, 2])
def test_loaded_states_are_arrays_of_the_weights_kind(mx, copies, tmp_path):
    path, options = tmp_path / "trainer.states", {"update_on_kvstore": False}
    parameter, trainer = trainer_of(mx, copies, options)
    stepped(parameter, trainer, 1.0, copies)
    trainer.save_states(path)
    _, other = trainer_of(mx, copies, options)
    other.load_states(path)
    for updater in (*trainer._updaters, *other._updaters):
        assert {type(array) for array in updater.states[0]} == {mx.nd.NDArray}
        assert updater.states[0][0].context == mx.cpu(0)


@dialects
def test_a_weight_that_is_set_on_several_devices_starts_with_new_states(mx):
    # as in MXNet, where the store is made anew
    parameter, trainer = trainer_of(mx, 2, {})
    stepped(parameter, trainer, 1.0, 2)
    parameter.set_data(np.zeros(2, np.float32))
    again = stepped(parameter, trainer, 1.0, 2)
    assert trainer.optimizer._index_update_count == {0: 2}
    states = trainer._kvstore._updater.states[0]
    assert np.asarray(states[0]).tolist() == pytest.approx([0.2, 0.2])  # of one step: two gradients of 1
    assert again[0] == again[1]


@pytest.mark.parametrize("first", [False, True], ids=["later", "at the first step"])
def test_a_step_that_fails_at_one_copy_changes_none(first):
    """The second copy's states are of another shape: neither copy moves, and no update is counted."""
    schedule = mxopt.lr_scheduler.FactorScheduler(1, 0.5, base_lr=1.0)
    params = [gluon.Parameter(name, [np.zeros(2, np.float32) for _ in range(2)]) for name in "ab"]
    settings = {"learning_rate": 1.0, "lr_scheduler": schedule}
    trainer = gluon.Trainer(params, "adam", settings, update_on_kvstore=False)

    def step():
        for param in params:
            param.set_grad([ones(2), ones(2)])
        trainer.step(1)

    if not first:
        step()
    optimizer = trainer._optimizer
    before = [[copy.copy() for copy in param.list_data()] for param in params]
    states = [sorted(updater.states) for updater in trainer._updaters]
    told = (
        str(optimizer._all_index_update_counts),
        optimizer.num_update,
        str(vars(schedule)),
    )
    whole = trainer._updaters[1].states.get(1)
    trainer._updaters[1].states[1] = np.zeros(3, np.float32), np.zeros(2, np.float32)
    trainer._updaters[1].states_synced[1] = True
    with pytest.raises(ValueError, match="state 'mean' of index 1"):
        step()
    for param, copies in zip(params, before):
        for now, then in zip(param.list_data(), copies):
            np.testing.assert_array_equal(now, then)
    assert sorted(trainer._updaters[0].states) == states[0]
    counts = {device: count for device, count in optimizer._all_index_update_counts.items() if count}
    assert str(counts) == told[0] or (first and not counts)
    assert (optimizer.num_update, str(vars(schedule))) == told[1:]
    if whole is None:
        del trainer._updaters[1].states[1]
    else:
        trainer._updaters[1].states[1] = whole
    step()
    assert all((copy < 0).all() for param in params for copy in param.list_data())


@dialects
def test_a_row_sparse_parameter_has_one_trainer(mx):
    parameter = mx.gluon.Parameter("table", shape=(3, 2), stype="row_sparse", grad_stype="row_sparse")
    parameter.initialize(init="zeros")
    trainer = mx.gluon.Trainer([parameter], "sgd")
    with pytest.raises(RuntimeError, match="'table' is row-sparse and has a trainer"):
        mx.gluon.Trainer([parameter], "sgd")
    assert parameter._trainer() is trainer
    parameter._set_trainer(None)
    assert parameter._trainer is None
    mx.gluon.Trainer([parameter], "sgd")


@dialects
def test_the_mean_of_the_copies_is_what_modules_save(mx):
    contexts = [mx.cpu(0), mx.cpu(1)]
    parameter = mx.gluon.Parameter("w", shape=(2,))
    parameter.initialize(ctx=contexts, init="zeros")
    parameter.data(contexts[1])[:] = 3
    assert parameter._reduce().asnumpy().tolist() == [1.5, 1.5]
    single = mx.gluon.Parameter("w", shape=(2,))
    single.initialize(init="zeros")
    single._reduce()[:] = 1
    assert single.data().asnumpy().tolist() == [0, 0]


@pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])
@pytest.mark.parametrize("name", ["sgd", "adam", "lamb", "nadam", "ftrl"])
def test_a_store_steps_all_parameters_or_none(mx, name):
    rng = np.random.default_rng(5)
    shapes = [(3,), (4, 2), (5,)]
    start = [rng.normal(size=shape).astype(np.float32) for shape in shapes]

    def trainer():
        parameters = [mx.gluon.Parameter(f"p{i}", array.copy()) for i, array in enumerate(start)]
        options = {"learning_rate": 0.1, "wd": 0.01}
        made = mx.gluon.Trainer(
            parameters, name, options, kvstore=mx.kv.create("local"), update_on_kvstore=True
        )
        return made, parameters

    stepped, parameters = trainer()
    single = mx.optimizer.get_updater(mx.optimizer.create(name, learning_rate=0.1, wd=0.01))
    expected = [array.copy() for array in start]
    for step in range(4):
        grads = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        # counts differ from the second step on
        used = [0, 1, 2] if step != 1 else [1, 2]
        given = {f"p{i}": grads[i] for i in used}
        stepped.step(1, ignore_stale_grad=True, grads=given)
        single.optimizer.rescale_grad = 1.0
        for i in used:
            single(i, grads[i], expected[i])
        for parameter, array in zip(parameters, expected):
            np.testing.assert_array_equal(np.asarray(parameter.data()), array)

    before = [np.array(parameter.data()) for parameter in parameters]
    counts = dict(stepped._kvstore._updater.optimizer._index_update_count)
    stepped._kvstore._updater.optimizer.param_dict[2].lr_mult = np.nan  # found out at the last parameter
    with pytest.raises(ValueError, match="nan"):
        stepped.step(1, grads=[np.ones(shape, np.float32) for shape in shapes])
    for parameter, array in zip(parameters, before):
        np.testing.assert_array_equal(np.asarray(parameter.data()), array)
    assert stepped._kvstore._updater.optimizer._index_update_count == counts
