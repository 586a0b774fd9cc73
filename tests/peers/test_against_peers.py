"""The later optimizers beside the implementations that their numbers are taken from, in one process."""

import os

import numpy as np
import pytest
from implementations import PEERS

import mxopt

SHAPES = ((7,), (8, 16), (33,), (1000,))
STEPS = 200
SETTINGS = [
    pytest.param(name, settings, id=f"{name}-{label}".replace(" ", "_"))
    for name, peer in PEERS.items()
    for label, settings in peer.settings.items()
]


def peer_of(name):
    """The peer; skips where it is not installed, unless this environment promises that it is."""
    reason = PEERS[name].missing()
    if reason:
        assert not os.environ.get("MXOPT_REQUIRE_PEERS"), reason
        pytest.skip(reason)
    return PEERS[name]


def gradients(rng):
    return [(rng.standard_normal(shape) * 10 ** rng.uniform(-3, 1)).astype(np.float32) for shape in SHAPES]


def starting_weights():
    rng = np.random.default_rng(1)
    return [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_each_step_is_within_four_units(name, settings):
    """From the peer's own weights and states: four units in the last place of the largest number added."""
    peer = peer_of(name)
    theirs = peer.start(peer, starting_weights(), settings)
    updater = mxopt.get_updater(mxopt.create(name, **settings))
    rng = np.random.default_rng(2)
    for _ in range(STEPS):
        grads, before, held = gradients(rng), theirs.weights, theirs.states()
        ours = [weight.copy() for weight in before]
        theirs.step(grads)
        updater(list(range(len(SHAPES))), grads, ours)
        for i, (own, other, old, known) in enumerate(zip(ours, theirs.weights, before, theirs.states())):
            state = updater.states[i] if isinstance(updater.states[i], tuple) else (updater.states[i],)
            kept = dict(zip(updater.optimizer.state_names, state))
            largest = np.maximum(np.abs(old), np.abs(other))
            if peer.added:
                largest = np.maximum(largest, peer.added(updater.optimizer, held[i])).astype(own.dtype)
            if "total" in kept:  # MADGRAD's sum is that of its start, not of the weight
                moved = kept["total"] / (np.cbrt(kept["squares"]) + updater.optimizer.epsilon)
                begun = kept.get("start", other + moved)
                largest = np.max([largest, np.abs(begun), np.abs(moved)], axis=0)
            allowed = 0 if peer.exact else 4 * np.spacing(largest)
            assert (np.abs(own - other) <= allowed).all()
            for part, array in kept.items():
                if part in known:
                    array[...] = known[part].reshape(array.shape)
        for attribute in peer.attributes:
            setattr(updater.optimizer, attribute, theirs.optimizer.param_groups[0][attribute])


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_a_training_run_ends_where_the_peers_does(name, settings):
    peer = peer_of(name)
    theirs = peer.start(peer, starting_weights(), settings)
    ours, updater = starting_weights(), mxopt.get_updater(mxopt.create(name, **settings))
    rng = np.random.default_rng(3)
    for _ in range(STEPS):
        grads = gradients(rng)
        theirs.step(grads)
        updater(list(range(len(SHAPES))), grads, ours)
    for own, other in zip(ours, theirs.weights):
        if peer.exact:
            np.testing.assert_array_equal(own, other)
        assert np.abs(own - other).max() <= 1e-6 * np.abs(other).max()
