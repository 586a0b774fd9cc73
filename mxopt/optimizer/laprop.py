"""LaProp."""

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, TENSOR, StateSlot
from .optimizer import Optimizer, register


@register
class LaProp(Optimizer):
    """LaProp: a momentum of gradients that have been normalised first.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        var = beta2 * var + (1 - beta2) * g**2
        correction = beta2 * correction + (1 - beta2)           # 1 - beta2**t
        direction = g / (sqrt(var / correction) + epsilon)
        mean = beta1 * mean + (1 - beta1) * learning_rate * direction
        rate = beta1 * rate + (1 - beta1) * learning_rate
        weight = weight - (learning_rate / rate) * mean
        weight = (1 - learning_rate * wd) * weight

    With a row-sparse gradient and ``lazy_update=True`` weight, mean and var change only in the rows that the
    gradient holds. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.0004
    beta1 : float, default 0.9
        Decay of the momentum.
    beta2 : float, default 0.999
        Decay of the mean of squares.
    epsilon : float, default 1e-15
        Keeps the division finite.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    Since the normalisation comes before the momentum, any `beta2` is stable with any `beta1`. The numbers are
    those of ``LaProp`` of timm 1.0.31. At a constant learning rate ``learning_rate / rate`` is the usual
    correction ``1 / (1 - beta1**t)``; after a change of rate it follows slowly, as the momentum does.

    State: (mean, var, rate, correction). mean and var are zeros of the weight's shape and dtype, rate and
    correction are zeros of shape () in float64 and float32.

    References
    ----------
    .. [1] L. Ziyin, Z. T. Wang and M. Ueda, "LaProp: Separating Momentum and Adaptivity in Adam", 2020,
       https://arxiv.org/abs/2002.04839.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("laprop", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([2, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    family = "later"
    rules = ("laprop",)
    state_slots = (
        StateSlot("mean", numbers=MEAN),
        StateSlot("var", numbers=SQUARES),
        StateSlot("rate", "float64", TENSOR),
        StateSlot("correction", "float32", TENSOR),
    )
    scalar_names = ("rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon", "share", "scale", "decay",
                    "rate", "correction")  # fmt: skip

    def __init__(self, learning_rate=0.0004, beta1=0.9, beta2=0.999, epsilon=1e-15, lazy_update=False,
                 use_fused_step=True, **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def _next_rate(self, rate, lr):
        """The running mean of learning rates, and this one over it."""
        rate = self.beta1 * rate + (1.0 - self.beta1) * lr
        return rate, lr / rate if rate else 0.0

    def _next_correction(self, correction):
        """The weight of all gradients in var so far, rounded at each step as timm rounds it."""
        real = np.float32
        return float(real(real(correction) * real(self.beta2)) + real(1.0 - self.beta2))

    def scalars(self, t, lr, wd, *numbers):
        rate, correction = numbers or (0.0, 0.0)
        rate, scale = self._next_rate(rate, lr)
        return (self._rescale, self._clip, self.beta1, self.beta2, self.epsilon, (1.0 - self.beta1) * lr,
                scale, lr * wd, rate, self._next_correction(correction))  # fmt: skip

    def _kept(self, t, lr, wd):
        return 1.0 - lr * wd

    def step(self, indices, weights, grads, states):
        for weight, grad, state, _, lr, wd in self._each(indices, weights, grads, states):
            mean, var, rate, correction = state
            grad = self._prepared(grad)
            rate[...], scale = self._next_rate(float(rate), lr)
            correction[...] = self._next_correction(correction)

            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)
            mean *= self.beta1
            mean += (1.0 - self.beta1) * lr * (grad / (np.sqrt(var / correction) + self.epsilon))
            weight -= scale * mean
            weight -= (lr * wd) * weight
