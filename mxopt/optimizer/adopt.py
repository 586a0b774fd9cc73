"""ADOPT."""

import math

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register


@register
class ADOPT(Optimizer):
    """ADOPT: Adam that converges for any beta2, as it divides by the second moment before this gradient.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        direction = clip(g / max(sqrt(var), epsilon), (t - 1)**clip_exponent)
        mean = beta1 * mean + (1 - beta1) * direction
        weight = weight - learning_rate * mean
        var = beta2 * var + (1 - beta2) * g**2

    The first gradient of a tensor only starts the second moment: ``var = g**2``, and nothing else changes.
    With ``decoupled_weight_decay=True``, g is without weight decay and the weight is multiplied by
    ``1 - learning_rate * wd`` first.

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta1 : float, default 0.9
        Decay of the mean of directions.
    beta2 : float, default 0.9999
        Decay of the mean of squares.
    epsilon : float, default 1e-6
        Lower limit of the divisor.
    clip_exponent : float or None, default 0.333
        How the limit of the direction grows with the steps; None: no limit.
    decoupled_weight_decay : bool, default False
        Decay the weight itself rather than through the gradient.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The numbers are those of ``Adopt`` of timm 1.0.31, whose ``clip_exp`` is `clip_exponent` here.

    State: (mean, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] S. Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate",
       NeurIPS 2024, https://arxiv.org/abs/2411.02853.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adopt", learning_rate=0.5)
    >>> weight, grad = np.ones(3, np.float32), np.array([2, -1, 0], np.float32)
    >>> state = opt.create_state(0, weight)
    >>> opt.update(0, weight, grad, state); weight
    array([1., 1., 1.], dtype=float32)
    >>> opt.update(0, weight, grad, state); weight
    array([0.95, 1.05, 1.  ], dtype=float32)
    """

    family = "later"
    rules = ("adopt",)
    state_slots = (StateSlot("mean", numbers=MEAN), StateSlot("var", numbers=SQUARES))
    scalar_names = ("lr", "wd", "decay", "rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon",
                    "bound", "first")  # fmt: skip
    limits = ("clip_gradient", "bound")

    def __init__(self, learning_rate=0.001, beta1=0.9, beta2=0.9999, epsilon=1e-6, clip_exponent=0.333,
                 decoupled_weight_decay=False, lazy_update=False, use_fused_step=True,
                 **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.clip_exponent = checks.optional_number("clip_exponent", clip_exponent, low=0)
        self.decoupled_weight_decay = bool(decoupled_weight_decay)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def _bound(self, t):
        """The limit of the direction's elements; infinite means none."""
        return math.inf if self.clip_exponent is None else (t - 1.0) ** self.clip_exponent

    def scalars(self, t, lr, wd):
        coupled, decay = (0.0, lr * wd) if self.decoupled_weight_decay else (wd, 0.0)
        return (lr, coupled, decay, self._rescale, self._clip, self.beta1, self.beta2, self.epsilon,
                self._bound(t), float(t == 1))  # fmt: skip

    def _kept(self, t, lr, wd):
        return 1.0 - lr * wd if self.decoupled_weight_decay else 1.0

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, var), t, lr, wd in self._each(indices, weights, grads, states):
            decoupled = self.decoupled_weight_decay
            grad = self._prepared(grad) if decoupled else self._decayed(grad, weight, wd)
            if t == 1:
                var += np.square(grad)
                continue

            direction = self._clipped(grad / np.maximum(np.sqrt(var), self.epsilon), self._bound(t))
            mean += (1.0 - self.beta1) * (direction - mean)
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)
            if decoupled:
                weight -= (lr * wd) * weight
            weight -= lr * mean
