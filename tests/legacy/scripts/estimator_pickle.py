"""An estimator that keeps its trainer's states as bytes inside a pickle of its own."""

import os
import pickle
import tempfile

import mxnet as mx
import numpy as np


class Estimator:
    def __init__(self, values):
        self.params = {}
        for name, value in values.items():
            self.params[name] = mx.gluon.Parameter(name, shape=value.shape)
            self.params[name].initialize(init="zeros")
            self.params[name].data()[:] = value
        settings = {"learning_rate": 0.1, "momentum": 0.9, "wd": 0.01}
        self.trainer = mx.gluon.Trainer(self.params, "nag", settings)

    def fit(self, epochs):
        for epoch in range(epochs):
            for param in self.params.values():
                param.grad()[:] = param.data() * 3 - 0.5
                param.data()._fresh_grad = True
            self.trainer.step(4)
            self.trainer.set_learning_rate(self.trainer.learning_rate * 0.5 if epoch == 2 else 0.1)
        return self

    def dumps(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trainer.states")
            self.trainer.save_states(path)
            with open(path, "rb") as file:
                states = file.read()
        values = {name: param.data().asnumpy() for name, param in self.params.items()}
        return pickle.dumps({"values": values, "trainer": states})

    @classmethod
    def loads(cls, blob):
        content = pickle.loads(blob)
        self = cls(content["values"])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trainer.states")
            with open(path, "wb") as file:
                file.write(content["trainer"])
            self.trainer.load_states(path)
        return self


def main():
    rng = np.random.RandomState(59)
    start = {name: rng.normal(size=(2, 3)).astype("float32") for name in ("head", "body")}
    estimator = Estimator.loads(Estimator(start).fit(4).dumps()).fit(3)
    found = {name: param.data().asnumpy() for name, param in estimator.params.items()}
    found["rate"] = np.array(estimator.trainer.learning_rate)
    return found
