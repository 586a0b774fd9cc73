"""RMSProp, plain and centered."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import checks
from ..slots import SQUARES, WIDE, StateSlot
from .optimizer import Optimizer, register


@register
class RMSProp(Optimizer):
    """RMSProp: steps divided by the root of a running mean of squared gradients.

    Updates are applied by::

        x = clip(grad * rescale_grad, clip_gradient) + wd * weight
        n = rho * n + (1 - rho) * x**2
        weight = weight - learning_rate * x / (sqrt(n) + epsilon)            # not centered

        g = rho * g + (1 - rho) * x                                          # centered
        delta = momentum * delta - learning_rate * x / sqrt(n - g**2 + epsilon)
        weight = weight + delta

        weight = clip(weight, clip_weights)                                  # both

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds; all other rows keep weight and states. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    rho : float, default 0.9
        Decay of the running means. ``gamma1`` is accepted with a warning.
    momentum : float, default 0.9
        Momentum of the centered form; the plain one has none. ``gamma2`` is accepted with a warning.
    epsilon : float, default 1e-8
        Keeps the division finite; inside the root of the centered form.
    centered : bool, default False
        Divide by the standard deviation of the gradients rather than by their root mean square.
    clip_weights : float, optional
        Limit every element of the new weight to [-clip_weights, clip_weights]. None, 0: no limit.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The plain form is that of [1]_ with an epsilon, the centered one equations (38) to (45) of [2]_. Weight
    decay is added to the gradient (L2).

    State: ``n``, or (g, n, delta) if centered: zeros of the weight's shape in float32 (float64 for a float64
    weight, which MXNet refuses).

    References
    ----------
    .. [1] T. Tieleman and G. Hinton, "Lecture 6.5: RMSProp", COURSERA: Neural Networks for Machine Learning,
       2012.
    .. [2] A. Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
       https://arxiv.org/abs/1308.0850.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("rmsprop", learning_rate=0.1, rho=0.75)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([4, -2, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.8, 1.2, 1. ], dtype=float32)
    """

    states_have_rows = True
    rules = ("rmsprop", "rmsprop_centered")
    state_slots: tuple[StateSlot, ...] = (
        StateSlot("g", WIDE, when="centered"),
        StateSlot("n", WIDE, numbers=SQUARES),
        StateSlot("delta", WIDE, when="centered"),
    )
    scalar_names = ("lr", "wd", "rescale_grad", "clip_gradient", "rho", "momentum", "epsilon", "clip_weights")
    text_scalars = scalar_names
    limits = ("clip_gradient", "clip_weights")

    @property
    def not_narrow_because(self):
        return "centered=True subtracts one state from another" if getattr(self, "centered", False) else None

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        rho: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-8,
        centered: bool = False,
        clip_weights: float | None = None,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        **kwargs: Any,
    ) -> None:
        rho = checks.renamed(kwargs, "gamma1", "rho", rho)
        momentum = checks.renamed(kwargs, "gamma2", "momentum", momentum)
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.rho = checks.number("rho", rho, 0, 1)
        self.momentum = checks.number("momentum", momentum, 0)
        self.epsilon = checks.number("epsilon", epsilon, 0)
        self.centered = centered
        checks.state_dtype(self, self.state_dtype)
        self.clip_weights = checks.optional_number("clip_weights", clip_weights)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    @property
    def passes(self):
        return (self.rules[bool(self.centered)],)

    @property
    def _weight_bound(self):
        return self.clip_weights if self.clip_weights is not None and self.clip_weights > 0 else math.inf

    def scalars(self, t, lr, wd):
        return (lr, wd, self._rescale, self._clip, self.rho, self.momentum, self.epsilon,
                self._weight_bound)  # fmt: skip

    def step(self, indices, weights, grads, states):
        for weight, grad, state, _, lr, wd in self._each(indices, weights, grads, states):
            x = self._decayed(grad, weight, wd)
            g, n, delta = self._arrays(state)

            n *= self.rho
            n += (1.0 - self.rho) * np.square(x)
            if self.centered:
                g *= self.rho
                g += (1.0 - self.rho) * x
                delta *= self.momentum
                delta -= lr * x / np.sqrt(n - np.square(g) + self.epsilon)
                weight += delta
            else:
                weight -= self._plain(x, n, lr)
            weight[...] = self._clipped(weight, self._weight_bound)

    def _arrays(self, state):
        return state if self.centered else (None, state, None)

    def _plain(self, x, n, lr):
        return lr * (x / (np.sqrt(n) + self.epsilon))
