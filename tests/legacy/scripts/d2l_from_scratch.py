"""Optimizers written out over arrays: minibatch SGD, and Adam with states that the script keeps."""

import mxnet as mx
import numpy as np


def sgd(params, grads, lr, batch_size):
    for param, grad in zip(params, grads):
        param[:] = param - lr * grad / batch_size


def init_adam_states():
    return [(mx.nd.zeros((2, 1)), mx.nd.zeros((2, 1))), (mx.nd.zeros(1), mx.nd.zeros(1))]


def adam(params, grads, states, hyperparams):
    beta1, beta2, eps = 0.9, 0.999, 1e-6
    for p, g, (v, s) in zip(params, grads, states):
        v[:] = beta1 * v + (1 - beta1) * g
        s[:] = beta2 * s + (1 - beta2) * g.square()
        v_corrected = v / (1 - beta1 ** hyperparams["t"])
        s_corrected = s / (1 - beta2 ** hyperparams["t"])
        p[:] -= hyperparams["lr"] * v_corrected / (s_corrected.sqrt() + eps)
    hyperparams["t"] += 1


def gradients(features, labels, weight, bias):
    error = features[:, 0:1] * weight[0] + features[:, 1:2] * weight[1] + bias - labels.reshape((-1, 1))
    both = mx.nd.concat((error * features[:, 0:1])[0:1], (error * features[:, 1:2])[0:1], dim=0)
    return [both, error[0]], (error**2 / 2)[0].asscalar()


def main():
    rng = np.random.RandomState(131)
    features, labels = mx.nd.array(rng.normal(size=(16, 2))), mx.nd.array(rng.normal(size=16))
    found = {}
    for name in ("sgd", "adam"):
        params = [mx.nd.array(rng.normal(size=(2, 1))), mx.nd.zeros(shape=(1,))]
        states, hyperparams, losses = init_adam_states(), {"lr": 0.05, "t": 1}, []
        for _ in range(10):
            grads, loss = gradients(features, labels, *params)
            losses.append(loss)
            if name == "sgd":
                sgd(params, grads, 0.03, 4)
            else:
                adam(params, grads, states, hyperparams)
        found.update({f"{name}_w": params[0].asnumpy(), f"{name}_b": params[1].asnumpy()})
        found[f"{name}_loss"] = np.array(losses)
    return found
