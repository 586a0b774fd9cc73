"""Lion."""

import numpy as np

from .. import checks
from ..slots import MEAN, StateSlot
from .optimizer import Optimizer, register


@register
class Lion(Optimizer):
    """Lion: steps of one size, along the sign of a momentum that looks ahead.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        weight = (1 - learning_rate * wd) * weight
        weight = weight - learning_rate * sign(beta1 * mom + (1 - beta1) * g)
        mom = beta2 * mom + (1 - beta2) * g

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and state. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.0001
        The size of every element's step; use a third to a tenth of Adam's.
    beta1 : float, default 0.9
        The momentum's share of the direction.
    beta2 : float, default 0.99
        Decay of the momentum.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`. Good values of ``wd`` are three to ten times AdamW's.

    Notes
    -----
    The numbers are those of lion-pytorch 0.2.4, bit for bit in float32.

    State: ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] X. Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023,
       https://arxiv.org/abs/2302.06675.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("lion", learning_rate=0.5)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([5, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.5, 1.5, 1. ], dtype=float32)
    """

    family = "later"
    rules = ("lion",)
    state_slots = (StateSlot("mom", numbers=MEAN),)
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "beta2")

    def __init__(self, learning_rate=0.0001, beta1=0.9, beta2=0.99, lazy_update=False, use_fused_step=True,
                 **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta1 = checks.number("beta1", beta1, 0, 1)
        self.beta2 = checks.number("beta2", beta2, 0, 1)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale, self._clip, self.beta1, self.beta2

    def _kept(self, t, lr, wd):
        return 1.0 - lr * wd

    def step(self, indices, weights, grads, states):
        for weight, grad, mom, _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)
            ahead = _mean(mom, grad, self.beta1)

            weight *= 1.0 - lr * wd
            weight -= lr * np.sign(ahead)
            mom[...] = _mean(mom, grad, self.beta2)


def _mean(mean, grad, beta):
    """A running mean updated with one more gradient; products are added without rounding first."""
    real = mean.dtype.type
    product = grad.astype(np.float64) * float(real(1.0 - beta))
    return (product + mean * real(beta)).astype(mean.dtype)
