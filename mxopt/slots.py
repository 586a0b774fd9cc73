"""What the state of an optimizer is made of.

A class declares each array of its state once, as a `StateSlot`. How a state is created, what its arrays are
called, which rules fit, how files of either dialect store it and what `describe` says all follow from that.
To keep other arrays in a state, or the same ones with another dtype, form or condition, change it here.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from . import kernels
from .arrays import bfloat16, zeros, zeros_like


@dataclass(frozen=True)
class Form:
    """How the numbers of a slot are laid out in arrays.

    Parameters
    ----------
    words : str
        How descriptions put it: "zeros <words> in float32".
    parts : callable
        Takes the weight's shape and the slot's dtype, returns the arrays as ``{suffix: (shape, dtype)}``. A
        single array has the suffix ''. Several are kept as a tuple, each named after the slot and its suffix.
    """

    words: str
    parts: Callable[[tuple, np.dtype], dict]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of the arrays."""
        return tuple(self.parts((1, 1), np.dtype(np.float32)))


ELEMENT = Form("of the weight's shape", lambda shape, dtype: {"": (shape, dtype)})
ROW = Form("of shape (rows, 1)", lambda shape, dtype: {"": ((shape[0], 1), dtype)})
TENSOR = Form("of shape ()", lambda shape, dtype: {"": ((), dtype)})

#: What a slot's dtype may be besides the name of a dtype.
AS_WEIGHT = "weight"
WIDE = "wide"  # float32, or float64 where the weight is float64

#: What the numbers of a slot are like, for `state_dtype`.
MEAN = "mean"  # a running mean that follows in tens of steps
SQUARES = "squares"  # not negative, and a step changes it by less than bfloat16 resolves
SLOW = "slow"  # as that, of either sign

#: What `state_dtype` may be: how each kind of number is kept (see `mxopt.kernels.Narrow`).
WIDTHS: dict[str, dict[str, str]] = {
    "float32": {},
    "bfloat16": {MEAN: "bfloat16", SQUARES: "bfloat16-stochastic", SLOW: "bfloat16-stochastic"},
    "int8": {MEAN: "int8-square", SQUARES: "uint8-fourth", SLOW: "bfloat16-stochastic"},
}

#: Tensors of fewer elements keep float32 where others keep eight bits: they would save nothing.
LEAST = 4096


def quantiser(numbers: str, width: str, size: int) -> str | None:
    """How an array of so many numbers of a kind is kept in a width; None: in float32."""
    found = WIDTHS[width].get(numbers)
    return None if width == "int8" and size < LEAST else found


#: What a state holds in place of an absent slot: nothing, or None.
LEFT_OUT = "left out"
NONE = "None"


@dataclass(frozen=True)
class StateSlot:
    """One array of an optimizer's state; some forms have several.

    Parameters
    ----------
    name : str
        The name in the documentation, in files, and in the rules that take the array.
    dtype : {'weight', 'wide'} or str, default 'weight'
        'weight': the weight's dtype; 'wide': float32, or float64 for float64 weights; else the name of a
        fixed dtype.
    form : Form
        One number per element, per row or per tensor, or several arrays that encode them.
    when : str, optional
        The slot is present only while this attribute of the optimizer is true.
    absent : {'left out', 'None'}
        What a state holds in place of an absent slot.
    start : {'zeros', 'weight'}
        Whether the array starts as zeros or as a copy of the weight.
    numbers : {'mean', 'squares', 'slow'}, optional
        What its numbers are like, if `state_dtype` may narrow them. Not given: they stay as exact as they
        are, since weights are computed from them.
    """

    name: str
    dtype: str = AS_WEIGHT
    form: Form = ELEMENT
    when: str | None = None
    absent: str = LEFT_OUT
    start: str = "zeros"
    numbers: str | None = None

    def is_present(self, optimizer) -> bool:
        """Whether an optimizer with its current hyper-parameters has this slot."""
        return self.when is None or bool(getattr(optimizer, self.when))

    def dtype_for(self, weight_dtype) -> np.dtype:
        """The dtype of the slot for a weight of the given dtype."""
        if self.dtype == AS_WEIGHT or (self.dtype == WIDE and weight_dtype == np.float64):
            return np.dtype(weight_dtype)
        return np.dtype(np.float32 if self.dtype == WIDE else self.dtype)

    def create(self, weight):
        """The array for one weight, or a tuple of arrays, of the weight's own array type."""
        parts = self.form.parts(weight.shape, self.dtype_for(weight.dtype))
        made = tuple(self._array(weight, shape, dtype) for shape, dtype in parts.values())
        return made[0] if len(made) == 1 else made

    def create_narrow(self, weight, width, by_rows, seed):
        """The array for one weight in a width of `WIDTHS`."""
        kept = quantiser(self.numbers, width, weight.size)
        if kept is None:
            return like(weight, zeros_like(weight, np.float32))
        dtypes = {"int8-square": np.int8, "uint8-fourth": np.uint8}
        codes = zeros(weight.shape, dtypes.get(kept) or bfloat16())
        return kernels.Narrow(kept, codes, None, seed, by_rows and weight.ndim > 1)

    def _array(self, weight, shape, dtype):
        if shape != weight.shape:
            return like(weight, np.zeros(shape, dtype))
        array = zeros_like(weight, dtype)
        if self.start == "weight":
            array[...] = weight
        return like(weight, array)


def like(weight, array):
    """A new array as the weight's own array type: an NDArray when the weight is one."""
    kind = getattr(weight, "array_type", np.ndarray)
    return array if type(array) is kind else array.view(kind)


class NewStates(list):
    """States of a call that brings more to its step.

    Attributes
    ----------
    added : list of (dict, dict)
        What to store in which dicts once the step is made, as in `kernels.Ledger`: states that are new.
    averages : mxopt.optimizer.averages.Step or None
        The averages of the weights, which move with them.
    report : mxopt.optimizer.reports.Step or None
        Measures the step.
    skipped : (dict, dict) or None
        What to store where if the step is skipped.
    """

    averages = report = skipped = None

    def __init__(self, states, added):
        super().__init__(states)
        self.added = added

    def step_apart(self):
        """Say that the call is made in several steps, of other lists than this one."""
        for part in (self.averages, self.report):
            if part is not None:
                part.step_apart()


@dataclass(frozen=True)
class Leaf:
    """The place of one array in a state; it holds None unless `present`."""

    name: str
    slot: StateSlot
    suffix: str = ""
    present: bool = True


def structure(optimizer):
    """How an optimizer currently builds states: None, a `Leaf`, or a tuple of leaves and tuples."""
    return _structure(optimizer, lambda slot: slot.is_present(optimizer))


def _structure(owner, is_present):
    shown = [slot for slot in owner.state_slots if is_present(slot) or slot.absent == NONE]
    built = tuple(_place(slot, is_present(slot)) for slot in shown)
    if len(built) == 1 and not owner.states_in_tuple:
        return built[0]
    return built or None


def _place(slot, present):
    suffixes = slot.form.suffixes if present else ("",)
    leaves = tuple(Leaf(f"{slot.name}_{s}" if s else slot.name, slot, s, present) for s in suffixes)
    return leaves[0] if len(leaves) == 1 else leaves


def leaves(built) -> Iterator[Leaf]:
    """The leaves of a structure, in order."""
    if isinstance(built, tuple):
        for part in built:
            yield from leaves(part)
    elif built is not None:
        yield built


def names(optimizer) -> tuple[str, ...]:
    """The names of a state's arrays, in order, including those that are None."""
    return tuple(leaf.name for leaf in leaves(structure(optimizer)))


def seed_of(optimizer, index, name) -> int:
    """What tells the random bits of one array of a state."""
    text = f"{optimizer.state_seed}/{index!r}/{name}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def create(optimizer, index, weight, copied):
    """A new state for one weight.

    Slots that start as a copy of the weight are made from `copied`, which is the same weight but for its
    storage: MXNet's copies of a row-sparse weight are row-sparse, whatever its other states are.
    """
    built = []
    for slot in optimizer.state_slots:
        if slot.is_present(optimizer):
            width = optimizer._width_of(index, slot)
            if width:
                by_rows = optimizer.lazy_update or getattr(weight, "stype", "default") == "row_sparse"
                seed = seed_of(optimizer, index, slot.name)
                built.append(slot.create_narrow(weight, width, by_rows, seed))
            else:
                built.append(slot.create(copied if slot.start == "weight" else weight))
        elif slot.absent == NONE:
            built.append(None)
    if len(built) == 1 and not optimizer.states_in_tuple:
        return built[0]
    return tuple(built) or None


def fits(built, state) -> bool:
    """Whether a state is built like a structure: arrays and None in the same places."""
    if isinstance(built, tuple):
        return isinstance(state, tuple) and len(state) == len(built) and all(map(fits, built, state))
    if built is None or not built.present:
        return state is None
    return hasattr(state, "shape") and hasattr(state, "dtype")


# -- what is known of a class --------------------------------------------------------------------------


def structures(cls):
    """Every structure that a class can have, by the attributes that must be true for it."""
    attributes = list(dict.fromkeys(slot.when for slot in cls.state_slots if slot.when))
    found = {}
    for truths in itertools.product((True, False), repeat=len(attributes)):
        true = tuple(name for name, truth in zip(attributes, truths) if truth)
        found[true] = _structure(cls, lambda slot, true=true: slot.when is None or slot.when in true)
    return found


def disagreement(cls, arrays):
    """How the states of a class differ from the arrays that a rule takes.

    Parameters
    ----------
    cls : type
    arrays : sequence of str
        The names of the rule's states; '-' for one that it leaves alone. Trailing ones may be missing.

    Returns
    -------
    (str, str) or None
        Where they first differ, the class's name and the rule's; None if some structure fits.
    """
    if cls.states_of_rules:
        choices = [cls.states_of_rules]
    elif isinstance(cls.state_names, tuple):  # a class that creates its states itself
        choices = [cls.state_names]
    else:
        choices = [
            tuple(leaf.name for leaf in leaves(built) if leaf.present) for built in structures(cls).values()
        ]
    differences = [
        next(((own, name) for own, name in zip(choice, arrays) if name not in (own, "-")), None)
        for choice in choices
        if len(choice) >= len(arrays)
    ]
    if not differences:
        longest = max(choices, key=len)
        return "nothing", arrays[len(longest)]
    return None if None in differences else differences[0]


def described(cls) -> str:
    """When and how a class makes its state, as a sentence."""
    if not cls.state_slots:
        return "None."
    spelled = {true: spell(built) for true, built in structures(cls).items()}
    *conditions, otherwise = spelled.items()
    when = [f"{text} if {' and '.join(true)}" for true, text in conditions]
    made = {slot.name: _made(slot) for slot in cls.state_slots}
    if len(set(made.values())) == 1:
        how = next(iter(made.values()))
    else:
        how = ", ".join(f"{name} {text}" for name, text in made.items())
    return f"{', '.join(when)}{', else ' if when else ''}{otherwise[1]}: {how}."


def spell(built) -> str:
    """A structure spelled with the names of its arrays: ``(mean, var)``."""
    if isinstance(built, tuple):
        inside = ", ".join(map(spell, built))
        return f"({inside},)" if len(built) == 1 else f"({inside})"
    return "None" if built is None or not built.present else built.name


def _made(slot):
    if slot.start == "weight":
        return "a copy of the weight"
    if slot.dtype == AS_WEIGHT:
        kind = " and dtype" if slot.form is ELEMENT else " in the weight's dtype"
    elif slot.dtype == WIDE:
        kind = " in float32, float64 for float64 weights"
    else:
        kind = f" in {slot.dtype}"
    return f"zeros {slot.form.words}{kind}"
