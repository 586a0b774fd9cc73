"""State files between mxopt and the real MXNet: both directions, and on with the training."""

import contextlib
import copy
import warnings

import mxnet as mx
import numpy as np
import pytest

import mxopt
import mxopt.states.mxnet
import mxopt.v1
from oracle.comparison import mxnet_version

OLD = mxnet_version().startswith("1")
OURS, FORMAT = (mxopt.v1, "mxnet-1.x") if OLD else (mxopt, "mxnet-2.x")
OTHER = mxopt if OLD else mxopt.v1

#: arguments that give an optimizer every state it can have
ARGUMENTS = {
    "sgd": {"momentum": 0.9},
    "ccsgd": {"momentum": 0.9},
    "nag": {"momentum": 0.9},
    "signum": {"momentum": 0.9, "wd_lh": 0.01},
    "lars": {"momentum": 0.9},
    "lbsgd": {"momentum": 0.9},
    "rmsprop": {"centered": True},
}
PLAIN = {"sgd": {}, "nag": {"momentum": 0.0}, "rmsprop": {}, "signum": {"momentum": 0.0}}
# SGLD's noise cannot be repeated; GroupAdaGrad takes matrices only; DCASGD with momentum fails in
# 1.9.1
SHAPES = {"groupadagrad": [(3, 2), (2, 4)]}
CASES = [
    pytest.param(name, arguments, id=f"{name}-{'-'.join(arguments) or 'plain'}")
    for name in sorted(
        {*mx.optimizer.Optimizer.opt_registry} & {*OURS.optimizer.Optimizer.opt_registry} - {"sgld"}
    )
    for arguments in [ARGUMENTS.get(name, {}), *([PLAIN[name]] if name in PLAIN else [])]
]


def arrays(weights):
    return [mx.nd.array(weight, dtype=weight.dtype) for weight in weights]


class Run:
    """An updater of either side with its weights; the steps are the same for both."""

    def __init__(self, updater, weights, real):
        self.updater, self.real = updater, real
        self.weights = arrays(weights) if real else [weight.copy() for weight in weights]

    def step(self, count, seed):
        rng = np.random.default_rng(seed)
        for _ in range(count):
            for i, weight in enumerate(self.weights):
                grad = rng.normal(size=weight.shape).astype(self.values[i].dtype)
                self.updater(i, mx.nd.array(grad, dtype=grad.dtype) if self.real else grad, weight)
        return self

    @property
    def values(self):
        return [weight.asnumpy() for weight in self.weights] if self.real else self.weights


def trained(name, arguments, dtype="float32", steps=4):
    """A run of the real MXNet."""
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=shape).astype(dtype) for shape in SHAPES.get(name, [(2, 3), (4,)])]
    return Run(mx.optimizer.get_updater(mx.optimizer.create(name, **arguments)), weights, True).step(steps, 1)


def updater_of(module, name, arguments):
    return module.optimizer.get_updater(module.optimizer.create(name, **arguments))


def resumed(blob, name, arguments, weights, module):
    updater = updater_of(module, name, arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of counts, which bare states do not have
        updater.set_states(blob)
    return Run(updater, weights, module is mx)


def assert_equal_steps(one, other):
    one.step(3, 2)
    other.step(3, 2)
    for got, expected in zip(other.values, one.values):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16 with masters"])
@pytest.mark.parametrize("dump", [False, True], ids=["states", "dump"])
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_what_mxnet_wrote_goes_through_us_and_back(name, arguments, dump, half):
    arguments = {**arguments, "learning_rate": 0.01, **({"multi_precision": True} if half else {})}
    run = trained(name, arguments, "float16" if half else "float32")
    blob = run.updater.get_states(dump_optimizer=dump)
    ours = resumed(blob, name, arguments, run.values, OURS)
    again = ours.updater.get_states(dump_optimizer=dump, format=FORMAT)
    assert_equal_steps(
        resumed(blob, name, arguments, run.values, mx), resumed(again, name, arguments, run.values, mx)
    )


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16 with masters"])
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_other_dialect_keeps_what_it_is_given(name, arguments, half):
    if name not in OTHER.optimizer.Optimizer.opt_registry:
        return
    arguments = {**arguments, "learning_rate": 0.01, **({"multi_precision": True} if half else {})}
    run = trained(name, arguments, "float16" if half else "float32")
    blob = run.updater.get_states(dump_optimizer=True)
    ours = resumed(blob, name, arguments, run.values, OTHER)
    again = ours.updater.get_states(dump_optimizer=True, format=FORMAT)
    assert_equal_steps(
        resumed(blob, name, arguments, run.values, mx), resumed(again, name, arguments, run.values, mx)
    )


@pytest.mark.parametrize("scheduler", ["factor", "multifactor", "poly", "cosine"])
def test_what_we_trained_goes_on_in_mxnet(scheduler):
    def schedule(module):
        made = {
            "factor": lambda s: s.FactorScheduler(3, 0.5, base_lr=0.01),
            "multifactor": lambda s: s.MultiFactorScheduler([2, 5], 0.5, base_lr=0.01),
            "poly": lambda s: s.PolyScheduler(20, base_lr=0.01, warmup_steps=2),
            "cosine": lambda s: s.CosineScheduler(20, base_lr=0.01, final_lr=0.001),
        }
        return made[scheduler](module.lr_scheduler)

    arguments = {
        "learning_rate": 0.01,
        "wd": 0.01,
        "clip_gradient": 0.5,
        "param_idx2name": {0: "a_weight", 1: "b_bias"},
    }
    updater = OURS.optimizer.get_updater(
        OURS.optimizer.create("adam", lr_scheduler=schedule(OURS), **copy.deepcopy(arguments))
    )
    updater.optimizer.set_lr_mult({"b_bias": 2.0})
    rng = np.random.default_rng(3)
    ours = Run(updater, [rng.normal(size=shape).astype("f4") for shape in [(2, 3), (4,)]], False).step(4, 1)
    blob = updater.get_states(dump_optimizer=True, format=FORMAT)
    assert_equal_steps(resumed(blob, "adam", {}, ours.values, mx), ours)


def test_mxnet_goes_on_in_us():
    arguments = {"learning_rate": 0.01, "wd": 0.01, "beta1": 0.8}
    run = trained("adam", arguments)
    assert_equal_steps(run, resumed(run.updater.get_states(dump_optimizer=True), "sgd", {}, run.values, OURS))


def test_names_as_keys():
    run = trained("adam", {})
    run.updater.states = {f"w{key}": state for key, state in run.updater.states.items()}
    ours = resumed(run.updater.get_states(), "adam", {}, run.values, OURS).updater
    assert list(ours.states) == ["w0", "w1"]
    real = resumed(ours.get_states(format=FORMAT), "adam", {}, run.values, mx).updater
    assert list(real.states) == ["w0", "w1"]


@contextlib.contextmanager
def np_shapes(on):
    """MXNet with or without its NumPy shapes, which decide the layout of arrays that it writes and reads."""
    before = mx.util.is_np_shape(), mx.util.is_np_array()
    try:
        mx.npx.set_np(shape=on, array=False)
        yield
    finally:
        mx.npx.set_np(*before)


class SparseRun(Run):
    """A run of the real MXNet whose first weight is row-sparse, as are its states and gradients."""

    def __init__(self, updater, weights):
        super().__init__(updater, weights, True)
        self.weights[0] = self.weights[0].tostype("row_sparse")

    def step(self, count, seed):
        rng = np.random.default_rng(seed)
        for _ in range(count):
            for i, weight in enumerate(self.weights):
                grad = rng.normal(size=weight.shape).astype("float32")
                rows = (grad[:2], np.array([0, 2]))
                self.updater(
                    i,
                    mx.nd.sparse.row_sparse_array(rows, grad.shape) if i == 0 else mx.nd.array(grad),
                    weight,
                )
        return self


@pytest.mark.parametrize("native", [False, True], ids=["at once", "through a file of ours"])
@pytest.mark.parametrize(
    # 1.9's "test" cannot add a row-sparse gradient
    ("name", "arguments"),
    [case for case in CASES if not (OLD and case.id.startswith("test"))],
)
def test_row_sparse_states_stay_row_sparse(name, arguments, native):
    """Whether MXNet makes a lazy update depends on the storage of its states."""
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(3, 2)).astype("float32")]
    arguments = {**arguments, "learning_rate": 0.01}
    run = SparseRun(updater_of(mx, name, arguments), weights)
    run.step(3, 1)
    with np_shapes(False):
        blob = run.updater.get_states(dump_optimizer=True)
        ours = resumed(blob, name, arguments, run.values, OURS).updater
        if native:
            blob = ours.get_states(dump_optimizer=True)
            ours = resumed(blob, name, arguments, run.values, OURS).updater
    again, written = updater_of(mx, name, arguments), ours.get_states(dump_optimizer=True, format=FORMAT)
    with np_shapes(mxopt.states.mxnet.read(written).layouts == {"V3"}):
        again.set_states(written)
    for key, state in run.updater.states.items():
        assert storage(again.states[key]) == storage(state)
    other = SparseRun(again, run.values)
    assert_equal_steps(run, other)


def storage(state):
    return tuple(map(storage, state)) if isinstance(state, tuple) else getattr(state, "stype", None)


@pytest.mark.parametrize("np_shape", [False, True], ids=["V2", "V3"])
@pytest.mark.parametrize("module", [OURS, OTHER], ids=["own dialect", "other dialect"])
@pytest.mark.parametrize("name", ["sgd", "nag", "lars"])
def test_masters_are_told_from_momenta_by_the_weights(name, module, np_shape):
    """Either generation writes either layout of arrays, and bare states do not say which it was."""
    arguments = {"learning_rate": 0.01, "momentum": 0.9, "multi_precision": True}
    run = trained(name, arguments, "float16")
    with np_shapes(np_shape):
        blob = run.updater.get_states()
    ours = resumed(blob, name, arguments, run.values, module)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.step(1, 2)
    run.step(1, 2)
    for key, weight in enumerate(run.values):
        master = ours.updater.states[key][ours.updater.optimizer.master_position]
        np.testing.assert_array_equal(master.astype("float16"), ours.values[key])
        if module is OURS and name != "lars":  # whose norms are compared in test_against_mxnet.py
            np.testing.assert_array_equal(ours.values[key], weight)
            for got, expected in zip(ours.updater.states[key], run.updater.states[key]):
                np.testing.assert_array_equal(got, expected.asnumpy())
