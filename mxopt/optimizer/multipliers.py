"""Multipliers by name pattern, and what an optimizer does to each parameter, as a table."""

from __future__ import annotations

import copy
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from .. import reprs

_WILD = frozenset("*?[")


def is_pattern(key):
    """Whether a key of a dict of multipliers stands for many names, as in a shell: ``'*_bias'``."""
    return isinstance(key, str) and not _WILD.isdisjoint(key)


def find(multipliers, name):
    """The multiplier of a name: its own, else that of the last pattern that matches, else 1.0."""
    if name in multipliers:
        return multipliers[name]
    if isinstance(name, str):
        for key in reversed(multipliers):
            if is_pattern(key) and fnmatchcase(name, key):
                return multipliers[key]
    return 1.0


def matches(multipliers, names):
    """Which of the names each key stands for.

    Returns
    -------
    dict of key to list of str
        Keys that are indices stand for themselves.
    """
    names = [name for name in names if isinstance(name, str)]
    return {
        # a name may hold brackets itself
        key: [key] if key in names else [name for name in names if is_pattern(key) and fnmatchcase(name, key)]
        for key in multipliers
        if isinstance(key, str)
    }


class Effective(NamedTuple):
    """What the next update of one parameter will use.

    Attributes
    ----------
    index : int or str
    name : str or None
    lr, wd : float
        Multipliers applied.
    lr_mult, wd_mult : float
    count : int
        How often it has been updated.
    """

    index: object  # type: ignore[assignment]  # hides tuple.index, as does count
    name: object
    lr: float
    wd: float
    lr_mult: float
    wd_mult: float
    count: int  # type: ignore[assignment]


class EffectiveTable(list):
    """A list of `Effective`, which prints as a table."""

    def __str__(self):
        rows = [Effective._fields]
        for one in self:
            rows.append((repr(one.index), one.name or "", *(f"{x:.6g}" for x in one[2:6]), str(one.count)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
        )

    __repr__ = __str__

    def _repr_html_(self):
        rows = [[one.index, one.name or "", *(f"{x:.6g}" for x in one[2:6]), one.count] for one in self]
        return reprs.table("next update", Effective._fields, rows)


def effective(optimizer):
    """`Effective` for every parameter that an optimizer knows by index; asking changes nothing."""
    names = dict(optimizer.idx2name)
    names.update((index, getattr(p, "name", None)) for index, p in optimizer.param_dict.items())
    counts = optimizer._index_update_count
    names.update((index, index if isinstance(index, str) else None) for index in counts if index not in names)
    # a scheduler may change when it is called, so a copy is asked
    asked = copy.copy(optimizer)
    asked.param_dict, asked.lr_scheduler = optimizer.param_dict, copy.deepcopy(optimizer.lr_scheduler)
    rate, table = asked.learning_rate, EffectiveTable()
    for index, name in names.items():
        lr_mult, wd_mult = optimizer._mult(index, "lr_mult"), optimizer._mult(index, "wd_mult")
        lr, wd = rate * lr_mult, optimizer.wd * wd_mult
        if optimizer._own_rates:  # which may come with more, such as a momentum
            lr, wd = (float(np.ravel(own)[0]) for own in (asked._get_lr(index), asked._get_wd(index)))
        count = counts.get(index, optimizer.begin_num_update)
        table.append(Effective(index, name, lr, wd, lr_mult, wd_mult, count))
    return table
