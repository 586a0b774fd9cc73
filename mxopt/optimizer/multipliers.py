"""Multipliers by name pattern, and what an optimizer does to each parameter, as a table."""

from __future__ import annotations

import copy
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from .. import checks, reprs

_WILD = frozenset("*?[")


def is_pattern(key):
    """Whether a key of a dict of multipliers is a shell-style pattern of names: ``'*_bias'``."""
    return isinstance(key, str) and not _WILD.isdisjoint(key)


def checked(given, what):
    """A dict of multipliers, checked to be within float32's range.

    Parameters
    ----------
    given : dict of (int or str) to number
    what : str
        What messages call them.
    """
    if not isinstance(given, dict):
        raise TypeError(f"multipliers must be a dict of names or indices to numbers, got {given!r}")
    # Fast for plain floats: there may be one for each of very many names.
    return {
        key: value
        if type(value) is float and -checks.LARGEST <= value <= checks.LARGEST
        else checks.number(f"{what} of {key!r}", value, tiny=True)
        for key, value in given.items()
    }


def find(multipliers, name):
    """The multiplier of a name: its own entry, else the last matching pattern's, else 1.0."""
    if name in multipliers:
        return multipliers[name]
    key = Patterns(multipliers).of(name) if isinstance(name, str) else None
    return 1.0 if key is None else multipliers[key]


class Patterns:
    """The patterns among the keys of a dict of multipliers, and the one that applies to each name.

    Parameters
    ----------
    multipliers : dict
        Its current keys are used; `are_those_of` tells whether they have changed. Values may change.
    """

    def __init__(self, multipliers):
        self._mark = self._look(multipliers)
        self._keys = [key for key in reversed(multipliers) if is_pattern(key)]
        self._found = {}

    @staticmethod
    def _look(multipliers):
        # A new entry becomes the last key, so there is no need to compare them all.
        return id(multipliers), len(multipliers), next(reversed(multipliers), None)

    def are_those_of(self, multipliers):
        """Whether a dict is the one that the patterns were taken from, with the same keys."""
        return self._mark == self._look(multipliers)

    def of(self, name):
        """The last pattern that matches a name, or None."""
        if name not in self._found:
            self._found[name] = next((key for key in self._keys if fnmatchcase(name, key)), None)
        return self._found[name]


def matches(multipliers, names):
    """Which of the names each key matches.

    Returns
    -------
    dict of key to list of str
        Keys that are indices match themselves.
    """
    known = set(names)
    # names may contain brackets
    found = {key: [key] if key in known else [] for key in multipliers if isinstance(key, str)}
    texts = None
    for key, matched in found.items():
        if not matched and is_pattern(key):
            texts = texts or [name for name in dict.fromkeys(names) if isinstance(name, str)]
            matched += [name for name in texts if fnmatchcase(name, key)]
    return found


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
    # calling a scheduler may change it, so use a copy
    asked = copy.copy(optimizer)
    asked.param_dict, asked.lr_scheduler = optimizer.param_dict, copy.deepcopy(optimizer.lr_scheduler)
    rate, table = asked.learning_rate, EffectiveTable()
    for index, name in names.items():
        lr_mult, wd_mult = optimizer._mult(index, "lr_mult"), optimizer._mult(index, "wd_mult")
        lr, wd = rate * lr_mult, optimizer.wd * wd_mult
        if optimizer._own_rates:  # overridden methods may return more, such as a momentum
            lr, wd = (float(np.ravel(own)[0]) for own in (asked._get_lr(index), asked._get_wd(index)))
        count = counts.get(index, optimizer.begin_num_update)
        table.append(Effective(index, name, lr, wd, lr_mult, wd_mult, count))
    return table
