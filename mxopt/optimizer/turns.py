"""The tensors of a call, one by one, for `step` in NumPy."""

from __future__ import annotations

import numpy as np

from .. import checks, kernels
from ..arrays import as_array, is_half
from ..sparse import RowSparseArray, all_finite, as_gradient


class Turns:
    """What `Optimizer._each` returns: a checked call, to iterate over once, tensor by tensor.

    Each turn is (weight, gradient, state, t, lr, wd). Weight and state are copies that `step` may change
    freely; after the last turn everything is written back at once, together with the counts. If anything
    fails before that, nothing has changed. 16-bit weights and states come as float32 copies (or the master):
    `step` computes in float32 and rounds once, like the rules. A dense gradient is the caller's own array.

    Attributes
    ----------
    rates : list of (t, lr, wd)
    ledger : kernels.Ledger
        Written with the arrays; `step` adds anything else that it changes.
    """

    def __init__(self, optimizer, indices, weights, grads, states):
        # The caller's lists may change while a scheduler or another thread runs.
        indices, weights, grads = tuple(indices), list(weights), list(grads)
        if type(states) is list:  # keep a `NewStates`, which says which states are new
            states = list(states)
        rule = kernels.RULES[optimizer.passes[-1]] if optimizer.rules else None
        grads = [gradient(g, optimizer, i) for g, i in zip(grads, indices)]
        lazy = optimizer.lazy_update and not optimizer.lazy_by_default
        if lazy and any(isinstance(g, RowSparseArray) for g in grads):
            raise ValueError("lazy_update needs use_fused_step=True: step() makes the standard update")
        plan = None
        if rule is not None or optimizer._runs_own_rules:
            plan = optimizer._plan(indices, weights, grads, states, rule, lazy=False)
        self.optimizer, self.indices, self.plan = optimizer, indices, plan
        self.added = getattr(states, "added", ())
        self.weights, self.grads, self.states = weights, grads, states
        self.rates, self.ledger = [], kernels.Ledger({}, (), 0, optimizer)
        if optimizer.skip_nonfinite and optimizer._skips(
            all_finite(grads) if plan is None else plan.finite()
        ):
            self.indices, self.added = (), ()
            return
        rates, self.ledger = optimizer._ahead(indices)
        for _, lr, wd in rates:
            checks.scalars(("lr", "wd"), (lr, wd))
        self.rates = rates * len(indices) if len(rates) < len(indices) else rates

    def __iter__(self):
        targets, sources = [], []
        for turn, pairs in self._opened():
            yield turn
            if self.optimizer.cautious:
                self._beware(turn, pairs[0][0])
            for target, source in pairs:
                targets.append(target)
                sources.append(source.astype(target.dtype, copy=False))
        if self.added:
            self.ledger.added = [*self.ledger.added, *self.added]
        self._write(targets, sources)

    def _beware(self, turn, before):
        """Undo moves that do not go down the gradient, and scale the others."""
        weight, grad, _, t, lr, wd = turn
        kept = self.optimizer._kept(t, lr, wd) * before.astype(np.float64)
        moved = weight - kept
        agrees = moved * np.sign(grad) * np.sign(self.optimizer._rescale) < 0
        share = max(agrees.mean() if agrees.size else 0.0, 1e-3)
        weight[...] = np.where(agrees | np.isnan(moved), kept + moved / share, kept)

    def _write(self, targets, sources):
        kernels.write_back(targets, sources, self.ledger)

    @property
    def positions(self):
        """Which tensors of the call have a turn."""
        return range(len(self.indices))

    def look(self):
        """The same turns for reading only: nothing is written back, and the turns can still be taken."""
        for turn, _ in self._opened():
            yield turn

    def _working(self, weight, main, pairs, dtype):
        """The array that stands for a weight in a turn; `main` is its master, or the weight itself."""
        return _copied(main, pairs, dtype)

    def _opened(self):
        """Each turn, and its (array, copy) pairs."""
        optimizer = self.optimizer
        for position in self.positions if self.indices else ():
            index, grad, state = (column[position] for column in (self.indices, self.grads, self.states))
            weight, (t, lr, wd) = as_array(self.weights[position]), self.rates[position]
            grad = np.asarray(grad.todense() if isinstance(grad, RowSparseArray) else grad)
            main = weight
            if optimizer.multi_precision and is_half(weight.dtype):
                main, state = state if optimizer.master_position == 0 else state[::-1]
            pairs = []
            # moves that are far smaller than their weights would be lost in float32
            dtype = np.float64 if optimizer.cautious else None
            copy, state = self._working(weight, main, pairs, dtype), _copied(state, pairs, dtype)
            if main is not weight:
                pairs.append((weight, copy))
            if grad.dtype != copy.dtype:
                grad = grad.astype(copy.dtype)
            lr, wd = float(lr), float(wd)
            yield (copy, grad, state, t, optimizer._rate_of(index, copy, grad, lr, wd), wd), pairs


def gradient(grad, optimizer, index):
    """A gradient as an array or a RowSparseArray."""
    if isinstance(grad, (np.ndarray, RowSparseArray)):
        return grad
    return as_gradient(grad, f"gradient of {checks.who(optimizer, index)}")


def _copied(part, pairs, dtype=None):
    """A copy of an array or state, 16-bit ones in float32; adds every (array, copy) to `pairs`."""
    if part is None:
        return None
    if isinstance(part, (tuple, list)):
        return tuple(_copied(one, pairs, dtype) for one in part)
    if dtype is None and is_half(part.dtype):
        dtype = np.float32
    copy = part.copy(order="K") if dtype is None else part.astype(dtype, order="K")
    pairs.append((part, copy))
    return copy
