"""AdaDelta as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ...optimizer import adadelta
from .optimizer import Optimizer, register


@register
class AdaDelta(Optimizer, adadelta.AdaDelta):
    """AdaDelta, without a learning rate and with decoupled decay; see `mxopt.optimizer.adadelta.AdaDelta`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        acc_g = rho * acc_g + (1 - rho) * g**2
        delta = sqrt(acc_delta + epsilon) / sqrt(acc_g + epsilon) * g
        acc_delta = rho * acc_delta + (1 - rho) * delta**2
        weight = weight - delta - wd * weight

    Parameters
    ----------
    rho : float, default 0.9
        Decay of both accumulators.
    epsilon : float, default 1e-5
        Starts the steps, and keeps the division finite.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate``, its multipliers and a scheduler change nothing.

    Notes
    -----
    State: (acc_g, acc_delta), as in 2.x.

    References
    ----------
    .. [1] M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, https://arxiv.org/abs/1212.5701.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("adadelta", rho=0.75, epsilon=0.01)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([4, -2, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.8002, 1.199 , 1.    ], dtype=float32)
    """

    rules = ("adadelta_v1",)

    def __init__(
        self, rho: float = 0.9, epsilon: float = 1e-5, *, learning_rate: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate=learning_rate, rho=rho, epsilon=epsilon, **kwargs)

    def _kept(self, t, lr, wd):
        return 1.0 - wd

    def step(self, indices, weights, grads, states):
        for weight, grad, (acc_g, acc_delta), _, _, wd in self._each(indices, weights, grads, states):
            delta = self._delta(self._prepared(grad), acc_g, acc_delta)
            weight -= delta + wd * weight
