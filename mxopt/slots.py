"""What the state of an optimizer is made of.

A class declares each array of its state once, as a `StateSlot`. How a state is created, what its arrays are
called, which rules fit, how it lies in files of either dialect and what `describe` says all follow from that.
Whoever wants other arrays in a state - another dtype, another form, under another condition - says so here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .arrays import zeros_like


@dataclass(frozen=True)
class Form:
    """How the numbers of a slot lie in arrays.

    Parameters
    ----------
    words : str
        For descriptions: "zeros <words> in float32".
    parts : callable
        From the weight's shape and the slot's dtype, the arrays: ``{suffix: (shape, dtype)}``. One array has
        the suffix ''. Several are kept as a tuple, and their names are those of the slot with the suffix.
    """

    words: str
    parts: Callable[[tuple, np.dtype], dict]

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of its arrays."""
        return tuple(self.parts((1, 1), np.dtype(np.float32)))


ELEMENT = Form("of the weight's shape", lambda shape, dtype: {"": (shape, dtype)})
ROW = Form("of shape (rows, 1)", lambda shape, dtype: {"": ((shape[0], 1), dtype)})
TENSOR = Form("of shape ()", lambda shape, dtype: {"": ((), dtype)})

#: Rules for a slot's dtype, beside the names of dtypes.
AS_WEIGHT = "weight"
WIDE = "wide"  # float32, or float64 where the weight is float64

#: What stands in the place of a slot that is not present: nothing, or None.
LEFT_OUT = "left out"
NONE = "None"


@dataclass(frozen=True)
class StateSlot:
    """One array of an optimizer's state; of some forms several.

    Parameters
    ----------
    name : str
        As in the documentation, in files, and in the rules that take the array.
    dtype : {'weight', 'wide'} or str, default 'weight'
        The weight's, or float32 (float64 for float64 weights), or the name of a dtype whatever the weight is.
    form : Form
        One number an element, a row, a tensor, or several arrays that stand for them.
    when : str, optional
        The attribute of the optimizer that must be true for the slot to be there.
    absent : {'left out', 'None'}
        What a state holds when it is not.
    start : {'zeros', 'weight'}
        What the array begins as; 'weight': a copy of it.
    """

    name: str
    dtype: str = AS_WEIGHT
    form: Form = ELEMENT
    when: str | None = None
    absent: str = LEFT_OUT
    start: str = "zeros"

    def is_present(self, optimizer) -> bool:
        """Whether an optimizer with its present hyper-parameters keeps it."""
        return self.when is None or bool(getattr(optimizer, self.when))

    def dtype_for(self, weight_dtype) -> np.dtype:
        """The dtype of the slot for a weight of some dtype."""
        if self.dtype == AS_WEIGHT or (self.dtype == WIDE and weight_dtype == np.float64):
            return np.dtype(weight_dtype)
        return np.dtype(np.float32 if self.dtype == WIDE else self.dtype)

    def create(self, weight):
        """The array for one weight, or a tuple of them, as the weight's owner knows arrays."""
        parts = self.form.parts(weight.shape, self.dtype_for(weight.dtype))
        made = tuple(self._array(weight, shape, dtype) for shape, dtype in parts.values())
        return made[0] if len(made) == 1 else made

    def _array(self, weight, shape, dtype):
        if shape != weight.shape:
            return like(weight, np.zeros(shape, dtype))
        array = zeros_like(weight, dtype)
        if self.start == "weight":
            array[...] = weight
        return like(weight, array)


def like(weight, array):
    """A new array as the weight's owner knows arrays: an NDArray when the weight is one."""
    kind = getattr(weight, "array_type", np.ndarray)
    return array if type(array) is kind else array.view(kind)


@dataclass(frozen=True)
class Leaf:
    """The place of one array in a state; `present` tells whether the array or None is there."""

    name: str
    slot: StateSlot
    suffix: str = ""
    present: bool = True


def structure(optimizer):
    """How an optimizer builds states now: None, a `Leaf`, or a tuple of leaves and tuples."""
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
    """The names of a state's arrays, in order; also of those in whose place there is None."""
    return tuple(leaf.name for leaf in leaves(structure(optimizer)))


def create(optimizer, weight):
    """A new state of one weight."""
    built = []
    for slot in optimizer.state_slots:
        if slot.is_present(optimizer):
            built.append(slot.create(weight))
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
    """Every structure that a class can have: ``{(attribute, ...): structure}`` by what must be true."""
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
        The names of the rule's states; '-' for one that it leaves alone. The first of them are enough.

    Returns
    -------
    (str, str) or None
        The names of the class and of the rule where they differ; None where some structure fits.
    """
    if isinstance(cls.state_names, tuple):  # a class that creates its states itself
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
    """A structure in the words of its class: ``(mean, var)``."""
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
