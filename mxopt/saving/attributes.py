"""Optimizers and schedulers as data: which attributes of each a file holds, and their allowed values.

The list of attributes is closed. For mxopt's own classes it is what their constructors set, checked by these
constructors, or by the rules here if no argument corresponds. A file also carries data that the user has
attached, under names that mean nothing to mxopt. `described` and `restored` are the two sides of one schema:
whatever is written has passed the reader's checks.
"""

from __future__ import annotations

import copy
import functools
import inspect

import numpy as np

from .. import checks, dialects, kernels, lr_scheduler
from ..states import StateMismatch

#: held in other parts of a document, or live objects that no file holds
ELSEWHERE = ("param_dict", "lr_scheduler", "num_update", "_all_index_update_counts", "_index_update_count")
#: not in every optimizer or file: set by steps or by hand, or records of warnings given
OPTIONAL = {
    "cautious": False,
    "skip_nonfinite": False,
    "skipped": 0,
    "state_dtype": None,
    "state_dtypes": None,
    "state_seed": 0,
    "_unmatched_names": True,
    "_warned_of_half": False,
}
#: constructor arguments that are not data, or that the constructor checks against other arguments
_NOT_ARGUMENTS = ("lr_scheduler", "param_dict", "param_idx2name", "sym", "lazy_update", "use_fused_step",
                  "cautious", "skip_nonfinite", "state_dtype", "state_dtypes", "state_seed")  # fmt: skip

#: what checking a value may raise; none of these leaves this module
_WRONG = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)

_MOST = 1 << 62


def count(name, value):
    """An update count as an int.

    Raises
    ------
    ValueError
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if not whole or not 0 <= value < _MOST:
        raise ValueError(f"{name} must be a count, an integer of 0 or more, got {value!r}; counts are "
                         "integers from 0 on")  # fmt: skip
    return int(value)


def _multipliers(name, value):
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict, got {value!r}")
    return {key: checks.number(f"multiplier of {key!r}", one, tiny=True) for key, one in value.items()}


def _names(name, value):
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict, got {value!r}")
    for index, own in value.items():
        if not isinstance(own, str):
            raise TypeError(f"the name of index {index!r} must be a string, got {type(own).__name__}")
    return value


def _symbol(name, value):
    if not isinstance(value, (tuple, list)) or len(value) not in (0, 2):
        raise TypeError(f"{name} must be a pair of attributes and arguments, or empty, got {value!r}")
    if len(value):
        attributes, names = value
        words = isinstance(names, list) and all(isinstance(one, str) for one in names)
        if not words or not isinstance(attributes, dict):
            raise TypeError(f"{name} must be a dict of attributes by name and a list of names, got {value!r}")
        for own in attributes.values():
            if not isinstance(own, dict):
                raise TypeError(f"{name} must hold a dict of attributes for each name, got {own!r}")
            for key in ("__lr_mult__", "__wd_mult__"):
                checks.number(key, float(own.get(key, 1)), tiny=True)
    return value


def _number(name, value):
    # constructors judge their arguments themselves; what steps make of them may be tiny
    return checks.number(name, value, tiny=True) if not isinstance(value, np.ndarray) else value


def _not_nan(name, value):
    if value is None or float(value) != float(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return value


#: checks of attributes without a constructor argument, or that the constructor does not check
_RULES = {
    "begin_num_update": count,
    "init_updates": count,
    "skipped": count,
    "state_seed": count,
    "lr_mult": _multipliers,
    "wd_mult": _multipliers,
    "idx2name": _names,
    "sym_info": _symbol,
    "aggregate_num": _not_nan,
    "rescale_grad": lambda name, value: value,  # may be infinite (AdamW); `check_steps` says where it may not
}

#: by the type of an attribute's default, what a file may have there
_KINDS = {
    bool: ((bool, np.bool_, int), "True or False"),
    int: ((int, float, np.number, np.ndarray), "a number"),
    float: ((int, float, np.number, np.ndarray), "a number"),
    dict: (dict, "a dict"),
    tuple: ((tuple, list), "a tuple"),
    str: (str, "a string"),
}


def _judged(name, value, default):
    """A value checked as an attribute; errors name the attribute."""
    if name == "lazy_update":
        return checks.lazy_word(value)
    if name == "multi_precision":
        return checks.masters(value)
    if name in _RULES:
        value = _RULES[name](name, value)
    kinds, must_be = _KINDS.get(type(default), (object, ""))
    if not isinstance(value, kinds):
        # the learning rate is None where a scheduler decides
        if value is not None or name != "lr":
            raise TypeError(f"{name} must be {must_be}, got {value!r}")
    elif type(default) in (int, float) and name not in _RULES:
        _number(name, value)
    return value


# optimizers


@functools.cache
def _defaults(cls):
    """What the constructor of one of mxopt's own classes sets when called without arguments."""
    return vars(cls())


def defaults(cls):
    """A copy of the public attributes of one of mxopt's own classes, as its constructor sets them."""
    public = {name: value for name, value in _defaults(cls).items() if _is_public(name)}
    return copy.deepcopy(public)


def _is_public(name):
    return name not in ELSEWHERE and not name.startswith("_")


def described(optimizer):
    """An optimizer as data.

    Returns
    -------
    tuple of dict
        Its attributes, and those that the user has attached to an instance of one of mxopt's own classes.

    Raises
    ------
    StateMismatch
        Names whatever could not be read back.
    """
    cls = type(optimizer)
    own = dialects.nearest_own(cls)
    known = {*filter(_is_public, _defaults(own)), *OPTIONAL}
    hidden = _hidden(cls)
    attributes, attached = {}, {}
    for name, value in optimizer.__getstate__().items():
        if name in known:
            attributes[name] = value
        elif name not in ELSEWHERE and name not in hidden and (cls is not own or not name.startswith("_")):
            (attributes if cls is not own else attached)[name] = value
    return _judge(cls, attributes, attached, True, "this")[1:]


def restored(cls, attributes, attached=None, exact=True, whose="the file's"):
    """An optimizer with these attributes; its counts and scheduler start afresh.

    Parameters
    ----------
    cls : type
    attributes : dict
        All of them, or with ``exact=False`` those that differ from the constructor's.
    attached : dict, optional
        Attributes that the user has added to an instance of one of mxopt's classes.
    whose : str
        For messages.

    Raises
    ------
    StateMismatch
        Names the attribute.
    """
    new, attributes, attached = _judge(cls, attributes, attached or {}, exact, whose)
    state = {**new.__getstate__(), **attributes, **attached}
    if type(new) is not cls:
        new = cls.__new__(cls)
    new.__setstate__(state)
    return new


def _hidden(cls):
    """The private attributes that mxopt's own code sets on an optimizer; rebuilt, not saved."""
    made = {*_defaults(dialects.nearest_own(cls)), *dialects.names_of_ours(cls)}
    return {name for name in made - OPTIONAL.keys() if name.startswith("_")}


def _judge(cls, attributes, attached, exact, whose):
    """A new built-in optimizer, constructed from these attributes, and the checked attributes."""
    own = dialects.nearest_own(cls)
    attributes, attached = dict(attributes), dict(attached)
    try:
        for name in (*attributes, *attached):
            if not isinstance(name, str):
                raise TypeError(f"the name of an attribute must be a string, got {name!r}")
        default = _defaults(own)
        known = {name: value for name, value in default.items() if _is_public(name)}
        if cls is own and exact:
            _same_names(cls, known, attributes, whose)
        known.update(OPTIONAL)
        _refuse_ours(cls, (*(name for name in attributes if name not in known), *attached))
        arguments = {attribute for _, attribute, _ in _parameters(own)}
        for name in known.keys() & attributes.keys():
            if attributes[name] is not None or name not in arguments:  # the constructor judges None
                attributes[name] = _judged(name, attributes[name], known[name])
        new = own(**_arguments(own, attributes, default))
        lazy = attributes.get("lazy_update")
        if isinstance(lazy, str) or (lazy and own.not_lazy_because):
            checks.lazy_update(new, lazy)
        if attributes.get("state_dtype") is not None:
            attributes["state_dtype"] = checks.state_dtype(new, attributes["state_dtype"])
        if attributes.get("state_dtypes") is not None:
            attributes["state_dtypes"] = checks.state_dtypes(new, attributes["state_dtypes"])
        for name, rule in rules_of_progress(cls).items():
            if name in attributes and rule is not None:
                attributes[name] = rule(attributes[name])
    except _WRONG as error:
        if isinstance(error, StateMismatch):
            raise
        raise StateMismatch(f"{whose} {cls.__name__} cannot be: {error}") from None
    return new, attributes, attached


def _same_names(cls, known, given, whose):
    missing, surplus = known.keys() - given.keys(), given.keys() - known.keys() - OPTIONAL.keys()
    if missing or surplus:
        raise StateMismatch(
            f"{whose} {cls.__name__.lower()!r} has other hyper-parameters than this one: the file lacks "
            f"{sorted(missing)}, this mxopt does not know {sorted(surplus)}"
        )


def _refuse_ours(cls, names):
    ours = {*dialects.names_of_ours(cls), *_hidden(cls)}
    for name in names:
        if name in ours or name.startswith("__"):
            raise ValueError(f"{name} is not data of the optimizer; give the attribute another name")
        if name.startswith("_") and dialects.nearest_own(cls) is cls:
            raise ValueError(f"{name} is not an attribute of it; one of your own begins with a letter")


def _arguments(own, attributes, default):
    """The constructor's arguments for the attributes that differ from their defaults."""
    found = {}
    for name, source, _ in _parameters(own):
        given = name not in _NOT_ARGUMENTS and source in attributes and source in default
        if given and not _same(attributes[source], default[source]):
            found.setdefault(name, attributes[source])
    if "eps" in found and "epsilon" in found:
        del found["epsilon"]
    return found


def _parameters(own):
    """(name, attribute where it is kept, `inspect.Parameter`) of the parameters of all constructors."""
    sources = {"learning_rate": "lr", "eps": own.renamed.get("epsilon", "eps")}
    for base in own.__mro__:
        if "__init__" in vars(base):
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                yield name, sources.get(name, name), parameter


def _is_number(parameter):
    return type(parameter.default) in (int, float) or str(parameter.annotation).startswith("float")


def _same(one, other):
    return type(one) is type(other) and one == other


def hyper_parameters(cls):
    """The attributes of one of mxopt's own classes that are numbers which its constructor judges.

    Empty for other classes, whose attributes mean what their authors say, and without what every step of a
    Trainer sets anew, or a step itself.
    """
    if dialects.nearest_own(cls) is not cls:
        return frozenset()
    found = {attribute for _, attribute, given in _parameters(cls) if _is_number(given)}
    return frozenset(found - {"rescale_grad", "begin_num_update", "aggregate_num", *rules_of_progress(cls)})


def judge_change(optimizer, name, value):
    """Raise for a new value of a hyper-parameter what the constructor would raise, given the others."""
    # Nothing else depends on these two, and scripts set them step by step.
    if name == "wd":
        checks.number(name, value)
    elif name == "lr":
        if value is not None:
            checks.rate_sign(checks.number("learning_rate", value))
        elif optimizer.lr_scheduler is None:
            raise TypeError(
                "learning_rate must be a number, got None; without a scheduler nothing else decides it"
            )
    else:
        cls = type(optimizer)
        arguments = _arguments(cls, {**vars(optimizer), name: value}, _defaults(cls))
        arguments.pop("learning_rate", None)  # a negative one was warned of when it was set
        cls(**arguments)


def rules_of_progress(cls):
    """The attributes that steps change, with a check for each; None for a custom class's."""
    progress = cls.progress
    return progress if isinstance(progress, dict) else dict.fromkeys(progress)


def judged_progress(optimizer, progress):
    """A file's progress for an optimizer of the same class, checked."""
    name, rules = type(optimizer).__name__.lower(), rules_of_progress(type(optimizer))
    result = {}
    for key, value in progress.items():
        if key not in rules:
            raise StateMismatch(
                f"the file says how far {key!r} of {name!r} had come, which {name!r} does not have"
            )
        try:
            rule = rules[key]
            result[key] = _judged(key, value, getattr(optimizer, key)) if rule is None else rule(value)
        except _WRONG as error:
            raise StateMismatch(f"the file's {name} cannot be: {error}") from None
    return result


def check_steps(optimizer, whose="the file's"):
    """Raise for a built-in optimizer if its next step would raise, whatever its weights are.

    Raises
    ------
    StateMismatch
        With the step's error message.
    """
    cls = type(optimizer)
    if dialects.nearest_own(cls) is not cls or not optimizer.rules:
        return
    trial, scheduler = copy.copy(optimizer), optimizer.lr_scheduler
    counts = optimizer._index_update_count.values()
    t = max((optimizer.begin_num_update, optimizer.num_update, *counts)) + 1
    try:
        if scheduler is None:
            lr = trial.lr
        elif type(scheduler) in lr_scheduler.OWN:
            lr = copy.deepcopy(scheduler)(t)
        else:
            lr = 0.01  # loading runs no user code
        lr, wd = float(lr), float(trial.wd)
        checks.scalars(("lr", "wd"), (lr, wd))
        if not optimizer._has_multipliers():  # multipliers may bring a rate back into the allowed range
            trial.check_rates(0, lr, wd)
        trial._scalars([(t, lr, wd)], kernels.Ledger({}, (), 0, trial))
    except _WRONG as error:
        raise StateMismatch(f"{whose} {cls.__name__} would not step: {error}") from None


# schedulers


def described_scheduler(scheduler):
    """A scheduler as data: its class's name, its attributes, and those that the user has attached."""
    if scheduler is None:
        return None
    cls = type(scheduler)
    if scheduler_class(cls.__name__) is not cls:
        raise StateMismatch(
            f"lr_scheduler is {scheduler!r}, which is not an instance of a subclass of LRScheduler; no "
            "file can hold it"
        )
    attributes, attached = dict(vars(scheduler)), {}
    if cls in lr_scheduler.OWN:
        known = _attributes_of_scheduler(cls)
        attached = {name: attributes.pop(name) for name in [*attributes] if name not in known}
    restored_scheduler(cls.__name__, attributes, attached, whose="this")
    found = {"class": cls.__name__, "attributes": attributes}
    return {**found, "attached": attached} if attached else found


def scheduler_class(name):
    """The scheduler class of that name, built in or custom; None if there is none."""
    classes = [lr_scheduler.LRScheduler]
    for cls in classes:
        if cls.__name__ == name:
            return cls
        classes += cls.__subclasses__()
    return None


#: attribute of a scheduler: the constructor argument, where the names differ
_ARGUMENT_OF = {"warmup_final_lr": "base_lr", "power": "pwr"}
#: attributes that are judged one by one, and that calls may change
_MOVING = {"base_lr", "count", "cur_step_ind", "base_lr_orig", "max_steps"}


@functools.cache
def _attributes_of_scheduler(cls):
    needed = {"step": [1] if cls is lr_scheduler.MultiFactorScheduler else 1, "max_update": 1, "period": 1}
    arguments = {name: value for name, value in needed.items() if name in inspect.signature(cls).parameters}
    return frozenset(vars(cls(**arguments)))


def restored_scheduler(name, attributes, attached=None, whose="the file's"):
    """A scheduler with these attributes, at the position they give."""
    cls = scheduler_class(name)
    if cls is None:
        raise StateMismatch(
            f"the file's learning-rate scheduler is a {name!r}, which is not known; define that subclass "
            "of LRScheduler first"
        )
    own, attached = lr_scheduler.nearest_own(cls), attached or {}
    known = _attributes_of_scheduler(own)
    ours = {key for base in own.__mro__ for key in vars(base)}
    try:
        for key in (*attributes, *attached):
            if not isinstance(key, str):
                raise TypeError(f"the name of an attribute must be a string, got {key!r}")
            if key in ours or key.startswith("__"):
                raise ValueError(f"{key} is not data of the scheduler; give the attribute another name")
        if cls is own and attributes.keys() != known:
            raise ValueError(
                f"it lacks {sorted(known - attributes.keys())}, and {sorted(attributes.keys() - known)} is "
                "not its own"
            )
        if known <= attributes.keys():
            _judge_scheduler(own, attributes)
    except _WRONG as error:
        raise StateMismatch(f"{whose} {name} cannot be: {error}") from None
    new = cls.__new__(cls)
    vars(new).update(attributes)
    vars(new).update(attached)
    return new


def _judge_scheduler(own, attributes):
    """Check a scheduler's attributes with its constructor, and its position against its settings."""
    given = {_ARGUMENT_OF.get(name, name): attributes[name] for name in attributes if name != "base_lr"}
    parameters = inspect.signature(own).parameters
    made = own(**{name: value for name, value in given.items() if name in parameters})
    # What no argument sets is as the constructor left it.
    for name in _attributes_of_scheduler(own) - _MOVING:
        if _ARGUMENT_OF.get(name, name) not in parameters and attributes[name] != getattr(made, name):
            raise ValueError(f"{name} must be {getattr(made, name)!r}, got {attributes[name]!r}")
    if not isinstance(attributes["base_lr"], (int, float, np.integer, np.floating)):
        raise TypeError(f"base_lr must be a number, got {attributes['base_lr']!r}")
    checks.number("base_lr", attributes["base_lr"], tiny=True)
    if "count" in attributes:
        done = checks.number("count", attributes["count"], low=0)
        if done >= _MOST:
            raise ValueError(f"count must be below 2**62, got {attributes['count']!r}")
    if "cur_step_ind" in attributes:
        at = count("cur_step_ind", attributes["cur_step_ind"])
        if at > len(attributes["step"]):
            raise ValueError(f"cur_step_ind must be at most {len(attributes['step'])}, got {at}")
    for name in ("base_lr_orig", "max_steps"):
        if name in attributes:
            found = checks.number(name, attributes[name], tiny=True)
            if name == "max_steps" and found != made.max_steps:
                raise ValueError(f"max_steps must be {made.max_steps}, got {found}")


# counts


def checked_count(value):
    """An update count from a file as an int."""
    try:
        return count("an update count", value)
    except ValueError:
        raise StateMismatch(
            f"the file has the update count {value!r}; counts are integers from 0 on"
        ) from None


def linked_counts(counts, selected):
    """The counts of all devices and the number of the selected one, checked."""
    if counts is None:  # before 1.3 there was one device
        counts = {0: selected}
    if not isinstance(counts, dict) or not all(isinstance(one, dict) for one in [*counts.values(), selected]):
        raise StateMismatch("the file's update counts are not dicts of counts")
    if not all(isinstance(device, (int, np.integer)) for device in counts):
        raise StateMismatch("the file's update counts are not those of numbered devices")
    checked = {
        device: {key: checked_count(value) for key, value in one.items()} for device, one in counts.items()
    }
    device = next((device for device, one in counts.items() if one is selected), None)
    if device is None:
        selected = {key: checked_count(value) for key, value in selected.items()}
        device = next((device for device, one in checked.items() if one == selected), 0)
    return checked, device


def count_from(optimizer, counts, device):
    """Give an optimizer update counts by device, and select a device."""
    optimizer._all_index_update_counts = counts
    optimizer._index_update_count = counts.setdefault(device, {})
