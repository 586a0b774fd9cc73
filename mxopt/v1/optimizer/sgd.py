"""Stochastic gradient descent as in MXNet 1.9.1."""

from __future__ import annotations

from typing import Any

from ... import checks, config
from ...optimizer import sgd
from .optimizer import Optimizer, register, update_impl


@register
class SGD(Optimizer, sgd.SGD):
    """Stochastic gradient descent, with and without momentum; see `mxopt.optimizer.sgd.SGD`.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        mom = momentum * mom - learning_rate * wd * weight - learning_rate * g
        weight = weight + mom

    Parameters
    ----------
    momentum : float, default 0.0
    lazy_update : bool or 'exact', default True
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    aggregate_num : int, default 1
        Accepted as in MXNet; a list is always one fused call.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01.

    Notes
    -----
    The formula is 2.x's up to rounding.

    State: None without momentum, else ``mom``; with `multi_precision` the pair (that, float32 master),
    the reverse of 2.x's order.

    References
    ----------
    .. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
       ICML 2013.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("sgd", learning_rate=0.5, momentum=0.9)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.array([1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.5, 1. ], dtype=float32)
    """

    _update_impl = update_impl
    rules = ("sgd_v1", "sgd_mom_v1")
    master_position = 1
    rests = True
    aggregates = True

    def __init__(
        self,
        momentum: float = 0.0,
        lazy_update: bool | str = True,
        *,
        learning_rate: float | None = None,
        use_fused_step: bool = True,
        aggregate_num: float | None = None,
        **kwargs: Any,
    ) -> None:
        if aggregate_num is None:
            aggregate_num = config.aggregation_size()
        super().__init__(learning_rate=learning_rate, momentum=momentum, use_fused_step=use_fused_step,
                         aggregate_num=aggregate_num, **kwargs)  # fmt: skip
        self.lazy_update = checks.lazy_update(self, lazy_update, strict=False)

    def _momentum_of(self, ledger):
        """The momentum of a step."""
        return self.momentum

    def step(self, indices, weights, grads, states):
        each = self._each(indices, weights, grads, states)
        momentum = self._momentum_of(each.ledger)
        for weight, grad, mom, _, lr, wd in each:
            delta = (-lr * wd) * weight - lr * self._prepared(grad)
            if mom is not None:
                mom *= momentum
                mom += delta
                delta = mom
            weight += delta


@register
class ccSGD(SGD):  # noqa: N801  MXNet's name
    """`SGD` under the name of what was once a separate class, MXNet's C++ implementation.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient)
        mom = momentum * mom - learning_rate * wd * weight - learning_rate * g
        weight = weight + mom

    Parameters
    ----------
    momentum : float, default 0.0
    lazy_update : bool or 'exact', default True
    learning_rate : float, optional
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    aggregate_num : int, default 1
        Accepted as in MXNet; a list is always one fused call.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    State: None without momentum, else ``mom``; with `multi_precision` the pair (that, float32 master),
    the reverse of 2.x's order.

    References
    ----------
    .. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
       ICML 2013.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("sgd", learning_rate=0.5, momentum=0.9)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.array([1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.5, 1. ], dtype=float32)
    """
