"""The later optimizers beside recorded runs of the implementations that their numbers are taken from."""

import numpy as np
import pytest
from implementations import PEERS
from peer_runs import FILE, STEPS, flat, gradients, starting_weights

import mxopt
import mxopt.v1

RUNS = [f"{name}/{label}" for name, peer in PEERS.items() for label in peer.settings]


def test_every_setting_was_recorded():
    with np.load(FILE) as recorded:
        assert sorted(recorded.files) == sorted(RUNS)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("package", [mxopt, mxopt.v1], ids=["2.x", "1.x"])
def test_a_run_ends_where_the_recorded_one_did(run, package):
    name, _, label = run.partition("/")
    settings = PEERS[name].settings[label]
    updater = package.optimizer.get_updater(package.optimizer.create(name, **settings))
    weights = starting_weights()
    for step in range(STEPS):
        updater(list(range(len(weights))), gradients(step), weights)
    with np.load(FILE) as recorded:
        theirs = recorded[run]
    if PEERS[name].exact:
        np.testing.assert_array_equal(flat(weights), theirs)
    assert np.abs(flat(weights) - theirs).max() <= 1e-6 * np.abs(theirs).max()
