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
        #: Masters in two halves, and the weights that they will belong to.
        self.splits = []
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
                main = pairs[0][0]
                self._beware(turn, main.widened() if isinstance(main, kernels.Split) else main)
            for target, source in pairs:
                if isinstance(target, kernels.Narrow):
                    targets += target.arrays
                    sources += target.stored(source, turn[3]).arrays
                    continue
                if isinstance(target, kernels.Split):
                    targets += target.weight, target.low
                    sources += target.halves_of(source)
                    continue
                targets.append(target)
                sources.append(source.astype(target.dtype, copy=False))
        if self.added:
            self.ledger.added = [*self.ledger.added, *self.added]
        self._write(targets, sources)
        for master, weight in self.splits:
            master.weight = weight

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
                if isinstance(main, kernels.Split):
                    self.splits.append((main, weight))
                    main = main.of(weight)
            pairs = []
            # moves that are far smaller than their weights would be lost in float32
            dtype = np.float64 if optimizer.cautious else None
            copy, state = self._working(weight, main, pairs, dtype), _copied(state, pairs, dtype)
            if main is not weight and not isinstance(main, kernels.Split):
                pairs.append((weight, copy))
            if grad.dtype != copy.dtype:
                grad = grad.astype(copy.dtype)
            lr, wd = float(lr), float(wd)
            yield (copy, grad, state, t, optimizer._rate_of(index, copy, grad, lr, wd), wd), pairs


class Parted:
    """A checked call of which some tensors take turns, and rules step the others.

    Parameters
    ----------
    optimizer : Optimizer
    plan : callable
        The optimizer's `_plan`.
    columns : tuple of list
        Indices, weights, gradients, and what a plan needs to see of the states.
    turn : list of bool
        Which tensors take turns.
    arrays_of : Rule
        Any rule that has the arrays of those; it is not run.
    rule : Rule
        The last one of the others.

    Attributes
    ----------
    turning, others : list of int
        Their positions in the call.
    of_others : kernels.Plan
    """

    def __init__(self, optimizer, plan, columns, turn, arrays_of, rule):
        if len({*map(len, columns)}) > 1:
            raise checks.refused(kernels.Refused("lengths", -1, 0), optimizer, *columns)
        self.turning = [i for i, turns in enumerate(turn) if turns]
        self.others = [i for i, turns in enumerate(turn) if not turns]

        def part(positions, rule):
            return plan(*([column[i] for i in positions] for column in columns), rule, False, True)

        self.of_turning, self.of_others = part(self.turning, arrays_of), part(self.others, rule)

    def finite(self):
        """Whether every element of every gradient is finite."""
        return self.of_turning.finite() and self.of_others.finite()


class PartedTurns(Turns):
    """Turns of a `Parted` call; its other tensors are stepped as the results of the turns are written."""

    #: Further steps that belong to the change; see `kernels.write_back`.
    works = None

    @property
    def positions(self):
        return self.plan.turning

    def _write(self, targets, sources):
        for source in sources:  # as `same_nan` in rules: which NaN a sum gives is NumPy's choice
            if source.dtype != np.uint16:
                np.copyto(source, np.nan, where=np.isnan(source))
        others = self.plan.others
        step = ()
        if others and self.indices:
            plan = self.plan.of_others
            step = (plan, *self.optimizer._rules_of_others(plan, [self.rates[i] for i in others]))
        kernels.write_back(targets, sources, self.ledger, *step, factored=self.works)


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
    if isinstance(part, (kernels.Narrow, kernels.Split)):
        copy = part.widened()
        pairs.append((part, copy if dtype is None else copy.astype(dtype)))
        return pairs[-1][1]
    if dtype is None and is_half(part.dtype):
        dtype = np.float32
    copy = part.copy(order="K") if dtype is None else part.astype(dtype, order="K")
    pairs.append((part, copy))
    return copy
