"""RAdam."""

import math

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register


@register
class RAdam(Optimizer):
    """Rectified Adam: a warm-up derived from how well the second moment is known.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        direction = mean / (1 - beta1**t)
        if length > 5:
            rectified = sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            direction = direction * rectified * sqrt(1 - beta2**t) / (sqrt(var) + epsilon)
        weight = weight - learning_rate * direction

    With ``decoupled_weight_decay=True``, g is without weight decay and the weight is multiplied by
    ``1 - learning_rate * wd`` first.

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta1 : float, default 0.9
        Decay of the mean of gradients.
    beta2 : float, default 0.999
        Decay of the mean of their squares.
    epsilon : float, default 1e-8
        Keeps the division finite.
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
    The numbers are those of ``torch.optim.RAdam`` of PyTorch 2.13. As there, the rectified step is taken when
    the length is above 5; the paper says 4.

    State: (mean, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] L. Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020,
       https://arxiv.org/abs/1908.03265.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("radam", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([2, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.8, 1.1, 1. ], dtype=float32)
    """

    family = "later"
    rules = ("radam",)
    state_slots = (StateSlot("mean", numbers=MEAN), StateSlot("var", numbers=SQUARES))
    scalar_names = ("lr", "wd", "decay", "rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon",
                    "correct1", "root_correct2", "rectified")  # fmt: skip

    def __init__(self, learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8,
                 decoupled_weight_decay=False, lazy_update=False, use_fused_step=True,
                 **kwargs):  # fmt: skip
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.decoupled_weight_decay = bool(decoupled_weight_decay)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def _rectified(self, t):
        """The factor of a rectified step; None while the variance of its denominator is unbounded."""
        correct2 = 1.0 - self.beta2**t
        longest = 2.0 / (1.0 - self.beta2) - 1.0
        length = longest - 2.0 * t * self.beta2**t / correct2
        if length <= 5.0:
            return None
        ratio = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
        return math.sqrt(ratio)

    def scalars(self, t, lr, wd):
        rectified = self._rectified(t)
        coupled, decay = (0.0, lr * wd) if self.decoupled_weight_decay else (wd, 0.0)
        return (lr, coupled, decay, self._rescale, self._clip, self.beta1, self.beta2, self.epsilon,
                1.0 - self.beta1**t, math.sqrt(1.0 - self.beta2**t), rectified or 0.0)  # fmt: skip

    def _kept(self, t, lr, wd):
        return 1.0 - lr * wd if self.decoupled_weight_decay else 1.0

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, var), t, lr, wd in self._each(indices, weights, grads, states):
            if self.decoupled_weight_decay:
                grad = self._prepared(grad)
                weight *= 1.0 - lr * wd
            else:
                grad = self._decayed(grad, weight, wd)

            mean += (1.0 - self.beta1) * (grad - mean)
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)

            update = mean / (1.0 - self.beta1**t) * lr
            rectified = self._rectified(t)
            if rectified is not None:
                update *= math.sqrt(1.0 - self.beta2**t) / (np.sqrt(var) + self.epsilon) * rectified
            weight -= update
