"""Optimizers as data and back: between MXNet's records, the two dialects, and live objects.

This module knows what only MXNet's files have: class paths, and the attributes that were renamed between 1.x
and 2.x. For the order of states see `mxopt.saving.orders`.
"""

from __future__ import annotations

import numpy as np

from .. import dialects, lr_scheduler
from ..dialects import is_built_in
from ..states import StateMismatch
from ..states.mxnet_pickle import Record
from . import attributes, orders

_BASE = (
    "rescale_grad", "lr_scheduler", "lr", "wd", "lr_mult", "wd_mult", "begin_num_update", "num_update",
    "_all_index_update_counts", "_index_update_count", "clip_gradient", "multi_precision", "aggregate_num",
    "idx2name", "sym_info", "allow_np_array",
)  # fmt: skip
_BASE_OF = {"1.x": _BASE, "2.x": (*_BASE, "use_fused_step")}

#: the attributes that MXNet's classes have besides those of the base, by dialect
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

#: attributes of MXNet's objects that ours do not use
_MXNET_ONLY = {"weight_previous": {}, "skip": 0, "last_lr": None, "cur_lr": None}

#: attributes whose values mean something in their own dialect alone
_OF_A_DIALECT = ("aggregate_num", "allow_np_array", "use_fused_step")

#: the classes of MXNet 2.x that have `step` only, and raise when asked for `fused_step`
_NOT_FUSED = ("adadelta", "adamax", "nadam", "dcasgd", "sgld", "test")

_MODULE_OF = {"adamw": "adamW", "groupadagrad": "contrib", "test": "optimizer"}


# MXNet's records


def dialect_of_record(record):
    """The dialect of the MXNet that has a class of that path; None for a custom class."""
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
    """The optimizer of an MXNet file as an instance of `cls`, and the attributes that `cls` does not have."""
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
        known = set(attributes.defaults(dialects.nearest_own(cls)))
        if own is not None:
            known &= {*_BASE_OF[dialect.name], *own.split()}
        if dialect_of_record(record) is not dialect:
            plain = orders.translated(plain, name, dialect)
            known -= {*_OF_A_DIALECT}
        ignored = [key for key in plain if key not in known and key not in (*_MXNET_ONLY, *_OF_A_DIALECT)]
        plain = {key: value for key, value in plain.items() if key in known}
    else:
        ignored = []
    for key, value in plain.items():
        _check_plain(value, f"{record.name}.{key}")
    new = attributes.restored(cls, plain, exact=False)
    if scheduler is not None:
        if not isinstance(scheduler, Record):
            raise StateMismatch(
                f"the file's learning-rate scheduler is {scheduler!r}, which is not a scheduler"
            )
        new.lr_scheduler = attributes.restored_scheduler(scheduler.name, scheduler.attributes or {})
    counts, device = attributes.linked_counts(counts, selected)
    attributes.count_from(new, counts, device)
    new.num_update = attributes.checked_count(number)
    return new, ignored


def _check_plain(value, where):
    if isinstance(value, Record):
        raise StateMismatch(f"{where} is an object of {value.path}, which cannot be made again")
    if isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, where)


def to_record(optimizer, dialect):
    """A live optimizer as the object that the dialect's MXNet would have written.

    Raises
    ------
    StateMismatch
        For what MXNet does not have: other optimizers, custom schedulers.
    """
    name = type(optimizer).__name__.lower()
    own = _OWN[dialect.name].get(name)
    if own is None or not is_built_in(optimizer):
        raise StateMismatch(
            f"MXNet {dialect.name} has no optimizer {name!r}; its states alone can be written "
            "(dump_optimizer=False)"
        )
    cls = dialect.registry.classes[name]
    default = attributes.defaults(dialects.nearest_own(cls))
    given = orders.translated(vars(optimizer), name, dialect)
    if dialects.of(optimizer) is not dialect:
        given = {key: value for key, value in given.items() if key not in _OF_A_DIALECT}
    values = {**_MXNET_ONLY, **default, **given}
    values["allow_np_array"] = dialect.name == "2.x"
    if name in _NOT_FUSED:
        values["use_fused_step"] = False
    if values.get("lazy_update") == "exact":
        values["lazy_update"] = False  # whose bits it gives
    if values.get("multi_precision") == "split":
        values["multi_precision"] = True  # whose numbers it gives
    if optimizer.lr_scheduler is not None:
        values["lr_scheduler"] = _scheduler_record(optimizer.lr_scheduler)
    found = {}
    for key in (*_BASE_OF[dialect.name], *own.split()):
        if key not in values:
            raise StateMismatch(
                f"MXNet {dialect.name}'s {name!r} needs {key!r}, which this optimizer does not have"
            )
        found[key] = values[key]
    if dialect.name == "2.x":
        return Record(f"mxnet.optimizer.{_MODULE_OF.get(name, name)}", cls.__name__, found)
    module = "contrib" if name == "groupadagrad" else "optimizer"
    return Record(f"mxnet.optimizer.{module}", cls.__name__, found)


def _scheduler_record(scheduler):
    cls = type(scheduler)
    if cls not in lr_scheduler.OF_MXNET:
        raise StateMismatch(
            f"MXNet has no learning-rate scheduler {cls.__name__!r}, so it cannot be written for it"
        )
    return Record("mxnet.lr_scheduler", cls.__name__, attributes.described_scheduler(scheduler)["attributes"])
