"""AdaBelief."""

import numpy as np

from .adamW import BiasCorrected
from .optimizer import register


@register
class AdaBelief(BiasCorrected):
    """AdaBelief: steps scaled by how far the gradients are from their running mean.

    Updates are applied by::

        g = clip(grad * rescale_grad + wd * weight, clip_gradient)
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * (g - mean)**2 + epsilon
        lr_t = learning_rate * sqrt(1 - beta2**t) / (1 - beta1**t)     # learning_rate if not correct_bias
        weight = weight - lr_t * mean / (sqrt(var) + epsilon)

    A `rescale_grad` of 0, NaN or infinity skips the update, though it still counts: this is how a loss
    scaler skips a step whose gradients overflowed.

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    beta1 : float, default 0.9
        Decay of the mean.
    beta2 : float, default 0.999
        Decay of the variance.
    epsilon : float, default 1e-6
        Added to the variance at every step, and to the root.
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
    Decay is added to the gradient before clipping (L2); [1]_ decouples it. The bias correction multiplies the
    rate, so epsilon is added to the uncorrected root. In ``var`` it adds up to ``epsilon / (1 - beta2)``.

    State: (mean, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] J. Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients",
       NeurIPS 2020, https://arxiv.org/abs/2010.07468.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adabelief", learning_rate=0.1, epsilon=0)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight[:2], np.array([1, -1], np.float32), opt.create_state(0, weight[:2]))
    >>> weight.round(4)
    array([0.8889, 1.1111, 1.    ], dtype=float32)
    """

    rules = ("adabelief",)
    clips_decay = True

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, var), t, lr, wd in self._each(indices, weights, grads, states):
            grad = self._decayed(grad, weight, wd)

            mean *= self.beta1
            mean += (1.0 - self.beta1) * grad
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad - mean)
            var += self.epsilon
            weight -= self._corrected(t, lr) * (mean / (np.sqrt(var) + self.epsilon))
