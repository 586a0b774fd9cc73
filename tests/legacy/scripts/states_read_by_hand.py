"""float16 training whose masters and moments are read, and copies of an optimizer that go their own ways."""

import copy
import pickle

import mxnet as mx
import numpy as np


def arrays_of(state):
    for part in state if isinstance(state, (tuple, list)) else [state]:
        if isinstance(part, (tuple, list)):
            yield from arrays_of(part)
        elif part is not None:
            yield part


def main():
    found = {}
    for name, settings in (
        ("sgd", {"momentum": 0.9}),
        ("adam", {}),
        ("nag", {"momentum": 0.9}),
        ("signum", {}),
    ):
        rng = np.random.RandomState(157)
        optimizer = mx.optimizer.create(name, learning_rate=0.01, wd=1e-3, multi_precision=True, **settings)
        updater = mx.optimizer.get_updater(optimizer)
        weight = mx.nd.array(rng.normal(size=(4, 3)), dtype="float16")
        grads = [mx.nd.array(rng.normal(size=(4, 3)), dtype="float16") for _ in range(6)]
        for grad in grads[:3]:
            updater(0, grad, weight)
        copied = mx.optimizer.get_updater(copy.deepcopy(optimizer))
        copied.states, copied.states_synced = copy.deepcopy(updater.states), {0: True}
        pickled = mx.optimizer.get_updater(pickle.loads(pickle.dumps(optimizer)))
        pickled.set_states(updater.get_states())
        copied.optimizer.lr *= 2
        for label, one in (("first", updater), ("copied", copied), ("pickled", pickled)):
            own = weight.copy()
            for grad in grads[3:]:
                one(0, grad, own)
            found[f"{name}_{label}"] = own.asnumpy()
            found[f"{name}_{label}_count"] = np.array([one.optimizer.num_update])
        for i, array in enumerate(arrays_of(updater.states[0])):
            found[f"{name}_state{i}"] = array.asnumpy()
    return found
