"""Follow the moving leader."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..slots import SQUARES, StateSlot
from .optimizer import Optimizer, register


@register
class FTML(Optimizer):
    """FTML: every step minimises a model of the loss made from recent gradients, weighted by age.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        var = beta2 * var + (1 - beta2) * g**2
        d_t = (1 - beta1**t) / learning_rate * (sqrt(var / (1 - beta2**t)) + epsilon)
        z = beta1 * z + (1 - beta1) * g - (d_t - beta1 * d) * weight
        d = d_t
        weight = -z / d

    Parameters
    ----------
    learning_rate : float, default 0.0025
        The update divides by it: never 0, even after multipliers. None: the scheduler's ``base_lr``, or 0.01
        without a scheduler.
    beta1 : float, default 0.6
        How fast old gradients lose weight; the paper advises 0.5 to 0.7.
    beta2 : float, default 0.999
        Decay of the second moment.
    epsilon : float, default 1e-8
        Keeps the division finite.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    Algorithm 1 of [1]_. The new weight is a function of `z` and `d`: the old one enters through `z` only.

    State: (d, var, z), zeros of the weight's shape and dtype; [1]_ calls `var` v.

    References
    ----------
    .. [1] S. Zheng and J. T. Kwok, "Follow the Moving Leader in Deep Learning", ICML 2017,
       http://proceedings.mlr.press/v70/zheng17a.html.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("ftml", learning_rate=0.25)
    >>> weight = np.ones(3, np.float64)
    >>> opt.update(0, weight, np.array([2.0, -2.0, 0.0]), opt.create_state(0, weight))
    >>> weight.round(6)
    array([0.75, 1.25, 1.  ])
    """

    rules = ("ftml",)
    not_cautious_because = "its weight is a function of its states, whatever it was before"
    state_slots = (StateSlot("d"), StateSlot("var", numbers=SQUARES), StateSlot("z"))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon", "correct1",
                    "correct2")  # fmt: skip
    text_scalars = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "beta2")
    corrections = {"correct1": "beta1", "correct2": "beta2"}

    def __init__(
        self,
        learning_rate: float | None = 0.0025,
        beta1: float = 0.6,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def check_rates(self, index, lr, wd):
        if not lr >= checks.SMALLEST:
            raise checks.zero_rate(self, index, lr)

    def scalars(self, t, lr, wd):
        return (lr, wd, self._rescale, self._clip, self.beta1, self.beta2, self.epsilon,
                1 - self.beta1**t, 1 - self.beta2**t)  # fmt: skip

    def step(self, indices, weights, grads, states):
        for weight, grad, (d, var, z), t, lr, wd in self._each(indices, weights, grads, states):
            grad = self._decayed(grad, weight, wd)

            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)
            sigma = -self.beta1 * d
            d[...] = np.sqrt(var / (1.0 - self.beta2**t)) + self.epsilon
            d *= (1.0 - self.beta1**t) / lr
            sigma += d
            z *= self.beta1
            z += (1.0 - self.beta1) * grad
            z -= sigma * weight
            weight[...] = -z / d
