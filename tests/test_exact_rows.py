"""`lazy_update="exact"`: only a gradient's rows are touched, and the bits are those of standard updates."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
from cases import OPTIMIZERS, every_setting
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupting import interrupters
from runs import assert_same_bits, everything

import mxopt as mx
import mxopt.v1

ROWS, WIDTH = 40, 6
DTYPES = ("float32", "float64", "float16", "bfloat16", "masters")
pytestmark = pytest.mark.filterwarnings("ignore:states of .* accumulate")


def keeps_exact(name, package=mx):
    cls = package.optimizer.opt_registry.get(name)
    return cls is not None and not (cls.not_exact_because or cls.not_lazy_because)


NAMES = [name for name in OPTIMIZERS if keeps_exact(name)]
REFUSED = [name for name in OPTIMIZERS if not keeps_exact(name)]
names = pytest.mark.parametrize("name", NAMES)
CASES = [case for case in every_setting() if case.values[0] in NAMES]
SCHEDULERS = {
    "constant": lambda: None,
    "factor": lambda: mx.lr_scheduler.FactorScheduler(7, 0.7, base_lr=0.05, stop_factor_lr=1e-3),
    "restarts": lambda: mx.lr_scheduler.CosineRestartsScheduler(9, base_lr=0.05, final_lr=0.01),
    "warm-up": lambda: mx.lr_scheduler.PolyScheduler(
        400, base_lr=0.05, final_lr=0.01, warmup_steps=20, warmup_begin_lr=0.001
    ),
}


def dtype_of(word):
    if word == "bfloat16":
        return pytest.importorskip("ml_dtypes").bfloat16
    return np.dtype("float16" if word == "masters" else word)


def gradient(step, dtype, rows=ROWS):
    """A few rows, low numbers more often than high ones."""
    rng = np.random.default_rng(step)
    ids = np.unique((rows * rng.random(4) ** 3).astype(np.int64))
    return mx.RowSparseArray(rng.standard_normal((len(ids), WIDTH)).astype(dtype), ids, (rows, WIDTH))


def table(dtype, rows=ROWS):
    return np.random.default_rng(99).standard_normal((rows, WIDTH)).astype(dtype)


def updater_of(name, lazy, package=mx, **options):
    options.setdefault("learning_rate", 0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return package.optimizer.get_updater(package.optimizer.create(name, lazy_update=lazy, **options))


def steps(updater, weight, first, last):
    for step in range(first, last):
        updater("table", gradient(step, weight.dtype, len(weight)), weight)


def rests(optimizer):
    """Whether rows without a gradient may rest."""
    rule = mx.kernels.RULES[optimizer.passes[-1]]
    return rule.still is not None or rule.settles


def results(updater, weight):
    updater.flush()
    assert not len(updater.pending("table"))
    return everything(updater, [weight])


def both(name, count=50, dtype="float32", package=mx, scheduler="constant", **options):
    """What exact rows and standard updates make of the same steps."""
    if dtype == "masters":
        options["multi_precision"] = True
    made = []
    for lazy in ("exact", False):
        weight = table(dtype_of(dtype))
        updater = updater_of(name, lazy, package, lr_scheduler=SCHEDULERS[scheduler](), **options)
        steps(updater, weight, 0, count)
        if lazy == "exact":
            # else nothing is shown
            assert len(updater.pending("table")) or rests(updater.optimizer)
        made.append(results(updater, weight))
    return made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_bits_are_those_of_standard_updates(name, settings, dtype):
    assert_same_bits(*both(name, dtype=dtype, **settings))


@names
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("wd", [0.0, 1e-4])
def test_every_step_missed_had_its_own_rate_and_decay(name, scheduler, wd):
    wd = 0.0 if name == "groupadagrad" else wd
    assert_same_bits(*both(name, 60, scheduler=scheduler, wd=wd))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam", {}),
        ("adam", {"beta1": 0.999, "beta2": 0.9}),  # whose steps grow while its moments fade
        ("adam", {"epsilon": 0.0}),
        ("adam", {"learning_rate": 10.0}),
        ("sgd", {"momentum": 0.9}),
        ("sgd", {"momentum": 0.99}),
        ("nag", {"momentum": 0.9}),
        ("rmsprop", {}),
        ("rmsprop", {"clip_weights": 0.5}),
        ("adadelta", {}),
        ("adagrad", {"learning_rate": 0.5}),
        ("ftrl", {}),
    ],
)
def test_rows_that_rest_lose_no_bit(name, options, scheduler, dtype):
    """Long after their gradients, with weights of all sizes: zeros of both signs, tiny, huge, not finite."""
    made, rule = [], None
    for lazy in ("exact", False):
        weight = table(dtype)
        weight[2] *= 1e-30
        weight[3] *= 1e-41  # no normal number, in float32
        weight[4] *= 1e30
        weight[5], weight[6] = 0.0, -0.0
        weight[7, ::2], weight[8, 3] = -0.0, np.nan
        updater = updater_of(name, lazy, lr_scheduler=SCHEDULERS[scheduler](), wd=0.0, **options)
        rule = mx.kernels.RULES[updater.optimizer.passes[-1]]
        if rule.still is None and not rule.settles:
            weight[9, 1] = np.inf
        with np.errstate(all="ignore"):
            for step in range(900):
                rows = [step % 13] if step < 40 or step > 800 else [20]
                grad = np.random.default_rng(step).standard_normal((1, WIDTH)).astype(dtype)
                updater("table", mx.RowSparseArray(grad, rows, weight.shape), weight)
        made.append(results(updater, weight))
    assert rule.can_rest or rule.still is not None or rule.settles
    assert_same_bits(*made)


@pytest.mark.parametrize("name", [name for name in NAMES if keeps_exact(name, mxopt.v1)])
def test_in_1x_too(name):
    assert_same_bits(*both(name, package=mxopt.v1))


@pytest.mark.parametrize("name", REFUSED)
def test_optimizers_that_look_beyond_a_row_are_refused(name):
    with pytest.raises(ValueError, match='cannot take lazy_update="exact".*leave lazy_update out'):
        mx.create(name, lazy_update="exact")
    assert mx.create(name).lazy_update in (True, False)  # the cure


@names
def test_rows_are_current_once_caught_up(name):
    exact, standard = (updater_of(name, lazy) for lazy in ("exact", False))
    weight, expected = table("float32"), table("float32")
    for first in range(0, 30, 10):
        steps(exact, weight, first, first + 10)
        steps(standard, expected, first, first + 10)
        exact.catch_up("table", [35, 3, 35])
        np.testing.assert_array_equal(weight[[3, 35]], expected[[3, 35]])
        assert not {3, 35} & set(exact.pending("table"))


def test_pending_names_the_rows_that_lag_behind():
    updater, weight = updater_of("adam", "exact"), table("float32")
    assert not len(updater.pending("table"))
    updater("table", mx.RowSparseArray(np.ones((2, WIDTH), np.float32), [3, 7], weight.shape), weight)
    before = weight.copy()
    late = updater.pending("table")
    assert {3, 7}.isdisjoint(late)
    updater.catch_up("table", [])
    np.testing.assert_array_equal(updater.pending("table"), late)
    np.testing.assert_array_equal(weight, before)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([40], "from 0 to 39, got 40"),
        ([-1], "from 0 to 39, got -1"),
        ("x", "rows must be row numbers"),
        ([1.5, 2], "whole numbers, got 1.5"),
        ([np.nan], "row numbers, got nan"),
        ([True], "integers, got bool"),
        (object(), "rows must be row numbers"),
    ],
)
def test_rows_that_are_not_there_are_refused(rows, message):
    updater, weight = updater_of("adam", "exact"), table("float32")
    steps(updater, weight, 0, 5)
    before, late = weight.copy(), updater.pending("table")
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        updater.catch_up("table", rows)
    np.testing.assert_array_equal(weight, before)
    np.testing.assert_array_equal(updater.pending("table"), late)


@names
def test_dense_gradients_and_lists_in_between(name):
    made = []
    for lazy in ("exact", False):
        updater = updater_of(name, lazy)
        tables, bias = [table("float32"), table("float32", 25)], np.ones((5, 2), np.float32)
        for step in range(24):
            grads = [gradient(step, "float32"), gradient(step + 1, "float32", 25)]
            if step % 7 == 6:
                grads[0] = np.asarray(grads[0].todense())
            updater([0, 1, 2], [*grads, np.full((5, 2), 0.1, np.float32)], [*tables, bias])
        updater.flush()
        made.append(everything(updater, [*tables, bias]))
    assert_same_bits(*made)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_do_not_depend_on_threads(threads):
    weight, updater = table("float32", 3000), updater_of("adam", "exact", wd=1e-4)
    expected, standard = table("float32", 3000), updater_of("adam", False, wd=1e-4)
    steps(standard, expected, 0, 40)
    mx.set_num_threads(threads)
    try:
        steps(updater, weight, 0, 40)
        updater.flush()
    finally:
        mx.set_num_threads(None)
    np.testing.assert_array_equal(weight, expected)


def test_neither_log_nor_lag_grows():
    updater, weight = updater_of("adam", "exact"), table("float32")
    grad = mx.RowSparseArray(np.ones((1, WIDTH), np.float32), [0], weight.shape)
    lags = []
    for _ in range(5000):
        updater("table", grad, weight)
        (own,) = updater._tables.tables.values()
        lags.append(own.now - own.since.min())
    assert max(lags) <= 1100
    assert len(own.double) <= 3000


# -- saved, copied, replaced ---------------------------------------------------------------------------


@names
@pytest.mark.parametrize("dump_optimizer", [True, False])
def test_a_file_holds_what_standard_updates_would_have_written(name, dump_optimizer):
    exact, standard = (updater_of(name, lazy) for lazy in ("exact", False))
    weight, expected = table("float32"), table("float32")
    steps(exact, weight, 0, 20)
    steps(standard, expected, 0, 20)
    kept = exact.get_states(dump_optimizer=dump_optimizer)
    np.testing.assert_array_equal(weight, expected)  # saving catches up
    other = updater_of(name, "exact")
    other.set_states(kept)
    assert other.optimizer.lazy_update == "exact"
    steps(other, weight, 20, 40)
    steps(standard, expected, 20, 40)
    assert_same_bits(results(other, weight), results(standard, expected))


@pytest.mark.parametrize("how", [copy.deepcopy, lambda u: pickle.loads(pickle.dumps(u))])
def test_copies_go_on_alone(how):
    updater, weight = updater_of("adam", "exact"), table("float32")
    standard, expected = updater_of("adam", False), table("float32")
    steps(updater, weight, 0, 20)
    other, twin = how(updater), weight.copy()
    for one, array in ((updater, weight), (other, twin)):
        steps(one, array, 20, 40)
        one.flush()
    steps(standard, expected, 0, 40)
    np.testing.assert_array_equal(weight, expected)
    np.testing.assert_array_equal(twin, expected)


def test_another_array_under_the_same_index_is_refused_while_rows_lag_behind():
    updater, weight = updater_of("adam", "exact"), table("float32")
    steps(updater, weight, 0, 5)
    other = weight.copy()
    before = other.copy()
    with pytest.raises(ValueError, match=r"call updater.flush\(\) before replacing it"):
        steps(updater, other, 5, 6)
    np.testing.assert_array_equal(other, before)
    updater.flush()
    steps(updater, other, 5, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight, _: weight.setflags(write=False), "weight of index 'table' is updated in place"),
        (lambda _, state: state[1].setflags(write=False), "state 'var' of index 'table' is updated"),
        (lambda weight, _: weight.resize((8, WIDTH), refcheck=False), r"must fit .* of shape \(8, 6\)"),
    ],
    ids=["weight", "state", "resized"],
)  # fmt: skip
@pytest.mark.parametrize("call", ["flush", "catch_up", "get_states"])
def test_arrays_that_can_no_longer_be_caught_up_are_named(call, change, message):
    updater, weight = updater_of("adam", "exact"), table("float32")
    steps(updater, weight, 0, 5)
    change(weight, updater.states["table"])
    before, late = weight.copy(), updater.pending("table")
    with pytest.raises(ValueError, match=message):
        getattr(updater, call)(*(("table", [1]) if call == "catch_up" else ()))
    np.testing.assert_array_equal(weight, before)
    np.testing.assert_array_equal(updater.pending("table"), late)


@names
@pytest.mark.parametrize("dtype", ["float32", "masters"])
def test_values_written_after_a_flush_go_on_as_with_standard_updates(name, dtype):
    """Ftrl computes a weight from its state at every step, and a master overwrites its weight."""
    options, made = {"multi_precision": True} if dtype == "masters" else {}, []
    for lazy in ("exact", False):
        updater, weight = updater_of(name, lazy, **options), table(dtype_of(dtype))
        for begin in (0, 10, 20):
            steps(updater, weight, begin, begin + 10)
            updater.flush()
            weight[begin : begin + 15] = 0.25
        steps(updater, weight, 30, 31)
        made.append(results(updater, weight))
    assert_same_bits(*made)


def test_momentum_set_to_zero_and_back():
    made = []
    for lazy in ("exact", False):
        updater, weight = updater_of("sgd", lazy, momentum=0.9), table("float32")
        for begin, momentum in ((0, 0.9), (10, 0.0), (20, 0.9)):
            updater.optimizer.momentum = momentum
            steps(updater, weight, begin, begin + 10)
        made.append(results(updater, weight))
    assert_same_bits(*made)


def test_a_switch_to_another_kind_of_update():
    made = []
    for lazy in ("exact", False):
        updater, weight = updater_of("adam", lazy), table("float32")
        steps(updater, weight, 0, 10)
        updater.flush()
        updater.optimizer.lazy_update = False
        steps(updater, weight, 10, 20)
        updater.optimizer.lazy_update = lazy
        steps(updater, weight, 20, 30)
        made.append(results(updater, weight))
    assert_same_bits(*made)


@pytest.mark.parametrize("how", ["attribute", "optimizer"])
def test_rows_are_caught_up_when_the_kind_of_update_changes(how):
    made = []
    for lazy in ("exact", False):
        updater, weight = updater_of("adam", lazy), table("float32")
        steps(updater, weight, 0, 10)
        if how == "attribute":
            updater.optimizer.lazy_update = True
        else:
            old = updater.optimizer
            updater.optimizer = mx.create("adam", learning_rate=0.05, lazy_update=True)
            updater.optimizer._index_update_count.update(old._index_update_count)
            updater.optimizer.num_update = old.num_update
        steps(updater, weight, 10, 20)
        made.append(results(updater, weight))
    assert_same_bits(*made)


def test_one_table_under_two_indices_is_refused():
    updater, weight = updater_of("adam", "exact"), table("float32")
    steps(updater, weight, 0, 3)
    before = weight.copy()
    with pytest.raises(ValueError, match="index 'other' lies in the memory of weight of index 'table'"):
        updater("other", gradient(3, weight.dtype), weight)
    np.testing.assert_array_equal(weight, before)
    assert set(updater.states) == {"table"}


# -- refused, skipped, interrupted -------------------------------------------------------------------


@pytest.mark.parametrize("value", [2, "yes", "Exact", None, 1.5, [True]])
def test_lazy_update_is_true_false_or_exact(value):
    opt = mx.create("adam")
    with pytest.raises(ValueError, match='lazy_update must be True, False or "exact"'):
        opt.lazy_update = value
    assert opt.lazy_update is False
    if value is not None:
        with pytest.raises(ValueError, match='lazy_update must be True, False or "exact"'):
            mx.create("adam", lazy_update=value)


def test_what_cannot_go_with_it():
    with pytest.raises(ValueError, match="use_fused_step=True"):
        mx.create("adam", lazy_update="exact", use_fused_step=False)
    with pytest.raises(ValueError, match="cautious=True counts over whole tensors"):
        mx.create("adam", lazy_update="exact", cautious=True)

    updater, weight = mx.get_updater(mx.create("adam"), ema=0.9), table("float32")
    updater.optimizer.lazy_update = "exact"
    with pytest.raises(ValueError, match="ema must be left out"):
        steps(updater, weight, 0, 1)

    class Own(mx.optimizer.SGD):
        def step(self, indices, weights, grads, states):
            pass

    updater, weight = mx.get_updater(Own(lazy_update="exact")), table("float32")
    with pytest.raises(ValueError, match="it steps by methods of its own"):
        steps(updater, weight, 0, 1)


def test_a_refused_step_loses_nothing():
    updater, weight = updater_of("adam", "exact"), table("float32")
    standard, expected = updater_of("adam", False), table("float32")
    steps(updater, weight, 0, 15)
    steps(standard, expected, 0, 15)
    wrong = mx.RowSparseArray(np.ones((1, WIDTH), np.float64), [3], weight.shape)
    with pytest.raises((TypeError, ValueError)):
        updater("table", mx.RowSparseArray(np.ones((1, 3), np.float32), [3], (ROWS, 3)), weight)
    updater.optimizer.lr_scheduler = lambda _: wrong
    with pytest.raises(TypeError):
        steps(updater, weight, 15, 16)
    updater.optimizer.lr_scheduler = None
    steps(updater, weight, 15, 30)
    steps(standard, expected, 15, 30)
    assert_same_bits(results(updater, weight), results(standard, expected))


def test_skipped_steps_are_no_steps():
    made = []
    for lazy in ("exact", False):
        updater, weight = updater_of("adam", lazy, skip_nonfinite=True), table("float32")
        for step in range(30):
            grad = gradient(step, "float32")
            if step % 4 == 3:
                grad.data[0, 0] = np.nan
            updater("table", grad, weight)
        assert updater.optimizer.skipped == 7
        made.append(results(updater, weight))
    assert_same_bits(*made)


CALLS = {
    "step": lambda updater, weight, at: steps(updater, weight, at, at + 1),
    "dense": lambda updater, weight, at: updater("table", np.full_like(weight, 0.1), weight),
    "flush": lambda updater, weight, at: updater.flush(),
    "catch up": lambda updater, weight, at: updater.catch_up("table", [1, 2, 30]),
}


@pytest.mark.filterwarnings("ignore:Exception ignored in.*generator")  # interrupted as it is closed
@pytest.mark.parametrize("count", [0, 6, 64])  # the first step, one like others, one whose log needs room
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["adam", "sgd", "ftrl"])
def test_an_interrupt_loses_no_step(name, call, count):
    """Wherever it arrives in a call: rows that were caught up stay so, and the step is made or not."""
    standard = []
    for made in (False, True):
        updater, weight = updater_of(name, False), table("float32")
        steps(updater, weight, 0, count)
        if made:
            CALLS[call](updater, weight, count)
        steps(updater, weight, 70, 72)
        standard.append(everything(updater, [weight]))
    for interrupter in interrupters():
        updater, weight = updater_of(name, "exact"), table("float32")
        steps(updater, weight, 0, count)
        try:
            with interrupter:
                CALLS[call](updater, weight, count)
        except KeyboardInterrupt:
            pass
        steps(updater, weight, 70, 72)
        found = results(updater, weight)
        assert any(all(map(np.array_equal, found, one)) for one in standard), interrupter.at
    assert all(map(np.array_equal, found, standard[1]))
    assert interrupter.at > 5


def test_threads_that_read_and_step():
    updater, weight = updater_of("adam", "exact"), table("float32", 500)
    standard, expected = updater_of("adam", False), table("float32", 500)
    done = threading.Event()

    def read():
        while not done.is_set():
            updater.catch_up("table", np.arange(0, 500, 7))
            updater.pending("table")
            updater.flush()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        steps(updater, weight, 0, 60)
    finally:
        done.set()
        thread.join()
    steps(standard, expected, 0, 60)
    assert_same_bits(results(updater, weight), results(standard, expected))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["step", "catch up", "flush", "save", "rate", "decay", "dense"]), max_size=40)
)
def test_any_order_of_calls_gives_the_bits_of_standard_updates(calls):
    exact, standard = (updater_of("adam", lazy, wd=1e-3) for lazy in ("exact", False))
    weight, expected = table("float32"), table("float32")
    for at, call in enumerate(calls):
        for updater, array in ((exact, weight), (standard, expected)):
            if call == "step":
                steps(updater, array, at, at + 3)
            elif call == "dense":
                updater("table", np.full_like(array, 0.1), array)
            elif call == "rate":
                updater.optimizer.set_learning_rate(0.01 * (at + 1))
            elif call == "decay":
                updater.optimizer.wd = 1e-4 * at
            elif call == "save":
                updater.set_states(updater.get_states(dump_optimizer=True))
        if call == "catch up":
            exact.catch_up("table", np.arange(at % ROWS))
        elif call == "flush":
            exact.flush()
    exact.flush()
    assert_same_bits(everything(exact, [weight]), everything(standard, [expected]))


# -- stores and trainers -------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [mx, mxopt.v1], ids=["2.x", "1.x"])
def test_a_store_catches_up_what_is_pulled(package):
    stores = {}
    for lazy in ("exact", False):
        kv = stores[lazy] = package.kv.create("local")
        kv.init("table", mx.nd.array(table("float32")).tostype("row_sparse"))
        kv.set_optimizer(package.optimizer.create("adam", learning_rate=0.05, lazy_update=lazy))
        for step in range(20):
            kv.push("table", gradient(step, "float32"))
    rows = mx.nd.array([30, 3, 39])
    outs = []
    for kv in stores.values():
        outs.append(mx.nd.sparse.zeros("row_sparse", (ROWS, WIDTH)))
        kv.row_sparse_pull("table", out=outs[-1], row_ids=rows)
    np.testing.assert_array_equal(outs[0].asnumpy(), outs[1].asnumpy())
    assert len(stores["exact"]._updater.pending("table"))
    whole = [mx.nd.zeros((ROWS, WIDTH)) for _ in stores]
    for kv, out in zip(stores.values(), whole):
        kv.pull("table", out=out)
    np.testing.assert_array_equal(whole[0].asnumpy(), whole[1].asnumpy())


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("on_store", [True, False])
def test_a_trainer_catches_up_what_is_read(devices, on_store):
    read = []
    for lazy in ("exact", False):
        contexts = [mx.cpu(i) for i in range(devices)]
        parameter = mx.gluon.Parameter(
            "table", shape=(ROWS, WIDTH), stype="row_sparse", grad_stype="row_sparse"
        )
        parameter.initialize(mx.init.Constant(0.5), ctx=contexts)
        trainer = mx.gluon.Trainer(
            {"table": parameter}, "adam", {"learning_rate": 0.05, "lazy_update": lazy}, kvstore="local",
            update_on_kvstore=on_store,
        )  # fmt: skip
        for step in range(12):
            for copy_number, ctx in enumerate(contexts):
                parameter.grad(ctx)[:] = gradient(100 * copy_number + step, "float32")
            trainer.step(1)
        rows = parameter.row_sparse_data(mx.nd.array([2, 33])).asnumpy()
        read.append((rows, parameter.data().asnumpy(), [d.asnumpy() for d in parameter.list_data()]))
    for a, b in zip(*read):
        np.testing.assert_array_equal(a, b)
