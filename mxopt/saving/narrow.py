"""States in fewer bits: in files the name of the quantiser, the codes and their scales, and the seed."""

from __future__ import annotations

import numpy as np

from .. import checks, kernels, slots
from ..states import ForeignStateFile, StateMismatch
from . import orders


def described(tree):
    """States with plain data and arrays in the place of each `Narrow`."""
    if isinstance(tree, dict):
        return {key: described(one) for key, one in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map(described, tree))
    if not isinstance(tree, kernels.Narrow):
        return tree
    scale = {} if tree.scale is None else {"scale": tree.scale}
    return {"quantiser": tree.quantiser, "q": tree.q, **scale, "seed": f"{tree.seed:016x}"}


def parts(state, path):
    """The paths of the arrays within what `described` makes of the part of a state at a path."""
    for step in path:
        state = state[step]
    if not isinstance(state, kernels.Narrow):
        return [()]
    return [("q",)] if state.scale is None else [("q",), ("scale",)]


def read(states):
    """The states of a document, with each `Narrow` made again.

    Raises
    ------
    ForeignStateFile
        For one that cannot be.
    """
    return {key: _read(state, key) for key, state in states.items()}


def _read(tree, key):
    if isinstance(tree, tuple):
        return tuple(_read(part, key) for part in tree)
    if not isinstance(tree, dict) or "quantiser" not in tree:
        return tree
    try:
        if tree.keys() - {"scale"} != {"quantiser", "q", "seed"}:
            raise ValueError("it has quantiser, q and seed, and scale where there is one")
        scale = tree.get("scale")
        if kernels.QUANTISERS[tree["quantiser"]] and scale is None:
            raise ValueError("its scale is missing")
        return kernels.Narrow(tree["quantiser"], tree["q"], scale, int(tree["seed"], 16))
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise ForeignStateFile(f"the document's state {key!r} cannot be read: {error}") from None


def widened(state):
    """A state with float32 arrays in the place of each `Narrow`."""
    if isinstance(state, tuple):
        return tuple(map(widened, state))
    return state.widened() if isinstance(state, kernels.Narrow) else state


def has_narrow(state):
    """Whether a state has a part that is kept in fewer bits."""
    return any(map(has_narrow, state)) if isinstance(state, tuple) else isinstance(state, kernels.Narrow)


def fitted(optimizer, key, state, convert):
    """A state from a file in the widths in which an optimizer keeps it.

    Parameters
    ----------
    optimizer : Optimizer
    key : int or str
    state : state
    convert : bool
        Whether to convert arrays of another width.

    Raises
    ------
    StateMismatch
        For another width, unless they are converted.
    """
    if hasattr(optimizer, "optimizer_of"):  # groups
        optimizer = optimizer.optimizer_of(key)
    if not getattr(optimizer, "_narrows", False) and not has_narrow(state):
        return state
    built = orders.template(optimizer)
    taken = built and orders.Arrangement(optimizer, optimizer).take_apart(state)
    if not taken:
        return state
    master, inner = taken
    inner = _fitted(built[0], inner, optimizer, key, convert)
    if master is None:
        return inner
    return (master, inner) if optimizer.master_position == 0 else (inner, master)


def convert(updater, width):
    """Bring an updater's states into a width, and its optimizer.

    Raises
    ------
    StateMismatch
        For a width that the optimizer cannot have.
    """
    optimizer = updater.optimizer
    try:
        optimizer.state_dtype = width
    except ValueError as error:
        raise StateMismatch(str(error)) from None
    updater.states = {key: fitted(optimizer, key, state, True) for key, state in updater.states.items()}


def _fitted(built, state, optimizer, key, convert):
    if isinstance(built, tuple):
        return tuple(_fitted(*pair, optimizer, key, convert) for pair in zip(built, state))
    if state is None or not hasattr(state, "shape"):
        return state
    width = optimizer._width_of(key, built.slot)
    size = int(np.prod(state.shape, dtype=object))
    wanted = slots.quantiser(built.slot.numbers, width, size) if width else None
    found = state.quantiser if isinstance(state, kernels.Narrow) else None
    if wanted == found:
        return state
    if not convert:
        raise StateMismatch(
            f"the file keeps {built.name} of {checks.who(optimizer, key)} as {found or state.dtype}, and "
            f"this updater as {wanted or 'float32'}; pass convert=True, or create the optimizer with the "
            "state_dtype of the file"
        )
    values = widened(state)
    if wanted is None:
        return values
    by_rows = bool(optimizer.lazy_update)
    made = built.slot.create_narrow(values, width, by_rows, slots.seed_of(optimizer, key, built.slot.name))
    return made.stored(values)
