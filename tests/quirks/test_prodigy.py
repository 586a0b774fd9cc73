"""Prodigy: one distance for all tensors of a step."""

import numpy as np
import pytest

import mxopt as mx


def problem():
    target = [np.array([3.0, -2.0], np.float32), np.array([[0.5], [40.0]], np.float32)]
    return target, [np.zeros_like(t) for t in target]


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_the_distance_is_found_and_shared(fused):
    target, weights = problem()
    updater = mx.get_updater(mx.create("prodigy", use_fused_step=fused))
    for _ in range(300):
        updater([0, 1], [w - t for w, t in zip(weights, target)], weights)
    # The estimate starts at 1e-6 and is meant to stay below the distance from the start, 40.2. How close it
    # comes depends on the path; below 1 the steps would be too short to end where the next line wants them.
    distance = np.sqrt(sum(np.square(t).sum() for t in target))
    assert 1 < updater.optimizer.d <= distance
    assert max(np.abs(w - t).max() for w, t in zip(weights, target)) < 1


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "step"])
def test_tensors_one_by_one_are_refused(fused):
    target, weights = problem()
    updater = mx.get_updater(mx.create("prodigy", use_fused_step=fused))
    updater(0, weights[0] - target[0], weights[0])
    before = weights[1].copy(), updater.optimizer.d
    with pytest.raises(ValueError, match="must come in one call, got index 1 in a second call of update 1"):
        updater(1, weights[1] - target[1], weights[1])
    np.testing.assert_array_equal(weights[1], before[0])
    assert updater.optimizer.d == before[1]
    assert set(updater.states) == {0}
    assert updater.optimizer._index_update_count == {0: 1}


@pytest.mark.parametrize("dump", [True, False])
def test_a_resumed_run_goes_on_with_the_same_distance(dump):
    target, weights = problem()
    updater = mx.get_updater(mx.create("prodigy", d0=1e-3))
    for _ in range(20):
        updater([0, 1], [w - t for w, t in zip(weights, target)], weights)
    resumed, copies = mx.get_updater(mx.create("prodigy", d0=1e-3)), [w.copy() for w in weights]
    resumed.set_states(updater.get_states(dump_optimizer=dump))
    assert resumed.optimizer.d == updater.optimizer.d > 1e-3
    for one, arrays in ((updater, weights), (resumed, copies)):
        for _ in range(20):
            one([0, 1], [w - t for w, t in zip(arrays, target)], arrays)
    for a, b in zip(weights, copies):
        np.testing.assert_array_equal(a, b)


def test_no_gradient_yet_means_no_step():
    weight = np.ones(4, np.float32)
    updater = mx.get_updater(mx.create("prodigy"))
    for _ in range(3):
        updater(0, np.zeros(4, np.float32), weight)
    np.testing.assert_array_equal(weight, np.ones(4, np.float32))
    assert updater.optimizer.d == updater.optimizer.d0


def test_wrong_hyper_parameters_are_refused():
    for wrong, message in (({"d0": 0}, "d0 must be above 0"), ({"growth_rate": 0.5}, "growth_rate must be")):
        with pytest.raises(ValueError, match=message):
            mx.create("prodigy", **wrong)
    with pytest.raises(ValueError, match="lazy_update"):
        mx.create("prodigy", lazy_update=True)


def test_the_running_sum_may_be_larger_than_a_float32():
    """It is a number of the optimizer's, in double; files hold it too."""
    updater = mx.get_updater(mx.create("prodigy"))
    weight = np.ones(4, np.float32)
    updater(0, np.ones(4, np.float32), weight)
    updater.optimizer.d_numerator = 1e40
    resumed = mx.get_updater(mx.create("prodigy", growth_rate=1.0))
    resumed.set_states(updater.get_states())
    assert resumed.optimizer.d_numerator == 1e40
    resumed(0, np.ones(4, np.float32), weight)
    assert np.isfinite(weight).all()
