"""Adam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register


@register
class Adam(Optimizer):
    """Adam: steps scaled by running estimates of the gradient's first two moments.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        lr_t = learning_rate * sqrt(1 - beta2**t) / (1 - beta1**t)
        weight = weight - lr_t * mean / (sqrt(var) + epsilon)

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
    epsilon : float, default 1e-8
        Keeps the division finite.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The bias correction multiplies the learning rate, so epsilon joins the uncorrected root: the form at the
    end of section 2 of [1]_, with a constant epsilon. Weight decay is added to the gradient (L2); `AdamW`
    decouples it.

    State: (mean, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
       https://arxiv.org/abs/1412.6980.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("adam", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([1, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.9, 1.1, 1. ], dtype=float32)
    """

    rules = ("adam",)
    state_slots = (StateSlot("mean", numbers=MEAN), StateSlot("var", numbers=SQUARES))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "beta2", "epsilon")
    text_scalars = scalar_names

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        lazy_update: bool | str = False,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    @property
    def states_have_rows(self):
        """Whether states of a row-sparse weight are row-sparse: they are if its updates are lazy."""
        return self.lazy_update not in (False, "exact")

    def _corrected(self, t, lr):
        # In double: 1 - beta2**t cancels in float32 while t is small.
        return lr * (math.sqrt(1.0 - self.beta2**t) / (1.0 - self.beta1**t))

    def scalars(self, t, lr, wd):
        lr = self._corrected(t, lr)
        return lr, wd, self._rescale, self._clip, self.beta1, self.beta2, self.epsilon

    def step(self, indices, weights, grads, states):
        for weight, grad, (mean, var), t, lr, wd in self._each(indices, weights, grads, states):
            grad = self._decayed(grad, weight, wd)

            mean *= self.beta1
            mean += (1.0 - self.beta1) * grad
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)
            weight -= self._corrected(t, lr) * (mean / (np.sqrt(var) + self.epsilon))
