"""Adamax."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register


@register
class Adamax(Optimizer):
    """Adamax: Adam with a running maximum in place of the second moment.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        mean = beta1 * mean + (1 - beta1) * g
        norm = max(beta2 * norm, abs(g))
        weight = weight - learning_rate / (1 - beta1**t) * mean / (norm + epsilon)

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.002
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    beta1 : float, default 0.9
        Decay of the first moment.
    beta2 : float, default 0.999
        Decay of the maximum.
    epsilon : float, default 1e-8
        Keeps the division finite.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`; MXNet has no kernel here, so both do the same arithmetic.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    Algorithm 2 of [1]_ has no epsilon. Weight decay is added to the gradient (L2).

    State: (mean, norm), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
       https://arxiv.org/abs/1412.6980.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adamax", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([1, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    rules = ("adamax",)
    state_slots = (StateSlot("mean", numbers=MEAN), StateSlot("norm", numbers=SQUARES))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "rest1", "beta2", "epsilon")
    text_scalars = ("clip_gradient",)

    def __init__(
        self,
        learning_rate: float | None = 0.002,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta1 = checks.number("beta1", beta1, 0, 1, open_high=True)
        self.beta2 = checks.number("beta2", beta2, 0, 1)
        self.epsilon = checks.number("epsilon", epsilon, 0)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def _corrected(self, t, lr):
        return lr / (1.0 - self.beta1**t)

    def scalars(self, t, lr, wd):
        lr, rest1 = self._corrected(t, lr), 1.0 - self.beta1
        return lr, wd, self._rescale, self._clip, self.beta1, rest1, self.beta2, self.epsilon

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, norm), t, lr, wd in self._each(indices, weights, grads, states):
            grad = self._decayed(grad, weight, wd)

            mean *= self.beta1
            mean += (1.0 - self.beta1) * grad
            np.maximum(self.beta2 * norm, np.abs(grad), out=norm)
            weight -= self._move(self._corrected(t, lr), mean, norm)

    def _move(self, lr, mean, norm):
        return lr * (mean / (norm + self.epsilon))
