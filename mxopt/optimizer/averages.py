"""Running averages of the weights, moved by the steps themselves and swapped in for evaluation."""

from __future__ import annotations

import numpy as np

from .. import checks, kernels
from ..arrays import as_array, is_half
from ..slots import NewStates
from ..sparse import RowSparseArray
from .optimizer import Optimizer


class Averages:
    """Makes an updater's calls, and after each step moves ``average += (1 - decay) * (weight - average)``.

    An average starts as the weight before its first step. It is float32, or float64 for float64 weights;
    where there is a float32 master, it is the master's.

    A lazy step does not visit all rows of a table, and the weights of the others stand still. Their averages
    are caught up when the rows are next visited or the averages are asked for, over all these steps at once.

    Parameters
    ----------
    optimizer : Optimizer
    decay : float
        Within [0, 1).

    Attributes
    ----------
    arrays : dict of index to ndarray
    steps : dict of index to int
        How many steps each average has seen.
    marks : dict of index to int32 array (rows,)
        Of tables with lazy steps, the step that each row's average is of; elsewhere it is that of `steps`.
    kept : dict of index to ndarray
        Weights whose place the averages have taken.
    """

    def __init__(self, optimizer, decay):
        self.decay = checks.number("ema", decay, 0, 1, open_high=True)
        if getattr(optimizer, "has_two_points", False):
            raise ValueError(
                f"ema must be left out with {type(optimizer).__name__.lower()!r}, which averages its weights "
                f"itself (eval() and train()), got {decay!r}"
            )
        self._refuse_exact(optimizer)
        self.arrays, self.steps, self.marks, self.kept = {}, {}, {}, {}

    def __call__(self, updater, index, grad, weight, lazy):
        """Step as `kernels.step_of_updater` does."""
        kernels.step_of_updater(updater, index, grad, weight, lazy, self)

    @staticmethod
    def _refuse_exact(optimizer):
        if isinstance(getattr(optimizer, "lazy_update", False), str):
            raise ValueError(
                "ema must be left out with lazy_update='exact', whose rows are behind their weights' true "
                "values until they are touched; pass lazy_update=True or False"
            )

    def step_of(self, optimizer, indices, weights, grads, states):
        """The states of a call, with what moves the averages; nothing that counts has changed.

        Returns
        -------
        NewStates
            Its `averages` is the `Step`.
        """
        self._refuse_exact(optimizer)
        step = Step(self, optimizer, indices, weights, states)
        states = NewStates(states, [*getattr(states, "added", ()), *step.added])
        states.averages = step
        return states

    def catch_up(self, index, weight, average=None, rows=None):
        """Move the averages of rows to where lazy steps would have brought them; by default of all rows."""
        marks, number = self.marks[index], self.steps.get(index, 0)
        average = self.arrays[index] if average is None else average
        if not average.size:
            return
        if rows is None:
            rows = np.flatnonzero(marks < number)
        width = average.size // len(average)
        some = np.ascontiguousarray(_rows_of(weight, rows), average.dtype).reshape(len(rows), width)
        if average.flags.c_contiguous:
            kernels.catch_up(average.reshape(-1, width), some, rows, marks, number, self.decay)
        else:
            rowwise, new = np.array(average, order="C"), marks.copy()
            kernels.catch_up(rowwise.reshape(-1, width), some, rows, new, number, self.decay)
            kernels.write_back([average, marks], [rowwise, new])

    # -- evaluation ----------------------------------------------------------------------------------

    def move(self, optimizer, states, indices, weights, evaluating):
        """Put averages in the place of their weights, or the weights back; as `Updater.eval`."""
        targets, sources, kept = [], [], {}
        for index, weight in zip(indices, weights):
            if evaluating is (index in self.kept) or index not in self.arrays:
                continue
            who = f"weight of {checks.who(optimizer, index)}"
            array, source = dense(weight, who), self.arrays[index]
            _check_shape(who, array, source)
            if evaluating:
                if index in self.marks:
                    self.catch_up(index, main_of(optimizer, array, states.get(index)))
                kept[index] = array.copy()
            else:
                source = self.kept[index]
            targets.append(array)
            sources.append(source.astype(array.dtype))
        ledger = kernels.Ledger({}, (), 0)
        ledger.added = [(self.kept, kept)]
        kernels.write_back(targets, sources, ledger)
        if not evaluating:  # until then they can be put back again
            for index in indices:
                self.kept.pop(index, None)

    def refuse_moved(self, optimizer, indices, what):
        """Raise if weights hold their averages, for what must not be done then."""
        if self.kept:
            index = next((index for index in indices if index in self.kept), None)
            if index is not None:
                raise RuntimeError(
                    f"{what} while the weight of {checks.who(optimizer, index)} holds its average; "
                    "call train() first"
                )

    # -- files and copies ----------------------------------------------------------------------------

    def described(self):
        """What a file says about them, as plain data and arrays."""
        return {"decay": self.decay, "arrays": self.arrays, "steps": self.steps, "marks": self.marks}

    def take(self, described, keys):
        """Go on where a file's stopped, with one's own decay; the rest starts anew.

        Parameters
        ----------
        described : dict or None
            What `described` returned.
        keys : dict
            The file's keys and the updater's.
        """
        for name in ("arrays", "steps", "marks"):
            found = {} if described is None else described[name]
            setattr(self, name, {keys[key]: value for key, value in found.items() if key in keys})
        self.kept = {}

    def backup(self, indices):
        """What `restore` needs to undo the steps of some tensors."""
        parts = [{i: part[i] for i in indices if i in part} for part in (self.arrays, self.steps, self.marks)]
        copies = [{i: np.copy(array) for i, array in parts[at].items()} for at in (0, 2)]
        return indices, parts, copies

    def restore(self, backup):
        indices, parts, copies = backup
        for part, before in zip((self.arrays, self.steps, self.marks), parts):
            for index in indices:
                part.pop(index, None)
            part.update(before)
        for part, values in zip((self.arrays, self.marks), copies):
            for index, array in values.items():
                part[index][...] = array


class Step:
    """The averages of one call: checked, and ready to be moved by the engine or after it.

    Attributes
    ----------
    joined : bool
        Whether the engine moves them with the weights. Otherwise `plan` does, in a pass of its own.
    added : list of (dict, dict)
        What is stored once the step is made, as in `kernels.Ledger`.
    last, number
        An index of the call and its count of steps afterwards, by which to see that the step was made.
    """

    def __init__(self, owner, optimizer, indices, weights, states):
        self.owner, self.optimizer, self.indices = owner, optimizer, indices
        self.steps, self.joined = owner.steps, False
        owner.refuse_moved(optimizer, indices, "a step cannot be made")
        self.mains, self.arrays, new = [], [], {}
        for index, weight, state in zip(indices, weights, states):
            who = f"weight of {checks.who(optimizer, index)}"
            main = main_of(optimizer, dense(weight, who), state)
            average = owner.arrays.get(index)
            if average is None:
                start = main.widened() if isinstance(main, kernels.Split) else main
                checks.float_weight(optimizer, index, start)
                wide = np.float64 if start.dtype == np.float64 else np.float32
                average = new[index] = np.array(start, wide, subok=False)
            _check_shape(who, main, average)
            self.mains.append(main)
            self.arrays.append(average)
        counts = {index: owner.steps.get(index, 0) + 1 for index in indices}
        self.added = [(owner.arrays, new), (owner.steps, counts)]
        self.last = indices[-1] if indices else None
        self.number = counts.get(self.last)
        self.rule, self.scalars = kernels.RULES["average"], [(1.0 - owner.decay,)]
        none = [None] * len(self.arrays)
        self.plan = kernels.Plan(self.rule, self.arrays, self.mains, none)
        fused = getattr(optimizer, "use_fused_step", False) and getattr(optimizer, "_runs_own_rules", False)
        if not fused or type(optimizer)._fused is not Optimizer._fused:
            self.step_apart()

    def join(self, plan):
        """Have the engine move the averages with the weights of a plan."""
        owner, marks = self.owner, []
        for i, index in enumerate(self.indices):
            rows, mark = plan.rows_of(i), None
            if rows is None:
                self._forget_marks(i)
            else:
                if index not in owner.marks:
                    before = owner.steps.get(index, 0)
                    owner.marks[index] = np.full(len(self.arrays[i]), before, np.int32)
                owner.catch_up(index, self.mains[i], self.arrays[i], rows)
                mark = owner.marks[index], owner.steps.get(index, 0) + 1
            marks.append(mark)
        plan.average(self.rule, self.arrays, marks, self.scalars[0][0])
        self.joined = True

    def step_apart(self):
        """Prepare for a step whose engine does not move averages: `plan` does it afterwards, of all rows."""
        self.joined = False
        for i in range(len(self.indices)):
            self._forget_marks(i)

    def finish(self):
        """Move the averages after a step that wrote no ledger: that of a custom class."""
        for target, values in self.added:
            target.update(values)
        self.plan.run(self.rule, self.scalars)

    def _forget_marks(self, i):
        index = self.indices[i]
        if index in self.owner.marks:
            self.owner.catch_up(index, self.mains[i], self.arrays[i])
            del self.owner.marks[index]


def main_of(optimizer, weight, state):
    """The float32 master of a weight, whole or as a `Split` that knows the weight, or the weight itself."""
    if not isinstance(state, (tuple, list)) or len(state) != 2 or not is_half(weight.dtype):
        return weight
    master = state[optimizer.master_position]
    if getattr(master, "shape", None) != weight.shape:
        return weight
    if isinstance(master, kernels.Split):
        return master.of(weight)
    if getattr(optimizer, "multi_precision", False) and isinstance(master, np.ndarray):
        return np.asarray(master)
    return weight


def _rows_of(weight, rows):
    if isinstance(weight, kernels.Split):
        return kernels.join_halves(weight.weight[rows], weight.low[rows])
    return weight[rows]


def dense(weight, who):
    """A weight as an array, with all rows of a row-sparse one."""
    if isinstance(weight, RowSparseArray):
        from ..nd import stored_rows

        weight = stored_rows(weight)
    return np.asarray(as_array(weight, who))


def _check_shape(who, weight, average):
    if weight.shape != average.shape:
        raise ValueError(f"{who} must have the shape of its average, {average.shape}, got {weight.shape}")
