"""AdaDelta."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..slots import SQUARES, WIDE, StateSlot
from .optimizer import Optimizer, register


@register
class AdaDelta(Optimizer):
    """AdaDelta: gradients scaled by the ratio of past steps to past gradients.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        acc_g = rho * acc_g + (1 - rho) * g**2
        delta = sqrt(acc_delta + epsilon) / sqrt(acc_g + epsilon) * g
        acc_delta = rho * acc_delta + (1 - rho) * delta**2
        weight = weight - learning_rate * delta

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 1.0
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    rho : float, default 0.9
        Decay of both accumulators.
    epsilon : float, default 1e-6
        Starts the steps, and keeps the division finite.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`; MXNet has no kernel here, so both do the same arithmetic.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    [1]_ has no learning rate; 1, the default, matches it. Weight decay is added to the gradient (L2).

    State: (acc_g, acc_delta), zeros of the weight's shape in float32 (float64 for a float64 weight, which
    MXNet refuses).

    References
    ----------
    .. [1] M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, https://arxiv.org/abs/1212.5701.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adadelta", rho=0.75, epsilon=0.01)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([4, -2, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.8002, 1.199 , 1.    ], dtype=float32)
    """

    rules = ("adadelta",)
    state_slots = (StateSlot("acc_g", WIDE, numbers=SQUARES), StateSlot("acc_delta", WIDE, numbers=SQUARES))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "rho", "rest", "epsilon")
    text_scalars = ("clip_gradient",)

    def __init__(
        self,
        learning_rate: float | None = 1.0,
        rho: float = 0.9,
        epsilon: float = 1e-6,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.rho = checks.number("rho", rho, 0, 1)
        self.epsilon = checks.number("epsilon", epsilon, 0)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale, self._clip, self.rho, 1.0 - self.rho, self.epsilon

    def step(self, indices, weights, grads, states):
        for weight, grad, (acc_g, acc_delta), _, lr, wd in self._each(indices, weights, grads, states):
            weight -= lr * self._delta(self._decayed(grad, weight, wd), acc_g, acc_delta)

    def _delta(self, grad, acc_g, acc_delta):
        acc_g *= self.rho
        acc_g += (1.0 - self.rho) * np.square(grad)
        delta = np.sqrt(acc_delta + self.epsilon) / np.sqrt(acc_g + self.epsilon) * grad
        acc_delta *= self.rho
        acc_delta += (1.0 - self.rho) * np.square(delta)
        return delta
