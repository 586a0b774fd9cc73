"""Exact rows: a row of a table that lags behind is caught up before it is touched or read.

Under standard updates every step visits every row, those without a gradient with zeros. Here a step
visits the gradient's rows only, and notes the scalars of its rule in a log. A row's count says from which
step on it has missed them all; to catch it up, the rule runs over it once for each of these steps. What
comes out has the bits of standard updates.
"""

from __future__ import annotations

import copy

import numpy as np

from .. import checks, kernels
from ..sparse import RowSparseArray, row_ids

#: Each step also catches up one of so many slices of a table. So no row lags further behind than this, and
#: the log holds no more than twice as many steps.
SLICES = 16384
#: How many elements are caught up in one call: their gradient of zeros takes memory.
TOGETHER = 1 << 20


class Table:
    """One weight with its states: which rows lag behind, and the log of what they have missed.

    Parameters
    ----------
    optimizer : Optimizer
    index : int or str
    weight : ndarray
    state : state
        As the updater keeps it.
    """

    def __init__(self, optimizer, index, weight, state):
        self.optimizer, self.index, self.weight, self.state = optimizer, index, weight, state
        self.who = f"weight of {checks.who(optimizer, index)}"
        self.master = optimizer.master_position if optimizer.multi_precision else -1
        self.rule = self.last = None
        self.coming, self.made = None, False
        self.cursor = 0
        self._forget()

    def _forget(self):
        """Begin a new log; no row lags behind. All at once, for an interrupt."""
        vars(self).update(
            since=np.zeros(len(self.weight), np.int32), first=0, now=0, run=0,
            double=None, single=None, until=None, others=None, calm=0, most=0.0,
            level=True,  # whether all rows are known to be current
        )  # fmt: skip

    @property
    def late(self):
        """The rows that lag behind."""
        self.settle()
        return np.empty(0, np.int64) if self.level else np.flatnonzero(self.since < self.now)

    def follow(self, weight, state, rule):
        """Check that the next step is one of the same table; another rule begins a new log."""
        self.settle()
        own = np.asarray(self.weight)
        same = _is_same(own, np.asarray(weight)) and _arrays(self.state) == _arrays(state)
        if not same and len(self.late):
            raise ValueError(
                f"{self.who} or its state is another array than at its last step, and {len(self.late)} "
                "rows of that one lag behind; call updater.flush() before replacing it"
            )
        if not same or rule is not self.rule:
            self.flush()
            self.rule, self.last = rule, None
        self.weight, self.state = weight, state

    def settle(self):
        """Note the last step, if it was made; again from the start where an interrupt broke that off."""
        if not self.made:
            return
        rows, double, single = self.coming
        last = tuple(double), tuple(single)
        changes = rows is not None and not (
            _is_still(self.rule, double) or (self.rule.settles and last == self.last)
        )
        if changes:
            self._log(double, single)
        now, level = self.now + changes, self.level and not changes
        if not level:
            self.since[rows] = now
        vars(self).update(now=now, level=level, last=last, coming=None, made=False)

    def _log(self, double, single):
        """Write the scalars of the step `now`, which `settle` then counts."""
        at = self.now - self.first
        if self.double is None or at == len(self.double):
            self._make_room(len(double))
            at = self.now - self.first
        self.double[at], self.single[at], self.until[at] = double, single, np.iinfo(np.int32).max
        if at and not (_same_bits(self.double, at) and _same_bits(self.single, at)):
            self.until[max(self.run - self.first, 0) : at] = self.now
            self.run = self.now
        if self.rule.can_rest:
            self._note_rate(double, single)

    def _note_rate(self, double, single):
        """Keep the step from which on only the learning rate changes, and the largest rate since."""
        at = self.rule.scalars.index("lr")
        others = (*double[:at], *double[at + 1 :], *single[:at], *single[at + 1 :])
        if others != self.others:
            self.calm, self.most, self.others = self.now, 0.0, others
        self.most = max(self.most, double[at], single[at])
        if not min(double[at], single[at]) >= 0:
            self.others = None
            self.calm = self.now + 1

    def _make_room(self, width):
        """Let the log begin with the first step that a row has missed, with room for as many steps again."""
        oldest = self.now if self.double is None else min(int(self.since.min()), self.now)
        kept = self.now - oldest
        begin = oldest - self.first
        room = max(2 * kept, 64)
        made = {"first": oldest}
        for name, dtype in (("double", np.float64), ("single", np.float64), ("until", np.int32)):
            made[name] = np.zeros((room, width) if dtype is np.float64 else room, dtype)
            if kept:
                made[name][:kept] = getattr(self, name)[begin : begin + kept]
        vars(self).update(made)

    def catch_up(self, rows):
        """Catch up these rows, which ascend and are within the table."""
        self.settle()
        if self.level:
            return
        rows = rows[self.since[rows] < self.now]
        if not len(rows):
            return
        weight, count = self.weight, self.now - self.first
        together = max(TOGETHER // max(weight[0].size, 1), 1)
        zeros = np.zeros((min(together, len(rows)), *weight.shape[1:]), weight.dtype)
        for begin in range(0, len(rows), together):
            part = rows[begin : begin + together]
            call = [weight], [zeros[: len(part)]], [self.state]
            try:
                plan = kernels.Plan(self.rule, *call, self.master, [part], True)
            except kernels.Refused as error:  # an array was resized or made read-only since
                raise self.optimizer._refused(error, [self.index], *call, self.rule) from None
            log = self.double[:count], self.single[:count], self.until[:count]
            kernels.replay_steps(plan, self.rule, *log, self.since, self.first, self.calm, self.most)

    def sweep(self):
        """Catch up the next slice of the table."""
        if self.level:
            return
        n = len(self.weight)
        end = min(self.cursor + -(-n // SLICES), n)
        self.catch_up(np.arange(self.cursor, end))
        self.cursor = 0 if end == n else end

    def copied(self):
        """A copy that later steps do not change."""
        self.settle()
        new = copy.copy(self)
        new.since = self.since.copy()
        new.double, new.single, new.until = (
            None if part is None else part.copy() for part in (self.double, self.single, self.until)
        )
        return new

    def flush(self):
        """Catch up all rows."""
        self.settle()
        if not self.level:
            self.catch_up(np.arange(len(self.weight)))
            self._forget()


class Late(list):
    """The argument `lazy` of an exact step: for each weight, whether it visits only the gradient's rows.

    Parameters
    ----------
    optimizer : Optimizer
    tables : dict of (int or str) to `Table`
        The updater's; new ones are added.
    indices : list of (int or str)
    grads : list of (ndarray or RowSparseArray)
    """

    def __init__(self, optimizer, tables, indices, grads):
        rule = kernels.RULES[optimizer.passes[-1]]
        # Where rows without a gradient will rest, the first step visits them all: it flushes what is too
        # small for a normal number, and none lags behind from then on.
        rests = rule.still is not None or rule.settles
        super().__init__(
            isinstance(grad, RowSparseArray) and not (rests and index not in tables)
            for index, grad in zip(indices, grads)
        )
        self.optimizer, self.tables = optimizer, tables
        self.stepped = [table for table in map(tables.get, indices) if table is not None]

    def before_step(self, indices, weights, grads, states, rule, scalars, ledger):
        """Catch up the rows that a checked step is about to touch, and let its ledger note it in the logs."""
        coming = []
        for position, (index, weight, grad, state) in enumerate(zip(indices, weights, grads, states)):
            table = self.tables.get(index)
            if table is None and isinstance(grad, RowSparseArray):
                table = Table(self.optimizer, index, weight, state)
                self._refuse_shared(index, table)
            if table is not None:
                table.follow(weight, state, rule)
                coming.append((position, index, table, grad))
        added = [*ledger.added]
        for position, index, table, grad in coming:
            rows = grad.indices if self[position] else None
            if rows is None:
                table.flush()
            else:
                table.catch_up(rows)
                table.sweep()
            row = 0 if scalars.rows is None else scalars.rows[position]
            double = scalars.table[row]
            table.coming = rows, double, double if scalars.singles is None else scalars.singles[row]
            table.made = False
            self.stepped.append(table)
            added += [(self.tables, {index: table}), (vars(table), {"made": True})]
        ledger.added = added

    def _refuse_shared(self, index, table):
        for other, own in self.tables.items():
            if other != index and _overlap(own.weight, table.weight):
                raise ValueError(
                    f"{table.who} lies in the memory of {own.who}: the steps that a row has missed would not "
                    'be made in their order; keep one index for it, or leave lazy_update="exact" out'
                )

    def settle(self):
        """Note the step, if it was made."""
        for table in self.stepped:
            table.settle()

    def given_up(self, indices):
        """Catch up all rows of these weights, for a step that visits all of them."""
        for index in indices:
            if index in self.tables:
                self.tables[index].flush()
        return [False] * len(self)


class Tables:
    """The tables of an updater, by index."""

    def __init__(self):
        self.tables = {}

    def late(self, optimizer, indices, grads):
        """The argument `lazy` of a step."""
        return Late(optimizer, self.tables, indices, grads)

    def catch_up(self, index, rows):
        """As `Updater.catch_up`."""
        table = self.tables.get(index)
        if table is None:
            return
        if rows is None:
            table.flush()
            return
        rows = _row_numbers(rows)
        if len(rows) and not 0 <= rows[0] <= rows[-1] < len(table.weight):
            wrong = rows[0] if rows[0] < 0 else rows[-1]
            raise ValueError(
                f"rows to catch up of {table.who} must be from 0 to {len(table.weight) - 1}, got {wrong}"
            )
        table.catch_up(rows)

    def flush(self):
        """As `Updater.flush`."""
        for table in self.tables.values():
            table.flush()
        # The caller may now write weights and states: where rows rest, the next step looks at all of them.
        self.tables.clear()

    def pending(self, index):
        """As `Updater.pending`."""
        table = self.tables.get(index)
        return np.empty(0, np.int64) if table is None else table.late

    def backup(self, indices):
        """What `restore` needs to undo steps of these weights, whose arrays the caller keeps."""
        return {index: self.tables[index].copied() for index in indices if index in self.tables}, list(
            indices
        )

    def restore(self, backup):
        """Undo what was done to some tables since."""
        tables, indices = backup
        for index in indices:
            self.tables.pop(index, None)
        self.tables.update(tables)


def own(grad):
    """A gradient with row numbers that nobody else can change during the step."""
    if isinstance(grad, RowSparseArray):
        return RowSparseArray._trusted(grad.data, np.array(grad.indices), grad.shape)
    return grad


def _row_numbers(rows):
    """The caller's row numbers, each once and in order; whole ones, unlike those of MXNet's functions."""
    if isinstance(rows, (int, np.integer, range, set, frozenset)) and not isinstance(rows, bool):
        rows = np.atleast_1d(np.array(sorted(rows) if isinstance(rows, (set, frozenset)) else rows))
    elif not isinstance(rows, (list, tuple)) and not hasattr(rows, "dtype"):
        raise TypeError(f"rows must be row numbers in an array or a list, got {rows!r}")
    found = row_ids(rows, "rows")
    given = np.ravel(np.asarray(rows))
    if given.dtype.kind == "f" and not np.array_equal(found, given):
        raise ValueError(f"rows must be whole numbers, got {given[found != given][0]}")
    return np.unique(found)


def _is_still(rule, scalars):
    """Whether a step with these scalars changes no row without a gradient."""
    if rule.still is None:
        return False
    found = dict(zip(rule.scalars, scalars))
    return (
        not any(found[name] for name in rule.still)
        and found["lr"] >= 0
        and 0 < found["rescale_grad"] < np.inf
        and found.get("epsilon", 1) > 0
    )


def _overlap(one, other):
    try:
        return np.shares_memory(one, other, max_work=10_000)
    except RuntimeError:  # too hard
        return True


def _is_same(one, other):
    return kernels.same_memory(one, other) and (one.shape, one.strides, one.dtype) == (
        other.shape, other.strides, other.dtype)  # fmt: skip


def _arrays(state):
    """Where the arrays of a state lie."""
    if isinstance(state, (tuple, list)):
        return [place for part in state for place in _arrays(part)]
    if isinstance(state, kernels.Split):
        state = state.low
    return [] if state is None else [kernels.address_of(state)]


def _same_bits(table, at):
    return table[at].tobytes() == table[at - 1].tobytes()
