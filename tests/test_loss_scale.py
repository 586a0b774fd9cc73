"""`loss_scale`: the bits of unscaled steps, a skipped step that changes the scale alone, and files."""

import copy
import pickle

import numpy as np
import pytest
from interrupting import interrupters

import mxopt
import mxopt.v1
from mxopt import loss_scaling

MODULES = [mxopt, mxopt.v1]
SHAPES = [(5,), (4, 3)]


def gradients(seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]


def updater(mx=mxopt, name="adam", **options):
    return mx.optimizer.get_updater(mx.optimizer.create(name), **options)


def stepped(one, weights, seeds, scaled=True):
    for seed in seeds:
        factor = np.float32(one.loss_scale if scaled else 1)
        one([0, 1], [grad * factor for grad in gradients(seed)], weights)
    return [weight.tobytes() for weight in weights]


@pytest.mark.parametrize("mx", MODULES)
@pytest.mark.parametrize("name", ["sgd", "adam", "lamb", "ftrl", "lars"])
@pytest.mark.parametrize("scale", [1024.0, "dynamic"])
@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"clip_global_norm": 0.5}], ids=str)
def test_scaled_steps_have_the_bits_of_others(mx, name, scale, options):
    plain, one = updater(mx, name, **options), updater(mx, name, loss_scale=scale, **options)
    assert stepped(one, gradients(99), range(4)) == stepped(plain, gradients(99), range(4), False)
    assert one.optimizer.rescale_grad == 1 and "skip_nonfinite" not in vars(one.optimizer)


@pytest.mark.parametrize("mx", MODULES)
@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"clip_global_norm": 0.5}], ids=str)
def test_a_skipped_step_changes_the_scale_and_counts_alone(mx, options):
    one, weights = updater(mx, loss_scale="dynamic", **options), gradients(99)
    before = stepped(one, weights, range(2))
    states, counts = pickle.dumps(one.states), copy.deepcopy(one.optimizer._index_update_count)
    bad = gradients(7)
    bad[1][2, 1] = np.inf
    for _ in range(one.accumulate):
        one([0, 1], [grad.copy() for grad in bad], weights)
    assert [weight.tobytes() for weight in weights] == before
    assert pickle.dumps(one.states) == states and one.optimizer._index_update_count == counts
    assert (one.loss_scale, one.skipped) == (2.0**15, 1)


def test_the_scale_grows_and_ends():
    one, weights = updater(loss_scale="dynamic"), gradients(99)
    one._stepping.steps = loss_scaling.PATIENCE - 2
    stepped(one, weights, [0])
    assert one.loss_scale == 2.0**16
    stepped(one, weights, [0])
    assert (one.loss_scale, one._stepping.steps) == (2.0**17, 0)
    one._stepping.scale, one._stepping.steps = loss_scaling.LARGEST, loss_scaling.PATIENCE - 1
    stepped(one, weights, [0])
    assert one.loss_scale == 2.0**24


@pytest.mark.parametrize("mx", MODULES)
@pytest.mark.parametrize("dump_optimizer", [False, True])
@pytest.mark.parametrize("way", ["file", "pickle", "deepcopy"])
def test_a_resumed_run_ends_with_the_same_bits(mx, dump_optimizer, way):
    one, weights = updater(mx, loss_scale="dynamic"), gradients(99)
    one([0, 1], [np.full(shape, np.nan, np.float32) for shape in SHAPES], weights)
    stepped(one, weights, range(3))
    if way == "file":
        other = updater(mx, loss_scale="dynamic")
        other.set_states(one.get_states(dump_optimizer))
    else:
        other = pickle.loads(pickle.dumps(one)) if way == "pickle" else copy.deepcopy(one)
    copies = [weight.copy() for weight in weights]
    assert (other.loss_scale, other.skipped, other._stepping.steps) == (2.0**15, 1, 3)
    assert stepped(other, copies, range(3, 6)) == stepped(one, weights, range(3, 6))
    assert other._stepping is not one._stepping and other._stepping.steps == 6


def test_a_file_with_a_scale_needs_an_updater_with_one():
    one = updater(loss_scale="dynamic")
    stepped(one, gradients(99), [0])
    plain = updater()
    with pytest.raises(mxopt.StateFileError, match="create it with loss_scale='dynamic'"):
        plain.set_states(one.get_states())
    assert plain.states == {}
    plain.set_states(one.get_states(), strict=False)
    assert set(plain.states) == {0, 1} and plain.loss_scale is None
    with pytest.warns(UserWarning, match="mxnet-2.x has no place for loss_scale"):
        one.get_states(format="mxnet-2.x")


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), "dinamic", True, [2]])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises((TypeError, ValueError), match="^loss_scale must be [^\n]+, got [^\n]+$"):
        updater(loss_scale=scale)


def test_tensors_one_by_one_are_refused_where_the_scale_moves():
    one, weights = updater(loss_scale="dynamic"), gradients(99)
    one(0, gradients(0)[0], weights[0])
    before = weights[1].tobytes()
    with pytest.raises(ValueError, match="all tensors of a step in one call"):
        one(1, gradients(0)[1], weights[1])
    assert weights[1].tobytes() == before and 1 not in one.states


@pytest.mark.parametrize("own", [{}, {"skip_nonfinite": False}, {"skip_nonfinite": True}], ids=str)
def test_an_interrupt_leaves_the_optimizer_as_it_was(own):
    one, weights = updater(loss_scale=8.0), gradients(99)
    vars(one.optimizer).update(own)
    stepped(one, weights, [0])
    before = {name: vars(one.optimizer).get(name) for name in ("rescale_grad", "skip_nonfinite")}

    class Interrupted(dict):
        def __getitem__(self, index):
            raise KeyboardInterrupt

    one.states = Interrupted(one.states)
    with pytest.raises(KeyboardInterrupt):
        stepped(one, weights, [1])
    assert {name: vars(one.optimizer).get(name) for name in before} == before
    assert ("skip_nonfinite" in vars(one.optimizer)) is bool(own)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: updater(loss_scale=0), "loss_scale"),
        (lambda: mxopt.create("prodigy", d0=0), "d0"),
        (lambda: mxopt.create("muon", ns_epsilon=0.0), "ns_epsilon"),
    ],
)
def test_a_number_that_must_be_positive_says_so(make, named):
    with pytest.raises(ValueError, match=f"{named} must be above 0, got 0"):
        make()


@pytest.mark.parametrize("mx", MODULES)
def test_exact_rows_count_steps_too(mx):
    one = mx.get_updater(mx.create("adam", lazy_update="exact"), loss_scale="dynamic")
    weight = np.zeros((5, 2), np.float32)
    for number in (1.0, np.nan, 1.0):
        rows = mxopt.RowSparseArray(np.full((1, 2), number, np.float32), [3], (5, 2))
        one(0, rows, weight)
    assert (one._stepping.steps, one.skipped, one.loss_scale) == (1, 1, 2.0**15)


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}], ids=str)
@pytest.mark.parametrize("bad", [False, True])
def test_an_interrupt_leaves_counts_and_weights_of_one_step(options, bad):
    def made():
        one, weights = updater(loss_scale="dynamic", **options), gradients(99)
        stepped(one, weights, [0])
        grads = gradients(1)
        if bad:
            grads[0][0] = np.inf
        return one, grads, weights

    def picture(one, weights):
        scaler = one._stepping
        described = {**scaler.described(), "in optimizer": one.optimizer.skipped}
        return described, [weight.tobytes() for weight in weights], dict(one.optimizer._index_update_count)

    one, grads, weights = made()
    before = picture(one, weights)
    one([0, 1], grads, weights)
    after = picture(one, weights)
    for interrupter in interrupters():
        one, grads, weights = made()
        try:
            with interrupter:
                one([0, 1], grads, weights)
        except KeyboardInterrupt:
            assert picture(one, weights) in (before, after), f"interrupted at line {interrupter.at}"
        else:
            assert picture(one, weights) == after
    assert interrupter.at > 10
