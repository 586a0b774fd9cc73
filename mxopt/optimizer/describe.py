"""The registered optimizers and their descriptions, as data and as text."""

from __future__ import annotations

import dataclasses
import fnmatch
import html
import inspect
import re
from typing import Any

from .. import checks, dialects, reprs, slots
from .optimizer import Optimizer

ABSENT = "absent"
#: where an optimizer comes from: MXNet, or later publications
FAMILIES = ("mxnet", "later")


def list_optimizers(pattern: str = "*", dialect: Any = "2.x", family: str | None = None) -> list[str]:
    """Names of the registered optimizers, sorted.

    Parameters
    ----------
    pattern : str, default '*'
        Matched as file names are, ignoring case: ``'ada*'``.
    dialect : {'2.x', '1.x'}
    family : {'mxnet', 'later'}, optional
        MXNet's own, or those published since. Default: both.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import mxopt
    >>> mxopt.list_optimizers("la*")
    ['lamb', 'lans', 'laprop', 'lars']
    """
    if family not in (None, *FAMILIES):
        raise ValueError(f"family must be one of {', '.join(map(repr, FAMILIES))}, got {family!r}")
    classes = dialects.get(dialect).registry.classes
    found = fnmatch.filter(classes, pattern.lower())
    return sorted(name for name in found if family in (None, classes[name].family))


@dataclasses.dataclass(frozen=True)
class Description:
    """What `describe` returns; prints as readable text.

    Attributes
    ----------
    name, dialect, summary : str
    family : {'mxnet', 'later'}
        MXNet's own, or published since.
    cls : type
    parameters : dict of str to object
        The constructor's own arguments and their defaults; it also accepts those of `Optimizer`.
    states : tuple of str
        Names of the state's arrays, in order.
    state : str
        When and how the state is made.
    update : str
        The formula, as pseudo-code.
    lazy : bool
        Whether ``lazy_update=True`` is accepted.
    not_lazy_because : str or None
    exact : bool
        Whether ``lazy_update="exact"`` is accepted.
    not_exact_because : str or None
    narrow : tuple of str
        The states that ``state_dtype`` applies to.
    split : bool
        Whether ``multi_precision="split"`` is accepted.
    cautious : bool
        Whether ``cautious=True`` is accepted.
    not_cautious_because : str or None
    ema : bool
        Whether an updater keeps averages of its weights with ``ema=``; if not, it has some itself.
    sharded : bool
        Whether its states can be spread over ranks.
    not_sharded_because : str or None
    rules : tuple of str
        The compiled rules that `fused_step` runs.
    differences : dict of str to dict
        Parameters whose defaults differ between the dialects: name -> {dialect: default}.
    other_formula : str or None
        The other dialect's formula, if it differs.
    """

    name: str
    dialect: str
    cls: type
    summary: str
    parameters: dict
    states: tuple
    state: str
    update: str
    lazy: bool
    not_lazy_because: str | None
    exact: bool
    not_exact_because: str | None
    narrow: tuple
    split: bool
    cautious: bool
    not_cautious_because: str | None
    ema: bool
    sharded: bool
    not_sharded_because: str | None
    rules: tuple
    differences: dict
    other_formula: str | None
    family: str

    @property
    def signature(self):
        """The constructor's signature in Python syntax."""
        own = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{self.cls.__name__}({own}{', ' if own else ''}**kwargs)"

    @property
    def supported(self):
        """What else the optimizer can do, and why not, by a word each."""

        def answer(able, reason=None):
            return "yes" if able else f"no: {reason}" if reason else "no"

        return {
            "lazy": answer(self.lazy, self.not_lazy_because),
            "exact": answer(self.exact, self.not_exact_because),
            "narrow": ", ".join(self.narrow) or "no",
            "split": answer(self.split),
            "cautious": answer(self.cautious, self.not_cautious_because),
            "ema": answer(self.ema, "it averages its weights itself"),
            "sharded": answer(self.sharded, self.not_sharded_because),
        }

    def _repr_html_(self):
        rows = [
            ("signature", self.signature),
            ("state", self.state),
            *self.supported.items(),
            *((f"{name} in the dialects", str(values)) for name, values in self.differences.items()),
        ]
        formula = f"<pre>{html.escape(self.update)}</pre>"
        return reprs.table(f"{self.name} ({self.dialect}): {self.summary}", None, rows) + formula

    def __str__(self):
        facts = {
            "state": self.state,
            **self.supported,
            "rules": ", ".join(self.rules) or "none",
            "family": self.family,
        }
        lines = [
            f"{self.name} ({self.dialect}): {self.summary}",
            "",
            self.signature,
            "",
            *(f"    {line}".rstrip() for line in self.update.splitlines()),
            "",
            *(f"{name + ':':10}{fact}" for name, fact in facts.items()),
        ]
        other = dialects.get(self.dialect).other.name
        for name, values in self.differences.items():
            there, here = (
                value if value == ABSENT else repr(value) for value in (values[other], values[self.dialect])
            )
            lines.append(f"{other + ':':10}{name} is {there} there, {here} here")
        if self.other_formula:
            lines += [f"{other + ':':10}another formula", ""]
            lines += [f"    {line}".rstrip() for line in self.other_formula.splitlines()]
        return "\n".join(lines)


def describe(name: str | type, dialect: Any = "2.x") -> Description:
    """Describe an optimizer: signature, defaults, states, lazy updates, and how the other dialect differs.

    Parameters
    ----------
    name : str
        The registered name, in any case.
    dialect : {'2.x', '1.x'}

    Returns
    -------
    Description
        Readable when printed.

    Examples
    --------
    >>> import mxopt
    >>> mxopt.describe("adam").states
    ('mean', 'var')
    >>> mxopt.describe("adam").differences["lazy_update"]
    {'2.x': False, '1.x': True}
    """
    dialect = dialects.get(dialect)
    registry = dialect.registry.classes
    if not isinstance(name, str):
        raise TypeError(f"the name of an optimizer must be a string, got {type(name).__name__}")
    cls = registry.get(name.lower())
    if cls is None:
        raise checks.unknown_optimizer(name, registry)
    other = dialect.other.registry.classes.get(name.lower())
    parameters = _parameters(cls)
    document = inspect.getdoc(cls) or ""
    update = _update(cls)
    return Description(
        name=name.lower(),
        dialect=dialect.name,
        cls=cls,
        summary=document.partition("\n\n")[0].replace("\n", " "),
        parameters=parameters,
        states=tuple(_of(cls, "state_names")),
        state=slots.described(cls),
        update=update,
        lazy=not cls.not_lazy_because,
        not_lazy_because=cls.not_lazy_because,
        exact=not (cls.not_exact_because or cls.not_lazy_because),
        not_exact_because=cls.not_exact_because or cls.not_lazy_because,
        narrow=tuple(slot.name for slot in checks.narrow_slots(cls)),
        split=cls.create_state_multi_precision is Optimizer.create_state_multi_precision,
        cautious=not cls.not_cautious_because,
        not_cautious_because=cls.not_cautious_because,
        ema=not cls.has_two_points,
        sharded=not cls.not_sharded_because,
        not_sharded_because=cls.not_sharded_because,
        rules=tuple(_of(cls, "rules")),
        differences={} if other is None else _differences(parameters, _parameters(other), dialect),
        other_formula=_update(other) if other is not None and _update(other) != update else None,
        family=cls.family,
    )


def _of(cls, attribute):
    """An attribute of a class; one that depends on arguments, with their defaults."""
    value = getattr(cls, attribute)
    return getattr(cls(), attribute) if isinstance(value, property) else value


def _parameters(cls):
    """Arguments that a class's constructor names, and their defaults, without those of `Optimizer`."""
    constructor = next(vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base))
    if constructor.__qualname__.startswith("Optimizer."):
        return {}
    return {
        name: parameter.default
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name != "self"
    }


def _differences(own, others, dialect):
    rows, base = {}, inspect.signature(Optimizer.__init__).parameters
    for name in {**own, **others}:
        # An argument that only one constructor names is still accepted by the other if `Optimizer` takes it.
        default = base[name].default if name in base else ABSENT
        here, there = own.get(name, default), others.get(name, default)
        extension = name == "lazy_update" and ABSENT in (here, there)
        if here != there and not extension and name not in ("use_fused_step", "aggregate_num"):
            rows[name] = dict(sorted({dialect.name: here, dialect.other.name: there}.items(), reverse=True))
    return rows


def _documents(cls):
    """The docstrings of a class and of its bases."""
    return (
        inspect.cleandoc(base.__doc__)
        for base in cls.__mro__
        if base.__doc__ and base.__name__ != "Optimizer"
    )


def _update(cls):
    """The indented block after the first ``::``."""
    for document in _documents(cls):
        block = re.search(r"::\n\n((?:    .*\n|\n)+)", document)
        if block:
            return inspect.cleandoc("\n" + block[1]).strip()
    return ""
