"""Nadam as in MXNet 1.9.1."""

from ...optimizer import nadam
from .optimizer import Optimizer, register


@register
class Nadam(Optimizer, nadam.Nadam):
    """Nadam, with weight decay inside the clipping; see `mxopt.optimizer.nadam.Nadam`.

    Updates are applied by::

        g = clip(grad * rescale_grad + wd * weight, clip_gradient)
        now = beta1 * (1 - 0.5 * 0.96**(t * schedule_decay))
        next = beta1 * (1 - 0.5 * 0.96**((t + 1) * schedule_decay))
        m_schedule = m_schedule * now
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        ahead = next * mean / (1 - m_schedule * next) + (1 - now) * g / (1 - m_schedule)
        weight = weight - learning_rate * ahead / (sqrt(var / (1 - beta2**t)) + epsilon)

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon, schedule_decay
        As in 2.x.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`; MXNet has no kernel here, so both do the same arithmetic.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`.

    Attributes
    ----------
    m_schedule : float
        The product of all momenta so far. As in MXNet the optimizer has a single one, multiplied once for
        every tensor: with n tensors it falls n times a step, and the order of the tensors matters. mxopt's
        files always hold it; MXNet's only with a dumped optimizer.

    Notes
    -----
    State: (mean, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR 2016 workshop,
       https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("nadam", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([1, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.8944, 1.1056, 1.    ], dtype=float32)
    """

    rules = ("nadam_v1",)
    clips_decay = True
