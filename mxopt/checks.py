"""Argument checks, and the messages that several modules share.

Every message is one line: what was wrong, what it must be, what it is, and the cure. All checks run before
anything changes.
"""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import spelling
from .kernels import STORAGE_DTYPES

_DTYPES = " or ".join(", ".join(STORAGE_DTYPES).rsplit(", ", 1))
_HALVES = [name for name, itemsize in STORAGE_DTYPES.items() if itemsize == 2]


#: The largest float32; MXNet and the kernels take every rate in float32.
LARGEST = (2 - 2**-23) * 2.0**127


#: The smallest float32 that is not subnormal. MXNet refuses numbers nearer to 0, and kernels take them for 0.
SMALLEST = 2.0**-126


def _too_large(value):
    return " that float32 holds, at most 3.4e38" if math.isfinite(value) else ""


def number(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    open_high: bool = False,
    open_low: bool = False,
    tiny: bool = False,
) -> float:
    """`value` as a finite Python float within bounds (NumPy scalars would widen float32 arithmetic).

    Parameters
    ----------
    name : str
        The argument, for the message.
    value : number
    low, high : float, optional
        Inclusive bounds; `open_high` excludes the upper one, `open_low` the lower.
    tiny : bool, default False
        Take numbers nearer to 0 than float32 holds, as products over many steps may be.
    """
    result = _number(name, value)
    if not abs(result) <= LARGEST:
        raise ValueError(f"{name} must be a finite number{_too_large(result)}, got {value!r}")
    if 0 < abs(result) < SMALLEST and not tiny:
        raise ValueError(f"{name} must be 0 or a number that float32 holds, at least 1.2e-38, got {value!r}")
    if (
        low is not None
        and (result <= low if open_low else result < low)
        or high is not None
        and (result >= high if open_high else result > high)
    ):
        if high is None and open_low:
            bounds = f"above {low:g}"
        elif high is None:
            bounds = "0 or more" if low == 0 else f"at least {low:g}"
        else:
            bounds = f"within {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
        raise ValueError(f"{name} must be {bounds}, got {value!r}")
    return result


def _number(name, value):
    """`value`, which may be infinite or NaN, as a Python float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        given: Any = value
        try:
            value = given.item()  # a one-element array, which MXNet's own scripts pass
        except (AttributeError, ValueError, TypeError):
            raise TypeError(f"{name} must be a number, got {value!r}") from None
    return float(value)


def optional_number(name: str, value: Any, **bounds: Any) -> float | None:
    """As `number`, but None stays None."""
    return None if value is None else number(name, value, **bounds)


def count(name: str, value: Any, low: int = 1) -> int:
    """`value` as an int of at least `low`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < low:
        raise ValueError(f"{name} must be an integer of {low} or more, got {value!r}")
    return value.__index__()


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    """`value`, which must be one of a few words."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}{nearest(value, known)}")
    return value


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean ...?', or an empty string."""
    word = str(word).lower()
    close = difflib.get_close_matches(word, [str(k).lower() for k in known], n=3, cutoff=0.6)
    close.sort(key=lambda name: sorted(name) != sorted(word))  # swapped letters are the commonest slip
    return f"; did you mean {close[0]!r}?" if close else ""


def optimizer(value):
    """Raise for a name or class where an optimizer is needed; anything else may delegate to one."""
    if value is None or isinstance(value, (str, type)):
        name = value.__name__.lower() if isinstance(value, type) else value or "sgd"
        got = value.__name__ if isinstance(value, type) else repr(value)
        raise TypeError(f"optimizer must be an Optimizer, got {got}; make one with create({name!r}, ...)")


def unknown_optimizer(name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not in the registry."""
    hint = nearest(name, known) or f"; the registry has {', '.join(sorted(known))}"
    return ValueError(f"unknown optimizer {name!r}{hint}")


def arguments(cls) -> dict[str, Any]:
    """The arguments that the constructors of a class take, and their defaults.

    A base of the same name (the other dialect's version of the class) is left out.
    """
    found: dict[str, Any] = {}
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base) and base.__name__ not in names:
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and name != "self":
                    found.setdefault(name, parameter.default)
        if base.__name__ != "Optimizer":
            names.add(base.__name__)
    return found


def unknown_keywords(cls, keywords: dict[str, Any]) -> TypeError:
    """The error for keyword arguments that no constructor of a class takes."""
    known = arguments(cls)
    word, value = next(iter(keywords.items()))
    cure = spelling.meant(word, value, known)
    guess = nearest(word, known) if word.lower() not in spelling.MEANS else ""  # what it means is known
    others = [] if cure or guess else spelling.owners(word, getattr(cls, "opt_registry", {}), arguments)
    if cure:
        cure = f"; {cure}"
    elif others:
        more = f" and {len(others) - 3} more" if len(others) > 4 else ""
        cure = f", which is for {', '.join(others[:3] if more else others)}{more}; leave it out"
    else:
        root = next((base for base in cls.__mro__ if "opt_registry" in vars(base)), object)
        own = [name for name in known if name not in arguments(root) or name == "learning_rate"]
        cure = guess or f"; it takes {', '.join(own or known)}, and what help({root.__name__}) lists"
    return TypeError(f"{cls.__name__} has no argument {word!r}{cure}")


def renamed(keywords, old, new, value):
    """The value of an argument that the other dialect of MXNet calls `old`; warns if it was used.

    Parameters
    ----------
    keywords : dict
        The constructor's ``**kwargs``; `old` is removed from it.
    old, new : str
        The other dialect's name and this one's.
    value : object
        The value under the new name, returned when `old` is not given.
    """
    if old not in keywords:
        return value
    warnings.warn(
        f"{old} is called {new} here; pass {new}={keywords[old]!r}", DeprecationWarning, stacklevel=outside()
    )
    return keywords.pop(old)


def outside() -> int:
    """The stack level of the first frame outside mxopt, for warnings."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mxopt":
        frame, level = frame.f_back, level + 1
    return level


def who(optimizer: Any, index: Any) -> str:
    """An index with its name, if it has one: ``index 3 ('fc1_weight')``."""
    name = getattr(optimizer, "idx2name", {}).get(index)
    if name is None:
        name = getattr(getattr(optimizer, "param_dict", {}).get(index), "name", None)
    return f"index {index!r} ({name!r})" if name is not None and name != index else f"index {index!r}"


class Refusal(NamedTuple):
    """What to say when the engine refuses a call, one for each of its codes (see `REFUSALS`)."""

    kind: type[Exception]
    #: A format string with attributes of `_Call`.
    sentence: str
    #: The same for a plain list of arrays.
    of_arrays: str = (
        "arrays[{i}] has a memory layout that cannot be stepped; pass a copy made by numpy.array(...)"
    )


#: Every code with which `mxopt.kernels.Plan` refuses.
REFUSALS = {
    # lists of one call that differ in length
    "lengths": Refusal(
        ValueError, "indices, weights, grads and states must have the same length, got {lengths}"
    ),
    # an argument that is not an array
    "array": Refusal(
        TypeError, "{this} must be an array, got {got}; make one with numpy.asarray(..., dtype='float32')"
    ),
    # a state that contains something other than arrays
    "state": Refusal(TypeError, "state of {owner} must be None, an array or a tuple of arrays, got {got}"),
    # a state nested too deeply
    "deep": Refusal(
        ValueError, "state of {owner} must be None, an array or a tuple of arrays, got more than {got} levels"
    ),
    # not a storage dtype, or not one that goes with this weight
    "dtype": Refusal(
        TypeError,
        "{this} must be {dtypes}, got {got}; cast it with .astype('float32')",
        "arrays[{i}] must be {dtypes}, got {got}; cast it with .astype('float32')",
    ),
    # elements at unaligned addresses
    "aligned": Refusal(
        ValueError,
        "{this} is not aligned in memory; pass a copy made by numpy.array(...)",
        "arrays[{i}] is not aligned in memory; pass a copy made by numpy.array(...)",
    ),
    # to be written, but read-only
    "read-only": Refusal(
        ValueError,
        "{this} is updated in place but is read-only; pass a writable copy made by numpy.array(...)",
        "arrays[{i}] is scaled in place but is read-only; pass a copy made by numpy.array(...)",
    ),
    # a masked array
    "masked": Refusal(
        TypeError,
        "{this} is a masked array, whose mask a step cannot respect; pass its .data",
    ),
    # a 16-bit weight without its float32 master
    "pair": Refusal(
        TypeError,
        "state of {owner} must be the pair of the float32 master and the state, since multi_precision "
        "is on and the weight is {weight.dtype}; make it with create_state_multi_precision",
    ),
    # low halves beside a float16 weight
    "split": Refusal(
        TypeError,
        "state of {owner} has the low half of a bfloat16 weight, and the weight is {got}; make it with "
        "create_state_multi_precision",
    ),
    # too few or too many states
    "count": Refusal(
        ValueError,
        "state of {owner} must hold {must} arrays {expected}, got {got}; make it with create_state",
    ),
    # a gradient, master or state that does not fit its weight
    "shape": Refusal(ValueError, "{this} must fit its weight of shape {weight.shape}, got shape {shape}"),
    # a state that must be a single number per tensor, and is not
    "number": Refusal(ValueError, "{this} must be a single number, of shape (), got shape {got}"),
    # a row index out of bounds
    "row": Refusal(
        IndexError,
        "row index {got} of the gradient of {owner} is outside its weight of {weight.shape[0]} rows",
    ),
    # row indices that do not ascend
    "order": Refusal(
        ValueError,
        "row indices of the gradient of {owner} must ascend without repeats, but {got} does not; "
        "make a new RowSparseArray, which sorts and sums them",
    ),
    # row indices that are not a one-dimensional int64 array
    "rows": Refusal(
        TypeError, "row indices of the gradient of {owner} must be a one-dimensional int64 array"
    ),
    # a row-sparse gradient of a weight without rows
    "sparse-scalar": Refusal(ValueError, "{this} is row-sparse, but its weight has no rows: its shape is ()"),
    # blocks of states that share a scale, and do not fit each other or the update
    "blocks": Refusal(ValueError, "{this} has blocks that end otherwise than those of the other states"),
    "flat-blocks": Refusal(
        ValueError,
        "the states of {owner} are int8 in blocks of several rows, and a lazy update visits some rows alone; "
        "create the optimizer with lazy_update=True before its states are made",
    ),
    # strides where rows must be contiguous
    "contiguous": Refusal(
        ValueError, "{this} has a memory layout that cannot be stepped; pass numpy.ascontiguousarray(...)"
    ),
    # an array with two elements at one address
    "itself": Refusal(
        ValueError,
        "{this} repeats its own elements (its strides overlap); pass a copy made by numpy.array(...)",
        "arrays[{i}] repeats its own elements (its strides overlap); pass a copy made by numpy.array(...)",
    ),
    # an array that was resized after it was checked
    "moved": Refusal(
        RuntimeError,
        "{this} was given other memory during the call; resize arrays between steps only",
        "arrays[{i}] was given other memory during the call; resize arrays between calls only",
    ),
    # two arrays that share memory, one of them written
    "overlap": Refusal(
        ValueError,
        "{this} and {other} share memory, and a step writes there; give each its own array (.copy())",
        "arrays[{i}] and arrays[{got}] share memory, and both are scaled; give each its own array (.copy())",
    ),
}


@dataclass
class _Call:
    """A refused call, with everything that a sentence may mention."""

    code: str
    i: int
    role: int  # 0 weight, 1 gradient, 2... states, -1 master
    rest: tuple
    names: object = ()
    optimizer: object = None
    indices: object = ()
    weights: object = ()
    grads: object = ()
    states: object = ()

    def __getitem__(self, name):  # for str.format_map
        return getattr(self, name)

    @property
    def got(self):
        return self.rest[0]

    @property
    def must(self):
        return self.rest[1]

    @property
    def lengths(self):
        lists = (self.indices, self.weights, self.grads, self.states)
        return "{}, {}, {} and {}".format(*map(len, lists))

    @property
    def owner(self):
        return who(self.optimizer, self.indices[self.i])

    @property
    def weight(self):
        return self.weights[self.i]

    @property
    def this(self):
        return self._part(self.i, self.role)

    @property
    def other(self):
        return self._part(*self.rest)

    def _part(self, i, role):
        owner = who(self.optimizer, self.indices[i])
        if role == -1:
            return f"the float32 master of {owner}"
        if role < 2:
            return f"{'weight' if role == 0 else 'gradient'} of {owner}"
        return f"state {self.names[role - 2]!r} of {owner}"

    @property
    def expected(self):
        return f"({', '.join(self.names)})" if self.names else "None"

    @property
    def dtypes(self):
        if self.role == -1:
            return "float32"
        return f"one that a {self.weight.dtype} weight can have" if self.role > 1 else _DTYPES

    @property
    def shape(self):
        if self.role == 1:
            return self.grads[self.i].shape
        shapes = [tuple(array.shape) for array in _flat(self.states[self.i])]
        return shapes[0] if len(shapes) == 1 else shapes


def _flat(state):
    if isinstance(state, (tuple, list)):
        for part in state:
            yield from _flat(part)
    elif state is not None:
        yield state


def refused(error, optimizer, indices, weights, grads, states, names=None):
    """The exception to raise for what the engine refused (`mxopt.kernels.Refused`).

    Parameters
    ----------
    error : Refused
        Its arguments are (code, position, role, ...); roles: 0 weight, 1 gradient, 2.. states, -1 master.
    names : sequence of str, optional
        The names of the state arrays; by default the optimizer's `state_names`.
    """
    code, i, role, *rest = error.args
    if code == "count" and optimizer.multi_precision and weights[i].dtype.name in _HALVES:
        code = "pair"
    names = optimizer.state_names if names is None else names
    call = _Call(code, i, role, tuple(rest), names, optimizer, indices, weights, grads, states)
    return REFUSALS[code].kind(REFUSALS[code].sentence.format_map(call))


def refused_arrays(error):
    """The exception to raise for what the engine refused in a plain list of arrays."""
    code, i, role, *rest = error.args
    call = _Call(code, i, role, tuple(rest))
    kind = TypeError if code == "dtype" else ValueError
    return kind(REFUSALS[code].of_arrays.format_map(call))


def scalars(names, row):
    """Raise for a row of scalars out of float32's range.

    Infinity is allowed in ``rescale_grad``, where loss scaling uses it to skip an update, and in
    ``clip_gradient`` and ``clip_weights``, where it means no bound.
    """
    limits, anything = ("clip_gradient", "clip_weights"), ("rescale_grad",)
    may_be = [2 if name in anything else int(name in limits) for name in names]
    error = not_finite(names, plain_scalars(names, row), may_be)
    if error is not None:
        raise error


def not_finite(names, row, may_be):
    """The error for a scalar outside of what it may be: 0 a finite number, 1 also infinity, 2 anything."""
    for name, value, kind in zip(names, row, may_be):
        finite = math.isfinite(value)
        if abs(value) <= LARGEST or (not finite and (kind == 2 or (kind == 1 and value > 0))):
            continue
        word = "learning_rate" if name == "lr" else name
        return ValueError(f"{word} must be a finite number{_too_large(value)}, got {value!r}")
    return None


def plain_scalars(names, row):
    """A row of scalars as floats; raises for anything that is not a number, by name."""
    return tuple(
        value if isinstance(value, float) else _number("learning_rate" if name == "lr" else name, value)
        for name, value in zip(names, row)
    )


def stepped_at_average(optimizer):
    """The error for stepping a weight that `eval` has moved to its average."""
    return ValueError(
        f"weights of {type(optimizer).__name__} must be at their training point to be stepped, got weights "
        "that eval() moved to their average; call train() before the step"
    )


def one_by_one(optimizer, indices):
    """The error for a call with only some of the tensors of a step that needs them all at once."""
    return ValueError(
        f"all tensors of a step of {type(optimizer).__name__} must come in one call, got "
        f"{who(optimizer, indices[0])} in a second call of update {optimizer.num_update}; pass lists to the "
        "updater, as Trainer does"
    )


def zero_rate(optimizer, index, lr):
    """The error for a learning rate that an update divides by."""
    return ValueError(
        f"learning_rate of {who(optimizer, index)} must be above 0, since {type(optimizer).__name__} divides "
        f"by it, got {lr!r}; leave the tensor out of the call to keep it"
    )


def no_decay(optimizer, index, wd):
    """The error for weight decay in an optimizer that has none."""
    return ValueError(
        f"wd of {who(optimizer, index)} must be 0, since {type(optimizer).__name__} has no weight decay, "
        f"got {wd!r}; set wd or its multiplier to 0"
    )


def not_a_matrix(optimizer, index, weight):
    """The error for a weight that does not have two dimensions."""
    return ValueError(
        f"weight of {who(optimizer, index)} must have two dimensions, since {type(optimizer).__name__} keeps "
        f"one number a row, got shape {tuple(weight.shape)}; use AdaGrad for it, or reshape it"
    )


def negative_rate(optimizer, index, lr):
    """The error for a learning rate whose square root is taken."""
    return ValueError(
        f"learning_rate of {who(optimizer, index)} must be 0 or more, since {type(optimizer).__name__} takes "
        f"its root, got {lr!r}"
    )


def duplicate_index(optimizer, indices):
    """The error for an index given twice in one call."""
    seen = set()
    for index in indices:
        if index in seen:
            return ValueError(
                f"{who(optimizer, index)} occurs twice in one call; step it once a call, or sum its gradients"
            )
        seen.add(index)
    return None


def lazy_update(optimizer, value, strict=True):
    """`lazy_update` as a bool or "exact", raising where it is impossible; None means the class's default.

    Not `strict`: as MXNet 1.x, which ignores True where the step is not compiled.
    """
    if value is None:
        return optimizer.lazy_by_default and optimizer.use_fused_step
    value = lazy_word(value)
    kind = type(optimizer).__name__
    if value == "exact":
        exact_rows(optimizer)
    if value is False or value == "exact" or not strict:
        return value
    if optimizer.not_lazy_because:
        raise ValueError(f"{kind} cannot update lazily: {optimizer.not_lazy_because}; leave lazy_update out")
    if not optimizer.use_fused_step:
        raise ValueError(
            f"{kind} with lazy_update=True needs use_fused_step=True; step() makes the standard update"
        )
    return True


def cautious(optimizer: Any, value: Any) -> bool:
    """`cautious` as a bool, raising where True is impossible."""
    reason = getattr(type(optimizer), "not_cautious_because", None)
    if value and reason:
        raise ValueError(
            f"cautious must be False for {type(optimizer).__name__}, got {value!r}: {reason}; leave it out"
        )
    return bool(value)


def exact_rows(optimizer):
    """Raise if an optimizer cannot keep rows exact."""
    reason = optimizer.not_exact_because or optimizer.not_lazy_because
    if reason:
        raise not_exact(optimizer, reason)
    if optimizer.cautious:
        raise not_exact(optimizer, "cautious=True counts over whole tensors")
    if optimizer._narrows:
        raise not_exact(optimizer, "state_dtype rounds states at every step")
    if not optimizer.use_fused_step:
        raise ValueError(f'{type(optimizer).__name__} with lazy_update="exact" needs use_fused_step=True')


def not_exact(optimizer, reason):
    """The error for exact rows where they cannot be."""
    return ValueError(
        f'{type(optimizer).__name__} cannot take lazy_update="exact": {reason}; leave lazy_update out'
    )


def lazy_word(value):
    """`lazy_update` as a bool or "exact"."""
    if isinstance(value, str) and value == "exact":
        return "exact"
    if isinstance(value, (bool, int, np.bool_)) and value in (0, 1):
        return bool(value)
    raise ValueError(f'lazy_update must be True, False or "exact", got {value!r}')


def masters(value: Any) -> bool | str:
    """`multi_precision` as a bool or "split"."""
    if isinstance(value, str) and value == "split":
        return "split"
    if isinstance(value, (bool, int, np.bool_)) and value in (0, 1):
        return bool(value)
    raise ValueError(f'multi_precision must be True, False or "split", got {value!r}')


def split_weight(optimizer: Any, index: Any, weight: Any) -> None:
    """Raise if a 16-bit weight cannot be the upper half of its master."""
    if weight.dtype.name != "bfloat16":
        raise TypeError(
            f'multi_precision="split" needs bfloat16 weights, of which float32 is the extension, and the '
            f"weight of {who(optimizer, index)} is {weight.dtype}; pass multi_precision=True"
        )


def narrow_slots(cls) -> tuple:
    """The slots of an optimizer's class that `state_dtype` applies to."""
    if not cls.built_in or not cls.declares_states or not cls._runs_own_rules:
        return ()
    return tuple(slot for slot in cls.state_slots if slot.numbers is not None)


def state_dtype(optimizer: Any, value: Any) -> str | dict[str, str] | None:
    """`state_dtype`, raising where the optimizer cannot keep its states so."""
    from .slots import WIDTHS

    if value is None:
        return None
    return _width(optimizer, "state_dtype", value, WIDTHS)


def state_dtypes(optimizer: Any, value: Any) -> dict[str, Any]:
    """`state_dtype` by patterns of names, checked as it is itself."""
    from .slots import WIDTHS

    if not isinstance(value, dict):
        raise TypeError(f"state_dtype by names must be a dict of patterns, got {value!r}")
    for pattern in value:
        if not isinstance(pattern, str):
            raise TypeError(f"a pattern of names must be a string, got {pattern!r}")
    return {
        pattern: None if width is None else _width(optimizer, f"state_dtype of {pattern!r}", width, WIDTHS)
        for pattern, width in value.items()
    }


def _width(optimizer, what, value, known):
    cls = type(optimizer)
    slots = narrow_slots(cls)
    names = [slot.name for slot in slots]
    reason = optimizer.not_narrow_because
    if not names and not reason:
        kept = [slot.name for slot in cls.state_slots]
        reason = f"its states ({', '.join(kept)}) must stay exact" if kept else "it has no states of its own"
        if not cls.built_in:
            reason = "only mxopt's own updates read them"
    if reason:
        raise ValueError(
            f"state_dtype must be left out for {cls.__name__}, got {value!r}: {reason}; drop the argument"
        )
    if optimizer.lazy_update == "exact":
        raise not_exact(optimizer, "state_dtype rounds states at every step")
    if not isinstance(value, dict):
        return one_of(what, value, known)
    for name, width in value.items():
        one_of(f"a name in {what}", name, names)
        one_of(f"{what} of {name}", width, known)
    return dict(value)


def gradient_shape(optimizer, index, weight, grad):
    """The error for a gradient whose shape differs from its weight's."""
    return ValueError(
        f"gradient of {who(optimizer, index)} must fit its weight of shape {weight.shape}, got shape "
        f"{grad.shape}"
    )


def swapped(optimizer: Any, index: Any) -> ValueError:
    """The error for a gradient that is the array stepped as the weight last time."""
    return ValueError(
        f"the gradient of {who(optimizer, index)} is the array that was stepped as its weight last time; the "
        "order is updater(index, grad, weight)"
    )


def narrow_states(optimizer: Any, index: Any, weight: Any, state: Any) -> None:
    """Warn about float32 states of a float64 weight: they lose half of its digits."""
    if not str(getattr(weight, "dtype", "")).endswith("float64"):
        return
    if any(slot.dtype == "float32" for slot in getattr(type(optimizer), "state_slots", ())):
        return  # as the class declares them
    parts = [state]
    while parts:
        part = parts.pop()
        if isinstance(part, (tuple, list)):
            parts += part
        elif str(getattr(part, "dtype", "")) == "float32":
            break
    else:
        return
    warnings.warn(
        f"states of {who(optimizer, index)} are float32 and its weight is float64 now; keep the weight "
        "float32, or start with new states: del updater.states[index]",
        UserWarning,
        stacklevel=outside(),
    )


def misspelt(optimizer: Any, index: Any, known: Any, beside: Any = ()) -> bool:
    """Warn about a new name that nearly equals a known one due for an update; return whether it did.

    All are due when a round is complete, save those that are stepped in the same call. Then another letter
    makes another name, as in netD and netG; letters that are swapped, missing or too many do not.
    """
    counts = getattr(optimizer, "_index_update_count", {})
    latest = max(counts.values(), default=0)
    if not isinstance(index, str) or latest < 2:  # names arrive one by one in the first round
        return False
    names = [name for name in known if isinstance(name, str) and name not in beside]
    waiting = [name for name in names if counts.get(name, 0) < latest]
    if not waiting:
        waiting = [n for n in names if len(n) != len(index) or sorted(n) == sorted(index) or len(names) == 1]
    close = difflib.get_close_matches(index, waiting[:2000], n=1, cutoff=0.8)
    digits = str.maketrans("", "", "0123456789")
    if not close or close[0].translate(digits) == index.translate(digits):  # fc1_weight and fc2_weight
        return False
    warnings.warn(
        f"{index!r} is new and starts with a state of its own; did you mean {close[0]!r}, which has been "
        f"updated {counts.get(close[0], 0)} times?",
        UserWarning,
        stacklevel=outside(),
    )
    return True


def records(value: Any) -> None:
    """Raise for what a logger does not keep."""
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(one, dict) and "step" in one for one in value
    ):
        raise TypeError(
            f"records must be those of a logger, got {type(value).__name__}; pass a StepLogger, the file of "
            "a CSVLogger, or a list of dicts with 'step'"
        )


def rate_sign(value: float | None) -> None:
    """Warn about a negative learning rate, which goes uphill."""
    if value is not None and value < 0:
        warnings.warn(
            f"learning_rate is negative, {value!r}: every step goes uphill; pass it positive, and "
            "rescale_grad=-1 to maximize",
            UserWarning,
            stacklevel=outside(),
        )


def key(index: Any) -> Any:
    """An index in the form that states are keyed by: bytes become str."""
    if isinstance(index, bytes):
        return index.decode("utf-8")
    if isinstance(index, str) or (hasattr(index, "__index__") and type(index).__hash__ is not None):
        return index
    order = "" if not hasattr(index, "shape") else "; the order is updater(index, grad, weight)"
    raise TypeError(f"an index must be an int or a str, got {type(index).__name__}{order}")


def float_weight(optimizer, index, weight):
    """Raise for a weight without a float dtype, before a state is made for it."""
    from .arrays import is_float

    if not is_float(weight.dtype):
        raise TypeError(
            f"weight of {who(optimizer, index)} must be {_DTYPES}, got {weight.dtype}; "
            "cast it with .astype('float32')"
        )
