"""Custom optimizers, of both generations, in either dialect."""

import copy
import pickle

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt import nd
from mxopt.nd.ndarray import State

dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])


def step(optimizer, weight, grad, index=0, times=1):
    updater = mxopt.optimizer.get_updater(optimizer)
    for _ in range(times):
        updater(index, grad, weight)
    return updater


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.fixture(autouse=True)
def registries_as_they_were():
    registries = [mx.optimizer.Optimizer.opt_registry for mx in (mxopt, mxopt.v1)]
    before = [dict(registry) for registry in registries]
    yield
    for registry, entries in zip(registries, before):
        registry.clear()
        registry.update(entries)


@dialects
def test_update_with_one_tensor_gets_views_of_the_callers_memory(mx):
    seen = []

    @mx.optimizer.register
    class First(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype)

        def update(self, index, weight, grad, state):
            seen.append((index, weight.ctypes.data, type(weight), type(grad), type(state), weight.stype))
            self._update_count(index)
            state[:] = 0.5 * state + grad
            weight[:] -= self._get_lr(index) * state

    weights = [np.zeros(3, np.float32), np.zeros(2, np.float32)]
    updater = step(
        mx.optimizer.create("first", learning_rate=0.5), weights, [ones(3), ones(2)], [0, 1], times=2
    )
    assert seen[:2] == [
        (i, weight.ctypes.data, nd.NDArray, nd.NDArray, State, "default") for i, weight in enumerate(weights)
    ]
    assert weights[0].tolist() == [-1.25] * 3
    assert updater.optimizer.num_update == 2


@dialects
def test_step_with_lists(mx):
    class Second(mx.optimizer.Optimizer):
        def step(self, indices, weights, grads, states):
            assert isinstance(indices, (list, tuple))
            for index, weight, grad, state in zip(indices, weights, grads, states):
                assert state is None
                self._update_count(index)
                weight[:] -= self._get_lr(index) * grad

    weights = [np.zeros(3, np.float32) for _ in range(3)]
    step(Second(learning_rate=1.0), weights, [ones(3)] * 3, ["a", "b", "c"])
    assert [weight[0] for weight in weights] == [-1, -1, -1]


@pytest.mark.parametrize("number", [1, 2, np.inf], ids=str)
def test_lists_come_in_the_size_asked_for(number):
    sizes = []

    class Listed(mxopt.optimizer.Optimizer):
        def update(self, indices, weights, grads, states):
            sizes.append(len(indices))

    step(Listed(aggregate_num=number), [np.zeros(1, np.float32)] * 5, [ones(1)] * 5, list(range(5)))
    assert sizes == {1: [1] * 5, 2: [2, 2, 1], np.inf: [5]}[number]


@dialects
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_super_update_with_scalars(mx, name):
    base = mx.optimizer.Optimizer.opt_registry[name]

    class Halved(base):
        def update(self, index, weight, grad, state):
            grad *= 0.5
            super().update(index, weight, grad, state)

    found, expected = np.zeros(4, np.float32), np.zeros(4, np.float32)
    for _ in range(2):
        step(Halved(learning_rate=0.1), found, ones(4))
        step(base(learning_rate=0.1), expected, ones(4) / 2)
    np.testing.assert_array_equal(found, expected)


def test_gradients_changed_in_place_are_the_callers():
    class Negative(mxopt.optimizer.Optimizer):
        def update(self, index, weight, grad, state):
            grad *= -1
            weight[:] = grad

    weight, grad = np.zeros(2, np.float32), ones(2)
    step(Negative(), weight, grad)
    assert weight.tolist() == grad.tolist() == [-1, -1]


@pytest.mark.parametrize("size", [1, 2])
def test_if_state_asks_whether_there_is_one(size):
    """Also for a single element, which is zero at first."""

    class Momentum(mxopt.optimizer.Optimizer):
        def create_state(self, index, weight):
            return nd.zeros(weight.shape) if index else None

        def update(self, index, weight, grad, state):
            if state:
                state[:] += grad
                weight[:] -= state
            else:
                weight[:] += grad

    weights = [np.zeros(size, np.float32), np.zeros(size, np.float32)]
    step(Momentum(), weights, [ones(size), ones(size)], [0, 1], times=2)
    assert [w.tolist() for w in weights] == [[2] * size, [-3] * size]


def test_states_may_be_anything():
    class Odd(mxopt.optimizer.Optimizer):
        def create_state(self, index, weight):
            return [nd.zeros(weight.shape), 0, {"note": "kept"}]

        def update(self, index, weight, grad, state):
            state[0] = state[0] + grad
            state[1] += 1
            weight[:] = state[0] * state[1]

    weight = np.zeros(2, np.float32)
    updater = step(Odd(), weight, ones(2), times=3)
    assert weight.tolist() == [9, 9]
    assert updater.states[0][1:] == [3, {"note": "kept"}]


def test_plain_states_are_handed_over_as_ndarrays():
    """After loading, states are plain arrays; the class still finds what it made."""

    class Careful(mxopt.optimizer.Optimizer):
        def create_state(self, index, weight):
            return nd.zeros(weight.shape), None

        def update(self, index, weight, grad, state):
            assert isinstance(state[0], nd.NDArray)
            state[0][:] += grad
            weight[:] = state[0].sum().asscalar()

    weight, plain = np.zeros(2, np.float32), np.full(2, 5, np.float32)
    updater = mxopt.get_updater(Careful())
    updater.states[0] = (plain, None)
    updater(0, ones(2), weight)
    assert weight.tolist() == [12, 12]
    assert plain.tolist() == [6, 6]


class Proxy(mxopt.optimizer.Optimizer):
    """As Horovod's: no constructor of the base, everything else by __getattr__."""

    def __init__(self, optimizer):
        self._optimizer = optimizer

    def __getattr__(self, name):
        return getattr(self._optimizer, name)

    def create_state_multi_precision(self, index, weight):
        return self._optimizer.create_state_multi_precision(index, weight)

    def update_multi_precision(self, index, weight, grad, state):
        self._optimizer.update_multi_precision(index, weight, grad, state)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_proxy_delegates(dtype):
    found, expected = np.zeros(3, dtype), np.zeros(3, dtype)

    def make():
        return mxopt.create("adam", learning_rate=0.1, multi_precision=True)

    updater = step(Proxy(make()), found, np.ones(3, dtype), times=3)
    step(make(), expected, np.ones(3, dtype), times=3)
    np.testing.assert_array_equal(found, expected)
    assert updater.optimizer.learning_rate == 0.1
    assert updater.optimizer._index_update_count == {0: 3}


def test_rows_arrive_as_arrays_of_mxnet():
    """As proximal AdaGrad asks: an NDArray whose storage type tells that it holds rows."""

    class Rows(mxopt.optimizer.Optimizer):
        def update(self, index, weight, grad, state):
            assert isinstance(weight, nd.NDArray)
            assert isinstance(grad, nd.NDArray)
            assert grad.stype == "row_sparse"
            weight[grad.indices] -= grad.data * 2

    weight = np.zeros((4, 1), np.float32)
    step(Rows(), weight, mxopt.RowSparseArray(ones(2, 1), np.array([3, 1]), (4, 1)))
    assert weight.ravel().tolist() == [0, -2, 0, -2]
    assert isinstance(nd.ones((1,)), nd.NDArray)
    assert not isinstance(ones(1), nd.NDArray)
    assert not isinstance(mxopt.RowSparseArray(ones(1, 1), [0], (1, 1)), nd.NDArray)


def test_a_class_with_its_own_rates():
    class Decayed(mxopt.optimizer.SGD):
        def _get_lrs(self, indices):
            return [rate / self.num_update for rate in super()._get_lrs(indices)]

    weight = np.zeros(1, np.float32)
    step(Decayed(learning_rate=1.0), weight, ones(1), times=2)
    assert weight[0] == -1.5


def test_masters_made_by_the_class():
    class Masters(mxopt.optimizer.Optimizer):
        def create_state_multi_precision(self, index, weight):
            return weight.astype(np.float32)

        def update_multi_precision(self, index, weight, grad, state):
            state[:] -= 2.0**-13 * grad.astype(np.float32)
            weight[:] = state.astype(weight.dtype)

    weight = np.ones(1, np.float16)
    step(Masters(), weight, np.ones(1, np.float16), times=16)
    assert weight[0] == np.float16(1 - 2.0**-9)


def test_an_array_as_rescale_grad():
    weight = np.zeros(2, np.float32)
    optimizer = mxopt.create("sgd", learning_rate=1.0)
    optimizer.rescale_grad = nd.array([0.25])
    step(optimizer, weight, ones(2))
    assert weight.tolist() == [-0.25, -0.25]


@pytest.mark.parametrize(
    ("weight", "grad", "words"),
    [
        (
            np.zeros(2, np.float32),
            np.ones(3, np.float32),
            r"gradient of index 0 must fit its weight of shape \(2,\)",
        ),
        ([0.0, 0.0], np.ones(2, np.float32), "weight of index 0 must be an array, got list"),
        (np.zeros(2, int), np.ones(2, np.float32), "weight of index 0 must be float32"),
    ],
    ids=["shape", "list", "integers"],
)
def test_bad_arguments_do_not_reach_the_class(weight, grad, words):
    class Never(mxopt.optimizer.Optimizer):
        def update(self, index, weight, grad, state):
            raise AssertionError("reached")

    updater = mxopt.get_updater(Never())
    with pytest.raises((TypeError, ValueError), match=words):
        updater(0, grad, weight)
    assert updater.states == {}


@dialects
def test_patterns_of_names(mx):
    names = dict(enumerate(["fc1_weight", "fc1_bias", "bn_gamma", "fc2_weight"]))
    optimizer = mx.optimizer.create("sgd", learning_rate=1.0, wd=0.5, param_idx2name=names)
    assert optimizer.set_lr_mult({"*_bias": 2, "fc2_*": 0.5, "fc?_weight": 3, "fc2_weight": 4}) == {
        "*_bias": ["fc1_bias"],
        "fc2_*": ["fc2_weight"],
        "fc?_weight": ["fc1_weight", "fc2_weight"],
        "fc2_weight": ["fc2_weight"],
    }
    assert optimizer.set_wd_mult({"*gamma": 0, "*_bias": 0}) == {
        "*gamma": ["bn_gamma"],
        "*_bias": ["fc1_bias"],
    }
    table = {one.name: (one.lr, one.wd) for one in optimizer.effective()}
    assert table == {"fc1_weight": (3, 0.5), "fc1_bias": (2, 0), "bn_gamma": (1, 0), "fc2_weight": (4, 0.5)}
    weights = [np.ones(1, np.float32) for _ in names]
    step(optimizer, weights, [np.zeros(1, np.float32)] * 4, list(names))
    assert [float(weight[0]) for weight in weights] == [-0.5, 1, 1, -1]
    for again in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        assert again._get_lr(1) == 2


def test_a_pattern_that_matches_nothing_gives_a_warning():
    optimizer = mxopt.create("sgd", param_idx2name={0: "fc_weight"})
    assert optimizer.set_lr_mult({"*_beta": 2}) == {"*_beta": []}
    with pytest.warns(UserWarning, match=r"lr_mult is set for '\*_beta', but no name matches"):
        step(optimizer, np.zeros(1, np.float32), ones(1))


def test_effective_rates_ask_a_copy_of_the_schedule():
    schedule = mxopt.lr_scheduler.FactorScheduler(step=1, factor=0.5, base_lr=1.0)
    optimizer = mxopt.create("sgd", learning_rate=1.0, lr_scheduler=schedule)
    weight = np.zeros(1, np.float32)
    step(optimizer, weight, ones(1), index="w", times=3)
    rate = schedule.base_lr
    assert [one[:3] for one in optimizer.effective()] == [("w", "w", 0.25)]
    assert schedule.base_lr == rate
    assert str(optimizer.effective()).splitlines()[0].split() == [
        "index", "name", "lr", "wd", "lr_mult", "wd_mult", "count",
    ]  # fmt: skip


@pytest.mark.parametrize("custom", [False, True], ids=["built-in", "custom"])
def test_callbacks_after_each_step(custom):
    class Own(mxopt.optimizer.Optimizer):
        def update(self, index, weight, grad, state):
            self._update_count(index)

    optimizer = Own() if custom else mxopt.create("sgd")
    log = []

    @optimizer.add_step_callback
    def note(optimizer, indices):
        log.append((optimizer.num_update, indices))

    weights, grads = [np.zeros(1, np.float32) for _ in range(2)], [ones(1)] * 2
    step(optimizer, weights, grads, [0, 1], times=2)
    step(optimizer, weights[0], grads[0], 5)
    assert log == [(1, (0, 1)), (2, (0, 1)), (2, (5,))]
    assert pickle.loads(pickle.dumps(mxopt.create("sgd"))).step_callbacks == ()


@dialects
def test_names_from_where_scripts_import_them(mx):
    package = mx.__name__
    exec(f"from {package}.optimizer import SGD, Optimizer, clip, zeros, register, sgd_mom_update", {})
    exec(f"from {package}.base import _LIB, check_call, c_array, mx_uint, OptimizerHandle, MXNetError", {})
    exec(f"from {package}.ndarray.contrib import adamw_update, multi_mp_adamw_update", {})
    exec(f"from {package}.gluon.parameter import ParameterDict, DeferredInitializationError", {})
    exec(f"import {package}.optimizer as optimizer, {package}.lr_scheduler, {package}.random", {})
    assert mx.optimizer.clip is mx.nd.clip
    assert list(mx.test_utils.list_gpus()) == []
    with pytest.raises(NotImplementedError, match="C library of MXNet"):
        mx.base._LIB.MXNDArrayCreate()
    with pytest.raises(AttributeError, match="no attribute 'sgdd_update'"):
        assert mx.optimizer.sgdd_update


def test_the_symbol_is_remembered_by_its_answers():
    class Symbol:
        def attr_dict(self):
            return {"fc_weight": {"__lr_mult__": "0.5"}}

        def list_arguments(self):
            return ["fc_weight"]

    optimizer = mxopt.create("sgd", learning_rate=1.0, sym=Symbol(), param_idx2name={0: "fc_weight"})
    assert optimizer._get_lr(0) == 0.5
    assert optimizer.sym.attr_dict()["fc_weight"]["__lr_mult__"] == "0.5"
    assert optimizer.sym.list_arguments() == ["fc_weight"]
    assert mxopt.create("sgd").sym is None


def test_a_custom_schedule():
    class Halving(mxopt.lr_scheduler.LRScheduler):
        def __call__(self, num_update):
            return self.base_lr * 0.5**num_update

    weight = np.zeros(1, np.float32)
    step(mxopt.create("sgd", learning_rate=None, lr_scheduler=Halving(base_lr=1.0)), weight, ones(1), times=2)
    assert weight[0] == -0.75


def test_a_name_with_brackets_is_a_name_first():
    names = {0: "layer[0].weight", 1: "layer[1].weight", 2: "layer0.weight"}
    optimizer = mxopt.create("sgd", param_idx2name=names)
    assert optimizer.set_lr_mult({"layer[0].weight": 3, "layer[01].*": 2}) == {
        "layer[0].weight": ["layer[0].weight"],
        "layer[01].*": ["layer0.weight"],
    }
    assert [entry.lr_mult for entry in optimizer.effective()] == [3, 1, 2]


def test_a_multiplier_for_an_unknown_index_gives_a_warning():
    optimizer = mxopt.create("sgd", param_idx2name={0: "w"})
    optimizer.set_lr_mult({0: 2, 7: 3})
    with pytest.warns(UserWarning, match="lr_mult is set for index 7, but no parameter has that index"):
        step(optimizer, np.zeros(1, np.float32), ones(1))


def test_effective_rates_are_those_of_a_class_with_its_own():
    class Paired(mxopt.optimizer.SGD):
        def _get_lr(self, index):
            return 0.5 / (index + 1), 0.9

    class Plain(mxopt.optimizer.SGD):
        def _get_wd(self, index):
            return 0.25

    names = {0: "a", 1: "b"}
    assert [entry.lr for entry in Paired(param_idx2name=names).effective()] == [0.5, 0.25]
    assert [(e.lr, e.wd) for e in Plain(learning_rate=2.0, param_idx2name=names).effective()] == [
        (2, 0.25)
    ] * 2


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (
            lambda opt: opt.set_lr_mult([("w", 1)]),
            "multipliers must be a dict of names or indices to numbers",
        ),
        (lambda opt: opt.add_step_callback(3), "a callback must be callable"),
        (lambda opt: mxopt.create("sgd", lr_scheduler="factor"), r"lr_scheduler.create\(name"),
    ],
    ids=["multipliers", "callback", "scheduler"],
)
def test_what_is_not_of_the_right_kind(use, words):
    with pytest.raises(TypeError, match=words):
        use(mxopt.create("sgd"))


def test_a_function_can_be_a_schedule():
    optimizer = mxopt.create("sgd", lr_scheduler=lambda n: 1 / n)
    weight = np.zeros(1, np.float32)
    step(optimizer, weight, ones(1), times=2)
    assert weight.tolist() == [-1.5]


def test_a_callback_that_fails_does_so_after_the_step():
    optimizer, weight = mxopt.create("sgd", learning_rate=1.0), np.zeros(1, np.float32)

    @optimizer.add_step_callback
    def fail(_optimizer, indices):
        raise LookupError(indices)

    with pytest.raises(LookupError, match="0"):
        step(optimizer, weight, ones(1))
    assert (weight.tolist(), optimizer.num_update) == ([-1], 1)


def handed(mx, base, count=6, **settings):
    """What one call with many tensors passes to a subclass that overrides update_multi_precision."""
    calls = []

    def update_multi_precision(self, index, weight, grad, state):
        calls.append((type(index), len(index) if isinstance(index, (list, tuple)) else 1))
        base.update_multi_precision(self, index, weight, grad, state)

    cls = type(f"Watched{base.__name__}", (base,), {"update_multi_precision": update_multi_precision})
    updater = mx.optimizer.get_updater(cls(learning_rate=0.5, **settings))
    weights = [np.ones(2, np.float32) for _ in range(count)]
    updater(list(range(count)), [np.ones(2, np.float32)] * count, weights)
    return calls, weights


def test_subclasses_of_classes_that_aggregate_get_what_1x_hands_them():
    """As measured on MXNet 1.9.1."""
    optimizer = mxopt.v1.optimizer
    calls, weights = handed(mxopt.v1, optimizer.SGD)
    assert calls == [(tuple, 4), (tuple, 2)]
    assert all((weight == 0.5).all() for weight in weights)
    assert handed(mxopt.v1, optimizer.LARS)[0] == [(tuple, 4), (tuple, 2)]
    assert handed(mxopt.v1, optimizer.LAMB)[0] == [(tuple, 6)]
    assert handed(mxopt.v1, optimizer.SGD, aggregate_num=1)[0] == [(tuple, 1)] * 6
    assert handed(mxopt.v1, optimizer.SGD, aggregate_num=0)[0] == [(int, 1)] * 6  # one tensor, as they ask
    assert handed(mxopt.v1, optimizer.Adam)[0] == [(int, 1)] * 6


@dialects
def test_lookahead_around_sgd_made_by_type(mx):
    """As published: it wraps any class, by type(), and keeps slow weights beside the states."""

    def lookahead(base, steps=2, share=0.5):
        def create_state(self, index, weight):
            return base.create_state(self, index, weight), weight.copy()

        def update(self, index, weight, grad, state):
            if not isinstance(index, (list, tuple)):
                index, weight, grad, state = [index], [weight], [grad], [state]
            base.update(self, index, weight, grad, [inner for inner, _ in state])
            for one, fast, (_, slow) in zip(index, weight, state):
                if self._index_update_count[one] % steps == 0:
                    slow[:] = slow + share * (fast - slow)
                    fast[:] = slow

        def update_multi_precision(self, index, weight, grad, state):
            update(self, index, weight, grad, state)

        methods = {"create_state": create_state, "update": update}
        return type(
            f"Lookahead{base.__name__}",
            (base,),
            {**methods, "update_multi_precision": update_multi_precision},
        )

    updater = mx.optimizer.get_updater(lookahead(mx.optimizer.SGD)(momentum=0.9, learning_rate=0.1))
    weights = [np.array([1, 2], np.float32) for _ in range(6)]
    for _ in range(4):
        updater(list(range(6)), [np.ones(2, np.float32)] * 6, weights)
    for weight in weights:  # what MXNet 1.9.1 and 2.0 give
        np.testing.assert_allclose(weight, [0.5475500226020813, 1.5475499629974365], rtol=1e-7)


def impl_watched(mx, name, **settings):
    """What 1.9's hook is handed: the types of its arguments, the number of tensors, and about masters."""
    base, calls = getattr(mx.optimizer, name), []

    class Watched(base):
        def _update_impl(self, index, weight, grad, state, **masters):
            calls.append((type(index).__name__, len(index) if isinstance(index, tuple) else 1, masters))
            super()._update_impl(index, weight, grad, state, **masters)

    rates = {} if name == "LAMB" else {"learning_rate": 0.5, "momentum": 0.5}
    return Watched(**rates, **settings), base(**rates, **settings), calls


@pytest.mark.parametrize("name", ["SGD", "NAG", "Signum", "LARS", "LAMB"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_subclasses_that_override_the_hook_of_1x(name, dtype):
    """As measured on MXNet 1.9.1, live in tests/oracle/test_against_mxnet.py."""
    optimizer, plain, calls = impl_watched(mxopt.v1, name, multi_precision=dtype == "float16")
    weights = [[np.ones(3, dtype) for _ in range(6)] for _ in range(2)]
    for made, own in zip((optimizer, plain), weights):
        updater = mxopt.v1.optimizer.get_updater(made)
        for _ in range(3):
            updater(list(range(6)), [np.full(3, 0.25, dtype)] * 6, own)
    np.testing.assert_array_equal(*weights)
    masters = {} if name == "Signum" else {"multi_precision": dtype == "float16"}
    each = {"SGD": [4, 2], "LARS": [4, 2], "LAMB": [6]}.get(name, [1] * 6)
    kind = "int" if name in ("NAG", "Signum") else "tuple"
    assert calls == [(kind, count, masters) for count in each] * 3
    calls.clear()
    single = np.ones(3, np.float32)
    optimizer.update(9, single, np.ones(3, np.float32), optimizer.create_state(9, single))
    assert [call[:2] for call in calls] == [("int", 1)]
