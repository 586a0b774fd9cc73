"""A resumed training that saves states without the optimizer and sets the update counts itself."""

import pickle

import mxnet as mx
import numpy as np


def make(values, scheduler):
    params = []
    for i, value in enumerate(values):
        param = mx.gluon.Parameter(f"layer{i}_weight", shape=value.shape)
        param.initialize(init="zeros")
        param.data()[:] = value
        params.append(param)
    optimizer = mx.optimizer.create("adam", learning_rate=0.05, lr_scheduler=scheduler, clip_gradient=1.0)
    return params, mx.gluon.Trainer(params, optimizer, kvstore=None)


def train(params, trainer, steps):
    for _ in range(steps):
        for param in params:
            param.grad()[:] = param.data() * 2 - 0.25
            param.data()._fresh_grad = True
        trainer.step(batch_size=1)


def main():
    rng = np.random.RandomState(61)
    values = [rng.normal(size=(3, 2)).astype("float32") for _ in range(2)]
    params, trainer = make(values, mx.lr_scheduler.FactorScheduler(step=3, factor=0.5, base_lr=0.05))
    train(params, trainer, 5)
    states = trainer._updaters[0].get_states(dump_optimizer=False)
    updates = trainer._optimizer.num_update
    scheduler = pickle.dumps(trainer._optimizer.lr_scheduler)

    values = [param.data().asnumpy() for param in params]
    params, trainer = make(values, pickle.loads(scheduler))
    trainer._updaters[0].set_states(states)
    trainer._optimizer.begin_num_update = updates
    trainer._optimizer.num_update = updates
    train(params, trainer, 4)
    found = {param.name: param.data().asnumpy() for param in params}
    found["counts"] = np.array([trainer._optimizer._index_update_count[i] for i in range(2)])
    return found
