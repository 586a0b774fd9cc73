"""Large-batch SGD."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from .. import checks, kernels
from ..arrays import as_array, is_float, is_half
from ..sparse import RowSparseArray
from .momentum import Momentum
from .optimizer import register

_STRATEGIES = ("linear", "power2", "sqrt", "lars", "none")


def _checked_gradients(value):
    """Check `cumgrads` as read from a file, and return it."""
    if not isinstance(value, dict):
        raise TypeError(f"cumgrads must be a dict, got {value!r}")
    for index, entry in value.items():
        if not isinstance(entry, dict) or entry.keys() != {"cum_grad", "num_cums"}:
            raise TypeError(f"cumgrads[{index!r}] must be a dict of cum_grad and num_cums, got {entry!r}")
        checks.count(f"num_cums of {index!r}", entry["num_cums"], 0)
        grad = entry["cum_grad"]
        if isinstance(grad, (np.ndarray, RowSparseArray)):
            if not is_float(grad.dtype):
                raise TypeError(f"cum_grad of {index!r} must be an array of floats, got {grad.dtype}")
        elif type(grad) is not int or grad != 0:
            raise TypeError(f"cum_grad of {index!r} must be 0 or an array, got {grad!r}")
    return value


@register
class LBSGD(Momentum):
    """LBSGD: gathers gradients over several calls into one large batch, with a learning-rate warm-up.

    Call n of an index adds its gradient; every `batch_scale`-th one updates::

        total = total + grad
        if n % batch_scale == 0:
            g = clip(total / batch_scale * rescale_grad, clip_gradient)
            lr = learning_rate * multiplier(n)
            mom = momentum * mom - lr * wd * weight - lr * g
            weight = weight + mom
            total = 0

    With ``N = warmup_epochs * updates_per_epoch`` and ``M = batch_scale`` the multiplier is M from n = N on,
    and before it ``1 + (M - 1) * n / N`` ('linear'), ``1 + (M - 1) * n**2 / N**2`` ('power2'),
    ``1 + (M - 1) * sqrt(n / N)`` ('sqrt') or 1 ('none'). With 'lars' it is always
    ``sqrt(|weight|**2 / (|g|**2 + wd * |weight|**2))``, within [0.01, 100].

    Parameters
    ----------
    momentum : float, default 0.0
        0 or more; 0 keeps no state.
    multi_precision : bool or 'split', default False
        As for `Optimizer`.
    warmup_strategy : {'linear', 'power2', 'sqrt', 'lars', 'none'}
        How the learning rate grows.
    warmup_epochs : float, default 5
        How long it grows.
    batch_scale : int, default 1
        How many calls make one update.
    updates_per_epoch : int, default 32
        How many calls make an epoch.
    begin_epoch : int, default 0
        The epoch at which counting starts.
    num_epochs : int, default 60
        Not used, as in MXNet.
    use_fused_step : bool, default True
        Run the compiled rule rather than `step`.
    lazy_update : bool, default False
        Touch only the rows of the gathered row-sparse gradients. Needs ``use_fused_step=True``.
    **kwargs
        Arguments of `Optimizer`; ``learning_rate`` defaults to 0.01.

    Attributes
    ----------
    cumgrads : dict
        By index, the gradients gathered so far and the number of calls.

    Notes
    -----
    Only MXNet 1.9 has it; the order of operations is 1.9's. The learning rate of a call is read before the
    call is counted, so a scheduler lags by one. [1]_ is about linear scaling and warm-up, [2]_ about 'lars',
    which here is one number per tensor and does not scale the accumulated momentum.

    State: None without momentum, else ``mom``, zeros of the weight's shape and dtype.

    References
    ----------
    .. [1] P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017,
       https://arxiv.org/abs/1706.02677.
    .. [2] Y. You, I. Gitman and B. Ginsburg, "Large Batch Training of Convolutional Networks", 2017,
       https://arxiv.org/abs/1708.03888.

    Examples
    --------
    >>> import numpy as np, mxopt
    >>> opt = mxopt.create("lbsgd", learning_rate=0.5, batch_scale=2, warmup_strategy="none")
    >>> weight = np.ones(2, np.float32)
    >>> for grad in ([1, 0], [1, 2]):
    ...     opt.update(0, weight, np.array(grad, np.float32), opt.create_state(0, weight))
    ...     print(weight)
    [1. 1.]
    [0.5 0.5]
    """

    states_have_rows = True
    rules = ("sgd_single_v1", "sgd_mom_v1")
    not_cautious_because = "it gathers the gradients of several calls"
    progress = {"cumgrads": _checked_gradients}

    not_exact_because = "it gathers the gradients of several calls"

    def __init__(
        self,
        momentum: float = 0.0,
        multi_precision: bool | Literal["split"] = False,
        warmup_strategy: str = "linear",
        warmup_epochs: float = 5,
        batch_scale: float = 1,
        updates_per_epoch: float = 32,
        begin_epoch: float = 0,
        num_epochs: float = 60,
        use_fused_step: bool = True,
        lazy_update: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(multi_precision=multi_precision, use_fused_step=use_fused_step, **kwargs)
        self.momentum = checks.number("momentum", momentum, 0)
        self.warmup_strategy = checks.one_of("warmup_strategy", warmup_strategy, _STRATEGIES)
        self.warmup_epochs = checks.count("warmup_epochs", warmup_epochs, 0)
        self.batch_scale = checks.count("batch_scale", batch_scale)
        self.updates_per_epoch = checks.count("updates_per_epoch", updates_per_epoch)
        self.init_updates = checks.count("begin_epoch", begin_epoch, 0) * self.updates_per_epoch
        self.num_epochs = num_epochs
        self.lbmult = 1  # the multiplier of the last update
        self.cumgrads: dict[Any, Any] = {}
        self.adaptive = False  # never changed, as in MXNet
        self.admult = 1
        self.lazy_update = checks.lazy_update(self, lazy_update)

    def _count_and_rates(self, index):
        lr, wd = self._get_lr(index), self._get_wd(index)
        self._update_count(index)
        return lr, wd

    def _gathered(self, index, grad, dtype, entries):
        """Add a gradient to its index's sum; returns the mean when an update is due, else None.

        The new entry of `cumgrads` for the index goes to `entries`.
        """
        entry = self.cumgrads.get(index)
        if entry is None or entry["num_cums"] <= 0:
            entry = {"cum_grad": 0, "num_cums": self.init_updates}
        before, number = entry["cum_grad"], entry["num_cums"] + 1
        ready = number % self.batch_scale == 0
        kept = self.batch_scale > 1
        total = _sum(before, grad.astype(dtype, copy=True)) if kept else grad
        entries[index] = {"cum_grad": 0 if ready else total, "num_cums": number}
        return _divided(total, self.batch_scale) if ready else None

    def _multiplier(self, number, weight, grad, wd):
        """The multiplier of the learning rate after `number` gradients."""
        scale = self.batch_scale
        whole = self.warmup_epochs * self.updates_per_epoch
        if self.warmup_strategy == "lars":
            weights = _squares(weight)
            ratio = math.sqrt(weights / (_squares(grad) + wd * weights + 1e-18))
            return min(max(ratio, 0.01), 100.0)
        if number >= whole:
            return scale
        if whole <= 1 or self.warmup_strategy == "none":
            return 1.0
        if self.warmup_strategy == "linear":
            return 1.0 + (scale - 1) * number / whole
        if self.warmup_strategy == "power2":
            return 1.0 + (scale - 1) * (number * number) / (whole * whole)
        return 1.0 + (scale - 1) * math.sqrt(number / whole)

    def _fused(self, indices, weights, grads, states, lazy=None):
        try:
            self._gather_and_step(indices, weights, grads, states, lazy)
        except (TypeError, ValueError):  # nothing has changed
            if not self._fused_otherwise(indices, weights, grads, states, lazy):
                raise

    def _gather_and_step(self, indices, weights, grads, states, lazy):
        # First everything that can fail, on the lists as they are now...
        indices, weights, grads = tuple(indices), list(weights), list(grads)
        if type(states) is list:  # keep a `NewStates`, which says which states are new
            states = list(states)
        rule = kernels.RULES[self.passes[0]]
        plan = self._plan(indices, weights, grads, states, rule, lazy)
        if not len(indices) or (self.skip_nonfinite and self._skips(plan.finite())):
            return
        rates, ledger = self._ahead(indices)
        due, rates_due, entries = [], [], {}
        for index, weight, grad, state, (t, lr, wd) in zip(indices, weights, grads, states, rates):
            small = type(lr) is type(wd) is float and abs(lr) <= checks.LARGEST >= abs(wd)
            if not small:
                checks.scalars(("lr", "wd"), (lr, wd))
            main = as_array(weight)
            if is_half(main.dtype) and self.multi_precision:
                main = state[self.master_position]
                if isinstance(main, kernels.Split):
                    main = main.of(as_array(weight)).widened()
            total = self._gathered(index, _plain(grad), main.dtype, entries)
            if total is not None:
                due.append((index, weight, total, state))
                multiplier = self._multiplier(entries[index]["num_cums"], main, total, wd)
                rates_due.append((t, lr * multiplier, wd))
                ledger.attributes = {"lbmult": multiplier}
        ledger.added = [*ledger.added, (self.cumgrads, entries), *getattr(states, "added", ())]
        # ...then one call that cannot.
        if due:
            if self.batch_scale > 1:  # else the gradients are those of the call
                plan = self._plan(*map(list, zip(*due)), rule, lazy)
            plan.step([rule], self._tabulated(rates_due, self.scalars), None, None, ledger)
        else:
            ledger.write()

    def step(self, indices, weights, grads, states):
        each, entries = self._each(indices, weights, grads, states), {}
        moved = each.ledger.attributes = {}
        each.ledger.added = [*each.ledger.added, (self.cumgrads, entries)]
        for (weight, grad, mom, _, lr, wd), index in zip(each, each.indices):
            total = self._gathered(index, grad, weight.dtype, entries)
            if total is None:
                continue
            moved["lbmult"] = self._multiplier(entries[index]["num_cums"], weight, total, wd)
            lr = lr * moved["lbmult"]
            grad = self._prepared(total)
            if mom is None:
                weight *= 1.0 - lr * wd
                weight -= lr * grad
            else:
                mom *= self.momentum
                mom -= lr * wd * weight
                mom -= lr * grad
                weight += mom


def _plain(grad):
    return grad if isinstance(grad, RowSparseArray) else as_array(grad, writable=False)


def _sum(total, grad):
    """`total` plus `grad`, which may be overwritten."""
    if isinstance(total, RowSparseArray) and isinstance(grad, RowSparseArray):
        data, rows = np.concatenate([total.data, grad.data]), np.concatenate([total.indices, grad.indices])
        return RowSparseArray(data, rows, grad.shape)
    if isinstance(total, RowSparseArray):
        total = total.todense()
    if isinstance(grad, RowSparseArray) and not np.isscalar(total):
        grad = grad.todense()
    if np.isscalar(total):
        return grad
    grad += total
    return grad


def _divided(total, number):
    if number == 1:
        return total
    values = total.data if isinstance(total, RowSparseArray) else total
    values /= number
    return total


def _squares(array):
    # As MXNet sums them: with NumPy, in the array's own type, absent rows as zeros.
    values = array.todense() if isinstance(array, RowSparseArray) else array
    values = values.astype(np.float32) if is_half(values.dtype) else values
    return float(np.sum(np.square(values)))
