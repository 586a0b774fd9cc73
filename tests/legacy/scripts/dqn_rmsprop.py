"""Deep Q-learning's trainer: RMSProp in mixed case with its 1.x keywords."""

import mxnet as mx
import numpy as np


def train(**settings):
    rng = np.random.RandomState(101)
    params = [mx.gluon.Parameter(f"dense{i}_weight", shape=(3, 3)) for i in range(2)]
    for param in params:
        param.initialize(init="zeros")
        param.set_data(mx.nd.array(rng.normal(size=(3, 3))))
    trainer = mx.gluon.Trainer(params, "RMSProp", settings)
    for _ in range(8):
        for param in params:
            param.grad()[:] = param.data() * 8 - 4
            param.data()._fresh_grad = True
        trainer.step(8)
    return params


def main():
    centered = train(learning_rate=0.0025, gamma1=0.95, gamma2=0.95, epsilon=0.01, centered=True)
    plain = train(learning_rate=0.0025, gamma1=0.95, epsilon=0.01, clip_weights=1.5)
    found = {f"centered_{param.name}": param.data().asnumpy() for param in centered}
    found.update({f"plain_{param.name}": param.data().asnumpy() for param in plain})
    return found
