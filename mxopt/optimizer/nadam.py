"""Nadam."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import checks
from ..slots import MEAN, SQUARES, StateSlot
from .optimizer import Optimizer, register


@register
class Nadam(Optimizer):
    """Nadam: Adam with Nesterov momentum that follows a schedule.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        now = beta1 * (1 - 0.5 * 0.96**(t * schedule_decay))
        next = beta1 * (1 - 0.5 * 0.96**((t + 1) * schedule_decay))
        m_schedule = m_schedule * now
        mean = beta1 * mean + (1 - beta1) * g
        var = beta2 * var + (1 - beta2) * g**2
        ahead = next * mean / (1 - m_schedule * next) + (1 - now) * g / (1 - m_schedule)
        weight = weight - learning_rate * ahead / (sqrt(var / (1 - beta2**t)) + epsilon)

    With a row-sparse gradient and ``lazy_update=True`` the moments and the weight change only in the rows
    that the gradient holds. Otherwise the absent rows count as zero gradients.

    Parameters
    ----------
    learning_rate : float, default 0.001
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    beta1 : float, default 0.9
        Decay of the first moment, and the limit that the momentum rises to.
    beta2 : float, default 0.999
        Decay of the second moment.
    epsilon : float, default 1e-8
        Keeps the division finite.
    schedule_decay : float, default 0.004
        How fast the momentum rises.
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
    [1]_ keeps the product per parameter. Weight decay is added to the gradient (L2).

    State: (mean, var), zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR 2016 workshop,
       https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("nadam", learning_rate=0.1)
    >>> weight = np.ones(3, np.float32)
    >>> opt.update(0, weight, np.array([1, -1, 0], np.float32), opt.create_state(0, weight))
    >>> weight.round(4)
    array([0.8944, 1.1056, 1.    ], dtype=float32)
    """

    rules = ("nadam",)
    state_slots = (StateSlot("mean", numbers=MEAN), StateSlot("var", numbers=SQUARES))
    scalar_names = (
        *("lr", "wd", "rescale_grad", "clip_gradient", "beta1", "rest1", "beta2", "rest2", "epsilon"),
        *("grad_share", "grad_correction", "mean_share", "mean_correction", "var_correction"),
    )
    text_scalars = ("clip_gradient",)
    scalars_differ = True
    progress = {"m_schedule": functools.partial(checks.number, "m_schedule", low=0, high=1, tiny=True)}

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        schedule_decay: float = 0.004,
        use_fused_step: bool = True,
        lazy_update: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self._keep_moments(beta1, beta2, epsilon)
        self.schedule_decay = checks.number("schedule_decay", schedule_decay, 0)
        self.m_schedule = 1.0
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def _advance(self, t, moved):
        """The numbers of one tensor; advances the schedule in `moved`.

        Returns
        -------
        tuple of float
            (grad_share, grad_correction, mean_share, mean_correction, var_correction)
        """
        now = self.beta1 * (1.0 - 0.5 * 0.96 ** (t * self.schedule_decay))
        following = self.beta1 * (1.0 - 0.5 * 0.96 ** ((t + 1) * self.schedule_decay))
        product = moved["m_schedule"] = moved["m_schedule"] * now
        return (
            1.0 - now,
            1.0 - product,
            following,
            1.0 - product * following,
            1.0 - self.beta2**t,
        )

    def _scalars(self, rates, ledger):
        moved = ledger.attributes = {"m_schedule": self.m_schedule}
        return self._tabulated(rates, lambda t, lr, wd: self._scalars_of(t, lr, wd, moved))

    def scalars(self, t, lr, wd):
        return self._scalars_of(t, lr, wd, {"m_schedule": self.m_schedule})

    def _scalars_of(self, t, lr, wd, moved):
        return (lr, wd, self._rescale, self._clip, self.beta1, 1.0 - self.beta1, self.beta2, 1.0 - self.beta2,
                self.epsilon, *self._advance(t, moved))  # fmt: skip

    def step(self, indices, weights, grads, states):
        each = self._each(indices, weights, grads, states)
        moved = each.ledger.attributes = {"m_schedule": self.m_schedule}
        for weight, grad, (mean, var), t, lr, wd in each:
            grad = self._decayed(grad, weight, wd)
            grad_share, grad_correction, mean_share, mean_correction, var_correction = self._advance(t, moved)

            mean *= self.beta1
            mean += (1.0 - self.beta1) * grad
            var *= self.beta2
            var += (1.0 - self.beta2) * np.square(grad)
            ahead = mean_share * (mean / mean_correction) + grad_share * (grad / grad_correction)
            weight -= lr * (ahead / (np.sqrt(var / var_correction) + self.epsilon))
