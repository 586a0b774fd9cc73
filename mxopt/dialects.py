"""The two dialects of MXNet: 2.x, which is `mxopt`, and 1.x, which is `mxopt.v1`.

They share rules, engine and files, and differ in defaults, keywords, the order of states, and formulas. Code
that depends on these differences is handed a `Dialect` and asks it; it never tests a module or class name.
"""

from __future__ import annotations

import importlib
from typing import Any

from .registry import Registry


class Dialect:
    """One generation of MXNet: its names, and the classes that implement it.

    Attributes
    ----------
    name : str
        ``'1.x'`` or ``'2.x'``: the only spelling used in keys, messages and files.
    package : str
        The package that implements it.
    suffix : str
        The ending of the names of its own rules.
    format : str
        The format of its state files and ``.params`` files.
    registry : Registry
        Its optimizers by name.
    base, updater : type
        Its `Optimizer` and its `Updater`, once its package has been loaded.
    """

    def __init__(self, name, package, suffix):
        self.name, self.package, self.suffix = name, package, suffix
        self.format = f"mxnet-{name}"
        self.registry = Registry()
        self.base = self.updater = self._over = None

    def __repr__(self):
        return f"<dialect {self.name}>"

    def __reduce__(self):  # copies and pickles are the dialect itself
        return get, (self.name,)

    @property
    def other(self):
        """The other dialect, loaded."""
        return get(next(name for name in NAMES if name != self.name))

    def fill(self, base, updater, over):
        """Set the classes of the dialect; its package calls this once all its optimizers are registered.

        From then on the registered classes and their bases count as mxopt's own (`Optimizer.built_in`).
        """
        for cls in self.registry.classes.values():
            for part in cls.__mro__[:-1]:
                part.built_in = True
                _OWN.add(part)
        self.base, self.updater, self._over = base, updater, over

    def get_updater(
        self,
        optimizer: Any,
        comm: Any = None,
        accumulate: int | None = None,
        transport: str | None = None,
        clip_global_norm: float | None = None,
        loss_scale: float | str | None = None,
        ema: float | None = None,
        report: bool | int = False,
    ) -> Any:
        """An `Updater` for an optimizer.

        Parameters
        ----------
        optimizer : Optimizer
        comm : mpi4py.MPI.Comm, optional
            Spread the states over its ranks. Every rank must then call the updater for the same tensors in
            the same order, with identical weights and its own gradients, which are summed over the ranks; see
            `mxopt.distributed.sharded.ShardedUpdater`.
        accumulate : int, optional
            How many micro-batches make a step: the updater sums the gradients of that many calls, pairwise,
            and steps at the last one. With several ranks each calls with its share of them, by default one
            each. The result is bit-identical for any number of ranks, one included.
        transport : {'windows', 'messages'}, optional
            How ranks exchange memory. Default: shared windows within a machine, messages between machines.
        clip_global_norm : float, optional
            Upper limit of the joint norm of a step's gradients, after summing and before rescaling. Works as
            `mxopt.clip_global_norm`, but leaves the caller's gradients unchanged.
        loss_scale : float or 'dynamic', optional
            What the loss was multiplied by before its gradients were computed; they are divided by it, and a
            step whose gradients are not finite is skipped. ``updater.loss_scale`` is the factor for the next
            loss. Dynamic: starts at 2**16, is halved after a skipped step and doubled, up to 2**24, after
            2,000 steps in a row, as MXNet's. Saved with the states.
        ema : float, optional
            Keep running averages of the weights, which every step moves by
            ``average += (1 - ema) * (weight - average)``, from the weights before the first step on. They are
            float32 (float64 for float64 weights) and saved with the states. ``updater.eval(index, weight)``
            puts them in the weights' place, `train` puts the weights back, and ``average_parameters`` is a
            context that does both. Over several ranks each keeps its part, and all call `eval` and `train`.
        report : bool or int, default False
            Measure every step, or every n-th: ``updater.report`` is then a dict of names to the
            `mxopt.optimizer.reports.Norms` of gradient, weight and update.

        Returns
        -------
        Updater
        """
        if comm is None:
            return self.updater(optimizer, accumulate, clip_global_norm, loss_scale, ema, report)
        return self._over(
            comm, self.updater, optimizer, accumulate, transport, clip_global_norm, loss_scale, ema, report
        )


#: the classes of both dialects and their bases: mxopt's own, as opposed to classes derived from them
_OWN: set[type] = set()

V1 = Dialect("1.x", "mxopt.v1", "_v1")
V2 = Dialect("2.x", "mxopt", "")

_BY_NAME = {dialect.name: dialect for dialect in (V1, V2)}
NAMES = tuple(_BY_NAME)

#: other spellings of a dialect: accepted, never written
_OTHER_SPELLINGS = {"1.9": "1.x", "1.9.1": "1.x", "v1": "1.x", "2.0": "2.x", "2.0.0b1": "2.x"}


def get(name):
    """The dialect of that name, loaded; how modules below its package get at it.

    Parameters
    ----------
    name : str or Dialect

    Returns
    -------
    Dialect

    Raises
    ------
    ValueError
        For any other name.
    """
    found = name if isinstance(name, Dialect) else None
    if isinstance(name, str):
        found = _BY_NAME.get(_OTHER_SPELLINGS.get(name, name))
    if found is None:
        raise ValueError(f"dialect must be one of {', '.join(map(repr, NAMES))}, got {name!r}")
    if found.base is None:
        importlib.import_module(f"{found.package}.optimizer")
    return found


def of(optimizer):
    """The dialect of an optimizer or class; 2.x for an object that only behaves like an optimizer.

    Parameters
    ----------
    optimizer : Optimizer or type
    """
    cls = optimizer if isinstance(optimizer, type) else type(optimizer)
    found = getattr(cls, "dialect", None)
    return found if isinstance(found, Dialect) else V2


def nearest_own(cls):
    """The first class in the MRO that is mxopt's own, which may be the class itself.

    Parameters
    ----------
    cls : type
        Derived from an `Optimizer`.
    """
    return next(base for base in cls.__mro__ if base in _OWN)


def names_of_ours(cls):
    """Every attribute that a class inherits from mxopt's own; an instance's data must not replace these."""
    return {name for base in cls.__mro__ if base in _OWN for name in vars(base)}


def is_built_in(optimizer):
    """Whether an optimizer's whole protocol is mxopt's own, so that it takes plain arrays and whole lists.

    Parameters
    ----------
    optimizer : Optimizer or type
        Anything else is not built in, even an object that delegates to a built-in optimizer.
    """
    cls = optimizer if isinstance(optimizer, type) else type(optimizer)
    return getattr(cls, "built_in", False)
