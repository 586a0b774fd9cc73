"""`report`: the norms of gradients, weights and updates, in every optimizer, layout and dtype."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest

import mxopt
import mxopt.v1
from mxopt import RowSparseArray

MODULES = [mxopt, mxopt.v1]
BOTH = pytest.mark.parametrize("mx", MODULES, ids=["2.x", "1.x"])
OPTIMIZERS = [
    pytest.param(mx, name, id=f"{mx.__name__}-{name}") for mx in MODULES for name in mx.list_optimizers()
]
SHAPES = [(5, 6), (300, 7), (4, 9)]


def drawn(seed, dtype=np.float32, order="C", shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape).astype(dtype), order=order) for shape in shapes]


def updater_of(mx=mxopt, name="adam", report=True, keywords=(), **options):
    return mx.get_updater(mx.create(name, **dict(keywords)), report=report, **options)


def norm(array):
    return math.sqrt(np.square(np.asarray(array), dtype=np.float64).sum())


def check(norms, grad, weight, before, tolerance=1e-6):
    moved = norm(weight.astype(np.float64) - before.astype(np.float64))
    np.testing.assert_allclose(norms[:2], (norm(grad), norm(weight)), rtol=tolerance)
    # float32 rounds the difference itself
    np.testing.assert_allclose(norms.update, moved, rtol=10 * tolerance, atol=1e-12)
    assert norms.ratio == norms.update / norms.weight
    assert all(type(number) is float for number in norms)


@pytest.mark.parametrize(("mx", "name"), OPTIMIZERS)
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
@pytest.mark.parametrize(
    ("dtype", "order", "keywords"),
    [
        (np.float32, "C", {}),
        (np.float32, "F", {}),
        (np.float64, "C", {}),
        (np.float16, "C", {}),
        (np.float16, "C", {"multi_precision": True}),
    ],
    ids=["float32", "column order", "float64", "float16", "masters"],
)
def test_norms_of_every_optimizer(mx, name, fused, dtype, order, keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = updater_of(mx, name, True, {"use_fused_step": fused, **keywords})
        plain = mx.get_updater(mx.create(name, use_fused_step=fused, **keywords))
        weights, others = drawn(0, dtype, order), drawn(0, dtype, order)
        if name == "sgld":
            for optimizer in (one.optimizer, plain.optimizer):
                optimizer.generator = np.random.Generator(np.random.PCG64(3))
        assert one.report == {}
        for seed in range(1, 4):
            grads = drawn(seed, dtype, order)
            mains = [main(one, i, w).copy() for i, w in enumerate(weights)]
            one([0, 1, 2], grads, weights)
            plain([0, 1, 2], grads, others)
            assert list(one.report) == ["0", "1", "2"]
            for index, norms in enumerate(one.report.values()):
                check(norms, grads[index], main(one, index, weights[index]), mains[index])
    for weight, other in zip(weights, others):
        np.testing.assert_array_equal(weight, other)


def main(one, index, weight):
    optimizer = one.optimizer
    if weight.dtype == np.float16 and optimizer.multi_precision:
        return (
            one.states[index][optimizer.master_position] if index in one.states else weight.astype(np.float32)
        )
    return weight


@BOTH
@pytest.mark.parametrize("name", ["adam", "lamb", "sgd"])
def test_bits_do_not_depend_on_lists_threads_or_layouts(mx, name):
    shapes, results = [(700, 900), (33, 5), (1,)], []
    for threads, together, spread in [(1, True, 1), (2, True, 1), (2, False, 1), (2, True, 2)]:
        with mxopt.num_threads(threads):
            one, weights = updater_of(mx, name), drawn(0, shapes=shapes)
            if spread > 1:
                weights = [np.repeat(weight[..., None], spread, axis=-1)[..., 0] for weight in weights]
            found = []
            for seed in range(1, 3):
                before = [weight.copy() for weight in weights]
                grads = drawn(seed, shapes=shapes)
                if together:
                    one([0, 1, 2], grads, weights)
                    found.append(list(one.report.values()))
                else:
                    found.append([])
                    for index in range(3):
                        one(index, grads[index], weights[index])
                        found[-1] += one.report.values()
                for norms, grad, weight, old in zip(found[-1], grads, weights, before):
                    check(norms, grad, weight, old)
            results.append(found)
    assert all(found == results[0] for found in results)


@BOTH
@pytest.mark.parametrize("name", ["sgd", "adam", "groupadagrad"])
@pytest.mark.parametrize("lazy", [True, False, "exact"])
def test_rows(mx, name, lazy):
    one, (weight,) = updater_of(mx, name, True, {"lazy_update": lazy}), drawn(0, shapes=[(50, 4)])
    rows = [0, 3, 4, 49]
    for seed in range(1, 3):
        before, (grad,) = weight.copy(), drawn(seed, shapes=[(4, 4)])
        one("table", RowSparseArray(grad, rows, (50, 4)), weight)
        norms = one.report["table"]
        np.testing.assert_allclose(norms.gradient, norm(grad), rtol=1e-6)
        if lazy is not True or name == "groupadagrad":
            one.flush()
        np.testing.assert_allclose(norms.update, norm((weight - before)[rows]), rtol=1e-5)
        visited = weight if norms.weight > norm(weight[rows]) * 1.01 else weight[rows]
        np.testing.assert_allclose(norms.weight, norm(visited), rtol=1e-6)


def test_cautious_steps_count():
    one, (weight,) = updater_of(keywords={"cautious": True}), drawn(0, shapes=[(300, 70)])
    for seed in range(1, 4):
        before, (grad,) = weight.copy(), drawn(seed, shapes=[(300, 70)])
        one(0, grad, weight)
        check(one.report["0"], grad, weight, before)


@BOTH
def test_gradients_are_as_the_optimizer_takes_them(mx):
    names = {0: "fc_weight", 1: "fc_bias", 2: "head"}
    options = {"accumulate": 2, "clip_global_norm": 0.5, "loss_scale": 8.0}
    one, weights = (
        updater_of(mx, "sgd", True, {"rescale_grad": 0.25, "param_idx2name": names}, **options),
        drawn(0),
    )
    one([0, 1, 2], [8 * grad for grad in drawn(1)], weights)
    assert one.report == {}
    one([0, 1, 2], [8 * grad for grad in drawn(2)], weights)
    assert list(one.report) == ["fc_weight", "fc_bias", "head"]
    total = math.sqrt(sum(norms.gradient**2 for norms in one.report.values()))
    np.testing.assert_allclose(total, 0.5 * 0.25, rtol=1e-6)
    single = updater_of(mx, "sgd", clip_global_norm=0.5)
    single([0, 1, 2], drawn(1), weights)
    np.testing.assert_allclose(math.sqrt(sum(n.gradient**2 for n in single.report.values())), 0.5, rtol=1e-6)


@BOTH
def test_a_skipped_step_is_not_reported(mx):
    one, weights = updater_of(mx, loss_scale="dynamic"), drawn(0)
    one([0, 1, 2], drawn(1), weights)
    before, bad = one.report, drawn(2)
    bad[0][1, 1] = np.nan
    one([0, 1, 2], bad, weights)
    assert one.report is before and one.skipped == 1


def test_every_nth_step():
    one, weights = updater_of(report=3), drawn(0)
    seen = []
    for seed in range(1, 8):
        one([0, 1, 2], drawn(seed), weights)
        seen.append(one.report)
    assert seen[0] == seen[1] == {} and seen[2] is seen[3] is seen[4] and seen[5] is seen[6]
    assert seen[2] and seen[5] and seen[2] != seen[5]


def test_weights_of_zero():
    one = updater_of(name="sgd", keywords={"learning_rate": 0.5})
    weight = np.zeros(3, np.float32)
    one(0, np.zeros(3, np.float32), weight)
    assert one.report["0"] == (0.0, 0.0, 0.0, 0.0)
    weight[:] = 0.5
    one(0, np.ones(3, np.float32), weight)
    assert one.report["0"].ratio == math.inf


def test_momentum_that_a_schedule_sets_to_zero():
    one, (weight,) = updater_of(name="sgd", keywords={"momentum": 0.9}), drawn(0, shapes=[(5, 6)])
    for seed in range(1, 4):
        one.optimizer.momentum = 0.0 if seed == 2 else 0.9
        before, (grad,) = weight.copy(), drawn(seed, shapes=[(5, 6)])
        one(0, grad, weight)
        check(one.report["0"], grad, weight, before)


def test_with_averages_and_copies():
    one, weights = updater_of(ema=0.9, loss_scale=2.0), drawn(0)
    one([0, 1, 2], [2 * grad for grad in drawn(1)], weights)
    plain = updater_of()
    plain([0, 1, 2], drawn(1), drawn(0))
    assert one.report == plain.report
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other.report == one.report
        before = one.report
        other([0, 1, 2], drawn(2), [weight.copy() for weight in weights])
        assert other.report != before and one.report is before
    assert plain.get_states() == (plain.get_states())


def test_custom_classes():
    class Plain(mxopt.optimizer.Optimizer):
        def create_state(self, index, weight):
            return None

        def update(self, index, weight, grad, state):
            weight[:] -= 0.5 * grad

    one, (weight,) = mxopt.get_updater(Plain(), report=True), drawn(0, shapes=[(5, 6)])
    before, (grad,) = weight.copy(), drawn(1, shapes=[(5, 6)])
    one(0, grad, weight)
    check(one.report["0"], grad, weight, before)


@BOTH
def test_a_trainer_reports_by_name(mx):
    trainer = mx.gluon.Trainer({"b": np.ones(3, np.float32), "a": np.ones(2, np.float32)}, "sgd", report=True)
    trainer.step(2, grads={"a": np.ones(2, np.float32), "b": np.full(3, 2, np.float32)})
    assert list(trainer.report) == ["a", "b"]
    np.testing.assert_allclose(trainer.report["b"].gradient, math.sqrt(3.0), rtol=1e-6)


@pytest.mark.parametrize("report", [0, -1, 1.5, "yes"])
def test_bad_input(report):
    with pytest.raises((TypeError, ValueError), match=r"^report must be [^\n]+, got [^\n]+$"):
        updater_of(report=report)


def test_none_and_false_are_off():
    assert updater_of(report=False)._reports is updater_of(report=None)._reports is None


@pytest.mark.parametrize("width", ["int8", "bfloat16"])
@pytest.mark.parametrize("shape", [(300, 70), (90, 300)])
@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"clip_global_norm": 1.0}], ids=str)
def test_narrow_states(width, shape, options):
    one = updater_of(keywords={"state_dtype": width}, **options)
    plain = mxopt.get_updater(mxopt.create("adam", state_dtype=width))
    weights = drawn(0, shapes=[shape])
    (other,) = drawn(0, shapes=[shape])
    for seed in range(1, 4):
        before, (grad,) = weights[0].copy(), drawn(seed, shapes=[shape])
        one([0], [grad], weights)
        if "clip_global_norm" in options:
            mxopt.clip_global_norm([grad], 1.0)
        plain(0, grad, other)
        check(one.report["0"], grad, weights[0], before, 2e-6)
    np.testing.assert_array_equal(weights[0], other)
