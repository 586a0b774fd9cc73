"""Nadam as in MXNet 1.9.1."""

from ...optimizer import nadam
from .optimizer import Optimizer, register


@register
class Nadam(Optimizer, nadam.Nadam):
    """Nadam, with weight decay inside the clipping; see `mxopt.optimizer.nadam.Nadam`.

    Updates are applied by::

        g = clip(grad * rescale_grad + wd * weight, clip_gradient)
        ...                                                       # and on as in 2.x

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, schedule_decay
        As in 2.x.
    """

    rules = ("nadam_v1",)
    clips_decay = True
