"""A dialect's only list of optimizers: register by class, create by name."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from . import checks, kernels, slots
from .named import get_alias_func, get_create_func, get_register_func, get_registry  # noqa: F401  ``mx.registry``

#: A class passed to `Registry.register`.
_T = TypeVar("_T", bound=type)


class Registry:
    """Optimizer classes by lower-case class name, as in MXNet.

    Attributes
    ----------
    classes : dict of str to type
        What ``Optimizer.opt_registry`` shows.
    """

    def __init__(self) -> None:
        self.classes: dict[str, type] = {}

    def register(self, cls: _T) -> _T:
        """Register a class under its lower-case name; usable as a decorator.

        Parameters
        ----------
        cls : type

        Returns
        -------
        type
            The class itself.

        Warns
        -----
        UserWarning
            When the name is taken: the new class replaces the old one.
        """
        if not isinstance(cls, type):
            raise TypeError(f"only a class can be registered, got {cls!r}")
        name = cls.__name__.lower()
        _agree_with_rules(cls)
        if name in self.classes:
            old = self.classes[name]
            warnings.warn(
                f"optimizer {name!r} was {old.__module__}.{old.__name__} "
                f"and is now {cls.__module__}.{cls.__name__}",
                UserWarning,
                stacklevel=2,
            )
        self.classes[name] = cls
        return cls

    def create(self, name: str, **kwargs: Any) -> Any:
        """Make an optimizer by name.

        Parameters
        ----------
        name : str
            The registered name, in any case.
        **kwargs
            The arguments of its constructor.

        Returns
        -------
        Optimizer

        Raises
        ------
        ValueError
            When no optimizer has this name; the message suggests the nearest one.
        TypeError
            When the constructor does not take an argument; the message suggests the nearest one.

        Examples
        --------
        >>> import mxopt
        >>> mxopt.create("Adam", learning_rate=0.01).lr
        0.01
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of an optimizer must be a string, got {type(name).__name__}")
        cls = self.classes.get(name.lower())
        if cls is None:
            raise checks.unknown_optimizer(name, self.classes)
        return cls(**kwargs)


def _agree_with_rules(cls):
    """A class and its rules must name the same scalars and states in the same order."""
    for name in getattr(cls, "rules", ()):
        rule = kernels.RULES[name]
        scalars = tuple(cls.scalar_names[: len(rule.scalars)])
        if scalars != rule.scalars:
            raise TypeError(
                f"{cls.__name__} passes the scalars {scalars}, its rule {name!r} takes {rule.scalars}"
            )
        differ = slots.disagreement(cls, rule.arrays[2 : len(rule.arrays) - rule.drawn])
        if differ is not None:
            own, array = differ
            raise TypeError(f"{cls.__name__} keeps the state {own!r} where its rule {name!r} takes {array!r}")
