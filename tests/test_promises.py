"""What every registered optimizer promises, one test for each promise."""

import copy
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from cases import OPTIMIZERS, SETTINGS, every_setting
from processes import printed
from runs import SHAPES, assert_same_bits, everything, flat, gradients, rows_of, run, shapes_of, tensors

import mxopt as mx

HALVES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
DTYPES = [np.dtype(np.float32), np.dtype(np.float64), *HALVES]
NAMES = sorted(mx.Optimizer.opt_registry)

#: MXNet's step and its kernel use different formulas here, so results may differ.
OTHER_FORMULA = {
    "adamw": "its step decays the weight that has already moved",
    "lans": "its step forms the second part with the weight that has already moved",
}

every_optimizer = pytest.mark.parametrize("name", NAMES)
all_settings = pytest.mark.parametrize(("name", "settings"), every_setting())
settings_of_single_tensors = pytest.mark.parametrize(
    ("name", "settings"), every_setting(lambda row: not row.together)
)


def test_every_optimizer_has_a_row_of_cases():
    assert set(NAMES) == set(OPTIMIZERS)


# -- two ways to the same numbers ----------------------------------------------------------------------


@all_settings
@pytest.mark.parametrize(("dtype", "tolerance"), [
    ("float64", 1e-12),  # the same mathematics, rounded in another order
    # 1 - float32(beta2) has a relative error of 5e-5, in MXNet's kernels but not in its step
    ("float32", 2e-4),
])  # fmt: skip
def test_step_agrees_with_fused_step(name, settings, dtype, tolerance):
    if name in OTHER_FORMULA:
        tolerance = max(tolerance, 2e-3)
    fused = run(name, {**settings, "use_fused_step": True}, dtype=dtype)
    step = run(name, {**settings, "use_fused_step": False}, dtype=dtype)
    for a, b in zip(fused, step):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(
            a, b, rtol=tolerance, atol=tolerance * max(np.abs(b).max(initial=0), 1e-30)
        )


@settings_of_single_tensors
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_list_equals_one_by_one(name, settings, fused):
    settings = {**settings, "use_fused_step": fused}
    assert_same_bits(run(name, settings, lists=True), run(name, settings, lists=False))


@pytest.mark.parametrize("name", [n for n in NAMES if not OPTIMIZERS[n].together])
def test_list_of_mixed_dtypes_equals_one_by_one(name):
    shapes = shapes_of(name)
    results = []
    for lists in (True, False):
        weights = [w.astype(dtype) for w, dtype in zip(tensors(shapes), DTYPES)]
        results.append(run(name, {"multi_precision": True}, weights=weights, lists=lists))
    assert_same_bits(*results)


@all_settings
def test_same_bits_for_any_number_of_threads(name, settings):
    shapes = (
        ((61, 1013), (40_003,), (5, 3)) if not OPTIMIZERS[name].matrices else ((61, 1013), (401, 101), (5, 3))
    )
    results = []
    for threads in (1, 2, 3, 7):
        mx.set_num_threads(threads)
        results.append(run(name, settings, shapes=shapes, steps=2))
    for other in results[1:]:
        assert_same_bits(other, results[0])


@pytest.mark.parametrize(("name", "settings"), every_setting(lambda row: not row.noise))
def test_a_tensors_bits_do_not_depend_on_its_neighbours(name, settings):
    """Where a tensor lies on the engine's line, and so how it is cut into chunks, changes nothing."""
    mx.set_num_threads(3)
    shapes = shapes_of(name)
    steps = 1 if mx.create(name).scalars_differ else 4  # Nadam's schedule moves on with every tensor
    alone = run(name, settings, shapes=(shapes[1],) * 3, steps=steps)
    crowd = run(name, settings, shapes=(shapes[1],) * 3 + ((60, 1021),) * 2, steps=steps)
    count = len(flat(mx.create(name, **settings).create_state(0, alone[0])))
    assert_same_bits(crowd[:3] + crowd[5 : 5 + 3 * count], alone)


def _bits_of_all(isa):
    code = (
        "import json, sys; sys.path[:0] = json.loads(sys.argv[1]); "
        "import test_promises; test_promises.print_hashes()"
    )
    path = [str(Path(__file__).parent)]
    return json.loads(printed("-c", code, json.dumps(path), MXOPT_ISA=isa).splitlines()[-1])


def print_hashes():
    import hashlib
    import warnings

    warnings.simplefilter("ignore")
    hashes = {}
    for name in NAMES:
        for label, settings in SETTINGS[name].items():
            for dtype in DTYPES:
                arrays = run(name, settings, dtype=dtype)
                hashes[f"{name}, {label}, {dtype.name}"] = [
                    hashlib.md5(a.tobytes()).hexdigest() for a in arrays
                ]
    print(json.dumps(hashes))


def test_instruction_sets_give_the_same_bits():
    available = mx.kernels.available_instruction_sets()
    results = {isa: _bits_of_all(isa) for isa in available}
    assert len(results["baseline"]) == sum(len(SETTINGS[name]) for name in NAMES) * len(DTYPES)
    for isa in available:
        differ = [key for key in results[isa] if results[isa][key] != results["baseline"][key]]
        assert not differ, f"{isa} and baseline differ: {differ}"


# -- row-sparse gradients ------------------------------------------------------------------------------


def _dense(rows, values, shape):
    dense = np.zeros(shape, values.dtype)
    dense[rows] = values
    return dense


sparse_settings = pytest.mark.parametrize(("name", "settings"), every_setting(lambda row: row.local))
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)


def _lazily(name, settings, lazy):
    return {**settings, "lazy_update": lazy}


@sparse_settings
@dtypes
@pytest.mark.filterwarnings("ignore:states of")
def test_lazy_rows_equal_dense_rows(name, settings, dtype):
    """The rows present are stepped like a dense tensor of their own; no other row changes."""
    shape = (31, 9)
    updater = mx.get_updater(mx.create(name, **_lazily(name, settings, True)))
    dense = mx.create(name, **settings)
    (weight,) = tensors([shape], dtype)
    reference = weight.copy()
    state = dense.create_state(0, reference)
    for step in range(3):
        rows = rows_of(len(weight), step)
        (grad,) = gradients([shape], dtype, step)
        mx.random.seed(step)
        updater(0, mx.RowSparseArray(grad[rows], rows, shape), weight)

        mx.random.seed(step)
        part, part_state = reference[rows], _map(lambda array, rows=rows: array[rows], state)
        dense.update(0, part, grad[rows], part_state)
        for whole, some in zip([reference, *flat(state)], [part, *flat(part_state)]):
            whole[rows if whole.ndim else ...] = some
        assert_same_bits([weight, *flat(updater.states[0])], [reference, *flat(state)])


def _map(function, state):
    if isinstance(state, tuple):
        return tuple(_map(function, part) for part in state)
    return None if state is None else function(state) if state.ndim else state


@all_settings
@dtypes
@pytest.mark.filterwarnings("ignore:states of")
def test_standard_sparse_equals_dense(name, settings, dtype):
    if OPTIMIZERS[name].local:
        settings = _lazily(name, settings, False)
    shapes = ((67, 5), (31, 9), (300, 33))

    def sparse(step, i, grad):
        rows = rows_of(len(grad), step + i)
        return mx.RowSparseArray(grad[rows], rows, grad.shape)

    def dense(step, i, grad):
        rows = rows_of(len(grad), step + i)
        return _dense(rows, grad[rows], grad.shape)

    assert_same_bits(run(name, settings, shapes=shapes, dtype=dtype, gradient=sparse),
                     run(name, settings, shapes=shapes, dtype=dtype, gradient=dense))  # fmt: skip


@every_optimizer
def test_sparse_gradient_without_rows_equals_zero_gradient(name):
    settings = {"lazy_update": False} if OPTIMIZERS[name].local else {}

    def empty(step, i, grad):
        return mx.RowSparseArray(grad[:0], np.empty(0, np.int64), grad.shape)

    shapes = ((67, 5), (31, 9))
    assert_same_bits(
        run(name, settings, shapes=shapes, gradient=empty),
        run(name, settings, shapes=shapes, gradient=lambda step, i, g: np.zeros_like(g)),
    )


@pytest.mark.parametrize("name", [n for n in NAMES if OPTIMIZERS[n].local])
def test_lazy_step_without_rows_changes_nothing(name):
    (weight,) = tensors([(31, 9)])
    before = weight.copy()
    updater = mx.get_updater(mx.create(name, lazy_update=True))
    updater(0, mx.RowSparseArray(np.empty((0, 9), np.float32), [], (31, 9)), weight)
    assert_same_bits([weight], [before])
    assert updater.optimizer._index_update_count == {0: 1}


@pytest.mark.parametrize("name", [n for n in NAMES if not OPTIMIZERS[n].local])
def test_lazy_is_refused_with_the_reason(name):
    if mx.create(name).not_lazy_because is None:
        mx.create(name, lazy_update=True)  # MXNet defines it, although norms couple the rows
        return
    with pytest.raises(ValueError, match="cannot update lazily: "):
        mx.create(name, lazy_update=True)


@sparse_settings
def test_wide_rows_equal_narrow_ones(name, settings):
    """Rows beyond a block's length are stepped in place, short ones gathered: the bits are the same."""
    if OPTIMIZERS[name].matrices:
        pytest.skip("its rows have one state each, so cutting them is another problem")
    if OPTIMIZERS[name].noise:
        pytest.skip("the noise follows the order of elements")
    settings = _lazily(name, settings, True)
    rows = np.array([1, 2, 6])
    (wide,) = tensors([(7, 4800)])
    (grad,) = gradients([(3, 4800)])
    narrow = wide.copy().reshape(7 * 150, 32)
    a, b = (mx.get_updater(mx.create(name, **settings)) for _ in range(2))
    for _ in range(2):
        a(0, mx.RowSparseArray(grad, rows, wide.shape), wide)
        b(
            0,
            mx.RowSparseArray(
                grad.reshape(-1, 32), (rows[:, None] * 150 + np.arange(150)).ravel(), narrow.shape
            ),
            narrow,
        )
    assert_same_bits([x.ravel() for x in everything(a, [wide])], [x.ravel() for x in everything(b, [narrow])])


# -- gradients are inputs ------------------------------------------------------------------------------


@all_settings
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_gradient_is_not_written_to(name, settings, fused):
    shapes = ((31, 9), (67, 5))
    updater = mx.get_updater(mx.create(name, **{**settings, "use_fused_step": fused}))
    weights, grads = tensors(shapes), gradients(shapes)
    rows = rows_of(67, 0)
    given = [grads[0].copy(), mx.RowSparseArray(grads[1][rows], rows, shapes[1])]
    given[0].flags.writeable = given[1].data.flags.writeable = False
    for _ in range(2):
        updater([0, 1], given, weights)
    np.testing.assert_array_equal(given[0], grads[0])
    np.testing.assert_array_equal(given[1].data, grads[1][rows])


# -- dtypes --------------------------------------------------------------------------------------------


@all_settings
@pytest.mark.parametrize("dtype", HALVES, ids=lambda d: d.name)
@pytest.mark.filterwarnings("ignore:states of", "ignore:overflow encountered in cast")
def test_half_is_float32_rounded_once(name, settings, dtype):
    """One step on 16-bit arrays is the float32 step on their values, rounded to nearest even."""
    shapes = shapes_of(name)
    half = run(name, settings, dtype=dtype, steps=1)
    weights = [w.astype(np.float32) for w in tensors(shapes, dtype)]
    single = run(name, settings, weights=weights, steps=1, shapes=shapes,
                 grad_dtype=dtype, gradient=lambda step, i, g: g.astype(np.float32))  # fmt: skip
    assert_same_bits(half, [b.astype(a.dtype) for a, b in zip(half, single)])


#: MXNet's kernels for masters are followed: NAG's sums both parts of the step before the weight joins, those
#: of LARS and LANS take the norm of the 16-bit weight.
OTHER_ON_MASTERS = ("nag", "lars", "lans")


@pytest.mark.parametrize(
    ("name", "settings", "fused"),
    [
        pytest.param(*case.values, fused, id=f"{case.id}-{'fused' if fused else 'step'}")
        for case in every_setting()
        for fused in (True, False)
        if not (fused and case.values[0] in OTHER_ON_MASTERS and case.values[1].get("momentum", 0.9))
    ],
)
@pytest.mark.parametrize("dtype", HALVES, ids=lambda d: d.name)
def test_master_weights_are_the_float32_run(name, settings, dtype, fused):
    shapes = shapes_of(name)
    settings = {**settings, "multi_precision": True, "use_fused_step": fused}
    updater = mx.get_updater(mx.create(name, **settings))
    weights = tensors(shapes, dtype)
    mx.random.seed(5)
    for step in range(3):
        updater(list(range(len(weights))), gradients(shapes, dtype, step), weights)
    single = run(
        name,
        settings,
        weights=[w.astype(np.float32) for w in tensors(shapes, dtype)],
        steps=3,
        shapes=shapes,
        grad_dtype=dtype,
        gradient=lambda step, i, g: g.astype(np.float32),
    )
    position = updater.optimizer.master_position
    masters = [updater.states[i][position] for i in range(len(weights))]
    assert_same_bits(masters, single[: len(weights)])
    assert_same_bits(weights, [m.astype(dtype) for m in masters])


def _norm(array):
    return mx.optimizer.norms.norm(array.astype(np.float32))


def _nag_by_hand(optimizer, master, weight, grad, mom):
    real = np.float32
    grad = real(optimizer.rescale_grad) * grad
    if optimizer.clip_gradient:
        grad = np.clip(grad, -real(optimizer.clip_gradient), real(optimizer.clip_gradient))
    grad = grad + real(optimizer.wd) * master
    mom[...] = mom * real(optimizer.momentum) - real(optimizer.lr) * grad
    master += real(optimizer.momentum) * mom - real(optimizer.lr) * grad


def _lars_by_norms(optimizer, master, weight, grad, mom):
    settings = {
        name: getattr(optimizer, name) for name in ("wd", "momentum", "rescale_grad", "clip_gradient")
    }
    rate = optimizer._scaled(
        optimizer.lr,
        np.float32(optimizer.wd),
        _norm(weight),
        _norm(grad * np.float32(optimizer.rescale_grad)),
    )
    mx.create("sgd", learning_rate=float(rate), **settings).update(0, master, grad, mom)


def _lans_by_norms(optimizer, master, weight, grad, moments):
    size = np.sqrt(np.add.accumulate(np.square(weight.astype(np.float32)).ravel())[-1])
    if optimizer.lower_bound:
        size = min(max(size, np.float32(optimizer.lower_bound)), np.float32(optimizer.upper_bound))
    # Two equal bounds fix the norm. Bounds are read from text, so find one that reads as the size.
    read = mx.kernels.as_read_by_mxnet
    near = (float(size) * (1 + k * 2.0**-26) for k in range(-9, 10))
    bound = next(number for number in near if read((number,), (True,))[0] == size)
    optimizer = copy.copy(optimizer)
    optimizer._index_update_count = dict(optimizer._index_update_count)
    optimizer.multi_precision, optimizer.lower_bound, optimizer.upper_bound = False, bound, bound
    optimizer.update(0, master, grad, moments)


@pytest.mark.parametrize(
    ("name", "settings"), every_setting(lambda row: row in [OPTIMIZERS[name] for name in OTHER_ON_MASTERS])
)
@pytest.mark.parametrize("dtype", HALVES, ids=lambda d: d.name)
def test_master_weights_where_mxnet_has_a_rule_of_their_own(name, settings, dtype):
    by_hand = {"nag": _nag_by_hand, "lars": _lars_by_norms, "lans": _lans_by_norms}[name]
    optimizer = mx.create(name, **{**settings, "multi_precision": True})
    if name == "nag" and not optimizer.momentum:

        def by_hand(optimizer, master, weight, grad, inner):
            mx.create("sgd", **settings).update(0, master, grad, inner)

    for weight, first in zip(tensors(SHAPES, dtype), gradients(SHAPES, dtype)):
        state = optimizer.create_state_multi_precision(0, weight)
        for grad in (first, first[::-1].copy()):
            master, inner = state[0].copy(), _map(np.copy, state[1])
            by_hand(optimizer, master, weight.copy(), grad.astype(np.float32), inner)
            optimizer.update_multi_precision(0, weight, grad, state)
            assert_same_bits([state[0], *flat(state[1])], [master, *flat(inner)])
            assert_same_bits([weight], [master.astype(dtype)])


@every_optimizer
@dtypes
@pytest.mark.parametrize("grad_dtype", DTYPES, ids=lambda d: d.name)
@pytest.mark.filterwarnings("ignore:states of")
def test_gradient_of_another_dtype_is_cast(name, dtype, grad_dtype):
    compute = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    assert_same_bits(run(name, dtype=dtype, grad_dtype=grad_dtype, steps=2),
                     run(name, dtype=dtype, grad_dtype=grad_dtype, steps=2,
                         gradient=lambda step, i, g: g.astype(compute)))  # fmt: skip


@every_optimizer
@dtypes
@pytest.mark.filterwarnings("ignore:states of")
def test_dtypes_are_kept(name, dtype):
    for number, array in enumerate(run(name, dtype=dtype)):
        expected = (
            {dtype}
            if number < 4
            else {dtype, np.dtype(np.float32)} - ({np.dtype(np.float32)} if dtype == np.float64 else set())
        )
        if array.ndim == 0 and number >= 4:
            expected = {np.dtype(np.float32), np.dtype(np.float64)}  # one number a tensor
        if name == "test" and number >= 4:
            expected = {np.dtype(np.float32)}  # MXNet's, whatever the weight
        assert array.dtype in expected, number


# -- shapes and layouts --------------------------------------------------------------------------------


@settings_of_single_tensors
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_small_and_odd_shapes(name, settings, fused):
    shapes = [(0,), (1,), (2,), (63,), (64,), (65,), (2047,), (2048,), (2049,), (0, 4), (4, 0), (1, 1, 1), ()]
    if OPTIMIZERS[name].matrices:
        shapes = [(0, 4), (4, 0), (1, 1), (5, 1), (1, 5), (3, 2049)]
    settings = {**settings, "use_fused_step": fused}
    together = run(name, settings, shapes=shapes)
    assert all(np.isfinite(a).all() for a in together)
    assert_same_bits(run(name, settings, shapes=shapes, lists=False), together)


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "transposed view": lambda a: np.ascontiguousarray(a.T).T,
    "column of a wider one": lambda a: np.concatenate([a, a], axis=-1)[..., : a.shape[-1]],
}


@every_optimizer
@pytest.mark.parametrize("layout", LAYOUTS)
@dtypes
@pytest.mark.filterwarnings("ignore:states of")
def test_any_memory_layout_gives_the_same_numbers(name, layout, dtype):
    shapes = ((7, 5), (41, 101), (3, 1))
    plain = run(name, shapes=shapes, dtype=dtype)
    strided = run(name, shapes=shapes, dtype=dtype, convert=LAYOUTS[layout])
    assert_same_bits([np.array(a, order="C") for a in strided], plain)


@pytest.mark.parametrize("name", [n for n in NAMES if OPTIMIZERS[n].local])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("lazy", [True, False], ids=["lazy", "standard"])
def test_row_sparse_gradients_fit_any_layout(name, layout, lazy):
    shapes = ((67, 5), (31, 9))

    def sparse(step, i, grad):
        rows = rows_of(len(grad), step + i)
        return mx.RowSparseArray(np.ascontiguousarray(grad)[rows], rows, grad.shape)

    settings = {"lazy_update": lazy}
    plain = run(name, settings, shapes=shapes, gradient=sparse)
    strided = run(name, settings, shapes=shapes, gradient=sparse, convert=LAYOUTS[layout])
    assert_same_bits([np.array(a, order="C") for a in strided], plain)


@every_optimizer
def test_mixed_layouts_of_weight_and_gradient(name):
    shapes = ((7, 5), (41, 101), (3, 1))
    plain = run(name, shapes=shapes)
    mixed = run(name, shapes=shapes, gradient=lambda step, i, g: np.asfortranarray(g))
    assert_same_bits(mixed, plain)


# -- the step's own arithmetic -------------------------------------------------------------------------


@every_optimizer
def test_subnormals_are_flushed(name):
    """Tiny moments must not slow a step down: the kernels work on zeros instead."""
    updater = mx.get_updater(mx.create(name, wd=0.0))
    shape = (120,) if name == "muon" else (3, 40)  # NumPy steps Muon's matrices
    weight = np.full(shape, 1e-40, np.float32)
    updater(0, np.full(shape, 1e-40, np.float32), weight)
    for array in everything(updater, [weight]):
        if OPTIMIZERS[name].noise or OPTIMIZERS[name].keeps:
            continue  # noise drowns them; what is kept as it was is not computed
        tiny = (array != 0) & (np.abs(array) < np.finfo(np.float32).tiny)
        assert not tiny.any()
    assert np.float32(1e-40) * np.float32(1) != 0, "the caller's own arithmetic keeps its subnormals"


@every_optimizer
def test_learning_rate_zero_with_scheduler_position(name):
    """The scheduler sees 1 at the first step, and the same number for every tensor of a call."""
    seen = []

    class Watching(mx.lr_scheduler.LRScheduler):
        def __call__(self, num_update):
            seen.append(num_update)
            return 0.25

    shapes = ((7, 5), (3, 1))
    updater = mx.get_updater(mx.create(name, learning_rate=None, lr_scheduler=Watching()))
    weights = tensors(shapes)
    for _ in range(3):
        updater([0, 1], gradients(shapes), weights)
    # MXNet's LBSGD reads the rate of a tensor before it counts it.
    assert sorted(set(seen)) == ([0, 1, 2, 3] if name == "lbsgd" else [1, 2, 3])
    assert updater.optimizer.num_update == 3


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_a_step_within_a_step_of_the_same_index_is_refused(fused):
    """A scheduler may step other indices; of its own, one of the two counts would be lost."""

    class Stepping(mx.lr_scheduler.LRScheduler):
        index = None

        def __call__(self, num_update):
            index, self.index = self.index, None
            if index is not None:
                updater(index, grad, weights[index])
            return 0.1

    scheduler = Stepping()
    optimizer = mx.create("adam", learning_rate=None, lr_scheduler=scheduler, use_fused_step=fused)
    updater = mx.get_updater(optimizer)
    grad, weights = np.ones(4, np.float32), [np.ones(4, np.float32) for _ in range(2)]
    updater([0, 1], [grad, grad], weights)
    scheduler.index = 1
    updater(0, grad, weights[0])
    assert optimizer._index_update_count == {0: 2, 1: 2}
    assert_same_bits(weights[:1], weights[1:])
    scheduler.index = 0
    with pytest.raises(RuntimeError, match="index 0 was stepped while a step of it was being prepared"):
        updater(0, grad, weights[0])
    assert optimizer._index_update_count == {0: 3, 1: 2}  # by the step within
    scheduler.index = None  # it was put back, as was all that the step had changed
    updater(1, grad, weights[1])
    assert_same_bits(weights[:1], weights[1:])
