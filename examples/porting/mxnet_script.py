"""A legacy script: a classifier of points, by MXNet."""

import mxnet as mx
from mxnet import autograd, gluon, nd

mx.random.seed(0)
inputs = nd.random.normal(shape=(256, 2))
labels = (inputs[:, 0] * inputs[:, 1] > 0).astype("float32")

net = gluon.nn.Sequential()
net.add(gluon.nn.Dense(16, activation="tanh"), gluon.nn.Dense(1))
net.initialize(mx.init.Xavier())
loss_of = gluon.loss.SigmoidBinaryCrossEntropyLoss()

schedule = mx.lr_scheduler.CosineScheduler(200, base_lr=0.05, final_lr=0.001)
trainer = gluon.Trainer(net.collect_params(), "adam", {"lr_scheduler": schedule, "wd": 1e-4})

for _ in range(200):
    with autograd.record():
        loss = loss_of(net(inputs), labels).mean()
    loss.backward()
    trainer.step(1)
print("loss", loss.asscalar())
trainer.save_states("points.states")
