"""MXNet's habits in AdaGrad and GroupAdaGrad: which are kept, which are not."""

import importlib
import zlib

import numpy as np
import pytest
from runs import assert_same_bits, flat

import mxopt as mx
import mxopt.v1 as v1

packages = pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
either_way = pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
SHAPE = (5, 3)


def sparse(rows=(1, 3)):
    return mx.RowSparseArray(np.full((len(rows), 3), 2.0, np.float32), list(rows), SHAPE)


def stepped(package, name, grad, steps=1, **keywords):
    updater, weight = package.get_updater(package.create(name, **keywords)), np.ones(SHAPE, np.float32)
    for _ in range(steps):
        updater(0, grad, weight)
    return weight, updater.states[0]


@packages
@pytest.mark.parametrize("name", ["adagrad", "groupadagrad"])
def test_row_sparse_gradients_are_lazy_by_default(package, name):
    assert package.create(name).lazy_update is True
    weight, history = stepped(package, name, sparse())
    assert (weight[[0, 2, 4]] == 1).all()
    assert (history[[0, 2, 4]] == 0).all()
    assert (weight[[1, 3]] < 1).all()


@packages
@pytest.mark.parametrize("name", ["adagrad", "groupadagrad"])
def test_step_is_standard_by_default(package, name):
    optimizer = package.create(name, use_fused_step=False)
    assert optimizer.lazy_update is False
    weight, history = stepped(package, name, sparse(), use_fused_step=False)
    dense, same = stepped(package, name, sparse().todense(), use_fused_step=False)
    assert_same_bits([weight, history], [dense, same])
    with pytest.raises(ValueError, match="lazy_update=True needs use_fused_step=True"):
        package.create(name, use_fused_step=False, lazy_update=True)


@packages
def test_decay_of_row_sparse_gradients_works(package):
    """MXNet's kernel refuses it. Here the stepped rows decay."""
    lazily, _ = stepped(package, "adagrad", sparse(), wd=0.5)
    standard, _ = stepped(package, "adagrad", sparse(), wd=0.5, lazy_update=False)
    dense, _ = stepped(package, "adagrad", sparse().todense(), wd=0.5)
    assert_same_bits([standard], [dense])
    assert_same_bits([lazily[[1, 3]]], [dense[[1, 3]]])
    assert (lazily[[0, 2, 4]] == 1).all()
    assert (dense[[0, 2, 4]] < 1).all()


@pytest.mark.parametrize(
    ("package", "name"),
    [(mx, "adagrad"), (mx, "groupadagrad"), (v1, "adagrad")],
    ids=["2.x-adagrad", "2.x-groupadagrad", "1.x-adagrad"],
)
def test_only_lazy_rows_read_numbers_from_text(package, name):
    """MXNet's kernel for rows reads its numbers from text, some not as the nearest float32."""
    rate = 1.838435474592489
    (read,) = mx.kernels.as_read_by_mxnet((rate,), (True,))
    assert read != np.float32(rate)
    weights = [np.zeros(SHAPE, np.float32) for _ in range(4)]
    keywords = {"learning_rate": rate, "wd": 0.0}
    lazily = package.get_updater(package.create(name, **keywords))
    lazily([0, 1], [sparse(), sparse().todense()], weights[:2])
    lazily(2, sparse(), weights[2])
    package.get_updater(package.create(name, lazy_update=False, **keywords))(0, sparse(), weights[3])
    assert_same_bits([weights[2], weights[3]], weights[:2])
    step = np.float32(2) / (np.float32(2) + np.float32(1e-6)) if package is mx else np.float32(1)
    assert (weights[0][[1, 3]] == -np.float32(read) * step).all()
    assert (weights[1][[1, 3]] == -np.float32(rate) * step).all()
    assert "_in_rows" not in vars(lazily.optimizer)


@either_way
def test_v1_decay_is_not_in_the_history(fused):
    zeros = np.zeros(SHAPE, np.float32)
    weight, history = stepped(v1, "adagrad", zeros, wd=0.5, learning_rate=0.5, use_fused_step=fused)
    assert (history == 0).all()
    assert (weight == 0.75).all()
    weight, history = stepped(mx, "adagrad", zeros, wd=0.5, learning_rate=0.5, use_fused_step=fused)
    assert (history == 0.25).all()


@either_way
@pytest.mark.parametrize("name", ["adagrad", "groupadagrad"])
def test_v1_epsilon_stands_inside_the_root(name, fused):
    grad = np.full(SHAPE, 3.0, np.float32)
    inside, _ = stepped(v1, name, grad, eps=7.0, learning_rate=1.0, use_fused_step=fused)
    outside, _ = stepped(mx, name, grad, epsilon=7.0, learning_rate=1.0, use_fused_step=fused)
    np.testing.assert_allclose(inside, 1 - 3 / 4, rtol=1e-6)
    np.testing.assert_allclose(outside, 1 - 3 / 10, rtol=1e-6)


@pytest.mark.parametrize("name", ["adagrad", "groupadagrad"])
def test_each_dialect_takes_the_keyword_of_the_other(name):
    with pytest.warns(DeprecationWarning, match="eps is called epsilon here; pass epsilon=0.25"):
        assert mx.create(name, eps=0.25).epsilon == 0.25
    with pytest.warns(DeprecationWarning, match="epsilon is called eps here; pass eps=0.25"):
        assert v1.create(name, epsilon=0.25).float_stable_eps == 0.25


@packages
def test_attribute_of_v1_and_2x_is_one_number(package):
    optimizer = package.create("adagrad")
    attribute = "epsilon" if package is mx else "float_stable_eps"
    assert attribute in vars(optimizer)
    setattr(optimizer, attribute, 0.5)
    assert optimizer.scalars(1, 0.1, 0.0)[-1] == 0.5


# -- GroupAdaGrad's rows -------------------------------------------------------------------------------


@packages
@either_way
@pytest.mark.parametrize("shape", [(4,), (2, 3, 2), ()], ids=str)
def test_group_adagrad_wants_matrices(package, fused, shape):
    optimizer = package.create("groupadagrad", use_fused_step=fused)
    weight, grad = np.ones(shape, np.float32), np.ones(shape, np.float32)
    updater = package.get_updater(optimizer)
    with pytest.raises(ValueError, match="weight of index 0 must have two dimensions, since GroupAdaGrad"):
        updater(0, grad, weight)
    with pytest.raises(ValueError):
        optimizer.update(0, weight, grad, np.zeros((shape[0] if shape else 1, 1), np.float32))
    assert (weight == 1).all()
    assert updater.states == {}
    assert optimizer.num_update == 0


@packages
@either_way
@pytest.mark.parametrize("where", ["constructor", "multiplier"])
def test_group_adagrad_has_no_decay(package, fused, where):
    optimizer = package.create(
        "groupadagrad", wd=0.5, use_fused_step=fused, param_idx2name={0: "a", 1: "b_weight"}
    )
    if where == "multiplier":
        optimizer.set_wd_mult({"a": 0.0})
    weights = [np.ones(SHAPE, np.float32) for _ in range(2)]
    updater = package.get_updater(optimizer)
    with pytest.raises(ValueError, match=r"wd of index . \('.*'\) must be 0, since GroupAdaGrad"):
        updater([0, 1], [w.copy() for w in weights], weights)
    assert all((w == 1).all() for w in weights)
    assert (updater.states, optimizer.num_update, optimizer._index_update_count) == ({}, 0, {})
    optimizer.set_wd_mult({"a": 0.0, "b_weight": 0.0})
    updater([0, 1], [w.copy() for w in weights], weights)
    assert all((w < 1).all() for w in weights)


@pytest.mark.parametrize("package", [mx, v1], ids=["2.x", "1.x"])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)], ids=str)
def test_group_adagrad_of_nothing(package, fused, shape):
    updater = package.get_updater(package.create("groupadagrad", use_fused_step=fused))
    updater(0, np.ones(shape, np.float32), np.ones(shape, np.float32))
    assert updater.states[0].shape == (shape[0], 1)
    assert not updater.states[0].any()


def test_group_adagrad_wants_a_history_in_one_piece():
    weight, history = np.ones((4, 3), np.float32), np.zeros((8, 1), np.float32)[::2]
    with pytest.raises(
        ValueError, match="state 'history' of index 0 has a memory layout that cannot be stepped"
    ):
        mx.create("groupadagrad").update(0, weight, np.ones((4, 3), np.float32), history)
    assert (weight == 1).all() and not history.any()


@either_way
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.filterwarnings("ignore:states of")
def test_group_adagrad_keeps_one_number_a_row(fused, dtype):
    optimizer = mx.create("groupadagrad", learning_rate=0.5, use_fused_step=fused)
    weight = np.zeros((3, 2), dtype)
    history = optimizer.create_state(0, weight)
    assert (history.shape, history.dtype) == (
        (3, 1),
        np.dtype("float64" if dtype == "float64" else "float32"),
    )
    optimizer.update(0, weight, np.array([[1, 7], [0, 0], [3, 4]], dtype), history)
    assert history.ravel().tolist() == [25.0, 0.0, 12.5]
    np.testing.assert_allclose(weight[0], [-0.1, -0.7], rtol=1e-3)
    assert (weight[1] == 0).all()


@packages
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("width", [1, 3, 64, 1000, 3001])
@pytest.mark.filterwarnings("ignore:states of")
def test_group_adagrad_rows_are_the_same_on_every_path(package, layout, dtype, width):
    """Dense, lazy, standard, row by row, in any layout: one row's numbers depend on that row alone."""
    rng = np.random.RandomState(3)
    start, grad = rng.uniform(-1, 1, (2, 23, width)).astype(dtype)
    rows = np.flatnonzero(rng.uniform(size=23) < 0.5)
    absent = np.setdiff1d(np.arange(23), rows)
    grad[absent] = 0
    given = mx.RowSparseArray(grad[rows], rows, grad.shape)

    def run(gradient, weight, **keywords):
        updater = package.get_updater(package.create("groupadagrad", clip_gradient=0.75, **keywords))
        for _ in range(3):
            updater(0, gradient, weight)
        return [np.ascontiguousarray(weight), *flat(updater.states[0])]

    dense = run(np.asarray(grad, order=layout), np.array(start, order=layout))
    assert_same_bits(run(given, np.array(start, order=layout)), dense)
    assert_same_bits(run(given, np.array(start, order=layout), lazy_update=False), dense)
    for row in rows[:3]:
        alone = run(grad[row : row + 1], start[row : row + 1].copy())
        assert_same_bits(alone, [a[row : row + 1] for a in dense])


#: length of a row: zlib.crc32 of the histories that real MXNet keeps on a processor with AVX-512
HISTORIES = {
    mx: {5: 0xA6126820, 7: 0xFEC275A6, 11: 0xE5F51A71, 16: 0x2228D185, 20: 0x44FD182C, 31: 0x40C1A5FF,
         64: 0xA2D66A1D, 100: 0x93CECC34, 300: 0xC4839D4C, 1000: 0x370643F6},
    v1: {5: 0x04F3CB64, 7: 0x030A3198, 11: 0x5B4E5AFF, 16: 0xAA50594C, 20: 0xFCC8D920, 31: 0xBAF4B328,
         64: 0x148DCE6B, 100: 0x9AA4C52A, 300: 0x02E55B3D, 1000: 0x49EC7D7E},
}  # fmt: skip


@packages
@either_way
@pytest.mark.parametrize("width", HISTORIES[mx])
def test_group_adagrad_adds_a_row_as_mxnets_dense_update(package, fused, width):
    count = np.arange(1, 16 * width + 1, dtype=np.float32)
    grad = (count * np.float32(0.618034) % np.float32(1)).reshape(16, width)
    updater = package.get_updater(package.create("groupadagrad", use_fused_step=fused))
    updater(0, grad, np.zeros_like(grad))
    assert zlib.crc32(updater.states[0].tobytes()) == HISTORIES[package][width]


@packages
@pytest.mark.parametrize("isa", mx.kernels.available_instruction_sets())
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("width", [*range(1, 41), 47, 48, 63, 64, 65, 80, 127, 128, 257, 1000, 4099])
def test_group_adagrad_rows_of_any_width(package, isa, dtype, width, monkeypatch):
    """By any instruction set, the rule adds up a row in the order that `step` spells out."""
    name = package.create("groupadagrad").rules[0]
    built = importlib.import_module(f"mxopt.kernels._rules_{isa}")
    monkeypatch.setitem(mx.kernels.RULES, name, mx.kernels.Rule(name, built.RULES[name]))
    start, grad = np.random.RandomState(width).uniform(-1, 1, (2, 19, width)).astype(dtype)
    results = []
    for fused in (True, False):
        updater = package.get_updater(
            package.create("groupadagrad", learning_rate=0.25, rescale_grad=0.7, clip_gradient=0.5,
                           use_fused_step=fused)
        )  # fmt: skip
        weight = start.copy()
        for _ in range(2):
            updater(0, grad, weight)
        results.append([weight, updater.states[0]])
    assert_same_bits(*results)


@pytest.mark.parametrize("module", [mx.optimizer.contrib, v1.optimizer.contrib], ids=["2.x", "1.x"])
def test_group_adagrad_is_in_contrib(module):
    assert module.GroupAdaGrad is not None
    assert mx.optimizer.contrib.GroupAdaGrad is mx.Optimizer.opt_registry["groupadagrad"]
