"""Stochastic gradient Langevin dynamics as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ...optimizer import sgld
from .optimizer import Optimizer, register


@register
class SGLD(Optimizer, sgld.SGLD):
    """SGLD; see `mxopt.optimizer.sgld.SGLD`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        weight = weight - learning_rate / 2 * g + normal(0, sqrt(learning_rate))

    Parameters
    ----------
    **kwargs
        As in 2.x; ``learning_rate`` defaults to 0.01.

    Attributes
    ----------
    generator : numpy.random.Generator, optional
        The source of the noise. None, the default: the stream that ``mxopt.random.seed`` restarts. It is
        neither saved nor copied with the optimizer.

    Notes
    -----
    State: None.

    References
    ----------
    .. [1] M. Welling and Y. W. Teh, "Bayesian Learning via Stochastic Gradient Langevin Dynamics", ICML 2011.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> mxopt.random.seed(1)
    >>> opt = mxopt.create("sgld", learning_rate=0.01)
    >>> weight = np.zeros(100_000, np.float32)
    >>> opt.update(0, weight, np.ones_like(weight), opt.create_state(0, weight))
    >>> round(float(weight.mean()), 2), round(float(weight.std()), 2)
    (-0.01, 0.1)
    """

    def __init__(self, *, learning_rate: float | None = None, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
