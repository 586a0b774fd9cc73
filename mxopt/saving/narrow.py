"""States in fewer bits: in files the name of the quantiser, the codes and their scales, and the seed.

A master whose upper half is the weight is kept as its low half, and becomes whole when the weight is known.
"""

from __future__ import annotations

import numpy as np

from .. import checks, kernels, slots
from ..arrays import as_array, is_half
from ..states import ForeignStateFile, StateMismatch
from . import orders

#: What a file calls the low half of a master.
_SPLIT = "split"


def described(tree):
    """States with plain data and arrays in the place of each `Narrow` and `Split`."""
    if isinstance(tree, dict):
        return {key: described(one) for key, one in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map(described, tree))
    if isinstance(tree, kernels.Split):
        return {"quantiser": _SPLIT, "low": tree.low}
    if not isinstance(tree, kernels.Narrow):
        return tree
    scale = {} if tree.scale is None else {"scale": tree.scale}
    return {"quantiser": tree.quantiser, "q": tree.q, **scale, "seed": f"{tree.seed:016x}"}


def parts(state, path):
    """The paths of the arrays within what `described` makes of the part of a state at a path."""
    for step in path:
        state = state[step]
    if isinstance(state, kernels.Split):
        return [("low",)]
    if not isinstance(state, kernels.Narrow):
        return [()]
    return [("q",)] if state.scale is None else [("q",), ("scale",)]


def read(states):
    """The states of a document, with each `Narrow` and `Split` made again.

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
        if tree["quantiser"] == _SPLIT:
            if tree.keys() != {"quantiser", "low"}:
                raise ValueError("it has quantiser and low")
            return kernels.Split(tree["low"])
        if tree.keys() - {"scale"} != {"quantiser", "q", "seed"}:
            raise ValueError("it has quantiser, q and seed, and scale where there is one")
        scale = tree.get("scale")
        if kernels.QUANTISERS[tree["quantiser"]] and scale is None:
            raise ValueError("its scale is missing")
        return kernels.Narrow(tree["quantiser"], tree["q"], scale, int(tree["seed"], 16))
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise ForeignStateFile(f"the document's state {key!r} cannot be read: {error}") from None


def widened(state):
    """A state with float32 arrays in the place of each `Narrow`, and each `Split` that knows its weight."""
    if isinstance(state, tuple):
        return tuple(map(widened, state))
    return state.widened() if isinstance(state, (kernels.Narrow, kernels.Split)) else state


def has_narrow(state, kind=kernels.Narrow):
    """Whether a state has a part that is kept in fewer bits."""
    if isinstance(state, tuple):
        return any(has_narrow(part, kind) for part in state)
    return isinstance(state, kind)


def has_split(state):
    """Whether a state has the low half of a master."""
    return has_narrow(state, kernels.Split)


def with_weights(optimizer, states, weights):
    """States in which each `Split` knows its weight, for `widened`.

    Parameters
    ----------
    optimizer : Optimizer
    states : dict
    weights : dict of ndarray
        Those that are known, for masters that have not met their weight in a step.

    Raises
    ------
    StateMismatch
        Where the weight is not known.
    """

    def found(key, state):
        if isinstance(state, tuple):
            return tuple(found(key, part) for part in state)
        if not isinstance(state, kernels.Split) or state.weight is not None:
            return state
        weight = weights.get(key)
        if weight is None or weight.shape != state.shape or weight.dtype.name != "bfloat16":
            raise StateMismatch(
                f"the master of {checks.who(optimizer, key)} is split, and its upper half is the weight, "
                "which is not known before a step; make a step first"
            )
        return state.of(weight)

    return {key: found(key, state) for key, state in states.items()}


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
    narrows = getattr(optimizer, "_narrows", False) or has_narrow(state)
    if not narrows and not has_split(state) and getattr(optimizer, "multi_precision", False) != "split":
        return state
    built = orders.template(optimizer)
    taken = built and orders.Arrangement(optimizer, optimizer).take_apart(state)
    if not taken:
        return state
    master, inner = taken
    if narrows:
        inner = _fitted(built[0], inner, optimizer, key, convert)
    if master is None:
        return inner
    if not convert and _is_other(optimizer, master):
        halves = ("the low half of the master", "the whole master")
        found, wanted = halves if isinstance(master, kernels.Split) else halves[::-1]
        raise StateMismatch(
            f"the file keeps {found} of {checks.who(optimizer, key)}, and this updater {wanted}; pass "
            f"convert=True, or create the optimizer with multi_precision={_modes(master)}"
        )
    return (master, inner) if optimizer.master_position == 0 else (inner, master)


def _is_other(optimizer, master):
    """Whether a master is whole where the optimizer keeps halves, or the other way round."""
    return isinstance(master, kernels.Split) is (optimizer.multi_precision is True)


def _modes(master):
    return '"split"' if isinstance(master, kernels.Split) else "True"


def follow(optimizer, key, state, weight):
    """A loaded state with the kind of master that its optimizer keeps, now that the weight is there.

    Returns
    -------
    state
    function
        Writes the weight, whose ties may be rounded otherwise; call it once all is well.
    """
    if hasattr(optimizer, "optimizer_of"):
        optimizer = optimizer.optimizer_of(key)
    masters = getattr(optimizer, "multi_precision", False)
    if not masters or not (masters == "split" or has_split(state)):
        return state, _nothing
    taken = orders.Arrangement(optimizer, optimizer).take_apart(state)
    if not taken or taken[0] is None or not _is_other(optimizer, taken[0]):
        return state, _nothing
    master, inner = taken
    who = checks.who(optimizer, key)
    array = as_array(weight, f"weight of {who}")
    if master.shape != array.shape or not is_half(array.dtype):
        return state, _nothing  # the step refuses it
    write = _nothing
    checks.split_weight(optimizer, key, array)
    if isinstance(master, kernels.Split):
        master = slots.like(weight, master.of(array).widened())
    else:
        upper, low = kernels.part_halves(master)
        master = kernels.Split(low, array)

        def write():
            array[...] = upper.view(array.dtype)

    return ((master, inner) if optimizer.master_position == 0 else (inner, master)), write


def _nothing():
    pass


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
