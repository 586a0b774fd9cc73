"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, Literal

from .. import checks
from .momentum import Momentum
from .optimizer import register


@register
class SGD(Momentum):
    """Stochastic gradient descent, with and without momentum.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        weight = weight - learning_rate * g                      # momentum == 0

        mom = momentum * mom - learning_rate * g                 # momentum > 0
        weight = weight + mom

    With a row-sparse gradient and ``lazy_update=True`` this happens only in the rows that the gradient
    holds: rows without a gradient neither decay nor move on by momentum.

    Parameters
    ----------
    learning_rate : float, default 0.1
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    momentum : float, default 0.0
        0 or more; 0 keeps no state.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    multi_precision : bool or 'split', default False
        Keep a float32 master copy of 16-bit weights, or its low half; see `Optimizer`.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    aggregate_num : int, default 1
        Accepted as in MXNet; a list is always one fused call.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The learning rate is inside the momentum buffer, so changing it affects new gradients only [1]_.

    State: None without momentum, else ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
       ICML 2013.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("sgd", learning_rate=0.5, momentum=0.9)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.array([1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.5, 1. ], dtype=float32)
    """

    rules = ("sgd", "sgd_mom")

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        momentum: float = 0.0,
        lazy_update: bool | str = False,
        multi_precision: bool | Literal["split"] = False,
        use_fused_step: bool = True,
        aggregate_num: float | None = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            multi_precision=multi_precision,
            use_fused_step=use_fused_step,
            aggregate_num=aggregate_num,
            **kwargs,
        )
        self.momentum = checks.number("momentum", momentum, 0)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    @property
    def states_have_rows(self):
        """Whether states of a row-sparse weight are row-sparse: they are if its updates are lazy."""
        return self.lazy_update not in (False, "exact")

    @property
    def _read_as_text(self):
        # MXNet's multi-tensor kernels, which aggregate_num selects, take lr and wd as numbers, not text.
        return (False, False, *self._texts[2:]) if self.aggregate_num > 1 else self._texts

    def step(self, indices, weights, grads, states):
        for weight, grad, mom, _, lr, wd in self._each(indices, weights, grads, states):
            grad = self._decayed(grad, weight, wd)
            if mom is None:
                weight -= lr * grad
            else:
                mom *= self.momentum
                mom -= lr * grad
                weight += mom


@register
class ccSGD(SGD):  # noqa: N801  MXNet's name
    """`SGD` under the name of what was once a separate class, MXNet's C++ implementation.

    Updates are applied by::

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        weight = weight - learning_rate * g                      # momentum == 0

        mom = momentum * mom - learning_rate * g                 # momentum > 0
        weight = weight + mom

    Parameters
    ----------
    learning_rate : float, default 0.1
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    momentum : float, default 0.0
        0 or more; 0 keeps no state.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    multi_precision : bool or 'split', default False
        Keep a float32 master copy of 16-bit weights, or its low half; see `Optimizer`.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    aggregate_num : int, default 1
        Accepted as in MXNet; a list is always one fused call.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    State: None without momentum, else ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
       ICML 2013.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("sgd", learning_rate=0.5, momentum=0.9)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.array([1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.5, 1. ], dtype=float32)
    """
