"""LARS."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import checks, kernels
from .norms import norm
from .optimizer import register
from .sgd import SGD


@register
class LARS(SGD):
    """LARS: SGD with a learning rate scaled per tensor by the norms of its weight and gradient.

    Updates are applied by::

        w, g = norm(weight), norm(grad * rescale_grad)
        factor = eta * w / (g + wd * w + epsilon) if w > 0 and g > 0 else 1
        lr = learning_rate * factor

        g = clip(grad * rescale_grad, clip_gradient) + wd * weight
        weight = weight - lr * g                                 # momentum == 0

        mom = momentum * mom - lr * g                            # momentum > 0
        weight = weight + mom

    Tensors with a name that ends in ``gamma``, ``beta`` or ``bias`` have the factor 1. The name comes from
    ``param_idx2name``; without one it is the index as a string.

    With a row-sparse gradient and ``lazy_update=True`` only the rows that the gradient holds are updated, at
    the rate given by the norms of the whole weight and of the gradient.

    Parameters
    ----------
    learning_rate : float, default 0.1
        None: the scheduler's ``base_lr``, or 0.01 without a scheduler.
    momentum : float, default 0.0
        0 or more; 0 keeps no state.
    eta : float, default 0.001
        How far a step goes, relative to the weight's norm.
    epsilon : float, default 1e-8
        Keeps the division finite. ``eps`` in MXNet 1.x.
    lazy_update : bool, default False
        Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.
    use_fused_step : bool, default True
        Run the compiled rules rather than `step`.
    aggregate_num : int, default 1
        Accepted as in MXNet; a list is always one fused call.
    **kwargs
        Arguments of `Optimizer`.

    Notes
    -----
    The norms are taken before clipping. As in the paper the scaled rate is inside the momentum buffer.
    Where `multi_precision` keeps a master, the fused norm of the weight is that of the 16-bit weight, as in
    MXNet.

    State: None without momentum, else ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] Y. You, I. Gitman and B. Ginsburg, "Large Batch Training of Convolutional Networks", 2017,
       https://arxiv.org/abs/1708.03888.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("lars", learning_rate=0.5, eta=0.1)
    >>> weight = np.array([3, 4], np.float32)
    >>> opt.update(0, weight, np.array([0, 20], np.float32), opt.create_state(0, weight))
    >>> weight
    array([3.  , 3.75], dtype=float32)
    """

    rules = ("lars_norms", *SGD.rules)
    # MXNet rescales by the number itself for the gradient's norm, and by the number read from text for the
    # update.
    scalar_names = (*SGD.scalar_names, "norm_rescale")

    not_exact_because = "its step length depends on the norms of the whole tensor"

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        momentum: float = 0.0,
        eta: float = 0.001,
        epsilon: float = 1e-8,
        lazy_update: bool = False,
        use_fused_step: bool = True,
        aggregate_num: float | None = 1,
        **kwargs: Any,
    ) -> None:
        epsilon = checks.renamed(kwargs, "eps", "epsilon", epsilon)
        if kwargs.pop("momentum_correction", False):
            warnings.warn(
                "momentum_correction=True is without effect here: only MXNet 1.x corrects the momentum; "
                "mxopt.v1 has it",
                DeprecationWarning,
                stacklevel=checks.outside(),
            )
        super().__init__(learning_rate=learning_rate, momentum=momentum, lazy_update=lazy_update,
                         use_fused_step=use_fused_step, aggregate_num=aggregate_num, **kwargs)  # fmt: skip
        self.eta = checks.number("eta", eta, 0)
        self.epsilon = checks.number("epsilon", epsilon, 0)

    @property
    def passes(self):
        return (self.rules[0], *super().passes)

    def scalars(self, t, lr, wd):
        return (*super().scalars(t, lr, wd), self._rescale)

    def _adapts(self, index):
        """Whether the rate of this tensor is scaled."""
        return not str(self.idx2name.get(index, index)).endswith(("gamma", "beta", "bias"))

    def _scaled(self, lr, wd, weight_norm, grad_norm):
        """Rates times their factors; arrays in MXNet's types: lr float64, the others float32."""
        real = np.float32
        with np.errstate(all="ignore"):
            ratio = weight_norm / grad_norm
            factor = real(self.eta) * weight_norm / (grad_norm + wd * weight_norm + real(self.epsilon))
        return np.where((ratio > 0) & (ratio < np.inf), lr * factor.astype(np.float64), lr)

    @staticmethod
    def _norms(sums, rescale_grad):
        """Norms of weights and rescaled gradients, float32, from the sums of the first pass."""
        squares, scale = np.sqrt(sums[:, :2]).astype(np.float32), sums[:, 2:].astype(np.float32)
        return np.where(scale > 0, scale * squares, squares).T

    @staticmethod
    def _norms_of(weight, grad, rescale_grad):
        """The same of one tensor's arrays."""
        return norm(weight), norm(grad * rescale_grad)

    def between(self, indices, rule, sums, scalars):
        scalars = scalars.each(len(sums))
        table, singles = scalars.table, scalars.singles
        lr, wd = table[:, 0], table[:, 1].astype(np.float32)
        scaled = self._scaled(lr, wd, *self._norms(sums, singles[0, 2].astype(np.float32)))
        table[:, 0] = np.where([self._adapts(index) for index in indices], scaled, lr)
        singles[:, 0] = table[:, 0]
        if self._read_as_text[0]:
            singles[:, 0] = [kernels.as_read_by_mxnet((rate,), (True,))[0] for rate in table[:, 0].tolist()]
        return scalars

    def _rate_of(self, index, weight, grad, lr, wd):
        if not self._adapts(index):
            return lr
        norms = self._norms_of(*(a.astype(np.float32) for a in (weight, grad)), np.float32(self.rescale_grad))
        return float(self._scaled(lr, np.float32(wd), *norms))
