"""Docstrings of classes that refine another one: what they do not say themselves is taken from there."""

import inspect
import re

_HEADING = re.compile(r"^(Parameters|Notes|References|Examples)\n-+\n", re.MULTILINE)
_FORMULA = re.compile(r"^[^\n]*::\n\n(?:    .*\n|\n)+", re.MULTILINE)
_STATE = re.compile(r"^State: (?:.+\n?)+", re.MULTILINE)
_GOES_ON = re.compile(r"^    \.\.\. .*$", re.MULTILINE)
_IMPORT = "import numpy as np, mxopt\n"


def _sections(cls):
    """The parts of a docstring by heading; what comes before them is under ''."""
    headings = iter(["", *_HEADING.split(inspect.cleandoc(cls.__doc__))])
    return {heading: text.strip() + "\n" for heading, text in zip(headings, headings)}


def _found(pattern, text):
    match = pattern.search(text)
    return match[0].strip() if match else ""


def _with_parameters(cls, own, other):
    """The text on parameters, with what the other class says of arguments that it does not mention."""
    missing = [name for name in inspect.signature(cls).parameters if not re.search(rf"\b{name}\b", own)]
    taken = [
        entry
        for entry in re.findall(r"^\S.*\n(?: .*\n)*", other, re.MULTILINE)
        if any(re.search(rf"\b{name}\b", entry.partition(" : ")[0]) for name in missing)
    ]
    return own.replace("**kwargs\n", "".join([*taken, "**kwargs\n"]), 1)


def complete(cls):
    """Give a class's docstring the formula, parameters, state and sections that it lacks.

    They are those of the class that it refines: the nearest base of the same name (the other dialect's),
    else the next one. A formula that ends with ``...`` goes on as that class's does after as many lines.
    Examples import the dialect of `cls`.

    Parameters
    ----------
    cls : type
    """
    bases = cls.__mro__[1:]
    base = next((each for each in bases if each.__name__ == cls.__name__), bases[0])
    if not cls.__doc__ or not base.__doc__:
        return  # python -OO
    own, other = _sections(cls), _sections(base)
    formula = _found(_FORMULA, other[""] + "\n")
    if "::\n" not in own[""]:
        own[""] += f"\n{formula}\n"
    elif _GOES_ON.search(own[""]):
        first = _found(_FORMULA, own[""] + "\n").splitlines()
        rest = formula.splitlines()[len(first) - 1 :]
        own[""] = _GOES_ON.sub("\n".join(rest), own[""])
    if "Parameters" in own:
        own["Parameters"] = _with_parameters(cls, own["Parameters"], other["Parameters"])
    if "State:" not in own.get("Notes", ""):
        own["Notes"] = (
            own.get("Notes", "") + "\n" * ("Notes" in own) + _found(_STATE, other.get("Notes", "")) + "\n"
        )
    package = cls.__module__.partition(".optimizer")[0]
    dialect = _IMPORT if package == "mxopt" else f"import numpy as np, {package} as mxopt\n"
    other["Examples"] = other.get("Examples", "").replace(_IMPORT, dialect)
    parts = [own[""]]
    for heading in ("Parameters", "Notes", "References", "Examples"):
        text = own.get(heading) or other.get(heading, "")
        if text.strip():
            parts.append(f"{heading}\n{'-' * len(heading)}\n{text}")
    cls.__doc__ = "\n".join(parts)
