"""The optimizer that MXNet's own tests use."""

from __future__ import annotations

from typing import Any

from .. import checks
from ..slots import StateSlot
from .optimizer import Optimizer, register


@register
class Test(Optimizer):
    """Plain descent, for tests of everything around an optimizer.

    Updates are applied by::

        weight = weight - learning_rate * (rescale_grad * grad + wd * weight)

    Parameters
    ----------
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool or 'exact', default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`; `clip_gradient` is not applied.

    Notes
    -----
    State: zeros of the weight's shape in float32, even for float64 weights; updates never touch it.

    References
    ----------
    .. [1] ``mxnet.optimizer.Test``, https://github.com/apache/mxnet.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("test", learning_rate=0.5)
    >>> weight = np.ones(2, np.float32)
    >>> opt.update(0, weight, np.array([1, 0], np.float32), opt.create_state(0, weight))
    >>> weight
    array([0.5, 1. ], dtype=float32)
    """

    __test__ = False  # pytest would take the class for a test

    rules = ("test",)
    state_slots = (StateSlot("state", "float32"),)
    scalar_names = ("lr", "wd", "rescale_grad")

    def __init__(self, use_fused_step: bool = True, lazy_update: bool | str = False, **kwargs: Any) -> None:
        super().__init__(use_fused_step=use_fused_step, **kwargs)
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def scalars(self, t, lr, wd):
        return lr, wd, self._rescale

    def step(self, indices, weights, grads, states):
        for weight, grad, _, _, lr, wd in self._each(indices, weights, grads, states):
            weight -= lr * (self._rescale * grad + wd * weight)
