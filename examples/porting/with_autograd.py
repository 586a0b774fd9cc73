"""The same script with its network in NumPy, differentiated by autograd."""

import autograd  # new
import autograd.numpy as anp  # new
import numpy as np  # new

import mxopt as mx  # changed
from mxopt import gluon  # changed

rng = np.random.default_rng(0)
inputs = rng.normal(size=(256, 2)).astype("float32")
labels = (inputs[:, 0] * inputs[:, 1] > 0).astype("float32")

params = {
    "dense0_weight": rng.uniform(-0.6, 0.6, (16, 2)).astype("float32"),
    "dense0_bias": np.zeros(16, "float32"),
    "dense1_weight": rng.uniform(-0.6, 0.6, (1, 16)).astype("float32"),
    "dense1_bias": np.zeros(1, "float32"),
}


def loss_of(params):
    hidden = anp.tanh(anp.dot(inputs, params["dense0_weight"].T) + params["dense0_bias"])
    output = anp.dot(hidden, params["dense1_weight"].T)[:, 0] + params["dense1_bias"]
    return anp.mean(anp.logaddexp(0.0, output) - labels * output)


schedule = mx.lr_scheduler.CosineScheduler(200, base_lr=0.05, final_lr=0.001)
trainer = gluon.Trainer(params, "adam", {"learning_rate": None, "lr_scheduler": schedule, "wd": 1e-4})
gradients_of = autograd.value_and_grad(loss_of)

for _ in range(200):
    loss, grads = gradients_of(params)
    trainer.step(1, grads={name: np.asarray(grad, "float32") for name, grad in grads.items()})
print("loss", loss)
trainer.save_states("points.states")
