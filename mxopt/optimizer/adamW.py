"""AdamW, and what it shares with AdaBelief."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import checks, config
from ..slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register


class BiasCorrected(Optimizer):
    """What AdamW and AdaBelief have in common: the constructor, two moments, and the corrected rate."""

    state_slots = (StateSlot("mean", numbers=MEAN), StateSlot("var", numbers=SQUARES))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon")
    # MXNet's multi-tensor operators take lr and wd as lists of numbers, and rescale_grad as an array.
    text_scalars = ("clip_gradient", "beta1", "beta2", "epsilon")

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        correct_bias: bool = True,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        aggregate_num: float | None = None,
        **kwargs: Any,
    ) -> None:
        # Here MXNet ignores aggregate_num and reads the environment.
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step,
                         aggregate_num=config.aggregation_size(most=50), **kwargs)  # fmt: skip
        self._keep_moments(beta1, beta2, epsilon)
        self.correct_bias = correct_bias
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def _corrected(self, t, lr):
        # In double: 1 - beta2**t cancels in float32 while t is small.
        return lr * math.sqrt(1.0 - self.beta2**t) / (1.0 - self.beta1**t) if self.correct_bias else lr

    def scalars(self, t, lr, wd):
        lr = self._corrected(t, lr)
        return lr, wd, self._rescale, self._clip, self.beta1, self.beta2, self.epsilon


@register
class AdamW(BiasCorrected):
    """AdamW: Adam with weight decay kept out of the moments.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        lr_t = learning_rate * sqrt(1 - beta2**t) / (1 - beta1**t)     # learning_rate if not correct_bias
        weight = weight - lr_t * (mean / (sqrt(var) + epsilon) + wd * weight)

    A `rescale_grad` of 0, NaN or infinity skips the update, though it still counts: this is how a loss
    scaler skips a step whose gradients overflowed.

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    beta1 : float, default 0.9
        Decay of the first moment.
    beta2 : float, default 0.999
        Decay of the second moment.
    epsilon : float, default 1e-6
        Keeps the division finite.
    correct_bias : bool, default True
        Correct the rate for moments that started at zero.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`. ``aggregate_num`` is ignored, as in MXNet.

    Notes
    -----
    In [1]_ a separate schedule scales the decay; here, as in MXNet, the bias-corrected rate does, so the
    first steps decay less. The bias correction multiplies the rate, so epsilon is added to the uncorrected
    root.

    `step` decays last, by ``lr_t * wd`` times the weight that has already moved, and never skips: it is
    MXNet's other formula, and differs by a term of order ``lr_t**2 * wd``.

    State: (mean, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
       https://arxiv.org/abs/1711.05101.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adamw", learning_rate=0.1, wd=0.5, correct_bias=False)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.zeros(2, np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.95, 0.95], dtype=float32)
    """

    rules = ("adamw",)

    def _kept(self, t, lr, wd):
        return 1.0 - self._corrected(t, lr) * wd

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, var), t, lr, wd in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)
            lr = self._corrected(t, lr)

            mean *= self.beta1
            mean += (1.0 - self.beta1) * grad
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)
            weight -= lr * (mean / (np.sqrt(var) + self.epsilon))
            if wd > 0:
                weight -= (lr * wd) * weight
