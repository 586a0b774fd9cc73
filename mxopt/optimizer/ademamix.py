"""AdEMAMix."""

import numpy as np

from .. import checks
from ..slots import MEAN, SLOW, SQUARES, StateSlot
from .optimizer import Optimizer, register


@register
class AdEMAMix(Optimizer):
    """AdEMAMix: AdamW with a second, much slower mean, so that gradients count thousands of steps later.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        mean = beta1 * mean + (1 - beta1) * g
        slow = beta3 * slow + (1 - beta3) * g
        var = beta2 * var + (1 - beta2) * g**2
        direction = mean / (1 - beta1**t) + alpha * slow
        direction = direction / (sqrt(var / (1 - beta2**t)) + epsilon)
        weight = weight - learning_rate * (direction + wd * weight)

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta1 : float, default 0.9
        Decay of the fast mean.
    beta2 : float, default 0.999
        Decay of the mean of squares.
    beta3 : float, default 0.9999
        Decay of the slow mean. Runs of a few thousand steps do better with 0.999.
    alpha : float, default 5.0
        The weight of the slow mean. May be set between steps: the paper raises it from 0, and `beta3` from
        `beta1`, during the first part of training.
    epsilon : float, default 1e-8
        Keeps the division finite.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The numbers are those of ``optax.contrib.ademamix`` of optax 0.2.8, which forms its corrections in
    float32. The slow mean is not corrected for its start at zero: it is meant to build up slowly.

    State: (mean, slow, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] M. Pagliardini, P. Ablin and D. Grangier, "The AdEMAMix Optimizer: Better, Faster, Older",
       ICLR 2025, https://arxiv.org/abs/2409.03137.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("ademamix", learning_rate=0.1, alpha=0)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([2, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    family = "later"
    rules = ("ademamix",)
    state_slots = (
        StateSlot("mean", numbers=MEAN),
        StateSlot("slow", numbers=SLOW),
        StateSlot("var", numbers=SQUARES),
    )
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "beta2", "beta3", "alpha",
                    "epsilon", "correct1", "correct2")  # fmt: skip
    corrections = {"correct1": "beta1", "correct2": "beta2"}

    def __init__(self, learning_rate=0.001, beta1=0.9, beta2=0.999, beta3=0.9999, alpha=5.0, epsilon=1e-8,
                 lazy_update=False, use_fused_step=True, **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.beta3 = checks.number("beta3", beta3, 0, 1, open_high=True)
        self.alpha = checks.number("alpha", alpha)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def scalars(self, t, lr, wd):
        return (lr, wd, self._rescale, self._clip, self.beta1, self.beta2, self.beta3, self.alpha,
                self.epsilon, 1.0 - self.beta1**t, 1.0 - self.beta2**t)  # fmt: skip

    def _kept(self, t, lr, wd):
        return 1.0 - lr * wd

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, slow, var), t, lr, wd in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)

            mean *= self.beta1
            mean += (1.0 - self.beta1) * grad
            slow *= self.beta3
            slow += (1.0 - self.beta3) * grad
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)

            direction = mean / (1.0 - self.beta1**t) + self.alpha * slow
            direction /= np.sqrt(var / (1.0 - self.beta2**t)) + self.epsilon
            weight -= lr * (direction + wd * weight)
