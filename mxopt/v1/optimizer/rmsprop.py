"""RMSProp as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import checks
from ...optimizer import rmsprop
from ...slots import SQUARES, WIDE, StateSlot
from .optimizer import Optimizer, alias, register


@register
class RMSProp(Optimizer, rmsprop.RMSProp):
    """RMSProp, with weight decay inside the clipping; see `mxopt.optimizer.rmsprop.RMSProp`.

    Updates are applied by::

        x = clip(grad * rescale_grad + wd * weight, clip_gradient)
        n = gamma1 * n + (1 - gamma1) * x**2
        weight = weight - learning_rate * x / sqrt(n + epsilon)              # not centered

        g = gamma1 * g + (1 - gamma1) * x                                    # centered
        delta = gamma2 * delta - learning_rate * x / sqrt(n - g**2 + epsilon)
        weight = weight + delta

        weight = clip(weight, clip_weights)                                  # both

    Parameters
    ----------
    learning_rate : float, default 0.001
    gamma1 : float, default 0.9
        Decay of the running means. 2.x's ``rho`` is accepted with a warning.
    gamma2 : float, default 0.9
        Momentum of the centered form. 2.x's ``momentum`` is accepted with a warning.
    epsilon, centered, clip_weights
        As in 2.x.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    State: the tuple (n,), or (n, g, delta) if centered. 2.x keeps ``n`` without a tuple, and g before n.

    References
    ----------
    .. [1] T. Tieleman and G. Hinton, "Lecture 6.5: RMSProp", COURSERA: Neural Networks for Machine Learning,
       2012.
    .. [2] A. Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
       https://arxiv.org/abs/1308.0850.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("rmsprop", learning_rate=0.1, gamma1=0.75)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([4, -2, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.8, 1.2, 1. ], dtype=float32)
    """

    rules = ("rmsprop_v1", "rmsprop_centered_v1")
    state_slots = (
        StateSlot("n", WIDE, numbers=SQUARES),
        StateSlot("g", WIDE, when="centered"),
        StateSlot("delta", WIDE, when="centered"),
    )
    states_in_tuple = True
    clips_decay = True
    rho = alias("gamma1")
    momentum = alias("gamma2")

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        gamma1: float = 0.9,
        gamma2: float = 0.9,
        epsilon: float = 1e-8,
        centered: bool = False,
        clip_weights: float | None = None,
        **kwargs: Any,
    ) -> None:
        gamma1 = checks.number("gamma1", checks.renamed(kwargs, "rho", "gamma1", gamma1), 0, 1)
        gamma2 = checks.number("gamma2", checks.renamed(kwargs, "momentum", "gamma2", gamma2), 0)
        super().__init__(learning_rate=learning_rate, rho=gamma1, momentum=gamma2, epsilon=epsilon,
                         centered=centered, clip_weights=clip_weights, **kwargs)  # fmt: skip

    def _arrays(self, state):
        return (state[1], state[0], state[2]) if self.centered else (None, state[0], None)

    def _plain(self, x, n, lr):
        return lr * (x / np.sqrt(n + self.epsilon))
