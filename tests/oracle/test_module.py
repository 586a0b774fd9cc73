"""Module's updates on one to three devices beside MXNet 1.9.1's own, from the gradients of its networks."""

import mxnet
import numpy as np
import pytest

import mxopt.v1
from oracle.comparison import dialects_here
from oracle.driver import quiet

pytestmark = pytest.mark.skipif(
    "1.x" not in dialects_here(), reason="MXNet 2.0 removed Module; tox -e mxnet19 runs these"
)
BATCH = 12
SETTINGS = {
    "sgd": {"learning_rate": 0.125, "momentum": 0.9, "wd": 0.01},
    "adam": {"learning_rate": 0.01},
    "lamb": {"learning_rate": 0.01},
    "nag": {"learning_rate": 0.1, "momentum": 0.9},
    "signum": {},
    "rmsprop": {},
}


def drawn(rng, *shape):
    return rng.randint(-4, 5, shape) / 4


def their_module(rng, devices):
    symbol = mxnet.sym.FullyConnected(mxnet.sym.Variable("data"), num_hidden=3, name="fc")
    symbol = mxnet.sym.FullyConnected(symbol, num_hidden=2, name="out")
    symbol = mxnet.sym.LinearRegressionOutput(symbol, mxnet.sym.Variable("label"), name="loss")
    module = mxnet.mod.Module(symbol, ("data",), ("label",), context=[mxnet.cpu(i) for i in range(devices)])
    module.bind([("data", (BATCH, 4))], [("label", (BATCH, 2))])
    shapes = {
        name: arrays[0].shape
        for name, arrays in zip(module._exec_group.param_names, module._exec_group.param_arrays)
    }
    values = {name: drawn(rng, *shape).astype(np.float32) for name, shape in shapes.items()}
    module.init_params(arg_params={name: mxnet.nd.array(value) for name, value in values.items()})
    return module, values


def counts(optimizer):
    return {key: count for each in optimizer._all_index_update_counts.values() for key, count in each.items()}


@pytest.mark.parametrize("optimizer", SETTINGS)
@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("kvstore", [None, "local", "device"])
def test_updates_of_a_module(kvstore, devices, optimizer, tmp_path):
    rng = np.random.RandomState(devices)
    with quiet():
        theirs, values = their_module(rng, devices)
        weights = {name: [value.copy() for _ in range(devices)] for name, value in values.items()}
        ours = mxopt.v1.mod.ParameterModule(weights, batch_size=BATCH)
        for module in (theirs, ours):
            module.init_optimizer(kvstore, optimizer, SETTINGS[optimizer])
    assert ours._update_on_kvstore == theirs._update_on_kvstore
    for step in range(6):
        if step == 3:  # go on from the file of MXNet's module
            path = str(tmp_path / "module.states")
            theirs.save_optimizer_states(path)
            ours.load_optimizer_states(path)
        batch = mxnet.io.DataBatch(
            [mxnet.nd.array(drawn(rng, BATCH, 4))], [mxnet.nd.array(drawn(rng, BATCH, 2))]
        )
        theirs.forward(batch, is_train=True)
        theirs.backward()
        gradients = {
            name: [array.asnumpy() for array in arrays]
            for name, arrays in zip(theirs._exec_group.param_names, theirs._exec_group.grad_arrays)
        }
        theirs.update()
        ours.update(gradients)
        for name, arrays in zip(theirs._exec_group.param_names, theirs._exec_group.param_arrays):
            for own, array in zip(weights[name], arrays):
                np.testing.assert_array_equal(own, array.asnumpy())
    if kvstore is None:  # a store keeps its optimizer to itself
        assert counts(ours._optimizer) == counts(theirs._optimizer)
        assert ours._optimizer.num_update == theirs._optimizer.num_update
