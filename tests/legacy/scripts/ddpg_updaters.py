"""Actor and critic with an updater each, and target networks that follow softly."""

import mxnet as mx
import numpy as np


class Network:
    def __init__(self, rng, name, **settings):
        self.params = [mx.nd.array(rng.uniform(-0.5, 0.5, shape)) for shape in ((3, 4), (4,))]
        self.target = [param.copy() for param in self.params]
        self.updater = mx.optimizer.get_updater(mx.optimizer.create(name, **settings))

    def learn(self, signal):
        for i, param in enumerate(self.params):
            self.updater(i, param * signal + 0.25, param)

    def follow(self, tau=0.125):
        for param, target in zip(self.params, self.target):
            target[:] = (1.0 - tau) * target + tau * param


def main():
    rng = np.random.RandomState(5)
    critic = Network(rng, "adam", learning_rate=1e-2, wd=0.01, clip_gradient=0.4)
    actor = Network(rng, "adam", learning_rate=1e-3)
    for step in range(10):
        critic.learn(1.0)
        actor.learn(-0.5)
        if step % 2:
            critic.follow()
            actor.follow()
    found = {}
    for name, network in (("critic", critic), ("actor", actor)):
        for i, (param, target) in enumerate(zip(network.params, network.target)):
            found[f"{name}{i}"], found[f"{name}{i}_target"] = param.asnumpy(), target.asnumpy()
    return found
