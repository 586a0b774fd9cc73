"""The protocol: rates, multipliers, counts, the registry, and custom classes."""

import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from runs import assert_same_bits, tensors

import mxopt as mx


def vector(*values, dtype="float32"):
    return np.array(values, dtype)


class Plain(mx.Optimizer):
    """Subtracts rate times gradient, and nothing else."""

    def step(self, indices, weights, grads, states):
        for index, weight, grad in zip(indices, weights, grads):
            self._update_count(index)
            weight[:] -= self._get_lr(index) * grad


# -- the learning rate ---------------------------------------------------------------------------------


def test_learning_rate_precedence():
    scheduler = lambda: mx.lr_scheduler.FactorScheduler(step=10, factor=0.5, base_lr=0.4)  # noqa: E731
    assert mx.Optimizer().lr == 0.01
    assert mx.Optimizer(learning_rate=0.3).learning_rate == 0.3
    kept = mx.Optimizer(lr_scheduler=scheduler())
    assert kept.lr is None and kept.learning_rate == 0.4
    with pytest.warns(UserWarning, match="learning_rate=0.3 replaces base_lr=0.4 of the scheduler"):
        replaced = mx.Optimizer(learning_rate=0.3, lr_scheduler=scheduler())
    assert replaced.lr_scheduler.base_lr == 0.3 and replaced.learning_rate == 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mx.Optimizer(learning_rate=0.4, lr_scheduler=scheduler())
        assert mx.create("adam", learning_rate=None, lr_scheduler=scheduler()).learning_rate == 0.4
    assert mx.create("adam", learning_rate=None).lr == 0.01


def test_default_rate_of_a_class_replaces_the_scheduler_s():
    """A surprise of MXNet's, kept because every result depends on it, but with a warning."""
    with pytest.warns(UserWarning, match="learning_rate=0.001 replaces base_lr=0.5"):
        opt = mx.create("adam", lr_scheduler=mx.lr_scheduler.FactorScheduler(step=5, base_lr=0.5))
    assert opt.learning_rate == 0.001


def test_set_learning_rate():
    opt = mx.Optimizer(learning_rate=0.1)
    opt.set_learning_rate(0.2)
    assert opt.learning_rate == opt.lr == 0.2
    with pytest.raises(AttributeError):
        opt.learning_rate = 0.3
    opt = mx.Optimizer(lr_scheduler=mx.lr_scheduler.FactorScheduler(step=5))
    with pytest.raises(UserWarning, match="scheduler"):
        opt.set_learning_rate(0.2)


def test_scheduler_sees_the_count_before_the_rate_is_read():
    rates = {1: 1.0, 2: 0.5, 3: 0.25}
    opt = mx.create("sgd", learning_rate=None, lr_scheduler=_table(rates))
    weight = vector(0)
    for expected in (-1.0, -1.5, -1.75):
        opt.update(0, weight, vector(1), None)
        assert weight == expected


def _table(rates):
    class Table(mx.lr_scheduler.LRScheduler):
        def __call__(self, num_update):
            return rates[num_update]

    return Table()


def test_a_late_tensor_uses_the_schedule_of_the_others():
    opt = mx.create("sgd", learning_rate=None, lr_scheduler=_table({1: 1.0, 2: 0.5, 3: 0.25}))
    updater = mx.get_updater(opt)
    a, b = vector(0), vector(0)
    updater(0, vector(1), a)
    updater(0, vector(1), a)
    updater([1, 0], [vector(1), vector(1)], [b, a])  # 1 is counted first: num_update is still 2
    assert b == -0.5 and a == -1.75
    assert opt._index_update_count == {0: 3, 1: 1} and opt.num_update == 3


# -- counts --------------------------------------------------------------------------------------------


def test_counts_begin_where_they_are_told():
    opt = Plain(begin_num_update=10)
    assert opt.num_update == opt.begin_num_update == 10
    opt._update_count([3, "w"])
    opt._update_count(3)
    assert opt._index_update_count == {3: 12, "w": 11} and opt.num_update == 12
    adam = mx.create("adam", begin_num_update=100)
    weight = vector(1)
    adam.update(0, weight, vector(1), adam.create_state(0, weight))
    assert adam._index_update_count == {0: 101} and adam.num_update == 101


def test_counts_are_kept_by_device():
    opt = Plain()
    opt._update_count(0)
    opt._set_current_context(1)
    opt._update_count([0, 1])
    opt._set_current_device(0)
    opt._update_count(0)
    assert opt._all_index_update_counts == {0: {0: 2}, 1: {0: 1, 1: 1}}
    assert opt._index_update_count is opt._all_index_update_counts[0]
    assert opt.num_update == 2


def test_pickling_keeps_the_counts_one_object():
    opt = mx.create("adam", param_dict={0: SimpleNamespace(lr_mult=2.0, wd_mult=1.0)})
    opt._update_count(0)
    again = pickle.loads(pickle.dumps(opt))
    assert again.param_dict == {} and again._index_update_count == {0: 1}
    assert again._index_update_count is again._all_index_update_counts[0]


# -- multipliers ---------------------------------------------------------------------------------------


def test_first_matching_multiplier_wins():
    opt = Plain(learning_rate=1.0, wd=1.0, param_idx2name={0: "a_weight", 1: "b_bias", 2: "c_gamma"},
                param_dict={0: SimpleNamespace(lr_mult=5.0, wd_mult=6.0)})  # fmt: skip
    opt.set_lr_mult({0: 2.0, 1: 3.0, "b_bias": 4.0, "c_gamma": 0.5})
    opt.set_wd_mult({"a_weight": 2.0, "b_bias": 0.25})
    assert [opt._get_lr(i) for i in range(4)] == [5.0, 3.0, 0.5, 1.0]
    assert [opt._get_wd(i) for i in range(4)] == [6.0, 0.25, 1.0, 1.0]
    assert opt._get_lrs([1, 2]) == [3.0, 0.5]


def test_string_indices_match_by_themselves():
    opt = Plain(learning_rate=1.0)
    opt.set_lr_mult({"w0": 0.5})
    assert opt._get_lrs(["w0", "w1"]) == [0.5, 1.0]


def test_multipliers_of_a_symbol():
    symbol = SimpleNamespace(attr_dict=lambda: {"a": {"__lr_mult__": "0.5"}, "b": {"__wd_mult__": "0"}},
                             list_arguments=lambda: ["a", "b", "c"])  # fmt: skip
    opt = Plain(learning_rate=1.0, wd=1.0, sym=symbol, param_idx2name={0: "a", 1: "b", 2: "c"})
    opt.set_lr_mult({"c": 3.0})
    assert opt._get_lrs([0, 1, 2]) == [0.5, 1.0, 3.0]
    assert opt._get_wds([0, 1, 2]) == [1.0, 0.0, 1.0]
    assert opt.sym_info == (symbol.attr_dict(), ["a", "b", "c"])


@pytest.mark.parametrize("lists", [True, False], ids=["list", "one by one"])
def test_multipliers_reach_the_kernels(lists):
    updater = mx.get_updater(
        mx.create("sgd", learning_rate=1.0, wd=0.5, param_idx2name={0: "a", 1: "b", 2: "c"})
    )
    updater.optimizer.set_lr_mult({"a": 2.0})
    updater.optimizer.set_wd_mult({"b": 0.0})
    weights = [vector(1), vector(1), vector(1)]
    grads = [vector(1)] * 3
    for call in [([0, 1, 2], grads, weights)] if lists else zip(range(3), grads, weights):
        updater(*call)
    assert [float(w[0]) for w in weights] == [1 - 2 * 1.5, 0.0, -0.5]


def test_multiplier_for_an_unknown_name_warns_once_at_the_first_update():
    updater = mx.get_updater(mx.create("sgd", param_idx2name={0: "fc_weight", 1: "fc_bias"}))
    updater.optimizer.set_lr_mult({"fc_wieght": 0.0, "fc_bias": 2.0})
    with pytest.warns(
        UserWarning,
        match="lr_mult is set for 'fc_wieght', but no parameter has that name; did you mean 'fc_weight'",
    ) as caught:
        updater(0, vector(1), vector(1))
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updater(0, vector(1), vector(1))


def test_multiplier_by_name_without_names_warns():
    updater = mx.get_updater(mx.create("sgd"))
    updater.optimizer.set_lr_mult({"fc_weight": 0.0})
    with pytest.warns(UserWarning, match="pass param_idx2name, which gives the indices names"):
        updater(0, vector(1), vector(1))


def test_multipliers_of_string_keys_that_come_one_by_one():
    updater = mx.get_updater(mx.create("sgd"))
    updater.optimizer.set_lr_mult({"b": 0.0, "typo": 0.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updater("a", vector(1), vector(1))
        updater("b", vector(1), vector(1))
    with pytest.warns(UserWarning, match="'typo'"):
        updater("a", vector(1), vector(1))


# -- both call styles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["update", "update_multi_precision", "step", "fused_step"])
def test_both_call_styles(method):
    results = []
    for lists in (True, False):
        if not lists and method in ("step", "fused_step"):
            continue
        opt = mx.create("adam")
        weight = vector(1, 2)
        state = opt.create_state_multi_precision(0, weight)
        call = getattr(opt, method)
        returned = (
            call([0], [weight], [vector(1, -1)], [state]) if lists else call(0, weight, vector(1, -1), state)
        )
        assert returned is None
        results.append([weight, *state])
    for other in results[1:]:
        assert_same_bits(other, results[0])


def test_tuples_are_lists_too():
    updater = mx.get_updater(mx.create("sgd", learning_rate=1.0))
    a, b = vector(0), vector(0)
    updater((0, b"key"), (vector(1), vector(2)), (a, b))
    assert a == -1 and b == -2 and set(updater.states) == {0, "key"}


def test_bytes_keys_become_str():
    updater = mx.get_updater(mx.create("sgd", momentum=0.9))
    weight = vector(0)
    updater(b"w0", vector(1), weight)
    updater("w0", vector(1), weight)
    assert list(updater.states) == ["w0"] and updater.optimizer._index_update_count == {"w0": 2}


def test_empty_call_does_nothing():
    updater = mx.get_updater(mx.create("adam"))
    updater([], [], [])
    assert updater.states == {} and updater.optimizer.num_update == 0


def test_states_are_what_mxnet_s_would_be():
    weight = np.zeros((3, 2), np.float32)
    assert mx.create("sgd").create_state(0, weight) is None
    assert mx.create("sgd", momentum=0.9).create_state(0, weight).shape == (3, 2)
    mean, var = mx.create("adam").create_state(0, weight)
    assert mean.dtype == var.dtype == np.float32 and not mean.any() and not var.any()
    half = np.ones((3, 2), np.float16)
    master, state = mx.create("sgd", multi_precision=True).create_state_multi_precision(0, half)
    assert state is None and master.dtype == np.float32 and (master == 1).all()
    with pytest.warns(UserWarning, match="multi_precision=True keeps a float32 master"):
        assert mx.create("adam").create_state_multi_precision(0, half)[0].dtype == np.float16


# -- the registry --------------------------------------------------------------------------------------


@pytest.fixture
def clean_registry():
    before = dict(mx.Optimizer.opt_registry)
    yield mx.Optimizer.opt_registry
    mx.Optimizer.opt_registry.clear()
    mx.Optimizer.opt_registry.update(before)


def test_registering(clean_registry):
    @mx.optimizer.register
    class MyOptimizer(Plain):
        pass

    assert clean_registry["myoptimizer"] is MyOptimizer
    assert isinstance(mx.create("MYOPTIMIZER", learning_rate=0.5), MyOptimizer)
    assert isinstance(mx.Optimizer.create_optimizer("MyOptimizer"), MyOptimizer)
    first = MyOptimizer
    with pytest.warns(UserWarning, match="optimizer 'myoptimizer' was .*MyOptimizer and is now"):

        @mx.Optimizer.register
        class MyOptimizer(Plain):
            pass

    assert clean_registry["myoptimizer"] is MyOptimizer is not first


def test_class_and_rule_cannot_drift(clean_registry):
    class Wrong(mx.optimizer.Adam):
        scalar_names = ("lr", "wd", "clip_gradient", "rescale_grad", "beta1", "beta2", "epsilon")

    with pytest.raises(TypeError, match="Wrong passes the scalars .*, its rule 'adam' takes"):
        mx.register(Wrong)

    class Swapped(mx.optimizer.Adam):
        state_names = ("var", "mean")  # of a class that creates its states itself

    with pytest.raises(TypeError, match="Swapped keeps the state 'var' where its rule 'adam' takes 'mean'"):
        mx.register(Swapped)


# -- custom classes -------------------------------------------------------------------------


def test_class_of_the_first_generation(clean_registry):
    """`update` with scalars, in-place arithmetic on MXNet's arrays, its own state."""
    seen = []

    @mx.register
    class OldMomentum(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype)

        def update(self, index, weight, grad, state):
            seen.append((index, type(weight), type(grad), type(state)))
            self._update_count(index)
            lr, wd = self._get_lr(index), self._get_wd(index)
            grad = grad * self.rescale_grad
            state[:] *= 0.9
            state[:] += grad + wd * weight
            weight[:] -= lr * state

    updater = mx.get_updater(mx.create("oldmomentum", learning_rate=1.0))
    a, b = vector(0, 0), vector(0, 0)
    for _ in range(2):
        updater([3, "x"], [vector(1, 0), vector(0, 1)], [a, b])
    assert a.tolist() == pytest.approx([-2.9, 0]) and b.tolist() == pytest.approx([0, -2.9])
    assert type(a) is np.ndarray
    assert [s[0] for s in seen] == [3, "x"] * 2
    assert all(issubclass(kind, mx.nd.NDArray) for s in seen for kind in s[1:])
    assert updater.optimizer._index_update_count == {3: 2, "x": 2}


def test_class_of_the_second_generation():
    seen = []

    class New(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            return mx.nd.zeros(weight.shape, weight.context)

        def step(self, indices, weights, grads, states):
            seen.append(list(indices))
            for index, weight, grad, state in zip(indices, weights, grads, states):
                self._update_count(index)
                state += grad
                weight -= self._get_lr(index) * state

    weights = [vector(0) for _ in range(5)]
    updater = mx.get_updater(New(learning_rate=1.0))
    updater(list(range(5)), [vector(1)] * 5, weights)
    assert seen == [[0], [1], [2], [3], [4]] and all(w == -1 for w in weights)
    seen.clear()
    updater = mx.get_updater(New(learning_rate=1.0, aggregate_num=2))
    assert updater.aggregate_updates
    weights = [vector(0, dtype="float16" if i in (1, 4) else "float32") for i in range(7)]
    with pytest.warns(UserWarning, match="states of float16 weights"):
        updater(list(range(7)), [vector(1, dtype=w.dtype) for w in weights], weights)
    assert seen == [[0, 2], [3, 5], [6], [1, 4]]
    seen.clear()
    updater.optimizer.aggregate_num = np.inf
    updater(list(range(7)), [vector(1, dtype=w.dtype) for w in weights], weights)
    assert seen == [[0, 2, 3, 5, 6], [1, 4]]


def test_update_with_lists_is_told_by_its_parameter():
    class Lists(mx.optimizer.Optimizer):
        def update(self, indices, weights, grads, states):
            assert isinstance(indices, list)
            for weight, grad in zip(weights, grads):
                weight -= grad

    weight = vector(0)
    mx.get_updater(Lists())(0, vector(1), weight)
    assert weight == -1


def test_scalar_subclass_of_a_built_in():
    """The gradient is changed in place (it is the class's own view) and handed on to the built-in."""

    class Doubling(mx.optimizer.Adam):
        def update(self, index, weight, grad, state):
            assert not isinstance(index, list)
            super().update(index, weight, grad * 2, state)

    a, b = tensors([(7, 5), (7, 5)])
    b[...] = a
    (grad,) = tensors([(7, 5)], seed=3)
    mine, plain = mx.get_updater(Doubling()), mx.get_updater(mx.create("adam"))
    for _ in range(3):
        mine([0], [grad], [a])
        plain(0, grad * 2, b)
    assert_same_bits([a, *mine.states[0]], [b, *plain.states[0]])
    assert mine.optimizer._index_update_count == {0: 3}


def test_subclass_with_its_own_rates_keeps_the_kernel():
    class Halving(mx.optimizer.SGD):
        def _get_lr(self, index):
            return super()._get_lr(index) / 2

    weights = [vector(0), vector(0)]
    updater = mx.get_updater(Halving(learning_rate=1.0))
    updater([0, 1], [vector(1), vector(1)], weights)
    updater(0, vector(1), weights[0])
    assert weights[0] == -1 and weights[1] == -0.5
    assert updater.optimizer._index_update_count == {0: 2, 1: 1}


def test_multi_precision_for_classes_of_both_generations():
    class Old(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            assert weight.dtype == np.float32

        def update(self, index, weight, grad, state):
            assert weight.dtype == grad.dtype == np.float32
            self._update_count(index)
            weight[:] -= self._get_lr(index) * grad

    for opt in (
        Old(learning_rate=2.0**-12, multi_precision=True),
        Plain(learning_rate=2.0**-12, multi_precision=True),
    ):
        weight = vector(1, dtype="float16")
        updater = mx.get_updater(opt)
        for _ in range(8):
            updater(0, vector(1, dtype="float16"), weight)
        assert updater.states[0][0] == 1 - 8 * 2.0**-12
        assert weight == np.float16(1 - 8 * 2.0**-12)


def test_class_without_an_update_says_so():
    with pytest.raises(NotImplementedError, match="Empty defines neither step nor update"):
        mx.get_updater(type("Empty", (mx.Optimizer,), {})())(0, vector(1), vector(1))


def test_fused_step_of_a_class_without_rules_is_its_step():
    opt = Plain(learning_rate=1.0, use_fused_step=True)
    weight = vector(1)
    opt.update([0], [weight], [vector(1)], [None])
    assert weight == 0


def test_multipliers_for_many_names_take_little_time():
    """Each name is looked at once; comparing every pair of 20,000 would take half a minute."""
    names = {index: f"layer{index}_weight" for index in range(20_000)}
    given = dict.fromkeys(names.values(), 0.5)
    opt = mx.create("sgd", param_idx2name=names)
    looked = []

    class Name(str):
        def __eq__(self, other):
            looked.append(other)
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    from mxopt.optimizer import multipliers

    assert len(opt.set_lr_mult(given)) == len(given)
    matched = multipliers.matches({Name(name): 1.0 for name in given}, list(given))
    assert len(matched) == len(given)
    assert len(looked) < 10 * len(given)


@pytest.mark.parametrize("which", ["lr_mult", "wd_mult"])
def test_multipliers_may_be_written_to(which):
    """As scripts do: by name, by index, by pattern, a new dict, and taking one away."""
    opt = mx.create("sgd", learning_rate=1.0, wd=1.0, param_idx2name={0: "fc_weight", 1: "fc_bias"})

    def now():
        return [getattr(opt, "_get_lr" if which == "lr_mult" else "_get_wd")(index) for index in (0, 1)]

    assert now() == [1, 1]
    getattr(opt, which)["fc_weight"] = 0.0
    assert now() == [0, 1]
    getattr(opt, which)["*_bias"] = 0.5
    assert now() == [0, 0.5]
    getattr(opt, which)["*_bias"] = 0.25
    assert now() == [0, 0.25]
    del getattr(opt, which)["fc_weight"]
    assert now() == [1, 0.25]
    getattr(opt, which)[0] = 3.0
    assert now() == [3, 0.25]
    setattr(opt, which, {"fc_bias": 0.75})
    assert now() == [1, 0.75]
    setattr(opt, which, {})
    assert now() == [1, 1]


def test_a_step_uses_the_multipliers_of_now():
    opt = mx.create("sgd", learning_rate=1.0, param_idx2name={0: "a", 1: "b"})
    updater, weights = mx.get_updater(opt), [np.ones(1, np.float32) for _ in range(2)]
    grads = [np.full(1, 0.125, np.float32)] * 2
    updater([0, 1], grads, weights)
    opt.lr_mult["a"] = 0
    updater([0, 1], grads, weights)
    opt.lr_mult = {"b": 2}
    updater([0, 1], grads, weights)
    assert [float(weight[0]) for weight in weights] == [0.75, 0.5]
