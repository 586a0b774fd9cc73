"""A schedule sets momentum to 0 and back, beside MXNet."""

import mxnet
import numpy as np
import pytest

import mxopt
import mxopt.v1
from oracle.comparison import dialects_here

V1 = "1.x" in dialects_here()
OURS = mxopt.v1 if V1 else mxopt
# 1.9.1's DCASGD fails with any momentum; 2.0 has neither ccSGD nor LBSGD.
NAMES = (
    ["sgd", "ccsgd", "nag", "signum", "lars", "lbsgd"] if V1 else ["sgd", "nag", "signum", "lars", "dcasgd"]
)


@pytest.mark.parametrize(
    "settings", [{}, {"wd": 0.01, "clip_gradient": 0.7}], ids=["plain", "decay and clip"]
)
@pytest.mark.parametrize("momenta", [[0.9, 0.9, 0, 0, 0.9, 0.9], [0.5, 0, 0.9, 0, 0, 0.1]], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_momentum_that_comes_and_goes(name, momenta, settings):
    found = []
    for mx in (mxnet, OURS):
        rng = np.random.RandomState(0)
        optimizer = mx.optimizer.create(name, learning_rate=0.1, momentum=0.9, **settings)
        updater = mx.optimizer.get_updater(optimizer)
        weight = mx.nd.array(rng.uniform(-1, 1, (4, 3)))
        for momentum in momenta:
            optimizer.momentum = momentum
            updater(0, mx.nd.array(rng.uniform(-1, 1, (4, 3))), weight)
        found.append(weight.asnumpy())
    np.testing.assert_array_equal(found[1], found[0])
