"""Adan."""

import math

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register


@register
class Adan(Optimizer):
    """Adan: Nesterov's look-ahead, estimated from how the gradient changes between steps.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        d = g - previous                                        # 0 at the first step
        mean = beta1 * mean + (1 - beta1) * g
        change = beta2 * change + (1 - beta2) * d
        var = beta3 * var + (1 - beta3) * (g + beta2 * d)**2
        previous = g
        direction = mean / (1 - beta1**t) + beta2 * change / (1 - beta2**t)
        direction = direction / (sqrt(var / (1 - beta3**t)) + epsilon)
        weight = (weight - learning_rate * direction) / (1 + learning_rate * wd)

    With ``proximal=False`` the weight is multiplied by ``1 - learning_rate * wd`` before the step instead of
    being divided after it.

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta1 : float, default 0.98
        Decay of the mean of gradients.
    beta2 : float, default 0.92
        Decay of the mean of their changes.
    beta3 : float, default 0.99
        Decay of the mean of squares.
    epsilon : float, default 1e-8
        Keeps the division finite.
    proximal : bool, default True
        Decay by a proximal step, as in the paper.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The numbers are those of ``Adan`` of timm 1.0.31, whose ``no_prox`` is the opposite of `proximal`. The
    paper's betas are one minus these.

    State: (mean, change, var, previous), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] X. Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models",
       IEEE TPAMI 46, 2024, https://arxiv.org/abs/2208.06677.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adan", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([2, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    family = "later"
    rules = ("adan",)
    state_slots = (
        StateSlot("mean", numbers=MEAN),
        StateSlot("change", numbers=MEAN),
        StateSlot("var", numbers=SQUARES),
        StateSlot("previous", numbers=MEAN),
    )
    scalar_names = ("rescale_grad", "clip_gradient", "beta1", "beta2", "beta3", "epsilon", "step_size",
                    "step_change", "root_correct3", "before", "after", "first")  # fmt: skip

    def __init__(self, learning_rate=0.001, beta1=0.98, beta2=0.92, beta3=0.99, epsilon=1e-8, proximal=True,
                 lazy_update=False, use_fused_step=True, **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.beta3 = checks.number("beta3", beta3, 0, 1, open_high=True)
        self.proximal = bool(proximal)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def scalars(self, t, lr, wd):
        before, after = (1.0, 1.0 + lr * wd) if self.proximal else (1.0 - lr * wd, 1.0)
        return (self._rescale, self._clip, self.beta1, self.beta2, self.beta3, self.epsilon,
                lr / (1.0 - self.beta1**t), lr * self.beta2 / (1.0 - self.beta2**t),
                math.sqrt(1.0 - self.beta3**t), before, after, float(t == 1))  # fmt: skip

    def _kept(self, t, lr, wd):
        return 1.0 / (1.0 + lr * wd) if self.proximal else 1.0 - lr * wd

    def step(self, indices, weights, grads, states):
        for weight, grad, state, t, lr, wd in self._each(indices, weights, grads, states):
            mean, change, var, previous = state
            grad = self._prepared(grad)
            difference = grad - previous if t > 1 else np.zeros_like(grad)

            mean += (1.0 - self.beta1) * (grad - mean)
            change *= self.beta2
            change += (1.0 - self.beta2) * difference
            var *= self.beta3
            var += (1.0 - self.beta3) * np.square(grad + self.beta2 * difference)
            previous[...] = grad

            divisor = np.sqrt(var) / math.sqrt(1.0 - self.beta3**t) + self.epsilon
            if not self.proximal:
                weight *= 1.0 - lr * wd
            weight -= lr / (1.0 - self.beta1**t) * mean / divisor
            weight -= lr * self.beta2 / (1.0 - self.beta2**t) * change / divisor
            if self.proximal:
                weight /= 1.0 + lr * wd
