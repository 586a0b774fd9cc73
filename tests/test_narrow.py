"""`state_dtype`: running means and second moments in fewer bits."""

import copy
import json
import pickle
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from cases import OPTIMIZERS
from processes import printed
from runs import SHAPES, assert_same_bits, everything, gradients, rows_of, run, tensors

import mxopt as mx
import mxopt.v1
from mxopt import kernels
from mxopt.checks import narrow_slots
from mxopt.cli import main
from mxopt.distributed.agreement import refuse_what_needs_whole_tensors
from mxopt.kernels import Narrow

PACKAGES = {"2.x": mx, "1.x": mxopt.v1}
WIDTHS = ("float32", "bfloat16", "int8")


def can_be_narrow(name, package=mx):
    cls = package.optimizer.opt_registry.get(name)
    return cls is not None and bool(narrow_slots(cls))


NAMES = [name for name in OPTIMIZERS if can_be_narrow(name)]
names = pytest.mark.parametrize("name", NAMES)
narrow = pytest.mark.parametrize("width", WIDTHS[1:])
#: Larger than the least that int8 narrows, and of odd sizes.
LARGE = (*SHAPES, (130, 37), (5001,), (300, 301))


def moving(name, **settings):
    """Settings with which an optimizer keeps states."""
    return {
        **({"momentum": 0.9} if name in ("sgd", "ccsgd", "lbsgd", "signum", "dcasgd", "lars", "nag") else {}),
        **settings,
    }


def codes(updater, index=0):
    """The narrow arrays in a state."""
    state = updater.states[index]
    return [part for part in (state if isinstance(state, tuple) else (state,)) if isinstance(part, Narrow)]


# -- the codes -----------------------------------------------------------------------------------------


def squares(n=4096, seed=3):
    rng = np.random.RandomState(seed)
    return np.exp(rng.uniform(-20, 0, n)).astype(np.float32)


@pytest.mark.parametrize("quantiser", kernels.QUANTISERS)
@pytest.mark.parametrize("shape", [(0,), (1,), (255,), (256,), (1000,), (7, 300), (3, 2, 2)])
@pytest.mark.parametrize("by_rows", [False, True])
def test_codes_are_near_and_stay(quantiser, shape, by_rows):
    """What is read back is close by, and is coded as itself again."""
    if by_rows and len(shape) == 1:
        return
    values = squares(int(np.prod(shape))).reshape(shape)
    if quantiser != "uint8-fourth":
        values = values * np.where(np.arange(values.size).reshape(shape) % 3, 1, -1).astype(np.float32)
    dtype = {"int8-square": np.int8, "uint8-fourth": np.uint8}.get(quantiser, ml_dtypes.bfloat16)
    made = Narrow(quantiser, np.zeros(shape, dtype), seed=7, by_rows=by_rows).stored(values, update=5)
    back = made.widened()
    assert back.shape == shape and back.dtype == np.float32
    if dtype is ml_dtypes.bfloat16:
        np.testing.assert_allclose(back, values, rtol=2**-7)
        assert made.scale is None
    else:
        rows = values.reshape(len(values) if by_rows else 1, -1)
        top = [np.abs(row[i : i + 256]).max() for row in rows for i in range(0, row.size, 256)]
        np.testing.assert_array_equal(made.scale.ravel(), np.array(top, np.float32))  # the largest are exact
        power, steps = (2, 127) if quantiser == "int8-square" else (4, 255)
        tops = np.repeat(made.scale.reshape(len(rows), -1), 256, axis=1)[:, : rows.shape[1]].reshape(shape)
        root = np.abs(values / tops) ** (1 / power), np.abs(back / tops) ** (1 / power)
        off = np.abs(root[0] - root[1]) * steps
        assert (off[np.abs(back) > 0] < 1.01 if power == 4 else off < 0.55).all()
        assert ((back == 0) <= (values == 0)).all() or power == 2
    again = made.stored(back, update=6)
    assert_same_bits(again.arrays, made.arrays)


def test_random_rounding_keeps_the_mean():
    value = np.float32(1 + 2**-8 * 0.3)
    made = Narrow("bfloat16-stochastic", np.zeros(200_000, ml_dtypes.bfloat16), seed=1)
    ups = made.stored(np.full(200_000, value), 1).widened() > 1
    assert abs(ups.mean() - 0.15) < 0.005
    later = made.stored(np.full(200_000, value), 2).widened() > 1
    assert abs((ups & later).mean() - 0.15**2) < 0.004  # updates are independent of each other
    assert abs((ups[1:] & ups[:-1]).mean() - 0.15**2) < 0.004  # and so are neighbours
    other = Narrow("bfloat16-stochastic", np.zeros(200_000, ml_dtypes.bfloat16), seed=2)
    assert (ups != (other.stored(np.full(200_000, value), 1).widened() > 1)).any()


@pytest.mark.parametrize("quantiser", ["int8-square", "uint8-fourth"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_spoilt_number_spoils_its_block(quantiser, bad):
    values = np.ones(1000, np.float32)
    values[300] = bad
    dtype = np.int8 if quantiser == "int8-square" else np.uint8
    back = Narrow(quantiser, np.zeros(1000, dtype)).stored(values).widened()
    assert not np.isfinite(back[256:512]).any()
    assert (back[:256] == 1).all() and (back[512:] == 1).all()


def test_bfloat16_keeps_infinity_and_nan():
    values = np.array([np.inf, -np.inf, np.nan, 0, -0.0, 1.17549435e-38], np.float32)
    back = Narrow("bfloat16-stochastic", np.zeros(6, ml_dtypes.bfloat16)).stored(values).widened()
    np.testing.assert_array_equal(back, values)
    assert np.signbit(back[4])


def test_what_is_no_code_is_refused():
    q = np.zeros(300, np.int8)
    for arguments, message in [
        (("int4", q), "unknown quantiser"),
        (("uint8-fourth", q), "must be uint8"),
        (("int8-square", np.zeros((20, 20), np.int8).T[:, ::2]), "in C order"),
        (("int8-square", q, np.zeros(3, np.float32)), "does not fit"),
        (("int8-square", q, np.zeros(2)), "must be a writeable float32"),
        (("bfloat16", q.astype(ml_dtypes.bfloat16), np.zeros(2, np.float32)), "has no scale"),
    ]:
        with pytest.raises(ValueError, match=message):
            Narrow(*arguments)
    made = Narrow("int8-square", q, seed=3)
    for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert_same_bits(other.arrays, made.arrays)
        assert (other.quantiser, other.seed) == ("int8-square", 3) and other.q is not made.q


# -- steps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", PACKAGES)
@names
@narrow
def test_steps_are_near_those_of_float32(name, dialect, width):
    package = PACKAGES[dialect]
    if not can_be_narrow(name, package):
        return
    shapes = ((80, 80),)
    settings = moving(name)
    if name == "lbsgd":
        settings["warmup_epochs"] = 0
    exact = run(name, settings, shapes=shapes, steps=12, package=package)
    close = run(name, {**settings, "state_dtype": width}, shapes=shapes, steps=12, package=package)
    start = tensors(shapes)[0]
    moved = np.abs(exact[0] - start).mean()
    assert 0 < np.abs(close[0] - exact[0]).mean() < moved * (0.02 if width == "bfloat16" else 0.2)


@names
@pytest.mark.parametrize("width", WIDTHS)
def test_threads_lists_and_layouts_change_no_bit(name, width):
    settings = moving(name, state_dtype=width)
    first = run(name, settings, shapes=LARGE)
    if not OPTIMIZERS[name].together and name != "nadam":
        assert_same_bits(run(name, settings, shapes=LARGE, lists=False), first, "alone")
    with mx.num_threads(1):
        assert_same_bits(run(name, settings, shapes=LARGE), first, "one thread")
    sums = len(mx.create(name, **moving(name)).passes) > 1  # whose order follows memory
    if not sums:
        strided = run(name, settings, shapes=LARGE, convert=np.asfortranarray)
        assert_same_bits([np.array(a, order="C") for a in strided], first, "strides")


@pytest.mark.parametrize("name", [n for n in NAMES if OPTIMIZERS[n].local])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("columns", [37, 300])
def test_lazy_rows_are_those_of_a_table_of_these_rows(name, width, columns):
    """int8 alone: bits of bfloat16 depend on a row's place."""
    shape = (140, columns)
    rows = rows_of(shape[0], 1)
    (weight,) = tensors([shape])
    settings = moving(name, lazy_update=True, state_dtype=width)
    updater = mx.get_updater(mx.create(name, **settings))
    dense, table = weight.copy(), weight.copy()
    other = mx.get_updater(mx.create(name, **settings))
    for step in range(4):
        (grad,) = gradients([shape], step=step)
        updater(0, mx.RowSparseArray(grad[rows], rows, shape), table)
        other(0, grad, dense)
    assert_same_bits([table[rows]], [dense[rows]])
    absent = np.setdiff1d(np.arange(shape[0]), rows)
    np.testing.assert_array_equal(table[absent], weight[absent])
    for ours, theirs in zip(codes(updater), codes(other)):
        assert_same_bits([ours.widened()[rows]], [theirs.widened()[rows]])
        assert not ours.q[absent].any()


@pytest.mark.parametrize("name", ["adam", "adagrad", "ftrl", "lion"])
@narrow
def test_standard_updates_of_row_sparse_gradients(name, width):
    shape = (140, 37)
    rows = rows_of(shape[0], 2)
    settings = (
        {"state_dtype": width} if name != "adagrad" else {"state_dtype": width, "use_fused_step": False}
    )
    results = []
    for sparse in (False, True):
        (weight,) = tensors([shape])
        updater = mx.get_updater(mx.create(name, **settings))
        for step in range(3):
            (grad,) = gradients([shape], step=step)
            grad[np.setdiff1d(np.arange(shape[0]), rows)] = 0
            updater(0, mx.RowSparseArray(grad[rows], rows, shape) if sparse else grad, weight)
        results.append(everything(updater, [weight]))
    assert_same_bits(*results)


@names
@narrow
def test_numpy_steps_keep_the_same_kinds(name, width):
    """`step` reads and writes the same codes as the rule; its arithmetic differs in the last bits."""
    shapes = ((80, 80),)
    made = []
    for fused in (True, False):
        settings = moving(name, state_dtype=width, use_fused_step=fused)
        if name == "adagrad":  # lazy otherwise, with blocks that end with rows
            settings["lazy_update"] = False
        updater = mx.get_updater(mx.create(name, **settings))
        (weight,) = tensors(shapes)
        for step in range(3):
            updater(0, gradients(shapes, step=step)[0], weight)
        made.append((weight, codes(updater)))
    start = tensors(shapes)[0]
    assert [a.quantiser for a in made[0][1]] == [a.quantiser for a in made[1][1]]
    moved = np.abs(made[0][0] - start).mean()
    assert np.abs(made[0][0] - made[1][0]).mean() <= 0.05 * moved
    for a, b in zip(made[0][1], made[1][1]):
        near = np.isclose(a.widened(), b.widened(), rtol=0.02, atol=1e-30)
        assert near.mean() > 0.99


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("masters", [True, False])
@narrow
def test_16_bit_weights(dtype, masters, width):
    if dtype == "bfloat16":
        dtype = ml_dtypes.bfloat16
    settings = {"multi_precision": masters, "learning_rate": 0.01}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = [run("adam", {**settings, "state_dtype": w}, shapes=((80, 80),), dtype=dtype, steps=8)
                for w in ("float32", width)]  # fmt: skip
    exact, close = (r[0].astype(np.float32) for r in runs)
    start = tensors(((80, 80),))[0]
    assert np.abs(close - exact).mean() < 0.2 * np.abs(exact - start).mean()
    with mx.num_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = run("adam", {**settings, "state_dtype": width}, shapes=((80, 80),), dtype=dtype, steps=8)
    assert_same_bits(again, runs[1])


def test_small_tensors_stay_float32_for_int8():
    updater = mx.get_updater(mx.create("adam", state_dtype="int8"))
    sizes = {0: 4095, 1: 4096}
    for index, size in sizes.items():
        updater(index, np.ones(size, np.float32), np.ones(size, np.float32))
    assert [a.dtype.name for a in updater.states[0]] == ["float32", "float32"]
    assert [a.quantiser for a in updater.states[1]] == ["int8-square", "uint8-fourth"]


def test_float32_is_float32_for_16_bit_weights_too():
    opt = mx.create("adam", state_dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = opt.create_state_multi_precision(0, np.ones(3, np.float16))
    assert [a.dtype.name for a in state] == ["float32", "float32"]


def test_a_width_for_each_state():
    updater = mx.get_updater(mx.create("adam", state_dtype={"mean": "bfloat16", "var": "int8"}))
    updater(0, np.ones(5000, np.float32), np.ones(5000, np.float32))
    assert [a.quantiser for a in updater.states[0]] == ["bfloat16", "uint8-fourth"]
    updater = mx.get_updater(mx.create("adam", state_dtype={"mean": "int8"}))
    updater(0, np.ones(5000, np.float32), np.ones(5000, np.float32))
    assert isinstance(updater.states[0][0], Narrow) and updater.states[0][1].dtype == np.float32


def test_a_width_for_each_parameter(tmp_path):
    names = {0: "fc_weight", 1: "embed_weight", 2: "head_weight", 3: "fc_bias"}
    opt = mx.create("adam", state_dtype="int8", param_idx2name=names)
    opt.set_state_dtype({"embed*": "bfloat16", "head*": None, "*_weight": {"var": "int8"}})
    updater = mx.get_updater(opt)
    weights, grads = ([np.ones(5000, np.float32) for _ in names] for _ in range(2))
    updater(list(names), grads, weights)
    kinds = {i: [getattr(part, "quantiser", part.dtype.name) for part in updater.states[i]] for i in names}
    assert kinds == {
        0: ["float32", "uint8-fourth"],
        1: ["bfloat16", "bfloat16-stochastic"],
        2: ["float32", "float32"],
        3: ["int8-square", "uint8-fourth"],
    }
    for dump in (False, True):
        other = mx.create("adam", param_idx2name=names)
        if not dump:
            other.set_state_dtype(opt.state_dtypes)
            other.state_dtype = "int8"
        other = mx.get_updater(other)
        other.set_states(updater.get_states(dump_optimizer=dump))
        assert_same_bits(everything(other, []), everything(updater, []))
    for widths, message in [
        ({"*": "int9"}, r"state_dtype of '\*' must be one of"),
        ({"*": {"meen": "int8"}}, r"a name in state_dtype of '\*' must be one of mean, var"),
        ({3: "int8"}, "a pattern of names must be a string"),
        ("int8", "must be a dict of patterns"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            opt.set_state_dtype(widths)
    assert opt.state_dtypes["embed*"] == "bfloat16"
    with pytest.raises(ValueError, match="must be left out for SGLD"):
        mx.create("sgld").set_state_dtype({"*": "int8"})


def test_groups_have_widths_of_their_own():
    def made(width):
        return mx.get_updater(mx.optimizer.Groups(mx.create("adam"), {"embed*": {"state_dtype": width}}))

    updater, names = made("int8"), ["embed", "fc"]
    weights, grads = ([np.ones(5000, np.float32) for _ in names] for _ in range(2))
    updater(names, grads, weights)
    assert [type(updater.states[name][0]) is Narrow for name in names] == [True, False]
    saved, other = updater.get_states(), made("int8")
    other.set_states(saved)
    assert_same_bits(everything(other, []), everything(updater, []))
    other = made(None)
    with pytest.raises(mx.StateFileError, match="keeps mean of index 'embed' as int8-square"):
        other.set_states(saved)
    other.set_states(saved, convert=True)
    assert type(other.states["embed"][0]) is np.ndarray


def test_the_command_converts_widths(tmp_path):
    updater, _ = stepped(state_dtype="int8")
    for dump in (False, True):
        source, target, back = (str(tmp_path / f"{name}{dump}") for name in ("source", "target", "back"))
        updater.save_states(source, dump_optimizer=dump)
        assert main(["convert", source, target, "--state-dtype", "float32"]) == 0
        other = mx.get_updater(mx.create("adam", state_dtype="float32"))
        other.load_states(target)
        assert_same_bits(everything(other, []), [part.widened() for part in updater.states[0]])
        assert main(["convert", target, back, "--state-dtype", "int8"]) == 0
        other = mx.get_updater(mx.create("adam", state_dtype="int8"))
        other.load_states(back)
        assert_same_bits(everything(other, []), everything(updater, []))
        assert main(["convert", source, target, "--to", "mxnet-2.x", "--force"]) == 0
        other = mx.get_updater(mx.create("adam"))
        other.load_states(target, num_update=3)
        assert_same_bits(everything(other, []), [part.widened() for part in updater.states[0]])


@narrow
def test_the_seed_changes_random_bits_only(width):
    runs = [run("adam", {"state_dtype": width, "state_seed": seed}, shapes=((80, 80),)) for seed in (0, 1, 1)]
    assert_same_bits(runs[1], runs[2])
    same = all(a.tobytes() == b.tobytes() for a, b in zip(runs[0], runs[1]))
    assert same == (width == "int8")


@pytest.mark.parametrize("isa", kernels.available_instruction_sets())
def test_bits_are_those_of_every_machine(isa):
    code = (
        "import json, zlib, sys; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from runs import run\n"
        "print(json.dumps([[zlib.crc32(a.tobytes()) for a in run(name, {'state_dtype': width},"
        " shapes=((130, 37), (5001,)))] for name in ('adam', 'lion', 'adagrad', 'adabelief')"
        " for width in ('bfloat16', 'int8')]))"
    )
    own = [
        [
            __import__("zlib").crc32(a.tobytes())
            for a in run(name, {"state_dtype": width}, shapes=((130, 37), (5001,)))
        ]
        for name in ("adam", "lion", "adagrad", "adabelief")
        for width in ("bfloat16", "int8")
    ]
    path = json.dumps([str(Path(__file__).parent)])
    assert json.loads(printed("-c", code, path, MXOPT_ISA=isa)) == own


# -- long and hard runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adam", "adamw", "adabelief", "nadam", "lamb", "radam", "laprop"])
@narrow
def test_many_steps_of_zeros(name, width):
    """Everything decays; no second moment is 0 where the first is not."""
    updater = mx.get_updater(mx.create(name, state_dtype=width, learning_rate=1e-3))
    (weight,), (grad,) = tensors([(64, 64)]), gradients([(64, 64)])
    zeros = np.zeros_like(grad)
    updater(0, grad, weight)
    for step in range(5000):
        updater(0, zeros, weight)
        if step % 500 == 0:
            mean, var = (part.widened() for part in updater.states[0][:2])
            assert np.isfinite(weight).all() and (var[mean != 0] > 0).all()
    assert var.max() < 0.1 * np.square(grad).max() * 1e-2
    assert not mean.any() or np.abs(mean).max() < 1e-20


@narrow
def test_blocks_that_mix_large_and_small(width):
    rng = np.random.RandomState(0)
    scales = np.where(rng.uniform(size=8192) < 0.5, 1.0, 1e-6).astype(np.float32)
    updater = mx.get_updater(mx.create("adam", state_dtype=width, learning_rate=1e-3))
    weight = np.zeros(8192, np.float32)
    for _ in range(300):
        before = weight.copy()
        updater(0, (rng.standard_normal(8192) * scales).astype(np.float32), weight)
        mean, var = (part.widened() for part in updater.states[0])
        assert (var[mean != 0] > 0).all()
        assert np.abs(weight - before).max() < 0.01  # ten times the rate
    assert np.isfinite(weight).all()


def test_second_moments_in_bfloat16_decay():
    """To nearest, 0.999 * var would be var again for ever."""
    updater = mx.get_updater(mx.create("adam", state_dtype="bfloat16"))
    weight = np.zeros(4096, np.float32)
    updater(0, np.ones(4096, np.float32), weight)
    for _ in range(1000):
        updater(0, np.zeros(4096, np.float32), weight)
    expected = 1e-3 * 0.999**1000
    np.testing.assert_allclose(updater.states[0][1].widened().mean(), expected, rtol=0.02)


# -- files ---------------------------------------------------------------------------------------------


def stepped(name="adam", updates=3, shape=(80, 80), **settings):
    updater = mx.get_updater(mx.create(name, **moving(name, **settings)))
    (weight,) = tensors([shape])
    for step in range(updates):
        updater(0, gradients([shape], step=step)[0], weight)
    return updater, weight


@names
@narrow
@pytest.mark.parametrize("dump", [False, True])
def test_files_resume_to_the_bit(name, width, dump, tmp_path):
    updater, weight = stepped(name, state_dtype=width, state_seed=11)
    path = tmp_path / "x.states"
    updater.save_states(path, dump_optimizer=dump)
    settings = {} if dump else {"state_dtype": width}
    other = mx.get_updater(mx.create(name, **moving(name, **settings)))
    other.load_states(path)
    copies = weight.copy()
    (grad,) = gradients([weight.shape], step=9)
    updater(0, grad, weight)
    other(0, grad, copies)
    assert_same_bits(everything(other, [copies]), everything(updater, [weight]))


@narrow
def test_a_file_names_its_quantisers_and_arrays(width, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    updater, _ = stepped(state_dtype=width)
    updater.optimizer.idx2name[0] = "fc1_weight"
    updater.save_states(tmp_path / "x.states")
    if width == "int8":
        arrays = safetensors.load_file(tmp_path / "x.states")
        assert set(arrays) == {
            f"states/fc1_weight/{s}/{part}" for s in ("mean", "var") for part in ("q", "scale")
        }
        assert_same_bits([arrays["states/fc1_weight/var/q"]], [updater.states[0][1].q])
    content = (tmp_path / "x.states").read_bytes()
    for part in updater.states[0]:
        assert f'\\"quantiser\\",\\"{part.quantiser}\\"'.encode() in content


@pytest.mark.parametrize("before", WIDTHS)
@pytest.mark.parametrize("after", WIDTHS)
def test_other_widths_are_converted_on_request_only(before, after):
    updater, weight = stepped(state_dtype=before)
    saved = updater.get_states()
    other = mx.get_updater(mx.create("adam", state_dtype=after))
    if before != after:
        kept = other.get_states()
        with pytest.raises(
            mx.StateFileError, match="keeps mean of index 0 as .* pass convert=True, or create"
        ):
            other.set_states(saved)
        assert other.get_states() == kept
    other.set_states(saved, convert=True)
    for own, theirs in zip(other.states[0], updater.states[0]):
        own, theirs = (a.widened() if isinstance(a, Narrow) else a for a in (own, theirs))
        assert np.abs(own - theirs).max() <= 0.02 * np.abs(theirs).max()
    other(0, gradients([weight.shape])[0], weight)
    kinds = [getattr(a, "quantiser", None) for a in other.states[0]]
    assert kinds == {"float32": [None, None], "bfloat16": ["bfloat16", "bfloat16-stochastic"],
                     "int8": ["int8-square", "uint8-fourth"]}[after]  # fmt: skip


@pytest.mark.parametrize("format", ["mxnet-1.x", "mxnet-2.x"])
@narrow
@pytest.mark.parametrize("dump", [False, True])
def test_mxnet_gets_float32(format, width, dump):
    updater, _ = stepped(state_dtype=width)
    with pytest.warns(UserWarning, match="no place for narrow states: they are written as float32"):
        data = updater.get_states(dump_optimizer=dump, format=format)
    other = mx.get_updater(mx.create("adam"))
    other.set_states(data, num_update=3)
    for own, theirs in zip(other.states[0], updater.states[0]):
        assert_same_bits([own], [theirs.widened()])


def test_damaged_descriptions_are_refused():
    updater, _ = stepped(state_dtype="int8")
    from mxopt.states import native

    version, tree = native.load_version(
        __import__("mxopt.states.files").states.files.BufferSource(updater.get_states())
    )
    for change in (
        {"quantiser": "int9"},
        {"quantiser": "uint8-fourth"},
        {"seed": "x"},
        {"seed": 3},
        {"scale": None},
        {"scale": np.zeros(3, np.float32)},
        {"q": None},
        {"more": 1},
    ):
        other = copy.deepcopy(tree)
        other["states"][0][0].update(change)
        with pytest.raises(mx.StateFileError):
            mx.get_updater(mx.create("adam", state_dtype="int8")).set_states(native.dumps(other))
    del tree["states"][0][0]["scale"]
    with pytest.raises(mx.StateFileError, match="its scale is missing"):
        mx.get_updater(mx.create("adam", state_dtype="int8")).set_states(native.dumps(tree))


@narrow
def test_copies_and_pickles_go_on_alike(width):
    updater, weight = stepped(state_dtype=width)
    (grad,) = gradients([weight.shape], step=5)
    results = []
    for one in (copy.deepcopy(updater), pickle.loads(pickle.dumps(updater)), updater):
        own = weight.copy()
        one(0, grad, own)
        results.append(everything(one, [own]))
    assert_same_bits(results[0], results[2])
    assert_same_bits(results[1], results[2])


@narrow
def test_averages_and_scaled_losses_go_with_it(width):
    results = []
    for options in ({}, {"ema": 0.9}, {"loss_scale": 4.0}):
        updater = mx.get_updater(mx.create("adam", state_dtype=width), **options)
        (weight,) = tensors([(80, 80)])
        for step in range(3):
            updater(0, gradients([(80, 80)], step=step)[0] * options.get("loss_scale", 1), weight)
        results.append(everything(updater, [weight]))
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@narrow
def test_cautious_steps(width):
    shapes = ((130, 37), (70, 300))
    plain = run("adam", {"state_dtype": width}, shapes=shapes)
    wary = run("adam", {"state_dtype": width, "cautious": True}, shapes=shapes)
    assert any(a.tobytes() != b.tobytes() for a, b in zip(plain, wary))
    assert_same_bits(wary[2:], plain[2:])  # the states do not depend on it


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in NAMES])
def test_where_it_cannot_be_it_is_refused(name):
    with pytest.raises(ValueError, match="^state_dtype must be left out for .*; drop the argument$"):
        mx.create(name, state_dtype="int8")
    opt = mx.create(name)
    with pytest.raises(ValueError, match="state_dtype must be left out"):
        opt.state_dtype = "bfloat16"
    assert mx.describe(name).narrow == ()


def test_what_it_cannot_be_is_refused():
    for value, message in [
        ("int4", "state_dtype must be one of float32, bfloat16, int8, got 'int4'"),
        (["int8"], r"state_dtype must be one of float32, bfloat16, int8, got \['int8'\]"),
        (8, "state_dtype must be one of"),
        ({"meen": "int8"}, "a name in state_dtype must be one of mean, var, got 'meen'; did you mean 'mean'"),
        ({"mean": "int7"}, "state_dtype of mean must be one of .*did you mean 'int8'"),
    ]:
        with pytest.raises(ValueError, match=message):
            mx.create("adam", state_dtype=value)
    with pytest.raises(ValueError, match="centered=True subtracts"):
        mx.create("rmsprop", centered=True, state_dtype="int8")
    with pytest.raises(ValueError, match="state_seed must be"):
        mx.create("adam", state_seed=-1)
    updater = mx.get_updater(mx.create("adam", state_dtype="int8"))
    weight = np.ones(3)
    with pytest.raises(TypeError, match="state_dtype must be left out for float64 weights"):
        updater(0, np.ones(3), weight)
    assert (weight == 1).all() and not updater.states


def test_lazy_rows_need_blocks_that_end_with_rows():
    updater = mx.get_updater(mx.create("adam", state_dtype="int8"))
    weight, grad = np.ones((100, 50), np.float32), np.ones((100, 50), np.float32)
    updater(0, grad, weight)
    updater.optimizer.lazy_update = True
    kept = everything(updater, [weight])
    with pytest.raises(ValueError, match="int8 in blocks of several rows, .* lazy_update=True before"):
        updater(0, mx.RowSparseArray(grad[:2], [3, 5], (100, 50)), weight)
    assert_same_bits(everything(updater, [weight]), kept)


def test_where_it_is_off_nothing_shows():
    opt = mx.create("adam")
    assert not {"state_dtype", "state_seed"} & vars(opt).keys()
    assert opt.state_dtype is None
    updater, _ = stepped()
    assert all(type(part) is np.ndarray for part in updater.states[0])
    assert b"quantiser" not in updater.get_states(dump_optimizer=True)


def test_ranks_do_not_share_it():
    for opt in (mx.create("adam", state_dtype="int8"), mx.create("adam")):
        opt.set_state_dtype({"*": "int8"})
        with pytest.raises(ValueError, match="state_dtype of Adam keeps states in blocks of whole tensors"):
            refuse_what_needs_whole_tensors(opt)


def test_exact_rows_are_refused():
    message = 'cannot take lazy_update="exact": state_dtype rounds states at every step'
    with pytest.raises(ValueError, match=message):
        mx.create("adam", lazy_update="exact", state_dtype="bfloat16")
    opt = mx.create("adam", lazy_update="exact")
    with pytest.raises(ValueError, match=message):
        opt.state_dtype = "int8"
