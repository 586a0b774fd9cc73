"""Ftrl."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..slots import SQUARES, WIDE, StateSlot
from .optimizer import Optimizer, register


@register
class Ftrl(Optimizer):
    """Ftrl-proximal: the weight that fits all gradients so far best, with many exact zeros.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        z = z + g - (sqrt(n + g**2) - sqrt(n)) * weight / learning_rate
        n = n + g**2
        weight = -sign(z) * max(abs(z) - lamda1, 0) / ((beta + sqrt(n)) / learning_rate + wd)

    The new weight depends on the states only: an element that never had a gradient becomes 0. With a
    row-sparse gradient and ``lazy_update=True`` all this happens only in the rows that the gradient holds,
    so rows that never had a gradient keep their initial weights.

    Parameters
    ----------
    learning_rate : float, default 0.1
        Above 0: the update divides by it. None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    lamda1 : float, default 0.01
        Strength of the L1 regularization, which makes the zeros.
    beta : float, default 1.0
        Keeps the first steps small.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``. A KVStore or Trainer does
        so for weights that it stores as row-sparse, as in MXNet.
    **kwargs
        Arguments of `Optimizer`; ``wd`` is the strength of the L2 regularization.

    Notes
    -----
    Figure 1 of [1]_, with wd as its lambda_2.

    State: (z, n), zeros of the weight's shape in float32 (float64 for a float64 weight, which MXNet refuses).

    References
    ----------
    .. [1] H. B. McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013,
       https://dl.acm.org/doi/10.1145/2487575.2488200.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("ftrl", learning_rate=0.5, lamda1=0.25)
    >>> weight = np.zeros(3, np.float32)
    >>> opt.update(0, weight, np.array([4, -1, 0.125], np.float32), opt.create_state(0, weight))
    >>> weight
    array([-0.375 ,  0.1875, -0.    ], dtype=float32)
    """

    states_have_rows = True
    rules = ("ftrl",)
    not_cautious_because = "its weight is a function of its states, whatever it was before"
    state_slots = (StateSlot("z", WIDE), StateSlot("n", WIDE, numbers=SQUARES))
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "lamda1", "beta")
    text_scalars = scalar_names
    lazy_on_stored_rows = True

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        lamda1: float = 0.01,
        beta: float = 1.0,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.lamda1 = checks.number("lamda1", lamda1, 0)
        self.beta = checks.number("beta", beta, 0)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def check_rates(self, index, lr, wd):
        if not lr >= checks.SMALLEST:
            raise checks.zero_rate(self, index, lr)

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale, self._clip, self.lamda1, self.beta

    def step(self, indices, weights, grads, states):
        for weight, grad, (z, n), _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._prepared(grad)

            before = np.sqrt(n)
            n += np.square(grad)
            root = np.sqrt(n)
            z += grad - (root - before) / lr * weight
            weight[...] = -(np.sign(z) * np.maximum(np.abs(z) - self.lamda1, 0)) / (
                (root + self.beta) / lr + wd
            )
