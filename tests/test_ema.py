"""`ema`: averages that every step moves, swapped in and out, saved and resumed."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from interrupting import interrupters

import mxopt
import mxopt.v1
from mxopt import RowSparseArray

MODULES = [mxopt, mxopt.v1]
BOTH = pytest.mark.parametrize("mx", MODULES, ids=["2.x", "1.x"])
DECAY = 0.9
SHAPES = [(5, 6), (300, 7), (40,)]
OPTIMIZERS = [
    pytest.param(mx, name, id=f"{mx.__name__}-{name}")
    for mx in MODULES
    for name in mx.list_optimizers()
    if not name.startswith("schedulefree")
]

CAUTIOUS = {
    name
    for name, cls in mxopt.Optimizer.opt_registry.items()
    if cls.not_cautious_because is None and not name.startswith("schedulefree")
}


def updater_of(mx=mxopt, name="adam", decay=DECAY, options=(), **keywords):
    return mx.get_updater(mx.create(name, **keywords), ema=decay, **dict(options))


def drawn(seed, dtype=np.float32, order="C", shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape).astype(dtype), order=order) for shape in shapes]


def moved(average, weight, decay=DECAY):
    """What a step makes of an average."""
    return average + average.dtype.type(1 - decay) * (weight.astype(average.dtype) - average)


def wide(weight):
    return weight.astype(np.float64 if weight.dtype == np.float64 else np.float32, order="C")


def averages_of(one):
    return {index: array.tobytes() for index, array in one._averages.arrays.items()}


def main(one, index, weight):
    optimizer = one.optimizer
    if weight.dtype == np.float16 and optimizer.multi_precision:
        return one.states[index][optimizer.master_position]
    return weight


@pytest.mark.parametrize(("mx", "name"), OPTIMIZERS)
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize(
    ("dtype", "order", "keywords"),
    [
        (np.float32, "C", {}),
        (np.float32, "F", {}),
        (np.float64, "C", {}),
        (np.float16, "C", {}),
        (np.float16, "F", {"multi_precision": True}),
    ],
    ids=["float32", "column order", "float64", "float16", "masters"],
)
def test_every_step_moves_the_averages(mx, name, fused, dtype, order, keywords):
    check_steps(mx, name, fused, dtype, order, keywords)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize("name", [n for n in mxopt.list_optimizers() if n in CAUTIOUS])
def test_cautious_steps_move_the_averages(name, fused):
    check_steps(mxopt, name, fused, np.float32, "C", {"cautious": True})


def check_steps(mx, name, fused, dtype, order, keywords):
    shapes = [(5, 6), (300, 7), (4, 9)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = updater_of(mx, name, use_fused_step=fused, **keywords)
        plain = mx.get_updater(mx.create(name, use_fused_step=fused, **keywords))
    if name == "sgld":
        for optimizer in (one.optimizer, plain.optimizer):
            optimizer.generator = np.random.Generator(np.random.PCG64(3))
    weights, others = drawn(0, dtype, order, shapes), drawn(0, dtype, order, shapes)
    expected = [wide(weight) for weight in weights]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(1, 4):
            one([0, 1, 2], drawn(seed, dtype, order, shapes), weights)
            plain([0, 1, 2], drawn(seed, dtype, order, shapes), others)
            expected = [moved(a, main(one, i, w)) for i, (a, w) in enumerate(zip(expected, weights))]
    for index, average in enumerate(expected):
        found = one._averages.arrays[index]
        assert found.dtype == average.dtype
        np.testing.assert_array_equal(found, average)
        np.testing.assert_array_equal(weights[index], others[index])


@BOTH
@pytest.mark.parametrize("name", ["adam", "lamb", "sgd"])
def test_bits_do_not_depend_on_lists_threads_or_layouts(mx, name):
    shapes = [(700, 900), (33, 5), (1,)]
    results = []
    for threads, together, spread in [(1, True, 1), (2, True, 1), (2, False, 1), (2, True, 2)]:
        with mxopt.num_threads(threads):
            one, weights = updater_of(mx, name), drawn(0, shapes=shapes)
            expected = [weight.copy() for weight in weights]
            if spread > 1:
                held = [np.zeros((*w.shape, spread), np.float32) for w in weights]
                for to, w in zip(held, weights):
                    to[..., 0] = w
                weights = [to[..., 0] for to in held]
            for seed in range(1, 3):
                grads = drawn(seed, shapes=shapes)
                if together:
                    one([0, 1, 2], grads, weights)
                else:
                    for index in range(3):
                        one(index, grads[index], weights[index])
                expected = list(map(moved, expected, weights))
            results.append([np.ascontiguousarray(one._averages.arrays[i]).tobytes() for i in range(3)])
            assert results[-1] == [average.tobytes() for average in expected]
    assert all(found == results[0] for found in results)


# -- rows -----------------------------------------------------------------------------------------------


def rows_of(seed, rows, table=(50, 4), dtype=np.float32):
    rng = np.random.default_rng(seed)
    return RowSparseArray(rng.standard_normal((len(rows), *table[1:])).astype(dtype), rows, table)


VISITS = [[0, 3, 4], [3, 49], [], [7, 8, 9, 49], [0]]


@BOTH
@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad", "ftrl"])
@pytest.mark.parametrize(
    ("dtype", "order"), [(np.float32, "C"), (np.float32, "F"), (np.float64, "C"), (np.float16, "C")]
)
@pytest.mark.filterwarnings("ignore:states of float16")
def test_rows_that_stand_still_are_caught_up(mx, name, dtype, order):
    one = updater_of(mx, name, lazy_update=True)
    (weight,) = drawn(0, dtype, order, shapes=[(50, 4)])
    expected = wide(weight).astype(np.float64)
    for seed, rows in enumerate(VISITS):
        one(0, rows_of(seed, rows, dtype=dtype), weight)
        expected += (1 - DECAY) * (weight.astype(np.float64) - expected)
    lasting = weight.copy()
    assert set(one._averages.marks) == {0} and one._averages.marks[0].dtype == np.int32
    one.eval(0, weight)
    tolerance = {np.float64: 1e-14, np.float32: 1e-6, np.float16: 1e-3}[dtype]
    np.testing.assert_allclose(weight.astype(np.float64), expected, rtol=tolerance, atol=tolerance)
    one.train(0, weight)
    assert weight.tobytes() == lasting.tobytes()


def test_a_visited_row_moves_as_a_dense_one():
    lazy, dense = (updater_of(mxopt, "sgd", lazy_update=lazy) for lazy in (True, False))
    (weight,) = drawn(0, shapes=[(50, 4)])
    other = weight.copy()
    for seed in range(4):
        gradient = rows_of(seed, list(range(50)))
        lazy(0, gradient, weight)
        dense(0, gradient.todense(), other)
        assert averages_of(lazy) == averages_of(dense)


@BOTH
def test_dense_steps_after_lazy_ones(mx):
    one = updater_of(mx, "sgd", lazy_update=True)
    (weight,) = drawn(0, shapes=[(50, 4)])
    expected = weight.astype(np.float64)
    for step in range(6):
        gradient = rows_of(step, VISITS[step % 5])
        one(0, gradient.todense() if step == 3 else gradient, weight)
        assert (0 in one._averages.marks) is (step != 3)
        expected += (1 - DECAY) * (weight.astype(np.float64) - expected)
    with one.average_parameters(0, weight):
        np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-6)


def test_momentum_that_a_schedule_sets_to_zero_over_rows():
    one = updater_of(mxopt, "sgd", momentum=0.9, lazy_update=True)
    (weight,) = drawn(0, shapes=[(50, 4)])
    expected = weight.astype(np.float64)
    for step in range(4):
        one.optimizer.momentum = 0.0 if step == 2 else 0.9
        one(0, rows_of(step, VISITS[step]), weight)
        expected += (1 - DECAY) * (weight.astype(np.float64) - expected)
    one.eval(0, weight)
    np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_bits_of_rows_do_not_depend_on_threads_or_lists(threads):
    rng = np.random.default_rng(5)
    tables = [(4000, 64), (300, 3)]
    visits = [[np.flatnonzero(rng.random(n) < 0.4) for n, _ in tables] for _ in range(3)]
    results = []
    with mxopt.num_threads(threads):
        for together in (True, False):
            one, weights = updater_of(mxopt, "adam", lazy_update=True), drawn(1, shapes=tables)
            for seed, rows in enumerate(visits):
                grads = [rows_of(seed, r, table) for r, table in zip(rows, tables)]
                if together:
                    one([0, 1], grads, weights)
                else:
                    for index in (0, 1):
                        one(index, grads[index], weights[index])
            one.eval([0, 1], weights)
            results.append([weight.tobytes() for weight in weights])
    with mxopt.num_threads(1):
        one, weights = updater_of(mxopt, "adam", lazy_update=True), drawn(1, shapes=tables)
        for seed, rows in enumerate(visits):
            one([0, 1], [rows_of(seed, r, table) for r, table in zip(rows, tables)], weights)
        one.eval([0, 1], weights)
        results.append([weight.tobytes() for weight in weights])
    assert results[0] == results[1] == results[2]


@BOTH
def test_row_sparse_weights(mx):
    one = updater_of(mx, "sgd", lazy_update=True)
    weight = mx.nd.sparse.zeros("row_sparse", (6, 2))
    one("w", rows_of(1, [1, 4], (6, 2)), weight)
    trained = np.array(weight.asnumpy())
    with one.average_parameters("w", weight):
        np.testing.assert_allclose(weight.asnumpy(), trained * np.float32(1 - DECAY), rtol=1e-6)
    np.testing.assert_array_equal(weight.asnumpy(), trained)


# -- evaluation -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("dtype", "keywords"), [(np.float32, {}), (np.float16, {}), (np.float16, {"multi_precision": True})]
)
@pytest.mark.filterwarnings("ignore:states of float16")
def test_averages_take_the_place_of_weights_and_give_it_back(mx, dtype, keywords):
    one, weights = updater_of(mx, **keywords), drawn(0, dtype)
    for seed in range(1, 4):
        one([0, 1, 2], drawn(seed, dtype), weights)
    before = [weight.tobytes() for weight in weights]
    states = pickle.dumps(one.states)
    one.eval([0, 1], weights[:2])
    for index in (0, 1):
        np.testing.assert_array_equal(weights[index], one._averages.arrays[index].astype(dtype))
    assert weights[2].tobytes() == before[2]
    one.eval([0, 1], weights[:2])  # they lie there already
    with one.average_parameters(2, weights[2]):
        assert weights[2].tobytes() != before[2]
    with pytest.raises(RuntimeError, match=r"a step cannot be made while the weight of index 1 holds"):
        one([2, 1], [drawn(5, dtype)[2], drawn(5, dtype)[1]], [weights[2], weights[1]])
    for act in (one.get_states, lambda: one.set_states(b"")):
        with pytest.raises(RuntimeError, match="holds its average; call train"):
            act()
    other = copy.deepcopy(one)
    copies = [weight.copy() for weight in weights]
    for each, some in ((one, weights), (other, copies)):
        each.train([0, 1, 2], some)
        assert [weight.tobytes() for weight in some] == before
        each.train([0, 1, 2], some)
    assert pickle.dumps(one.states) == states and one._averages.kept == {}
    with pytest.raises(ZeroDivisionError), one.average_parameters([0], weights[:1]):
        raise ZeroDivisionError
    assert [weight.tobytes() for weight in weights] == before


def test_bad_input_of_evaluation():
    one, weights = updater_of(), drawn(0)
    one([0, 1, 2], drawn(1), weights)
    with pytest.raises(ValueError, match=r"^weight of index 1 must have the shape of its average"):
        one.eval([0, 1], [weights[0], weights[2]])
    weights[0].setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        one.eval([1, 0], [weights[1], weights[0]])
    assert one._averages.kept == {}
    with pytest.raises(ValueError, match="same length"):
        one.eval([0, 1], weights)
    one.eval("unknown", np.ones(3, np.float32))  # never stepped: its average is itself


# -- steps that are none, or several --------------------------------------------------------------------


@BOTH
def test_micro_batches_move_them_once(mx):
    one = updater_of(mx, options={"accumulate": 4, "clip_global_norm": 0.5})
    plain = mx.get_updater(mx.create("adam"), accumulate=4, clip_global_norm=0.5)
    weights, others = drawn(0), drawn(0)
    expected, before = [weight.copy() for weight in weights], {}
    for seed in range(8):
        one([0, 1, 2], drawn(seed), weights)
        plain([0, 1, 2], drawn(seed), others)
        if seed % 4 == 3:
            expected = list(map(moved, expected, weights))
        else:
            assert averages_of(one) == before
        before = averages_of(one)
    for index, average in enumerate(expected):
        assert before[index] == average.tobytes()
        assert weights[index].tobytes() == others[index].tobytes()


@BOTH
@pytest.mark.parametrize("first", [True, False])
def test_a_skipped_step_leaves_them(mx, first):
    one, weights = updater_of(mx, options={"loss_scale": "dynamic"}), drawn(0)
    bad = drawn(9)
    bad[1][3, 1] = np.nan
    if not first:
        one([0, 1, 2], drawn(1), weights)
    before = pickle.dumps((averages_of(one), one._averages.steps))
    one([0, 1, 2], bad, weights)
    assert pickle.dumps((averages_of(one), one._averages.steps)) == before
    assert one.skipped == 1 and one.loss_scale == 2.0**15
    one([0, 1, 2], drawn(1), weights)
    assert one._averages.steps == dict.fromkeys(range(3), 1 if first else 2)


@BOTH
@pytest.mark.parametrize("fused", [True, False])
def test_a_failing_step_leaves_them(mx, fused):
    one, weights = updater_of(mx, lr_scheduler=Failing(), learning_rate=None, use_fused_step=fused), drawn(0)
    one([0, 1, 2], drawn(1), weights)
    before = averages_of(one), dict(one._averages.steps)
    one.optimizer.lr_scheduler.fails = True
    with pytest.raises(ArithmeticError):
        one([0, 1, 2], drawn(2), weights)
    assert (averages_of(one), one._averages.steps) == before


class Failing(mxopt.lr_scheduler.LRScheduler):
    fails = False

    def __call__(self, num_update):
        if self.fails:
            raise ArithmeticError
        return self.base_lr


@pytest.mark.filterwarnings("ignore:Exception ignored in.*generator")  # interrupted as it is closed
@pytest.mark.parametrize("kind", ["adam", "lamb", "rows", "step", "muon"])
@pytest.mark.parametrize("new", [True, False])
def test_an_interrupt_leaves_averages_and_weights_of_one_step(kind, new):
    def made():
        name = kind if kind in ("adam", "lamb", "muon") else "adam"
        keywords = (
            {"use_fused_step": False} if kind == "step" else {"lazy_update": True} if kind == "rows" else {}
        )
        one, (weight,) = updater_of(mxopt, name, **keywords), drawn(0, shapes=[(6, 4)])
        grads = [
            rows_of(k, [k, 4], (6, 4)) if kind == "rows" else drawn(k, shapes=[(6, 4)])[0] for k in (1, 2, 3)
        ]
        if not new:
            one(0, grads[0], weight)
            one(0, grads[1], weight)
        return one, weight, grads[2]

    def picture(one, weight):
        with one.average_parameters(0, weight):
            average = weight.tobytes()
        return average, weight.tobytes(), dict(one._averages.steps), dict(one.optimizer._index_update_count)

    one, weight, grad = made()
    before = picture(one, weight)
    one(0, grad, weight)
    after = picture(one, weight)
    assert before != after
    for interrupter in interrupters():
        one, weight, grad = made()
        try:
            with interrupter:
                one(0, grad, weight)
        except KeyboardInterrupt:
            assert picture(one, weight) in (before, after), f"interrupted at line {interrupter.at}"
        else:
            assert picture(one, weight) == after
    assert interrupter.at > 10


def test_custom_classes():
    @mxopt.optimizer.register
    class Plain(mxopt.optimizer.Optimizer):
        def create_state(self, index, weight):
            return None

        def update(self, index, weight, grad, state):
            weight[:] -= 0.5 * grad

    try:
        one, weights = mxopt.get_updater(Plain(), ema=DECAY), drawn(0)
        expected = [weight.copy() for weight in weights]
        for seed in range(1, 3):
            one([0, 1, 2], drawn(seed), weights)
            expected = list(map(moved, expected, weights))
        assert averages_of(one) == {index: average.tobytes() for index, average in enumerate(expected)}
    finally:
        del mxopt.optimizer.Optimizer.opt_registry["plain"]


# -- files and copies -----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("way", ["file", "dumped", "pickle", "deepcopy"])
@pytest.mark.parametrize("rows", [False, True], ids=["dense", "rows"])
def test_a_resumed_run_ends_with_the_same_bits(mx, way, rows):
    def step(one, weight, seeds):
        for seed in seeds:
            gradient = rows_of(seed, VISITS[seed]) if rows else drawn(seed, shapes=[(50, 4)])[0]
            one(0, gradient, weight)

    options = {"loss_scale": 1.0}
    one = updater_of(mx, lazy_update=True, options=options)
    (weight,) = drawn(0, shapes=[(50, 4)])
    step(one, weight, (0, 1))
    if way in ("file", "dumped"):
        other = updater_of(mx, lazy_update=True, options=options)
        other.set_states(one.get_states(way == "dumped"))
    else:
        other = pickle.loads(pickle.dumps(one)) if way == "pickle" else copy.deepcopy(one)
    assert other._stepping.inner is other._averages is not one._averages
    twin = weight.copy()
    for each, some in ((one, weight), (other, twin)):
        step(each, some, (2, 3, 4))
        each.eval(0, some)
    assert twin.tobytes() == weight.tobytes()


def test_files_name_the_averages_and_need_an_updater_with_them(tmp_path):
    one, weights = updater_of(), drawn(0)
    one.optimizer.idx2name = {0: "fc_weight"}
    one([0, 1, 2], drawn(1), weights)
    one.save_states(tmp_path / "states")
    assert b"averages/arrays/fc_weight" in (tmp_path / "states").read_bytes()
    plain = mxopt.get_updater(mxopt.create("adam"))
    with pytest.raises(mxopt.StateFileError, match=r"saved with ema=0.9, and this updater has none"):
        plain.load_states(tmp_path / "states")
    assert plain.states == {}
    plain.load_states(tmp_path / "states", strict=False)
    assert set(plain.states) == {0, 1, 2}
    with pytest.warns(UserWarning, match="mxnet-2.x has no place for ema"):
        one.get_states(format="mxnet-2.x")
    anew = updater_of()
    anew.set_states(plain.get_states())
    assert anew._averages.arrays == {}


@pytest.mark.parametrize(
    "change",
    [
        {"decay": 1.0},
        {"decay": 1},
        {"steps": {}},
        {"steps": {0: -1}},
        {"steps": {0: 2**31}},
        {"arrays": {0: np.zeros(3, np.int32)}},
        {"arrays": {0: None}},
        {"marks": {0: np.zeros(4, np.int32)}},
        {"marks": {0: np.full(3, 9, np.int32)}},
        {"marks": {1: np.zeros(3, np.int32)}},
        {"more": {}},
    ],
    ids=str,
)
def test_a_file_with_other_averages_is_refused(change, monkeypatch):
    one = updater_of()
    one(0, np.ones(3, np.float32), np.ones(3, np.float32))
    described = {**one._averages.described(), **change}
    monkeypatch.setattr(type(one._averages), "described", lambda _: described)
    data = one.get_states()
    other = updater_of()
    with pytest.raises(mxopt.StateFileError, match="averages"):
        other.set_states(data)
    assert other.states == {}


# -- trainers -------------------------------------------------------------------------------------------


@BOTH
def test_a_trainer_evaluates_its_averages(mx, tmp_path):
    def trainer_of():
        return mx.gluon.Trainer(
            {"a": np.ones(3, np.float32), "b": np.ones((2, 2), np.float32)}, "adam", ema=DECAY
        )

    def weights(one):
        return [np.array(parameter.data()) for parameter in one._params]

    def step(one, seed):
        one.step(2, grads=dict(zip("ab", drawn(seed, shapes=[(3,), (2, 2)]))))

    one = trainer_of()
    expected = weights(one)
    for seed in range(3):
        step(one, seed)
        expected = list(map(moved, expected, weights(one)))
    before = [weight.tobytes() for weight in weights(one)]
    with one.average_parameters():
        assert [weight.tobytes() for weight in weights(one)] == [average.tobytes() for average in expected]
        with pytest.raises(RuntimeError, match=r"holds its average; call train\(\) first"):
            step(one, 9)
    assert [weight.tobytes() for weight in weights(one)] == before
    one.save_states(tmp_path / "states")
    other = trainer_of()
    other.load_states(tmp_path / "states")
    for mine, theirs in zip(other._params, weights(one)):
        mine.set_data(theirs)
    for each in (one, other):
        step(each, 5)
        each.eval()
    assert [weight.tobytes() for weight in weights(other)] == [weight.tobytes() for weight in weights(one)]


def test_a_failure_at_one_copy_undoes_the_averages_of_all(monkeypatch):
    parameter = mxopt.gluon.Parameter("w", shape=(2,))
    parameter.initialize(ctx=[mxopt.cpu(0), mxopt.cpu(1)])
    trainer = mxopt.gluon.Trainer([parameter], "sgd", ema=DECAY, update_on_kvstore=False)
    trainer.step(1, grads=[[np.ones(2, np.float32)] * 2])
    before = [averages_of(updater) for updater in trainer._updaters]
    steps = [dict(updater._averages.steps) for updater in trainer._updaters]
    monkeypatch.setattr(trainer._updaters[1], "_stepping", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.step(1, grads=[[np.ones(2, np.float32)] * 2])
    assert [averages_of(updater) for updater in trainer._updaters] == before
    assert [updater._averages.steps for updater in trainer._updaters] == steps


# -- bad input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [1, 1.5, -0.1, float("nan"), "0.9", True])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises((TypeError, ValueError), match=r"^ema must be [^\n]+, got [^\n]+$"):
        updater_of(decay=decay)


@BOTH
def test_schedule_free_optimizers_average_by_themselves(mx):
    with pytest.raises(ValueError, match=r"^ema must be left out with 'schedulefreesgd'"):
        updater_of(mx, "schedulefreesgd")


def test_a_weight_of_another_shape_is_refused():
    one = updater_of()
    one(0, np.ones(3, np.float32), np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"must have the shape of its average, \(3,\), got \(4,\)"):
        one(0, np.ones(4, np.float32), np.ones(4, np.float32))
