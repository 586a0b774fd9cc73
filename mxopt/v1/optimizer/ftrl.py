"""Ftrl as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ... import checks
from ...optimizer import ftrl
from .optimizer import Optimizer, register


@register
class Ftrl(Optimizer, ftrl.Ftrl):
    """Ftrl-proximal, by 2.x's formula (except for signs of zeros); see `mxopt.optimizer.ftrl.Ftrl`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        z = z + g - (sqrt(n + g**2) - sqrt(n)) * weight / learning_rate
        n = n + g**2
        weight = -sign(z) * max(abs(z) - lamda1, 0) / ((beta + sqrt(n)) / learning_rate + wd)

    Parameters
    ----------
    lamda1 : float, default 0.01
        Strength of the L1 regularization. Comes before the learning rate, unlike in 2.x.
    learning_rate : float, default 0.1
        Does not replace a scheduler's ``base_lr``.
    beta : float, default 1
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    State: (z, n), zeros of the weight's shape in float32 (float64 for a float64 weight, which MXNet refuses).

    References
    ----------
    .. [1] H. B. McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013,
       https://dl.acm.org/doi/10.1145/2487575.2488200.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("ftrl", learning_rate=0.5, lamda1=0.25)
    >>> weight = np.zeros(3, np.float32)
    >>> opt.update(0, weight, np.array([4, -1, 0.125], np.float32), opt.create_state(0, weight))
    >>> weight
    array([-0.375 ,  0.1875,  0.    ], dtype=float32)
    """

    rules = ("ftrl_v1",)

    def __init__(
        self, lamda1: float = 0.01, learning_rate: float | None = 0.1, beta: float = 1, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate=None, lamda1=lamda1, beta=beta, **kwargs)
        if learning_rate is not None:
            self.lr = checks.number("learning_rate", learning_rate)
