"""GroupAdaGrad as in MXNet 1.9.1."""

import numpy as np

from ... import checks
from ...optimizer import contrib
from .optimizer import Optimizer, alias
from .registry import register


@register
class GroupAdaGrad(Optimizer, contrib.GroupAdaGrad):
    """GroupAdaGrad, with epsilon inside the root; see `mxopt.optimizer.contrib.GroupAdaGrad`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        history = history + mean(g**2, axis=1, keepdims=True)
        weight = weight - learning_rate * g / sqrt(history + eps)

    Parameters
    ----------
    eps : float, default 1e-5
        Keeps the division finite. 2.x's ``epsilon`` is accepted with a warning.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01, ``wd`` must be 0.

    Notes
    -----
    State: history, as in 2.x.
    """

    rules = ("groupadagrad_v1",)
    text_scalars = ("clip_gradient",)
    epsilon = alias("float_stable_eps")

    def __init__(self, eps=1e-5, *, learning_rate=None, **kwargs):
        eps = checks.number("eps", checks.renamed(kwargs, "epsilon", "eps", eps), 0)
        super().__init__(learning_rate=learning_rate, epsilon=eps, **kwargs)

    def _scale(self, history):
        return np.sqrt(history + self.epsilon)
