"""Optimizers as data and back: between MXNet's records, the two dialects, and live objects.

What stands here is what only MXNet's files know: class paths, and the attributes that were renamed between
1.x and 2.x. The orders of states are said in `mxopt.saving.orders`.
"""

from __future__ import annotations

import inspect
import math

import numpy as np

from .. import dialects, lr_scheduler
from ..dialects import is_built_in
from ..states import StateMismatch
from ..states.mxnet_pickle import Record

#: live objects, which no file holds; `param_dict` is left out by MXNet too
_LIVE = ("param_dict",)
#: said in a document's other parts
ELSEWHERE = (*_LIVE, "lr_scheduler", "num_update", "_all_index_update_counts", "_index_update_count")
#: what a constructor takes that is not data, or that its own checks judge by other arguments
_NOT_ARGUMENTS = ("lr_scheduler", "param_dict", "param_idx2name", "sym", "lazy_update", "use_fused_step")

_BASE = (
    "rescale_grad", "lr_scheduler", "lr", "wd", "lr_mult", "wd_mult", "begin_num_update", "num_update",
    "_all_index_update_counts", "_index_update_count", "clip_gradient", "multi_precision", "aggregate_num",
    "idx2name", "sym_info", "allow_np_array",
)  # fmt: skip
_BASE_OF = {"1.x": _BASE, "2.x": (*_BASE, "use_fused_step")}

#: the attributes that MXNet's classes have beside those of the base, by dialect
_OWN = {
    "1.x": {
        "sgd": "momentum lazy_update",
        "ccsgd": "momentum lazy_update",
        "nag": "momentum",
        "signum": "momentum wd_lh",
        "ftml": "beta1 beta2 epsilon",
        "lars": "momentum momentum_correction lazy_update eta eps skip last_lr cur_lr",
        "lbsgd": "momentum warmup_strategy warmup_epochs batch_scale updates_per_epoch init_updates "
        "num_epochs lbmult cumgrads adaptive admult",
        "lamb": "beta1 beta2 epsilon lower_bound upper_bound bias_correction",
        "dcasgd": "momentum weight_previous lamda",
        "sgld": "",
        "test": "",
        "adam": "beta1 beta2 epsilon lazy_update",
        "adamax": "beta1 beta2",
        "nadam": "beta1 beta2 epsilon schedule_decay m_schedule",
        "adagrad": "float_stable_eps",
        "groupadagrad": "float_stable_eps",
        "rmsprop": "gamma1 gamma2 centered epsilon clip_weights",
        "adadelta": "rho epsilon",
        "ftrl": "lamda1 beta",
    },
    "2.x": {
        "sgd": "momentum lazy_update",
        "nag": "momentum",
        "signum": "momentum wd_lh",
        "ftml": "beta1 beta2 epsilon",
        "lars": "lazy_update momentum eta epsilon",
        "lamb": "beta1 beta2 epsilon lower_bound upper_bound bias_correction",
        "lans": "beta1 beta2 epsilon lower_bound upper_bound",
        "dcasgd": "momentum weight_previous lamda",
        "sgld": "",
        "test": "",
        "adam": "beta1 beta2 epsilon lazy_update",
        "adamw": "beta1 beta2 epsilon correct_bias",
        "adabelief": "beta1 beta2 epsilon correct_bias",
        "adamax": "beta1 beta2 epsilon",
        "nadam": "beta1 beta2 epsilon schedule_decay m_schedule",
        "adagrad": "epsilon",
        "groupadagrad": "epsilon",
        "rmsprop": "rho momentum centered epsilon clip_weights",
        "adadelta": "rho epsilon",
        "ftrl": "lamda1 beta",
    },
}

#: what MXNet's objects have and ours have no use for
_MXNET_ONLY = {"weight_previous": {}, "skip": 0, "last_lr": None, "cur_lr": None}

#: attributes whose values mean something in their own dialect alone
_OF_A_DIALECT = ("aggregate_num", "allow_np_array", "use_fused_step")

#: the classes of MXNet 2.x that have `step` only, and raise when asked for the other
_NOT_FUSED = ("adadelta", "adamax", "nadam", "dcasgd", "sgld", "test")

_MODULE_OF = {"adamw": "adamW", "groupadagrad": "contrib", "test": "optimizer"}


def name_of(optimizer):
    """The name under which an optimizer's class is registered, or would be."""
    return type(optimizer).__name__.lower()


def registered_class(name, dialect):
    """The class of that name.

    Raises
    ------
    StateMismatch
        Where it is not registered; a class of the user's own has to be, before a file is loaded.
    """
    found = dialect.registry.classes.get(name)
    if found is None:
        raise StateMismatch(
            f"the file's optimizer {name!r} is not registered; define the class and register it, then "
            "load again"
        )
    return found


# optimizers


def attributes_of(optimizer):
    """What of an optimizer its class and the rest of a document do not say."""
    return {name: value for name, value in optimizer.__getstate__().items() if name not in ELSEWHERE}


def from_attributes(cls, attributes):
    """A new optimizer with these attributes.

    A constructor checks them: that of a built-in class all of them, that of the base class those which a
    class of a user's own has from it; the others are taken as they are.
    """
    built_in = is_built_in(cls)
    judge = cls if built_in else dialects.of(cls).base
    try:
        for name in attributes:
            if not isinstance(name, str):
                raise TypeError(f"the name of an attribute must be a string, got {name!r}")
        # only what differs: some constructors refuse keywords that only the other dialect has
        default = vars(judge())
        for name, value in default.items():
            check_kind(name, attributes.get(name, value), value)
        new = judge(
            **{
                name: attributes[source]
                for name in _arguments(judge)
                for source in ["lr" if name == "learning_rate" else name]
                if source in attributes and not _same(attributes[source], default.get(source))
            }
        )
        checked_count(attributes.get("begin_num_update", 0))
        for index, name in attributes.get("idx2name", {}).items():
            if not isinstance(name, str):
                raise TypeError(f"the name of index {index!r} must be a string, got {type(name).__name__}")
        for which in ("lr_mult", "wd_mult"):
            new._multipliers("", attributes.get(which, {}))
    except (TypeError, ValueError, AttributeError, AssertionError) as error:
        raise StateMismatch(f"the file's {cls.__name__} cannot be: {error}") from None
    checked = {**new.__getstate__(), **attributes}
    if not built_in:
        new = cls.__new__(cls)
    new.__setstate__(checked)
    return new


#: a one-element array is what some scripts make of rescale_grad
_NUMBERS = (int, float, np.number, np.ndarray)
#: for the type of an attribute's default, what a file may have there
_KINDS = {
    bool: ((bool, np.bool_, int), "True or False"),
    int: (_NUMBERS, "a number"),
    float: (_NUMBERS, "a number"),
    dict: (dict, "a dict"),
    tuple: ((tuple, list), "a tuple"),
}


def check_kind(name, value, default):
    """Refuse an attribute that is of another kind than its default; None is one's own concern.

    Raises
    ------
    TypeError
    """
    kinds, must_be = _KINDS.get(type(default), (object, ""))
    if value is not None and not isinstance(value, kinds):
        raise TypeError(f"{name} must be {must_be}, got {value!r}")


def _same(one, other):
    return type(one) is type(other) and one == other


def _arguments(cls):
    names = []
    for base in cls.__mro__:
        if "__init__" in vars(base):
            names += [
                name
                for name, parameter in inspect.signature(base.__init__).parameters.items()
                if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
                and name != "self"
                and name not in _NOT_ARGUMENTS
            ]
    return names


def count_from(optimizer, counts, device):
    """Give an optimizer update counts by device, and select one."""
    optimizer._all_index_update_counts = counts
    optimizer._index_update_count = counts.setdefault(device, {})


def counterpart(optimizer, dialect):
    """The same optimizer in another dialect, or None where that has no such optimizer.

    It shares the scheduler and the counts with the original.
    """
    if dialects.of(optimizer) is dialect:
        return optimizer
    name = name_of(optimizer)
    cls = dialect.registry.classes.get(name)
    if cls is None or not is_built_in(optimizer):
        return None
    new = cls()
    given = translated(vars(optimizer), name, dialect)
    vars(new).update(
        {key: value for key, value in given.items() if key in vars(new) and key not in _OF_A_DIALECT}
    )
    return new


def translated(attributes, name, dialect):
    """Attributes of either dialect under the names of one."""
    own, others = (getattr(d.registry.classes.get(name), "renamed", {}) for d in (dialect, dialect.other))
    renamed = {**{theirs: shared for shared, theirs in others.items()}, **own}
    return {renamed.get(key, key): value for key, value in attributes.items()}


# schedulers


def scheduler_class(name):
    """The scheduler class of that name, ours or one that the user has defined; None if there is none."""
    classes = [lr_scheduler.LRScheduler]
    for cls in classes:
        if cls.__name__ == name:
            return cls
        classes += cls.__subclasses__()
    return None


def scheduler_from(name, attributes):
    """A scheduler with these attributes, at the position they say."""
    cls = scheduler_class(name)
    if cls is None:
        raise StateMismatch(
            f"the file's learning-rate scheduler is a {name!r}, which is not known; define that subclass "
            "of LRScheduler first"
        )
    if cls.__module__ == lr_scheduler.__name__:
        for key, value in attributes.items():
            numbers = value if isinstance(value, list) else [value]
            if key != "warmup_mode" and not all(_is_number(number) for number in numbers):
                raise StateMismatch(f"the file's {name} cannot be: {key} must be a number, got {value!r}")
    new = cls.__new__(cls)
    vars(new).update(attributes)
    return new


def _is_number(value):
    try:
        return isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)
    except OverflowError:
        return False


# MXNet's records


def dialect_of_record(record):
    """The dialect whose MXNet has a class of that path; None for a class of a user's own."""
    modules = record.module.split(".")
    if modules[:2] != ["mxnet", "optimizer"]:
        return None
    if record.name == "GroupAdaGrad":
        old = "float_stable_eps" in record.attributes
    elif record.name == "Test":
        old = "use_fused_step" not in record.attributes
    else:
        old = modules[2:] in ([], ["optimizer"])
    return dialects.get("1.x" if old else "2.x")


def from_record(record, cls):
    """The optimizer of a file of MXNet as an instance of `cls`, and the attributes this has no place for."""
    name, dialect = cls.__name__.lower(), dialects.of(cls)
    plain = dict(record.attributes)
    scheduler = plain.pop("lr_scheduler", None)
    counts, selected = plain.pop("_all_index_update_counts", None), plain.pop("_index_update_count", {})
    number = plain.pop("num_update", 0)
    rate = plain.get("rescale_grad")
    if isinstance(rate, np.ndarray) and rate.size == 1:  # AdamW of 2.x leaves an array there
        plain["rescale_grad"] = float(rate.reshape(-1)[0])
    if is_built_in(cls):
        own = _OWN[dialect.name].get(name)
        known = {*_BASE_OF[dialect.name], *own.split()} if own is not None else {*vars(cls())}
        if dialect_of_record(record) is not dialect:
            plain = translated(plain, name, dialect)
            known -= {*_OF_A_DIALECT}
        known &= vars(cls()).keys()
        ignored = [key for key in plain if key not in known and key not in (*_MXNET_ONLY, *_OF_A_DIALECT)]
        plain = {key: value for key, value in plain.items() if key in known}
    else:
        ignored = []
    for key, value in plain.items():
        _check_plain(value, f"{record.name}.{key}")
    new = from_attributes(cls, plain)
    if scheduler is not None:
        if not isinstance(scheduler, Record):
            raise StateMismatch(
                f"the file's learning-rate scheduler is {scheduler!r}, which is not a scheduler"
            )
        new.lr_scheduler = scheduler_from(scheduler.name, scheduler.attributes)
    counts, device = linked_counts(counts, selected)
    count_from(new, counts, device)
    new.num_update = checked_count(number)
    return new, ignored


def linked_counts(counts, selected):
    """The counts of all devices and the number of the selected one, checked."""
    if counts is None:  # before 1.3 there was one device
        counts = {0: selected}
    if not isinstance(counts, dict) or not all(isinstance(one, dict) for one in [*counts.values(), selected]):
        raise StateMismatch("the file's update counts are not dicts of counts")
    if not all(isinstance(device, int) for device in counts):
        raise StateMismatch("the file's update counts are not those of numbered devices")
    checked = {
        device: {key: checked_count(value) for key, value in one.items()} for device, one in counts.items()
    }
    device = next((device for device, one in counts.items() if one is selected), None)
    if device is None:
        selected = {key: checked_count(value) for key, value in selected.items()}
        device = next((device for device, one in checked.items() if one == selected), 0)
    return checked, device


def checked_count(value):
    """An update count as an int."""
    if (
        isinstance(value, (bool, np.bool_))
        or not isinstance(value, (int, np.integer))
        or not 0 <= value < 1 << 62
    ):
        raise StateMismatch(f"the file has the update count {value!r}; counts are integers from 0 on")
    return int(value)


def _check_plain(value, where):
    if isinstance(value, Record):
        raise StateMismatch(f"{where} is an object of {value.path}, which cannot be made again")
    if isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, where)


def to_record(optimizer, dialect):
    """A live optimizer as the object that MXNet of a dialect would have written.

    Raises
    ------
    StateMismatch
        For what MXNet does not have: other optimizers, schedulers of one's own.
    """
    name = name_of(optimizer)
    own = _OWN[dialect.name].get(name)
    if own is None or not is_built_in(optimizer):
        raise StateMismatch(
            f"MXNet {dialect.name} has no optimizer {name!r}; its states alone can be written "
            "(dump_optimizer=False)"
        )
    optimizer = counterpart(optimizer, dialect)
    values = {**_MXNET_ONLY, **translated(vars(optimizer), name, dialect)}
    values["allow_np_array"] = dialect.name == "2.x"
    if name in _NOT_FUSED:
        values["use_fused_step"] = False
    if optimizer.lr_scheduler is not None:
        values["lr_scheduler"] = _scheduler_record(optimizer.lr_scheduler)
    attributes = {}
    for key in (*_BASE_OF[dialect.name], *own.split()):
        if key not in values:
            raise StateMismatch(
                f"MXNet {dialect.name}'s {name!r} needs {key!r}, which this optimizer does not have"
            )
        attributes[key] = values[key]
    cls = type(optimizer).__name__
    if dialect.name == "2.x":
        return Record(f"mxnet.optimizer.{_MODULE_OF.get(name, name)}", cls, attributes)
    return Record(f"mxnet.optimizer.{'contrib' if name == 'groupadagrad' else 'optimizer'}", cls, attributes)


def _scheduler_record(scheduler):
    cls = type(scheduler)
    if cls.__module__ != lr_scheduler.__name__:
        raise StateMismatch(
            f"MXNet has no learning-rate scheduler {cls.__name__!r}, so it cannot be written for it"
        )
    return Record("mxnet.lr_scheduler", cls.__name__, dict(vars(scheduler)))
