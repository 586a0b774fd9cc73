"""Weights stored as row-sparse: the storage of weights and states, and their numbers, beside real MXNet's."""

import mxnet
import numpy as np
import pytest

from oracle.comparison import dialects_here
from oracle.driver import mxopt_for

OURS = mxopt_for(dialects_here()[0]).package
V1 = dialects_here() == ("1.x",)
SHAPE = (6, 3)
SETTINGS = (
    {},
    {"wd": 0.1},
    {"momentum": 0.9},
    {"lazy_update": True},
    {"lazy_update": False},
    {"lazy_update": True, "momentum": 0.9, "wd": 0.01},
    {"lazy_update": False, "momentum": 0.9},
    {"centered": True},
)


def has_other_numbers(name):
    """Where mxopt differs on purpose (docs/differences.rst): other noise; LAMB 2.0 counts each step twice."""
    return name == "sgld" or (name == "lamb" and not V1)


def refused(name, settings):
    """Cases in which MXNet fails at the first step."""
    if name == "adagrad":
        return "wd" in settings
    return V1 and (name == "test" or (name == "dcasgd" and "momentum" in settings))


def arrays_of(state):
    if isinstance(state, (tuple, list)):
        return [array for part in state for array in arrays_of(part)]
    return [] if state is None else [state]


def run(package, name, settings):
    """(storage, values) of the weight and of each array of its state after three steps."""
    rng = np.random.RandomState(3)
    weight = package.nd.array(rng.normal(size=SHAPE).astype(np.float32)).tostype("row_sparse")
    updater = package.optimizer.get_updater(package.optimizer.create(name, **settings))
    for _ in range(3):
        rows = np.sort(rng.choice(SHAPE[0], 3, replace=False))
        values = rng.normal(size=(3, SHAPE[1])).astype(np.float32)
        updater(0, package.nd.sparse.row_sparse_array((values, rows), shape=SHAPE), weight)
    return [(array.stype, array.asnumpy()) for array in (weight, *arrays_of(updater.states[0]))]


def takes(name, settings):
    """Whether MXNet's constructor knows these keywords."""
    try:
        mxnet.optimizer.create(name, **settings)
    except (TypeError, AssertionError):
        return False
    return True


def cases():
    for name in sorted({*mxnet.optimizer.Optimizer.opt_registry} & {*OURS.list_optimizers()}):
        for settings in SETTINGS:
            no_decay = name == "groupadagrad" and "wd" in settings  # which neither has
            if takes(name, settings) and not no_decay:
                yield pytest.param(name, settings, id=f"{name}-{settings}")


@pytest.mark.parametrize(("name", "settings"), list(cases()))
@pytest.mark.filterwarnings("ignore")
def test_a_row_sparse_weight_and_its_states_are_those_of_mxnet(name, settings):
    ours = run(OURS, name, settings)
    if refused(name, settings):
        with pytest.raises((TypeError, ValueError, mxnet.base.MXNetError)):
            run(mxnet, name, settings)
        return
    theirs = run(mxnet, name, settings)
    assert [storage for storage, _ in ours] == [storage for storage, _ in theirs]
    if has_other_numbers(name):
        return
    for (_, own), (_, other) in zip(ours, theirs):
        if name == "adamax" and V1:  # it divides 0 by 0 where no gradient was seen
            own, other = own[np.isfinite(other)], other[np.isfinite(other)]
        np.testing.assert_allclose(own, other, rtol=2e-6, atol=2e-6)  # as documented for rows
