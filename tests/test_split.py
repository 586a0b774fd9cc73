"""`multi_precision="split"`: a bfloat16 weight and the low half of its float32 master."""

import copy
import json
import pickle
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from cases import OPTIMIZERS
from processes import printed
from runs import assert_same_bits, flat, gradients, rows_of, shapes_of, tensors

import mxopt as mx
import mxopt.v1
from mxopt import kernels
from mxopt.kernels import Split

BF16 = np.dtype(ml_dtypes.bfloat16)
PACKAGES = {"2.x": mx, "1.x": mxopt.v1}
dialects = pytest.mark.parametrize("dialect", PACKAGES)


def known(name, package=mx):
    return name in package.optimizer.opt_registry


names = pytest.mark.parametrize("name", OPTIMIZERS)


def settings_of(name, **settings):
    """Settings with which an optimizer keeps states, and a rate that moves weights by many digits."""
    moving = ("sgd", "ccsgd", "lbsgd", "signum", "dcasgd", "lars", "nag")
    return {**({"momentum": 0.9} if name in moving else {}), "learning_rate": 0.01, **settings}


# -- the halves ----------------------------------------------------------------------------------------


def nearest_even(bits):
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def check_halves(bits):
    """Masters come back; NaNs as NaNs; returns how many weights are not those of rounding to even."""
    upper, low = kernels.part_halves(bits.view(np.float32))
    back = kernels.join_halves(upper.view(BF16), low).view(np.uint32)
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    assert (back == np.where(nan, (bits | 0x400000) & 0xFFFF0000, bits)).all()
    assert (((upper & 0x7FFF) > 0x7F80) == nan).all()  # the weight shows it
    other = (upper != nearest_even(bits)) & ~nan
    assert (bits[other] & 0xFFFF == 0x8000).all()  # ties only, and of these
    assert (bits[other] & 0x10000 == 0).all()  # those that an even weight would keep
    return int(other.sum())


@pytest.mark.slow
def test_every_master_comes_back():
    """All of them. Rounding to even would give an even weight 65537 masters: one tie must go elsewhere."""
    size = 1 << 24
    others = sum(check_halves(np.arange(i * size, (i + 1) * size, dtype=np.uint32)) for i in range(256))
    assert others == 2 * 0x7F80 // 2  # a tie of each even weight that is finite, of either sign


def test_masters_come_back():
    near = np.arange(-3, 4)
    ends = [0, 0x8000, 0x10000, 0x18000, 0x7F0000, 0x7F8000, 0x800000, 0x7F7F0000, 0x7F7F8000, 0x7F800000,
            0x7FBF8000, 0x7FC00000, 0x7FFF0000, 0x7FFF8000, 0x3F800000, 0x3F808000]  # fmt: skip
    bits = (np.array(ends)[:, None] + near).clip(0, 0x7FFFFFFF).ravel()
    bits = np.concatenate([bits, bits | 0x80000000]).astype(np.uint32)
    check_halves(bits)
    random = np.random.RandomState(0).randint(0, 2**32, 1_000_003, dtype=np.uint64).astype(np.uint32)
    assert 0 < check_halves(random) < 100


def test_what_is_written_by_hand_is_the_weight():
    """A low half from before never makes more of it than half of its last digit, and no NaN."""
    weights = np.arange(2**16, dtype=np.uint16)
    for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        master = kernels.join_halves(weights.view(BF16), np.full(2**16, low, np.uint16))
        magnitude = weights & 0x7FFF
        expected = (magnitude.astype(np.int64) << 16) + np.int16(low - 2**16 * (low >= 2**15))
        expected = np.where(
            magnitude > 0x7F80, magnitude.astype(np.int64) << 16, expected.clip(0, 0x7F800000)
        )
        signs = (weights & 0x8000).astype(np.int64) << 16
        np.testing.assert_array_equal(master.view(np.uint32), expected | signs)
        assert (np.isnan(master) == (magnitude > 0x7F80)).all()
        assert (np.signbit(master) == (weights >= 0x8000)).all()
        upper, _ = kernels.part_halves(master)
        fits = (magnitude != 0x7F80) & (magnitude <= 0x7F80) & (magnitude != 0)
        assert (upper == weights)[fits].all()
        assert (np.abs(master[magnitude == 0]) < 2.0**-133).all()


def test_layouts_of_halves():
    master = tensors([(37, 21)])[0]
    expected = kernels.part_halves(master)
    for order in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        upper, low = kernels.part_halves(order(master))
        assert_same_bits([np.array(upper, order="C"), np.array(low, order="C")], expected)
        back = kernels.join_halves(order(upper.view(BF16)), order(low))
        assert_same_bits([np.array(back, order="C")], [master])
    for arguments in ((np.zeros(3, BF16), np.zeros(4, np.uint16)), (np.zeros(3), np.zeros(3, np.uint16))):
        with pytest.raises(ValueError, match="low halves"):
            kernels.join_halves(*arguments)
    with pytest.raises(ValueError, match="must be a uint16 array"):
        Split(np.zeros(3, np.int16))


# -- steps ---------------------------------------------------------------------------------------------


def run(name, masters, *, package=mx, shapes=None, steps=5, lists=True, convert=None, gradient=None,
        options=(), **settings):  # fmt: skip
    """An updater after some steps, and its weights."""
    mx.random.seed(5)
    shapes = shapes or shapes_of(name)
    made = package.create(name, **settings_of(name, multi_precision=masters, **settings))
    updater = package.get_updater(made, **dict(options))
    weights = tensors(shapes, BF16)
    if convert:
        weights = [convert(w) for w in weights]
    for step in range(steps):
        grads = gradients(shapes, BF16, step)
        if convert:
            grads = [convert(g) for g in grads]
        if gradient:
            grads = [gradient(step, i, g) for i, g in enumerate(grads)]
        if lists:
            updater(list(range(len(weights))), grads, weights)
        else:
            for i, (grad, weight) in enumerate(zip(grads, weights)):
                updater(i, grad, weight)
    return updater, weights


def wholes(updater):
    """The states of a run with whole masters, in order."""
    at, found = updater.optimizer.master_position, []
    for state in updater.states.values():
        master = state[at]
        found.append(np.array(master.widened() if isinstance(master, Split) else master, order="C"))
        found += [np.array(part, order="C") for part in flat(state[1 - at])]
    return found


def assert_same_run(split, masters, ties=0):
    """Masters and states are the same bits; so are weights but for ties."""
    (updater, weights), (other, others) = split, masters
    assert_same_bits(wholes(updater), wholes(other))
    found = [np.array(w, order="C").view(np.uint16).astype(int) for w in weights]
    expected = [np.array(w, order="C").view(np.uint16).astype(int) for w in others]
    at = updater.optimizer.master_position
    for index, one, two in zip(updater.states, found, expected):
        low = np.array(updater.states[index][at].low, order="C")
        assert (low[one != two] == 0x8000).all() and (np.abs(one - two) <= 1).all()


@dialects
@names
@pytest.mark.parametrize("fused", [True, False])
def test_it_is_the_run_of_whole_masters(name, dialect, fused):
    package = PACKAGES[dialect]
    if not known(name, package):
        pytest.skip("not in this dialect")
    runs = [run(name, masters, package=package, use_fused_step=fused) for masters in ("split", True)]
    assert_same_run(*runs)
    at = runs[0][0].optimizer.master_position
    for index, weight in enumerate(runs[0][1]):
        master = runs[0][0].states[index][at]
        assert type(master) is Split and master.low.dtype == np.uint16 and master.shape == weight.shape
        assert_same_bits(kernels.part_halves(master.widened()), [weight.view(np.uint16), master.low])
    assert any(runs[0][0].states[i][at].low.any() for i in range(len(runs[0][1])))


LARGE = ((130, 37), (5001,), (300, 301))
#: Whose sums follow memory, or whose products are BLAS's.
ORDERED = ("muon", "adafactor")


@names
def test_threads_lists_and_layouts_change_no_bit(name):
    shapes = LARGE if not OPTIMIZERS[name].matrices else ((130, 37), (300, 301))
    with mx.num_threads(2):
        first = run(name, "split", shapes=shapes)
    with mx.num_threads(1):
        assert_same_bits(*(everything(*one) for one in (run(name, "split", shapes=shapes), first)))
    if not OPTIMIZERS[name].together and name != "nadam":
        alone = run(name, "split", shapes=shapes, lists=False)
        assert_same_bits(everything(*alone), everything(*first))
    for convert in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]):
        runs = [run(name, masters, shapes=shapes, convert=convert) for masters in ("split", True)]
        if name not in ORDERED:
            assert_same_run(*runs)


def everything(updater, weights):
    """Weights, masters and states, in C order."""
    return [np.array(w, order="C") for w in weights] + wholes(updater)


def test_mixed_layouts_of_weight_and_halves():
    """The low halves need not lie as the weight does."""
    results = []
    for order in (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 3, axis=0)[::3]):
        opt = mx.create("adam", multi_precision="split")
        weight = tensors([(130, 37)], BF16)[0]
        updater = mx.get_updater(opt)
        updater.states[0] = opt.create_state_multi_precision(0, weight)
        master, state = updater.states[0]
        updater.states[0] = (Split(order(master.low)), state)
        for step in range(3):
            updater(0, gradients([(130, 37)], BF16, step)[0], weight)
        results.append(everything(updater, [weight]))
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@pytest.mark.parametrize("isa", kernels.available_instruction_sets())
def test_bits_are_those_of_every_machine(isa):
    code = (
        "import json, sys; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from test_split import marks\n"
        "print(json.dumps(marks()))"
    )
    path = json.dumps([str(Path(__file__).parent)])
    assert json.loads(printed("-c", code, path, MXOPT_ISA=isa)) == marks()


def marks():
    return [
        [zlib.crc32(part.tobytes()) for part in everything(*run(name, "split", shapes=LARGE))]
        for name in ("adam", "sgd", "lamb", "adagrad")
    ]


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if OPTIMIZERS[n].local and known(n)])
@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("convert", [None, np.asfortranarray])
def test_rows(name, lazy, convert):
    if mx.describe(name).not_lazy_because and lazy:
        pytest.skip("never lazy")
    shapes, updates = ((140, 37), (90, 1), (700, 2)), []
    for masters in ("split", True):
        updates.append(
            run(name, masters, shapes=shapes, convert=convert, lazy_update=lazy,
                gradient=lambda step, i, g: mx.RowSparseArray(
                    np.ascontiguousarray(g[rows_of(len(g), step)]), rows_of(len(g), step), g.shape))
        )  # fmt: skip
    assert_same_run(*updates)


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if known(n) and mx.describe(n).exact])
def test_exact_rows(name):
    """Rows that lag behind are caught up through their halves."""
    shape, runs = (300, 5), []
    for masters, lazy in (("split", "exact"), (True, False)):
        made = mx.create(name, **settings_of(name, multi_precision=masters, lazy_update=lazy, wd=1e-4))
        if name == "groupadagrad":
            made = mx.create(name, multi_precision=masters, lazy_update=lazy, learning_rate=0.01)
        updater = mx.get_updater(made)
        weights = tensors([shape], BF16)
        for step in range(30):
            rows = rows_of(shape[0], step, share=0.02)
            grad = gradients([shape], BF16, step)[0][rows]
            updater(0, mx.RowSparseArray(grad, rows, shape), weights[0])
        updater.flush()
        runs.append((updater, weights))
    assert_same_run(*runs)


@pytest.mark.parametrize(
    "options",
    [
        {"ema": 0.9},
        {"report": True},
        {"loss_scale": 4.0},
        {"accumulate": 2},
        {"clip_global_norm": 1.0},
        {"ema": 0.9, "report": True, "loss_scale": "dynamic"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["adam", "lamb", "muon", "adafactor", "sgd"])
@pytest.mark.parametrize("fused", [True, False])
def test_what_goes_with_the_step(name, options, fused):
    runs = [run(name, m, options=options, steps=6, use_fused_step=fused) for m in ("split", True)]
    assert_same_run(*runs)
    (updater, weights), (other, others) = runs
    if "ema" in options:
        keys = list(updater.states)
        assert_same_bits(*([one._averages.arrays[key] for key in keys] for one in (updater, other)))
        before = [w.copy() for w in weights]
        for one, own in runs:
            one.eval(keys, own)
        assert_same_bits(weights, others)
        updater.train(keys, weights)
        assert_same_bits(weights, before)
    if "report" in options:
        assert updater.report == other.report and len(updater.report) == len(weights)


def test_averages_of_lazy_rows():
    runs = []
    for masters in ("split", True):
        updater, weights = run(
            "adam", masters, shapes=((140, 37),), steps=6, options={"ema": 0.9}, lazy_update=True,
            gradient=lambda step, i, g: mx.RowSparseArray(
                np.ascontiguousarray(g[rows_of(140, step)]), rows_of(140, step), g.shape),
        )  # fmt: skip
        updater.eval([0], weights)
        runs.append([updater._averages.arrays[0], *weights])
    assert_same_bits(*runs)


@pytest.mark.parametrize("convert", [None, np.asfortranarray])
def test_averages_that_are_moved_after_the_step(convert):
    runs = [
        run("sgd", m, options={"ema": 0.9}, use_fused_step=False, convert=convert, shapes=((30, 20),))
        for m in ("split", True)
    ]
    assert_same_bits(*([np.array(one._averages.arrays[0], order="C")] for one, _ in runs))


@pytest.mark.parametrize(
    "name", [n for n in OPTIMIZERS if known(n) and not mx.create(n).not_cautious_because]
)
@pytest.mark.parametrize("fused", [True, False])
def test_cautious_steps(name, fused):
    assert_same_run(*(run(name, m, cautious=True, use_fused_step=fused) for m in ("split", True)))


@pytest.mark.parametrize("width", ["bfloat16", "int8"])
@pytest.mark.parametrize("lazy", [True, False])
def test_with_narrow_states(width, lazy):
    """4 bytes a weight for the master, and 4 or 2.03 for Adam's states: all of it exact or named."""
    shapes = ((130, 37),)
    runs = [run("adam", m, shapes=shapes, state_dtype=width, lazy_update=lazy) for m in ("split", True)]
    assert_same_run(*runs)


def test_points_of_schedule_free():
    for name in ("schedulefreesgd", "schedulefreeadamw"):
        results = []
        for masters in ("split", True):
            updater, weights = run(name, masters)
            keys = list(updater.states)
            updater.eval(keys, weights)
            middle = wholes(updater)
            updater.train(keys, weights)
            results.append((updater, weights))
            assert_same_bits(middle, wholes(updater)) if masters == "none" else None
        assert_same_run(*results)


def test_groups():
    results = []
    for masters in ("split", True):
        base = mx.create("adam", multi_precision=masters)
        updater = mx.get_updater(mx.optimizer.Groups(base, {"a*": {"wd": 0.1}}))
        weights = tensors([(30, 7)] * 2, BF16)
        for step in range(4):
            updater(["ab", "c"], gradients([(30, 7)] * 2, BF16, step), weights)
        results.append((updater, weights))
    updater = results[0][0]
    assert all(type(updater.states[key][0]) is Split for key in ("ab", "c"))
    for key in ("ab", "c"):
        assert_same_bits([updater.states[key][0].widened()], [results[1][0].states[key][0]])


def test_groups_have_masters_of_their_own():
    def made(masters):
        options = {} if masters is None else {"a*": {"multi_precision": masters}}
        return mx.get_updater(mx.optimizer.Groups(mx.create("adam"), options), ema=0.5)

    updaters, weights = {m: made(m) for m in ("split", True)}, {}
    for masters, updater in updaters.items():
        weights[masters] = tensors([(30, 7)], BF16)
        for step in range(3):
            updater("ab", gradients([(30, 7)], BF16, step)[0], weights[masters][0])
    split, whole = updaters.values()
    assert_same_bits([split.states["ab"][0].widened()], [whole.states["ab"][0]])
    saved, other = split.get_states(), made(True)
    with pytest.raises(mx.StateFileError, match="keeps the low half of the master of index 'ab'"):
        other.set_states(saved)
    other.set_states(saved, convert=True)
    for updater, weight in ((other, weights["split"][0]), (whole, weights[True][0])):
        updater("ab", gradients([(30, 7)], BF16, 7)[0], weight)
    assert_same_bits([other.states["ab"][0]], [whole.states["ab"][0]])
    assert_same_bits([weights["split"][0]], [weights[True][0]])


def test_averages_are_those_of_masters_in_groups():
    options = {"a*": {"multi_precision": "split"}}
    updater = mx.get_updater(mx.optimizer.Groups(mx.create("adam"), options), ema=0.0)
    weight = np.ones(9, BF16)
    updater("ab", np.ones(9, BF16), weight)
    assert_same_bits([updater._averages.arrays["ab"]], [updater.states["ab"][0].widened()])


def test_a_class_of_ones_own():
    @mx.optimizer.register
    class Halving(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            assert weight.dtype == np.float32
            return np.zeros(weight.shape, np.float32)

        def update(self, index, weight, grad, state):
            assert weight.dtype == np.float32
            state += 1
            weight -= self.lr * grad

    try:
        runs = []
        for masters in ("split", True):
            updater = mx.get_updater(mx.create("halving", learning_rate=1e-4, multi_precision=masters))
            weights = tensors([(9, 5)], BF16)
            for step in range(5):
                updater(0, gradients([(9, 5)], BF16, step)[0], weights[0])
            runs.append((updater, weights))
        assert_same_run(*runs)
    finally:
        del mx.optimizer.opt_registry["halving"]


def test_ties():
    """The weight of a tie is the one away from zero; norms are those of whole masters all the same."""
    for name in ("sgd", "lars", "lamb", "lans"):
        results = []
        for masters in ("split", True):
            opt = mx.create(name, multi_precision=masters, learning_rate=0.0)
            weight = np.ones(4000, BF16)
            state = opt.create_state_multi_precision(0, weight)
            tie = np.float32(1 + 2**-8)
            master = state[opt.master_position]
            if masters == "split":
                upper, low = kernels.part_halves(np.full(4000, tie))
                weight[...], master.low[...] = upper.view(BF16), low
            else:
                master[...] = tie
            opt.update_multi_precision([0], [weight], [np.ones(4000, BF16)], [state])
            opt.lr = 0.5
            opt.update_multi_precision([0], [weight], [np.ones(4000, BF16)], [state])
            results.append(master.widened() if masters == "split" else master)
        assert_same_bits(results[:1], results[1:], name)


def test_other_weights_step_as_they_are():
    for dtype in ("float32", "float64"):
        results = []
        for masters in ("split", True):
            weight = np.ones(5, dtype)
            updater = mx.get_updater(mx.create("adam", multi_precision=masters))
            updater(0, np.ones(5, dtype), weight)
            results.append([weight, *updater.states[0]])
        assert_same_bits(*results)


def test_whole_masters_go_on_as_they_are():
    """What is set later counts for states that are made later."""
    updater, weights = run("adam", True, steps=2)
    updater.optimizer.multi_precision = "split"
    updater(0, gradients([weights[0].shape], BF16)[0], weights[0])
    assert updater.states[0][0].dtype == np.float32
    weight = np.ones(3, BF16)
    updater(9, np.ones(3, BF16), weight)
    assert type(updater.states[9][0]) is Split
    updater.optimizer.multi_precision = True
    updater(9, np.ones(3, BF16), weight)
    assert type(updater.states[9][0]) is Split


def test_copies_and_pickles_go_on_alike():
    updater, weights = run("adam", "split")
    results = []
    for one in (copy.deepcopy(updater), pickle.loads(pickle.dumps(updater)), copy.copy(updater)):
        own = [w.copy() for w in weights]
        assert one is updater or one.states[0] is updater.states[0] or one.states[0][0].weight is None
        results.append((one, own))
        if one.states is updater.states:
            own[:] = weights
        one(list(range(len(own))), gradients([w.shape for w in own], BF16, 9), own)
    for one, own in results[:2]:
        assert_same_bits(everything(one, own), everything(*results[2]))


# -- bad input -----------------------------------------------------------------------------------------


@dialects
def test_what_it_cannot_be_is_refused(dialect):
    create = PACKAGES[dialect].create
    for value in ("Split", "true", 2, 0.5, None, ["split"], np.array([1, 2])):
        with pytest.raises(ValueError, match='^multi_precision must be True, False or "split", got '):
            create("adam", multi_precision=value)
        opt = create("adam", multi_precision=True)
        with pytest.raises(ValueError, match='^multi_precision must be True, False or "split", got '):
            opt.multi_precision = value
        assert opt.multi_precision is True
    for value in (1, np.True_, True):
        assert create("adam", multi_precision=value).multi_precision is True
    for name in PACKAGES[dialect].optimizer.opt_registry:
        if name != "test_":
            assert create(name, multi_precision="split").multi_precision == "split"


def test_float16_is_refused():
    updater = mx.get_updater(mx.create("adam", multi_precision="split"))
    weight = np.ones(3, np.float16)
    words = '="split" needs bfloat16 weights, .* index 0 is float16; pass multi_precision=True$'
    with pytest.raises(TypeError, match=words):
        updater(0, np.ones(3, np.float16), weight)
    assert (weight == 1).all() and not updater.states
    updater.optimizer.multi_precision = True
    updater(0, np.ones(3, np.float16), weight)


def test_halves_that_do_not_fit_are_refused():
    opt = mx.create("adam", multi_precision="split")
    weight, grad = np.ones(3, BF16), np.ones(3, BF16)
    low, moments = np.zeros(3, np.uint16), (np.zeros(3, np.float32), np.zeros(3, np.float32))
    read_only = np.zeros(3, np.uint16)
    half = Split(read_only)
    read_only.flags.writeable = False
    for own, master, message in [
        (weight, Split(np.zeros(4, np.uint16)), "the float32 master of index 0 must fit its weight of shape"),
        (weight, half, "the float32 master of index 0 is updated in place but is read-only"),
        (
            np.ones(3, np.float16),
            Split(low),
            "has the low half of a bfloat16 weight, and the weight is float16",
        ),
        (weight, low, "the float32 master of index 0 must be float32, got uint16"),
        (
            weight,
            Split(weight.view(np.uint16)),
            "the float32 master of index 0 and weight of index 0 share memory",
        ),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            opt.update_multi_precision([0], [own], [grad.astype(own.dtype)], [(master, moments)])
        assert (own == 1).all() and not opt._index_update_count


# -- files ---------------------------------------------------------------------------------------------


def stepped(masters="split", name="adam", package=mx, steps=3, names=(), **settings):
    updater, weights = run(name, masters, shapes=((30, 20), (40,)), steps=steps, package=package, **settings)
    updater.optimizer.idx2name.update(names)
    return updater, weights


def go_on(updater, weights, seed=9):
    updater([0, 1], gradients([w.shape for w in weights], BF16, seed), weights)
    return everything(updater, weights)


@names
@dialects
@pytest.mark.parametrize("dump", [False, True])
def test_files_resume_to_the_bit(name, dialect, dump, tmp_path):
    package = PACKAGES[dialect]
    if not known(name, package):
        pytest.skip("not in this dialect")
    updater, weights = run(name, "split", package=package)
    updater.save_states(tmp_path / "x.states", dump_optimizer=dump)
    settings = {} if dump else settings_of(name, multi_precision="split")
    other = package.get_updater(package.create(name, **settings))
    other.load_states(tmp_path / "x.states")
    own, keys = [w.copy() for w in weights], list(updater.states)
    for one, some in ((updater, weights), (other, own)):
        mx.random.seed(3)
        one(keys, gradients([w.shape for w in weights], BF16, 9), some)
    assert_same_bits(everything(other, own), everything(updater, weights))


def test_a_file_names_the_half(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    updater, _ = stepped(names={0: "fc_weight", 1: "fc_bias"})
    updater.save_states(tmp_path / "x.states")
    arrays = safetensors.load_file(tmp_path / "x.states")
    assert arrays["states/fc_weight/master/low"].dtype == np.uint16
    assert_same_bits([arrays["states/fc_bias/master/low"]], [updater.states[1][0].low])
    assert "states/fc_bias/mean" in arrays and len(arrays) == 6
    assert b'\\"quantiser\\",\\"split\\"' in (tmp_path / "x.states").read_bytes()


@pytest.mark.parametrize("name", ["adam", "sgd", "lion", "lars"])
@pytest.mark.parametrize("before", ["split", True])
@pytest.mark.parametrize("packages", [(mx, mx), (mx, mxopt.v1), (mxopt.v1, mx)], ids=["2", "2to1", "1to2"])
def test_the_other_kind_of_master_is_converted_on_request_only(name, before, packages):
    after = True if before == "split" else "split"
    if not all(known(name, package) for package in packages):
        pytest.skip("not in both dialects")
    if name == "lars" and packages[0] is not packages[1]:
        pytest.skip("1.x has progress that 2.x lacks")
    updater, weights = stepped(before, name, packages[0])
    saved = updater.get_states()
    other = packages[1].get_updater(packages[1].create(name, **settings_of(name, multi_precision=after)))
    kept = other.get_states()
    words = (
        "keeps the (low half of the|whole) master of index 0.*; pass convert=True, or create the optimizer"
    )
    with pytest.raises(mx.StateFileError, match=words):
        other.set_states(saved)
    assert other.get_states() == kept
    other.set_states(saved, convert=True)
    own = [w.copy() for w in weights]
    new = packages[1].get_updater(packages[1].create(name, **settings_of(name, multi_precision=before)))
    new.set_states(saved)
    expected, got = ([w.copy() for w in weights], own)
    for one, some in ((new, expected), (other, got)):
        go_on(one, some)
    assert_same_bits(wholes(other), wholes(new))
    kinds = {type(state[other.optimizer.master_position]) is Split for state in other.states.values()}
    assert kinds == {after == "split"}


def test_ties_are_converted_too():
    """A whole master rounds a tie to even, and the half needs its own weight."""
    tie = np.full(4, 1 + 2**-8, np.float32)
    updater, weight = mx.get_updater(mx.create("sgd", multi_precision=True)), np.ones(4, BF16)
    updater(0, np.zeros(4, BF16), weight)
    updater.states[0][0][...] = tie
    other = mx.get_updater(mx.create("sgd", multi_precision="split"))
    other.set_states(updater.get_states(), convert=True)
    other(0, np.zeros(4, BF16), weight)
    np.testing.assert_array_equal(other.states[0][0].widened(), tie)
    np.testing.assert_array_equal(weight.astype(np.float32), 1 + 2**-7)


def test_conversion_waits_for_the_weight():
    updater, weights = stepped("split")
    other = mx.get_updater(mx.create("adam", multi_precision=True))
    other.set_states(updater.get_states(), convert=True)
    assert type(other.states[0][0]) is Split
    again = mx.get_updater(mx.create("adam", multi_precision=True))
    again.set_states(other.get_states(), convert=True)  # what has not met its weight is saved as it is
    go_on(again, weights)
    assert again.states[0][0].dtype == np.float32
    other = mx.get_updater(mx.create("adam", multi_precision="split"))
    other.set_states(stepped(True)[0].get_states(), convert=True)
    with pytest.raises(TypeError, match="needs bfloat16 weights"):
        other(0, np.ones((30, 20), np.float16), np.ones((30, 20), np.float16))
    with pytest.raises(ValueError, match="read-only"):
        fixed = np.ones((30, 20), BF16)
        fixed.flags.writeable = False
        other(0, np.ones((30, 20), BF16), fixed)


def test_a_file_of_halves_needs_masters():
    updater, _ = stepped("split")
    other = mx.get_updater(mx.create("adam"))
    words = 'index 0 has the low half of a master, .*=False; create it with multi_precision="split"'
    for convert in (False, True):
        with pytest.raises(mx.StateFileError, match=words):
            other.set_states(updater.get_states(), convert=convert)


def test_states_that_are_there_are_compared():
    updater, weights = stepped("split")
    other, own = stepped(True)
    other.set_states(updater.get_states(), convert=True)
    go_on(other, [w.copy() for w in weights])
    narrow, _ = run("adam", "split", shapes=((30, 21), (40,)))
    with pytest.raises(mx.StateFileError, match=r"float32 \(30, 20\)"):
        narrow.set_states(updater.get_states())


@pytest.mark.parametrize("format", ["mxnet-1.x", "mxnet-2.x"])
@pytest.mark.parametrize("dump", [False, True])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_mxnet_gets_whole_masters(format, dump, name):
    updater, weights = stepped("split", name, names={0: "a", 1: "b"})
    with pytest.warns(UserWarning, match="no place for split masters: they are written as float32"):
        data = updater.get_states(dump_optimizer=dump, format=format)
    other = mx.get_updater(mx.create(name, **settings_of(name, multi_precision=True)))
    other.optimizer.idx2name.update({0: "a", 1: "b"})
    other.set_states(data, num_update=3, format=format)
    assert other.optimizer.multi_precision is True
    assert_same_bits(wholes(other), wholes(updater))
    back = mx.get_updater(mx.create(name, **settings_of(name, multi_precision="split")))
    if not dump:
        back.set_states(data, num_update=3, format=format, convert=True)
        own = [w.copy() for w in weights]
        assert_same_bits(go_on(back, own), go_on(updater, weights))


def test_mxnet_needs_the_weights():
    updater, weights = stepped("split")
    other = mx.get_updater(mx.create("adam", multi_precision="split"))
    other.set_states(updater.get_states())
    words = "^the master of index 0 is split, .* which is not known before a step; make a step first$"
    with pytest.raises(mx.StateFileError, match=words):
        other.get_states(format="mxnet-2.x")
    go_on(other, weights)
    with pytest.warns(UserWarning):
        other.get_states(format="mxnet-2.x")


def test_weights_that_are_replaced_are_followed():
    updater, weights = stepped("split", steps=2)
    weights = [w.copy() for w in weights]
    go_on(updater, weights)
    for index, weight in enumerate(weights):
        assert updater.states[index][0].weight is weight


def test_damaged_descriptions_are_refused():
    from mxopt.states import files, native

    updater, _ = stepped("split")
    version, tree = native.load_version(files.BufferSource(updater.get_states()))
    for change in (
        {"quantiser": "splitt"},
        {"low": None},
        {"low": np.zeros((30, 20), np.int16)},
        {"low": np.zeros((30, 20), np.float32)},
        {"more": 1},
        {"q": np.zeros(3, np.uint16)},
    ):
        other = copy.deepcopy(tree)
        other["states"][0][0].update(change)
        with pytest.raises(mx.StateFileError):
            mx.get_updater(mx.create("adam", multi_precision="split")).set_states(native.dumps(other))


def test_the_command(tmp_path, capsys):
    from mxopt.cli import main

    updater, weights = stepped("split")
    updater.save_states(tmp_path / "a")
    asked = ["convert", str(tmp_path / "a"), str(tmp_path / "b"), "--set", "multi_precision=split"]
    assert main(asked) == 0
    other = mx.get_updater(mx.create("adam", **settings_of("adam", multi_precision="split")))
    other.load_states(tmp_path / "b")
    assert_same_bits(go_on(other, [w.copy() for w in weights]), go_on(updater, [w.copy() for w in weights]))
    assert main([*asked, "--to", "mxnet-2.x", "--force"]) != 0
    assert "its upper half is the weight" in capsys.readouterr().err
    assert main(["ls", str(tmp_path / "a")]) == 0
    assert "low" in capsys.readouterr().out


# -- around it -----------------------------------------------------------------------------------------


def test_a_trainer(tmp_path):
    """Its parameters are known, so that even a file that was just loaded can be written for MXNet."""
    results = []
    for masters in ("split", True):
        params = {"a": tensors([(9, 4)], BF16)[0], "b": tensors([(5,)], BF16)[0]}
        trainer = mx.gluon.Trainer(params, "adam", {"learning_rate": 0.01, "multi_precision": masters})
        for step in range(4):
            for parameter, grad in zip(trainer._params, gradients([(9, 4), (5,)], BF16, step)):
                parameter.grad()[...] = grad
            trainer.step(1)
        trainer.save_states(tmp_path / str(masters))
        results.append((trainer, params))
    (split, own), (whole, others) = results
    assert_same_bits([np.asarray(a) for a in own.values()], [np.asarray(a) for a in others.values()])
    params = {name: weight.copy() for name, weight in own.items()}
    again = mx.gluon.Trainer(params, "adam", {"learning_rate": 0.01, "multi_precision": "split"})
    again.load_states(tmp_path / "split")
    for trainer in (again, split):
        with pytest.warns(UserWarning, match="split masters"):
            trainer._updaters[0].get_states(format="mxnet-2.x")
    for trainer in (again, split, whole):
        for parameter, grad in zip(trainer._params, gradients([(9, 4), (5,)], BF16, 7)):
            parameter.grad()[...] = grad
        trainer.step(1)
    assert_same_bits(list(map(np.asarray, params.values())), list(map(np.asarray, own.values())))
    assert_same_bits(list(map(np.asarray, params.values())), list(map(np.asarray, others.values())))


def test_it_describes_itself():
    opt = mx.create("adam", multi_precision="split")
    assert "multi_precision='split'" in repr(opt)
    updater, _ = stepped("split")
    assert repr(updater.states[0][0]) == "Split(shape=(30, 20))"
    assert updater.states[0][0].nbytes == 2 * 600
    repr(updater), updater._repr_html_()


def test_ndarrays_and_stores():
    """NDArrays as weights, by an updater and by a KVStore that steps them."""
    values, results = tensors([(9, 4)], BF16)[0], []
    for masters in ("split", True):
        weight = mx.nd.array(values, dtype=BF16)
        updater = mx.get_updater(mx.create("adam", multi_precision=masters))
        for step in range(3):
            updater(0, mx.nd.array(gradients([(9, 4)], BF16, step)[0], dtype=BF16), weight)
        store = mx.kv.create("local")
        store.init("w", mx.nd.array(values, dtype=BF16))
        store.set_optimizer(mx.create("adam", multi_precision=masters))
        for step in range(3):
            store.push("w", mx.nd.array(gradients([(9, 4)], BF16, step)[0], dtype=BF16))
        pulled = mx.nd.zeros((9, 4), dtype=BF16)
        store.pull("w", out=pulled)
        master = updater.states[0][0]
        master = master.widened() if masters == "split" else np.asarray(master)
        results.append([np.asarray(weight), np.asarray(pulled), np.asarray(master)])
    assert_same_bits(*results)


def test_row_sparse_weights():
    results = []
    for masters in ("split", True):
        weight = mx.nd.array(tensors([(9, 4)], BF16)[0], dtype=BF16).tostype("row_sparse")
        updater = mx.get_updater(mx.create("adam", multi_precision=masters, lazy_update=True))
        for step in range(3):
            rows = np.array([1, 4])
            grad = gradients([(9, 4)], BF16, step)[0][rows]
            updater(0, mx.RowSparseArray(grad, rows, (9, 4)), weight)
        master = updater.states[0][0]
        results.append([np.asarray(master.widened() if masters == "split" else master)])
    assert_same_bits(*results)
