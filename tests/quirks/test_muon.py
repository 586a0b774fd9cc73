"""Muon: matrices by products, all other weights by AdamW, in one step."""

import numpy as np
import pytest

import mxopt as mx
from mxopt.optimizer.muon import orthogonalized


def array(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def test_singular_values_come_near_one():
    for shape in ((8, 8), (5, 40), (40, 5), (1, 7)):
        found = np.linalg.svd(orthogonalized(array(*shape, dtype="float64"), 5, 1e-7), compute_uv=False)
        assert found.min() > 0.3
        assert found.max() < 1.3


def test_a_tall_matrix_is_stepped_as_its_transpose():
    for grad in (array(6, 3), array(3, 6)):
        steps = []
        for g in (grad, np.ascontiguousarray(grad.T)):
            weight = np.zeros_like(g)
            mx.get_updater(mx.create("muon", adjust_lr="match_rms_adamw"))(0, g, weight)
            steps.append(weight)
        np.testing.assert_array_equal(steps[0], steps[1].T)


def test_names_choose_adamw_for_matrices():
    names = {0: "embedding_weight", 1: "dense_weight", 2: "dense_bias"}
    opt = mx.create("muon", adamw_names="embed*", param_idx2name=names)
    weights = [array(4, 3, seed=i) if i < 2 else array(3, seed=i) for i in range(3)]
    states = [opt.create_state_multi_precision(i, w) for i, w in enumerate(weights)]
    assert [state[1].shape for state in states] == [(4, 3), (0,), (3,)]
    flat = mx.create("muon")
    one = weights[0].copy().ravel()
    flat.update(0, one, array(4, 3, seed=9).ravel(), flat.create_state(0, one))
    opt.update([0, 1, 2], weights, [array(4, 3, seed=9), array(4, 3, seed=9), array(3)], states)
    np.testing.assert_array_equal(weights[0].ravel(), one)


def test_a_trainer_gives_the_names():
    weights = {"embed": array(4, 3), "dense": array(4, 3)}
    trainer = mx.gluon.Trainer(weights, "muon", {"adamw_names": ["embed"]})
    trainer.step(1, grads={name: array(4, 3, seed=5) for name in weights})
    shapes = {trainer._params[i].name: state[1].shape for i, state in trainer._updaters[0].states.items()}
    assert shapes == {"embed": (4, 3), "dense": (0,)}


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_one_bad_tensor_of_either_kind_changes_none(fused):
    for bad in (0, 1):
        weights = [array(4, 3), array(5)]
        updater = mx.get_updater(mx.create("muon", use_fused_step=fused))
        updater([0, 1], [array(4, 3), array(5)], weights)
        before = [w.copy() for w in weights]
        grads = [array(4, 3), array(5)]
        grads[bad] = grads[bad][:2]
        with pytest.raises(ValueError, match=f"gradient of index {bad}"):
            updater([0, 1], grads, weights)
        for weight, old in zip(weights, before):
            np.testing.assert_array_equal(weight, old)
        assert updater.optimizer.num_update == 1


def test_a_resumed_run_keeps_who_steps_what():
    weight, grad = array(4, 3), array(4, 3, seed=3)
    updater = mx.get_updater(mx.create("muon", adamw_names="a*", param_idx2name={0: "a"}))
    updater(0, grad, weight)
    resumed, copy = mx.get_updater(mx.create("muon")), weight.copy()
    resumed.set_states(updater.get_states(dump_optimizer=True))
    assert resumed.optimizer.adamw_names == ("a*",)
    for one, w in ((updater, weight), (resumed, copy)):
        one(0, grad, w)
    np.testing.assert_array_equal(weight, copy)


def test_wrong_arguments_are_refused():
    for wrong, kind, message in (
        ({"adjust_lr": "orginal"}, ValueError, "did you mean 'original'"),
        ({"ns_steps": 0}, ValueError, "ns_steps"),
        ({"adamw_names": [3]}, TypeError, "adamw_names must be names"),
        ({"lazy_update": True}, ValueError, "it multiplies whole matrices"),
    ):
        with pytest.raises(kind, match=message):
            mx.create("muon", **wrong)
    opt = mx.create("muon")
    states = [opt.create_state(i, array(3, 2)) for i in range(2)]
    with pytest.raises(ValueError, match="must have the same length"):
        opt.update([0, 1], [array(3, 2), array(3, 2)], [array(3, 2)], states)
    with pytest.raises(TypeError, match=r"must be the pair \(mean, var\); make it with create_state"):
        opt.update(0, array(3, 2), array(3, 2), array(3, 2))
