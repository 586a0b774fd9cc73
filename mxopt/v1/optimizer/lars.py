"""LARS as in MXNet 1.9.1."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ... import checks, kernels
from ...optimizer import lars
from ...optimizer.norms import plain_norm
from .optimizer import alias, register
from .sgd import SGD


@register
class LARS(SGD, lars.LARS):
    """SGD at rates scaled by the norms of weight and gradient; see `mxopt.optimizer.lars.LARS`.

    Updates are applied by::

        w, g = norm(weight), norm(grad) * rescale_grad
        lr = learning_rate * eta * w / (g + wd * w + eps)        # learning_rate where a norm is 0
        now = momentum * learning_rate / previous learning_rate  # momentum_correction

        g = clip(grad * rescale_grad, clip_gradient)
        mom = now * mom - lr * wd * weight - lr * g
        weight = weight + mom

    Parameters
    ----------
    momentum : float, default 0.0
    lazy_update : bool, default True
    eta : float, default 0.001
        How far a step goes, relative to the weight's norm.
    eps : float, default 0
        Keeps the division finite. 2.x's ``epsilon`` is accepted with a warning.
    momentum_correction : bool, default True
        Whether momentum is scaled by how much the learning rate has changed since the previous step.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01.

    Notes
    -----
    With `param_idx2name` only parameters whose names end in ``_weight`` decay. The momentum
    correction applies to every tensor of a step; MXNet drops it after the first four.

    State: None without momentum, else ``mom``; with `multi_precision` the pair of that and the float32
    master, in this order, which is the reverse of 2.x's.

    References
    ----------
    .. [1] Y. You, I. Gitman and B. Ginsburg, "Large Batch Training of Convolutional Networks", 2017,
       https://arxiv.org/abs/1708.03888.

    Examples
    --------
    >>> import numpy as np, mxopt.v1 as mxopt
    >>> opt = mxopt.create("lars", learning_rate=0.5, eta=0.1)
    >>> weight = np.array([3, 4], np.float32)
    >>> opt.update(0, weight, np.array([0, 20], np.float32), opt.create_state(0, weight))
    >>> weight
    array([3.  , 3.75], dtype=float32)
    """

    rules = ("lars_norms_v1", *SGD.rules)
    # MXNet's kernels take rates and decays as arrays; only the other numbers are passed as text.
    text_scalars = ("rescale_grad", "clip_gradient", "momentum")
    epsilon = alias("eps")
    decaying_names = ("_weight",)
    notes_rate = True
    progress = {
        "last_lr": functools.partial(checks.optional_number, "last_lr", tiny=True),
        "cur_lr": functools.partial(checks.optional_number, "cur_lr", tiny=True),
        "lr_update": lambda value: None if value is None else checks.count("lr_update", value, 0),
    }

    def __init__(
        self,
        momentum: float = 0.0,
        lazy_update: bool = True,
        eta: float = 0.001,
        eps: float = 0,
        momentum_correction: bool = True,
        **kwargs: Any,
    ) -> None:
        eps = checks.renamed(kwargs, "epsilon", "eps", eps)
        super().__init__(momentum=momentum, lazy_update=lazy_update, eta=eta, epsilon=eps, **kwargs)
        self.momentum_correction = bool(momentum_correction)
        self.last_lr = self.cur_lr = None
        self.lr_update = None

    def _ahead(self, indices):
        rates, ledger = super()._ahead(indices)
        # Noted once per step, however many calls the step takes.
        lr = rates[0][1] if ledger.rate is None else ledger.rate
        last = self.last_lr
        number = self.num_update if ledger.number is None else ledger.number
        if self.lr_update is None or number > self.lr_update:
            last = lr if self.cur_lr is None else self.cur_lr
        ledger.attributes = {"last_lr": last, "cur_lr": lr, "lr_update": number}
        return rates, ledger

    def _momentum_of(self, ledger):
        noted = ledger.attributes  # None where a step is skipped
        if noted and self.momentum_correction and noted["last_lr"]:
            return self.momentum * (noted["cur_lr"] / noted["last_lr"])
        return self.momentum

    def _scalars(self, rates, ledger):
        momentum = self._momentum_of(ledger)

        def scalars(t, lr, wd):
            *others, _, norm_rescale = self.scalars(t, lr, wd)
            return (*others, momentum, norm_rescale)

        return self._tabulated(rates, scalars)

    def _scaled(self, lr, wd, weight_norm, grad_norm):
        lr = np.float32(lr)
        eta, eps = np.float32(kernels.as_read_by_mxnet((self.eta, self.eps), (True, True)))
        with np.errstate(all="ignore"):
            scaled = lr * eta * weight_norm / (grad_norm + wd * weight_norm + eps)
        # A negative rescale_grad makes the gradient's norm negative, as in MXNet.
        return np.where((weight_norm > 0) & (np.abs(grad_norm) > 0), scaled, lr).astype(np.float64)

    @staticmethod
    def _norms(sums, rescale_grad):
        weight_norm, grad_norm = np.sqrt(sums).astype(np.float32).T
        return weight_norm, grad_norm * rescale_grad

    @staticmethod
    def _norms_of(weight, grad, rescale_grad):
        return plain_norm(weight), plain_norm(grad) * rescale_grad
