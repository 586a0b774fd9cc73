"""Docstrings made whole: what many arguments have in common, what a class shares with the one it refines."""

import inspect
import re

#: What is said of an argument wherever a docstring says nothing else of it.
COMMON = {
    "learning_rate": ("float", "None: the scheduler's ``base_lr``, or 0.01 without a scheduler."),
    "beta1": ("float", "Decay of the first moment."),
    "beta2": ("float", "Decay of the second moment."),
    "epsilon": ("float", "Keeps the division finite."),
    "multi_precision": ("bool", "Keep a float32 master copy of 16-bit weights."),
    "use_fused_step": ("bool", "Run the compiled rule rather than `step`."),
    "lazy_update": (
        "bool",
        "Touch only the rows of a row-sparse gradient. Needs ``use_fused_step=True``.",
    ),
    "aggregate_num": ("int", "Accepted as in MXNet; a list is always one fused call."),
}
_REST = "**kwargs\n    Arguments of `Optimizer`.\n"
_ORDER = ("Parameters", "Attributes", "Notes", "References", "Examples")

_HEADING = re.compile(rf"^({'|'.join(_ORDER)})\n-+\n", re.MULTILINE)
_ENTRY = re.compile(r"^\S.*\n(?: .*\n)*", re.MULTILINE)
_FORMULA = re.compile(r"^[^\n]*::\n\n(?:    .*\n|\n)+", re.MULTILINE)
_GOES_ON = re.compile(r"^    \.\.\. .*$", re.MULTILINE)
_STATE = re.compile(r"^State: (?:.+\n?)+", re.MULTILINE)
_IMPORT = "import numpy as np, mxopt\n"


def _sections(cls):
    """The parts of a docstring by heading; what comes before them is under ''."""
    headings = iter(["", *_HEADING.split(inspect.cleandoc(cls.__doc__))])
    return {heading: text.strip() + "\n" for heading, text in zip(headings, headings)}


def _found(pattern, text):
    match = pattern.search(text)
    return match[0].strip() if match else ""


def _entries(text):
    """What is said of arguments, by name; one entry may be of several."""
    entries = _ENTRY.findall(text)
    return {name: entry for entry in entries for name in re.findall(r"\w+", re.split(" : |\n", entry)[0])}


def _common(parameter):
    kind, text = COMMON[parameter.name]
    default = repr(parameter.default).replace("e-0", "e-")
    default = "optional" if parameter.default is None else f"default {default}"
    return f"{parameter.name} : {kind}, {default}\n    {text}\n"


def _parameters(cls, own, other):
    """The section on parameters, in the order of the constructor's."""
    mine, theirs = _entries(own), _entries(other)
    rest = mine.pop("kwargs", _REST)
    told = []
    for name, parameter in inspect.signature(cls).parameters.items():
        entry = mine.get(name) or theirs.get(name) or (_common(parameter) if name in COMMON else "")
        if name in mine or (name != "kwargs" and f"``{name}``" not in rest):
            told.append(entry)
    return "".join(dict.fromkeys([*told, *mine.values(), rest]))


def complete(cls):
    """Give a class's docstring the formula, parameters, state and sections that it lacks.

    They are those of the class that it refines: the nearest base of the same name (the other dialect's),
    else the next one. A formula that ends with ``...`` goes on as that class's does after as many lines.
    Examples import the dialect of `cls`. What neither says of an argument is said by `COMMON`.

    Parameters
    ----------
    cls : type
    """
    bases = cls.__mro__[1:]
    base = next((each for each in bases if each.__name__ == cls.__name__), bases[0])
    if not cls.__doc__:
        return  # python -OO
    own = _sections(cls)
    other = {"": ""} if base.__name__ == "Optimizer" else _sections(base)
    formula = _found(_FORMULA, other[""] + "\n")
    if "::\n" not in own[""]:
        own[""] += f"\n{formula}\n"
    elif _GOES_ON.search(own[""]):
        first = _found(_FORMULA, own[""] + "\n").splitlines()
        own[""] = _GOES_ON.sub("\n".join(formula.splitlines()[len(first) - 1 :]), own[""])
    own["Parameters"] = _parameters(cls, own.get("Parameters", ""), other.get("Parameters", ""))
    if not _STATE.search(own.get("Notes", "")):
        notes = (own.get("Notes", "").strip(), _found(_STATE, other.get("Notes", "")))
        own["Notes"] = "\n\n".join(filter(None, notes)) + "\n"
    if cls.dialect is not base.dialect:
        own_import = f"import numpy as np, {cls.dialect.package} as mxopt\n"
        other["Examples"] = other.get("Examples", "").replace(_IMPORT, own_import)
    parts = [own[""]]
    for heading in _ORDER:
        text = own.get(heading) or other.get(heading, "")
        if text.strip():
            parts.append(f"{heading}\n{'-' * len(heading)}\n{text}")
    cls.__doc__ = "\n".join(parts)
