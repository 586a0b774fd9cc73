"""The document of our own format: how a file describes an updater, written and read.

`describe` writes, `READERS` read. Both run the same checks (`attributes`), so that whatever is written can be
read back. A new version of the format needs a new entry in `READERS`, and code that writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .. import checks, dialects, loss_scaling
from .._version import __version__
from ..states import ForeignStateFile, StateMismatch, native
from . import attributes, narrow, orders, rows
from .undecided import is_pair, still_undecided

# writing


def describe(updater, dump_optimizer=False):
    """What our format records about an updater, as a tree of plain data and arrays.

    Parameters
    ----------
    updater : Updater
    dump_optimizer : bool
        Whether to include hyper-parameters, multipliers and scheduler.

    Raises
    ------
    StateMismatch
        Names whatever could not be read back.
    """
    optimizer = updater.optimizer
    name, dialect = type(optimizer).__name__.lower(), dialects.of(optimizer)
    described = {"name": name, "dialect": dialect.name}
    if dump_optimizer:
        if dialect.registry.classes.get(name) is not type(optimizer):
            raise StateMismatch(
                f"the optimizer is a {type(optimizer).__name__}, which is not registered, so no file can "
                f"name it; {optimizer.cure_of_unnamed}save without dump_optimizer"
            )
        attributes.check_steps(optimizer, "this")
        described["attributes"], attached = attributes.described(optimizer)
        if attached:
            described["attached"] = attached
        described["scheduler"] = attributes.described_scheduler(optimizer.lr_scheduler)
    counts, selected = optimizer._all_index_update_counts, optimizer._index_update_count
    counts, device = attributes.linked_counts(counts, selected)
    check_states(updater)
    undecided, scaler, averages = still_undecided(updater), updater._scaler, updater._averages
    return {
        "writer": f"mxopt {__version__}",
        "optimizer": described,
        "names": names_of(updater),
        "counts": {
            "num_update": attributes.checked_count(optimizer.num_update),
            "device": device,
            "devices": counts,
        },
        "progress": {key: getattr(optimizer, key) for key in attributes.rules_of_progress(type(optimizer))},
        "states": narrow.described(rows.of_updater(updater)),
        **({"undecided": undecided.described()} if undecided else {}),
        **({"loss_scale": scaler.described()} if scaler is not None else {}),
        **({"averages": averages.described()} if averages is not None else {}),
    }


def check_states(updater):
    """Raise for states that the updater's optimizer does not keep: loading could not restore them."""
    optimizer = updater.optimizer
    arrange = orders.Arrangement(optimizer, optimizer)
    for key, state in updater.states.items():
        if arrange.take_apart(state) is None:
            raise StateMismatch(
                f"the state of {checks.who(optimizer, key)} is {orders.spelled(state)}, and "
                f"{type(optimizer).__name__.lower()!r} with its present hyper-parameters keeps "
                f"{arrange.spelled}"
            )


def names_of(updater):
    """The name of each index that has one."""
    optimizer = updater.optimizer
    names = {key: name for key, name in optimizer.idx2name.items() if isinstance(name, str)}
    for key, parameter in optimizer.param_dict.items():
        name = getattr(parameter, "name", None)
        if isinstance(name, str):
            names.setdefault(key, name)
    return names


def array_names(updater):
    """The names of arrays in a file: ``states/fc1_weight/mean`` rather than ``states/0/0``."""
    own = orders.Arrangement(updater.optimizer, updater.optimizer)
    owners, names = names_of(updater), {}
    for key, state in updater.states.items():
        for path, name in own.leaf_names(state).items():
            for part in narrow.parts(state, path):
                names[("states", key, *path, *part)] = "states", owners.get(key, key), name, *part
    for part in ("arrays", "marks"):
        for key in getattr(updater._averages, part, ()):
            names["averages", part, key] = "averages", part, owners.get(key, key)
    return names


# reading


@dataclass
class Document:
    """What a file says, checked as far as possible without an optimizer.

    Attributes
    ----------
    writer, name : str
        The program that wrote it, and the optimizer.
    dialect : Dialect
    dumped : dict or None
        The optimizer's attributes, if the file has them.
    attached : dict
        Attributes that the user has added to it.
    scheduler : dict or None
        Its ``class``, ``attributes`` and what is ``attached`` to it.
    names : dict
    number, device : int
    counts : dict of int to dict
        By device.
    progress, states : dict
    undecided : list
        The keys of pairs in which either array may be the master.
    readings : list of Dialect
        The dialects whose order the states may be in.
    loss_scale : dict or None
        See `mxopt.loss_scaling.LossScale.described`.
    averages : dict or None
        See `mxopt.optimizer.averages.Averages.described`.
    """

    writer: str
    name: str
    dialect: dialects.Dialect
    names: dict
    number: int
    device: int
    counts: dict
    progress: dict
    states: dict
    dumped: dict | None = None
    attached: dict = field(default_factory=dict)
    scheduler: dict | None = None
    undecided: list = field(default_factory=list)
    readings: list = field(default_factory=list)
    loss_scale: dict | None = None
    averages: dict | None = None


_PARTS = {"writer": str, "optimizer": dict, "names": dict, "counts": dict, "progress": dict, "states": dict}
_OPTIMIZER = {"name": str, "dialect": str}
_COUNTS = {"num_update": int, "device": int, "devices": dict}
_SCHEDULER = {"class": str, "attributes": dict}
_UNDECIDED = {"states": list, "readings": list}
_AVERAGES = {"decay": float, "arrays": dict, "steps": dict, "marks": dict}


def _check(part, types, where, optional=()):
    """Check that the named parts are there, of the right types, and no others."""
    for name, kind in types.items():
        if not isinstance(part, dict) or not isinstance(part.get(name), kind) or part.get(name) is True:
            raise ForeignStateFile(f"{where} must have {name!r}, a {kind.__name__}")
    surplus = [name for name in part if name not in types and name not in optional]
    if surplus:
        raise ForeignStateFile(f"{where} has the unknown part {surplus[0]!r}")


def read_1(tree):
    """The document of version 1, first written by 0.1.0.

    Raises
    ------
    StateFileError
        Names the faulty part.
    """
    _check(tree, _PARTS, "the document", ("undecided", "loss_scale", "averages"))
    described, counts = tree["optimizer"], tree["counts"]
    _check(described, _OPTIMIZER, "the document's optimizer", ("attributes", "attached", "scheduler"))
    _check(counts, _COUNTS, "the document's counts")
    if not all(isinstance(name, str) for name in tree["names"].values()):
        raise ForeignStateFile("the document's names must be strings")
    try:
        dialect = dialects.get(described["dialect"])
    except ValueError as error:
        raise StateMismatch(f"the file's {error}") from None
    found = Document(
        writer=tree["writer"],
        name=described["name"],
        dialect=dialect,
        names=tree["names"],
        number=attributes.checked_count(counts["num_update"]),
        device=counts["device"],
        counts=attributes.linked_counts(counts["devices"], {})[0],
        progress=tree["progress"],
        states=narrow.read(tree["states"]),
    )
    if "attributes" in described:
        parts = {"attributes": dict, **({"attached": dict} if "attached" in described else {})}
        _check(described, {**_OPTIMIZER, **parts}, "the document's optimizer", ("scheduler",))
        found.dumped, found.attached = described["attributes"], described.get("attached", {})
        found.scheduler = described.get("scheduler")
        if found.scheduler is not None:
            _check(found.scheduler, _SCHEDULER, "the document's scheduler", ("attached",))
            if not isinstance(found.scheduler.get("attached", {}), dict):
                raise ForeignStateFile("the document's scheduler must have 'attached', a dict")
    if "loss_scale" in tree:
        found.loss_scale = tree["loss_scale"]
        if not loss_scaling.is_described(found.loss_scale):
            raise ForeignStateFile(
                "the document's 'loss_scale' must have dynamic, a positive scale, and the counts steps and "
                "skipped"
            )
    if "averages" in tree:
        found.averages = _read_averages(tree["averages"])
    if tree.get("undecided") is not None:
        _read_undecided(found, tree["undecided"])
    return found


def _read_averages(averages):
    _check(averages, _AVERAGES, "the document's 'averages'")
    arrays, steps, marks = (averages[name] for name in ("arrays", "steps", "marks"))
    counted = arrays.keys() == steps.keys() and all(type(n) is int and 0 <= n < 2**31 for n in steps.values())
    wide = all(getattr(array, "dtype", None) in (np.float32, np.float64) for array in arrays.values())
    if not counted or not wide or not 0 <= averages["decay"] < 1:
        raise ForeignStateFile(
            "the document's 'averages' must have a decay within [0, 1), arrays of float32 or float64, and "
            "the count of steps of each"
        )
    for key, mark in marks.items():
        fits = getattr(mark, "dtype", None) == np.int32 and mark.shape == np.shape(arrays.get(key))[:1]
        if not fits or ((mark < 0) | (mark > steps[key])).any():
            raise ForeignStateFile(
                "the document's 'averages' must have marks of each row of a table, none above its steps"
            )
    return averages


def _read_undecided(found, undecided):
    _check(undecided, _UNDECIDED, "the document's 'undecided'")
    keys, readings = undecided["states"], undecided["readings"]
    known = all(isinstance(key, (int, str)) for key in keys)
    pairs = known and all(is_pair(found.states.get(key)) for key in keys)
    names = all(isinstance(name, str) for name in readings) and sorted(readings) == sorted(dialects.NAMES)
    if not pairs or not names:
        raise ForeignStateFile("the document's 'undecided' must name pairs of arrays and both dialects")
    found.undecided, found.readings = keys, [dialects.get(name) for name in readings]


#: version of the format: how its document is read
READERS = {"1": read_1}


def load(source):
    """The document of a file in our format, of any readable version; see `mxopt.states.native.load`."""
    version, tree = native.load_version(source)
    return READERS[version](tree)
