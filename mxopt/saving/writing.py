"""States to bytes and files and back: our format and MXNet's, whole or not at all."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from .. import checks, dialects
from .._version import __version__
from ..sparse import RowSparseArray
from ..states import ForeignStateFile, StateMismatch, files, kind_of, mxnet, native
from . import mxnet_objects, orders

FORMATS = ("mxopt", *mxnet.FORMATS)


@dataclass(frozen=True)
class LoadReport:
    """What loading a state file did.

    Attributes
    ----------
    kept : tuple
        Names (or indices, where there are no names) whose states were taken from the file.
    new : tuple
        Those that the optimizer knows and the file does not; their states start anew.
    dropped : tuple
        Those of the file that the optimizer does not know.
    ignored : tuple of str
        Attributes of a dumped MXNet optimizer that ours has no place for.
    """

    kept: tuple
    new: tuple = ()
    dropped: tuple = ()
    ignored: tuple = ()

    def __str__(self):
        counted = [f"{len(part)} {name}" for name, part in vars(self).items() if part or name == "kept"]
        return ", ".join(counted)


def get_states(updater, dump_optimizer=False, format="mxopt"):
    """The states of an updater as bytes.

    Parameters
    ----------
    updater : Updater
    dump_optimizer : bool, default False
        Whether the optimizer goes along: its hyper-parameters, multipliers and scheduler. Our own format
        keeps the update counts in any case, so that a resumed run goes on where it stopped.
    format : {'mxopt', 'mxnet-1.x', 'mxnet-2.x'}
        Ours, or the pickle that real MXNet 1.9.1 or 2.0 loads.

    Returns
    -------
    bytes

    Raises
    ------
    StateMismatch
        For what the format cannot hold, by its name.
    """
    return b"".join(_pieces(updater, dump_optimizer, format))


def save_states(updater, path, dump_optimizer=False, format="mxopt", keep_previous=False):
    """Write the states of an updater to a file; see `get_states`.

    The file is written beside its target, synced and renamed: a crash at any moment leaves the old file or
    the new one.

    Parameters
    ----------
    path : str or os.PathLike
    keep_previous : bool, default False
        Whether a file that is replaced stays as ``<path>.prev``.
    """
    if format != "mxopt":
        files.write_atomically(path, _pieces(updater, dump_optimizer, format), keep_previous)
        return
    with native.draft(document(updater, dump_optimizer), array_names(updater)) as (pieces, *head):
        files.write_atomically(path, pieces, keep_previous, head)


def set_states(updater, states, num_update=None, strict=True, rename=None, format=None):
    """Take states from bytes, ours or those that real MXNet wrote; no code of theirs is run.

    Where the optimizer knows its parameters by name and the file does too, states are matched by name;
    otherwise by index. A file with an optimizer in it replaces the updater's, as in MXNet.

    Parameters
    ----------
    updater : Updater
    states : bytes
    num_update : int, optional
        How many updates the states have seen, for files without update counts: those of MXNet without an
        optimizer. In other files it takes the place of their counts.
    strict : bool, default True
        Whether new and dropped parameters are an error.
    rename : dict, optional
        Names (or indices) of the file that are other names now.
    format : {'mxnet-1.x', 'mxnet-2.x'}, optional
        Which MXNet wrote the file, where the file itself does not say it.

    Returns
    -------
    LoadReport

    Raises
    ------
    StateFileError
        With the reason. The updater is then exactly as it was.
    """
    loading = _Loading(updater, num_update, strict, rename, format)
    if not isinstance(states, (bytes, bytearray, memoryview)):
        raise TypeError(f"states must be bytes, got {type(states).__name__}; load_states reads files")
    return loading.run(files.BufferSource(states))


def load_states(updater, path, num_update=None, strict=True, rename=None, format=None):
    """Take states from a file; see `set_states`."""
    loading = _Loading(updater, num_update, strict, rename, format)
    with files.open_for_reading(path) as file:
        return loading.run(files.FileSource(file))


def load_from(updater, source, num_update=None, strict=True, rename=None, format=None):
    """As `load_states`, from a source of `mxopt.states.files`."""
    return _Loading(updater, num_update, strict, rename, format).run(source)


# saving


def _pieces(updater, dump_optimizer, format):
    if format not in FORMATS:
        raise ValueError(f"format must be one of {FORMATS}, got {format!r}{checks.nearest(format, FORMATS)}")
    if format == "mxopt":
        return native.to_pieces(document(updater, dump_optimizer), array_names(updater))
    dialect = dialects.get(format.partition("-")[2])
    undecided = _still_undecided(updater)
    # the same generation's bare states leave as much open as those that were loaded
    if undecided and (dump_optimizer or dialect is not undecided.dialect):
        undecided.warn("no weight has been seen that would tell")
    optimizer = updater.optimizer
    target = mxnet_objects.counterpart(optimizer, dialect)
    if target is None:
        raise StateMismatch(
            f"MXNet {dialect.name} has no optimizer {mxnet_objects.name_of(optimizer)!r}, so its states "
            "cannot be written for it"
        )
    record = mxnet_objects.to_record(optimizer, dialect) if dump_optimizer else None
    arrange, states = orders.Arrangement(optimizer, target), {}
    for key, state in _by_rows(updater).items():
        arranged = arrange(state)
        if arranged is None:
            raise StateMismatch(
                f"the state of {checks.who(optimizer, key)} is {orders.spelled(state)}, and "
                f"{mxnet_objects.name_of(optimizer)!r} with its present hyper-parameters keeps "
                f"{arrange.spelled}"
            )
        states[key] = arranged[0]
    return mxnet.to_pieces(states, record, format)


def document(updater, dump_optimizer=False):
    """What our format says of an updater, as a tree of plain data and arrays."""
    optimizer = updater.optimizer
    name = mxnet_objects.name_of(optimizer)
    dialect = dialects.of(optimizer)
    described = {"name": name, "dialect": dialect.name}
    if dump_optimizer:
        if dialect.registry.classes.get(name) is not type(optimizer):
            raise StateMismatch(
                f"the optimizer is a {type(optimizer).__name__}, which is not registered, so no file can "
                "name it; register the class, or save without dump_optimizer"
            )
        described["attributes"] = mxnet_objects.attributes_of(optimizer)
        described["scheduler"] = _described_scheduler(optimizer.lr_scheduler)
    counts, selected = optimizer._all_index_update_counts, optimizer._index_update_count
    undecided = _still_undecided(updater)
    return {
        "writer": f"mxopt {__version__}",
        "optimizer": described,
        "names": _names(updater),
        "counts": {
            "num_update": optimizer.num_update,
            "device": next((device for device, one in counts.items() if one is selected), 0),
            "devices": counts,
        },
        "progress": {key: getattr(optimizer, key) for key in optimizer.progress},
        "states": _by_rows(updater),
        **({"undecided": undecided.described()} if undecided else {}),
    }


def _by_rows(updater):
    """The states, with those arrays as row-sparse ones (all rows) that MXNet kept so.

    MXNet makes lazy and standard updates according to the storage of weight and state.
    """
    states = dict(updater.states)
    for key, sparse in updater._row_sparse.items():
        if key in states:
            states[key] = _rows_of(states[key], sparse)
    return states


def _rows_of(state, sparse):
    if isinstance(sparse, tuple):
        fits = isinstance(state, tuple) and len(state) == len(sparse)
        return tuple(map(_rows_of, state, sparse)) if fits else state
    if not sparse or not isinstance(state, np.ndarray) or state.ndim == 0:
        return state
    return RowSparseArray(state, np.arange(len(state)), state.shape)


def _sparse_parts(state):
    """Which arrays of a state are row-sparse; None where none is."""
    if isinstance(state, tuple):
        parts = tuple(map(_sparse_parts, state))
        return parts if any(parts) else None
    return isinstance(state, RowSparseArray) or None


def _still_undecided(updater):
    if updater._undecided:
        updater._undecided.settle(updater.states, orders.known_weights(updater.optimizer))
    return updater._undecided


def _described_scheduler(scheduler):
    if scheduler is None:
        return None
    cls = type(scheduler)
    if mxnet_objects.scheduler_class(cls.__name__) is not cls:
        raise StateMismatch(
            f"lr_scheduler is {scheduler!r}, which is not an instance of a subclass of LRScheduler; no "
            "file can hold it"
        )
    return {"class": cls.__name__, "attributes": dict(vars(scheduler))}


def _names(updater):
    """The name of each index that bears one."""
    optimizer = updater.optimizer
    names = {key: name for key, name in optimizer.idx2name.items() if isinstance(name, str)}
    for key, parameter in optimizer.param_dict.items():
        name = getattr(parameter, "name", None)
        if isinstance(name, str):
            names.setdefault(key, name)
    return names


def array_names(updater):
    """How arrays are called in a file: ``states/fc1_weight/mean`` rather than ``states/0/0``."""
    own = orders.Arrangement(updater.optimizer, updater.optimizer)
    owners, names = _names(updater), {}
    for key, state in updater.states.items():
        for path, name in own.leaf_names(state).items():
            names[("states", key, *path)] = "states", owners.get(key, key), name
    return names


# loading


class _Loading:
    """One file on its way into an updater, which is not changed before `run` has everything together."""

    def __init__(self, updater, num_update, strict, rename, format):
        if num_update is not None:
            num_update = mxnet_objects.checked_count(num_update)
        if format not in (None, *mxnet.FORMATS):
            raise ValueError(f"format must be None or one of {mxnet.FORMATS}, got {format!r}")
        self.updater = updater
        self.num_update = num_update
        self.strict = strict
        self.rename = rename or {}
        self.format = format
        # what a file says
        self.states = self.names = None
        self.counts = self.device = self.number = None
        self.progress = {}
        self.ignored = ()
        # the keys of states that can be read in two ways, and the generations whose ways these are
        self.undecided, self.readings = (), ()
        # the updater's optimizer, or the one of the file
        self.live = self.optimizer = updater.optimizer

    def run(self, source):
        if kind_of(source) == "pickle":
            self._read_mxnet(source.read(0, source.size))
        else:
            self._read_ours(native.load(source))
        keys, report = self._match()
        states = {
            keys[key]: self._placed(state, keys[key]) for key, state in self.states.items() if key in keys
        }
        sparse = {keys[key]: _sparse_parts(state) for key, state in self.states.items() if key in keys}
        undecided = {keys[key]: states[keys[key]] for key in self.undecided if key in keys}
        self._commit(states, keys)
        self.updater._row_sparse = {key: parts for key, parts in sparse.items() if parts}
        self.updater._undecided = undecided and orders.Undecided(self.optimizer, undecided, *self.readings)
        _still_undecided(self.updater)
        return report

    # reading

    def _read_ours(self, tree):
        document = _Document(tree)
        name, dialect = document.optimizer["name"], dialects.get(document.optimizer["dialect"])
        self.states, self.names = document.states, document.names
        counts = document.counts
        self.counts, self.device = mxnet_objects.linked_counts(counts["devices"], {})[0], counts["device"]
        self.number = mxnet_objects.checked_count(counts["num_update"])
        self.progress = document.progress
        source = self.live
        if "attributes" in document.optimizer:
            source = self.optimizer = self._restored(document.optimizer, name, dialect)
            self.progress = {}
        elif name != mxnet_objects.name_of(self.live):
            self._check_related(name, dialect)
        elif dialect is not dialects.of(self.live):
            source = mxnet_objects.counterpart(self.live, dialect)
            if source is None:
                raise StateMismatch(
                    f"the file holds states of {name!r} of dialect {dialect.name}, which is not known"
                )
        for key in self.progress:
            if key not in self.live.progress:
                raise StateMismatch(
                    f"the file says how far {key!r} of {name!r} had come, which {name!r} does not have"
                )
            try:
                mxnet_objects.check_kind(key, self.progress[key], getattr(self.live, key))
            except TypeError as error:
                raise StateMismatch(f"the file's {name} cannot be: {error}") from None
        self._check_masters(source)
        self._arrange({dialect: source}, True)
        if document.undecided:
            self.undecided = document.undecided["states"]
            self.readings = [dialects.get(name) for name in document.undecided["readings"]]

    def _check_masters(self, source):
        arrange = orders.Arrangement(source, source)
        key = next((key for key, state in self.states.items() if arrange.has_master(state)), None)
        if key is not None and not self.optimizer.multi_precision:
            raise StateMismatch(
                f"the file's state of {self._who(key)} has a float32 master, as multi_precision=True keeps "
                f"it, and this updater's {mxnet_objects.name_of(self.optimizer)!r} "
                "has multi_precision=False; create it with multi_precision=True"
            )

    def _restored(self, described, name, dialect):
        cls = mxnet_objects.registered_class(name, dialect)
        new = mxnet_objects.from_attributes(cls, described["attributes"])
        if dialects.is_built_in(cls):
            fresh = mxnet_objects.attributes_of(cls()).keys()
            saved = described["attributes"].keys()
            missing, surplus = fresh - saved, {key for key in saved - fresh if not key.startswith("_")}
            if missing or surplus:
                raise StateMismatch(
                    f"the file's {name!r} has other hyper-parameters than this one: the file lacks "
                    f"{sorted(missing)}, this mxopt does not know {sorted(surplus)}"
                )
        scheduler = described.get("scheduler")
        if scheduler is not None:
            new.lr_scheduler = mxnet_objects.scheduler_from(scheduler["class"], scheduler["attributes"])
        return new

    def _check_related(self, name, dialect):
        """States of another optimizer are taken only where it is the same one by two names (ccSGD, SGD)."""
        own = type(self.live)
        other = dialect.registry.classes.get(name)
        if (
            other is None
            or (other.create_state, other.state_slots) != (own.create_state, own.state_slots)
            or not (issubclass(own, other) or issubclass(other, own))
        ):
            raise StateMismatch(
                f"the file holds states of {name!r} and this updater's optimizer is "
                f"{mxnet_objects.name_of(self.live)!r}; "
                "create that optimizer, or load the file into an updater of it"
            )

    def _read_mxnet(self, data):
        content = mxnet.read(data)
        self.states, record = content.states, content.optimizer
        likely = self._likely_dialects(content)
        said = self.format is not None
        if record is not None:
            likely[:1] = [self._take_record(record, likely)]
            said = said or mxnet_objects.dialect_of_record(record) is not None
        sources = {dialect: mxnet_objects.counterpart(self.optimizer, dialect) for dialect in likely}
        sources = {dialect: source for dialect, source in sources.items() if source is not None}
        self._arrange(sources or {likely[0]: self.optimizer}, said)
        if self.counts is None and self.num_update is None:
            self._warn_of_counts()

    def _likely_dialects(self, content):
        """Which generation wrote the file, the likelier one first."""
        if self.format is not None:
            return [dialects.get(self.format.partition("-")[2])]
        return [
            dialects.get(name) for name in (("2.x", "1.x") if "V3" in content.layouts else ("1.x", "2.x"))
        ]

    def _take_record(self, record, likely):
        """Make the optimizer of a dump ours, in the updater's dialect if it can be; returns the file's."""
        own = dialects.of(self.live)
        dialect = mxnet_objects.dialect_of_record(record)
        name = record.name.lower()
        cls = None
        for candidate in (own, dialect) if dialect else (own,):
            cls = cls or candidate.registry.classes.get(name)
        if cls is None:
            self._take_counts_of(record)
            return dialect or likely[0]
        # what the classes of the other dialect call otherwise is renamed on the way
        self.optimizer, self.ignored = mxnet_objects.from_record(record, cls)
        self.counts = self.optimizer._all_index_update_counts
        self.device = next(d for d, one in self.counts.items() if one is self.optimizer._index_update_count)
        self.number = self.optimizer.num_update
        self.names = {k: v for k, v in self.optimizer.idx2name.items() if isinstance(v, str)}
        return dialect or likely[0]

    def _take_counts_of(self, record):
        attributes = record.attributes
        self.counts, self.device = mxnet_objects.linked_counts(
            attributes.get("_all_index_update_counts"), attributes.get("_index_update_count", {})
        )
        self.number = mxnet_objects.checked_count(attributes.get("num_update", 0))
        warnings.warn(
            f"the file's optimizer is a {record.path}, which is not registered here: its states and update "
            f"counts are loaded, the optimizer stays {mxnet_objects.name_of(self.live)!r} with its own "
            "hyper-parameters",
            UserWarning,
            stacklevel=checks.outside(),
        )

    def _warn_of_counts(self):
        counts = self.live._index_update_count
        if self.live.begin_num_update or not self.states or any(key in counts for key in self.states):
            return
        warnings.warn(
            "the file carries no update counts, as MXNet writes it without dump_optimizer: they restart "
            "at 1, so bias corrections and schedules begin again and the first steps have the wrong size; "
            "pass num_update=",
            UserWarning,
            stacklevel=checks.outside(),
        )

    def _arrange(self, sources, said):
        """Bring the states into the optimizer's order.

        Parameters
        ----------
        sources : dict of Dialect to Optimizer
            Whose orders they can have, by dialect, the likelier one first.
        said : bool
            Whether the first one is known to be right if it fits.
        """
        fitting, misfits = {}, []
        for dialect, source in sources.items():
            arrange = orders.Arrangement(source, self.optimizer)
            arranged = {key: arrange(state) for key, state in self.states.items()}
            misfit = next((key for key, state in arranged.items() if state is None), None)
            if misfit is None:
                fitting[dialect] = arrange, arranged
            else:
                misfits.append((arrange, misfit))
        if not fitting:
            arrange, key = misfits[0]
            raise StateMismatch(
                f"the file's state of {self._who(key)} is {orders.spelled(self.states[key])}, and this "
                f"updater's {mxnet_objects.name_of(self.optimizer)!r} with its hyper-parameters keeps "
                f"{arrange.spelled}"
            )
        readings = list(fitting)
        if len(readings) > 1 and not said:
            readings = self._likeliest(fitting)
        self.states = {key: state[0] for key, state in fitting[readings[0]][1].items()}

    def _likeliest(self, fitting):
        """The dialects whose orders fit, the one that the contents speak for first."""
        likely = [
            dialect
            for dialect, (arrange, _) in fitting.items()
            if all(map(arrange.is_plausible, self.states.values()))
        ]
        if len(likely) == 1:
            return likely
        (one, arranged), (other, turned) = fitting.values()
        self.readings = list(fitting)
        self.undecided = [key for key, state in self.states.items() if one.has_twin(other, state)]
        unlike = [key for key in arranged if not orders.same(arranged[key], turned[key])]
        if unlike and not self.undecided:
            warnings.warn(
                f"the file does not say in which order the state of {self._who(unlike[0])} is: "
                + orders.supposed(*(dialect.name for dialect in self.readings)),
                UserWarning,
                stacklevel=checks.outside(),
            )
        return self.readings

    def _who(self, key):
        name = (self.names or {}).get(key)
        return f"index {key!r}" + (f" ({name!r})" if name is not None else "")

    # matching

    def _match(self):
        """Which key of the updater each key of the file is, and the report of it."""
        declared = _names(self.updater)
        names = {**{key: key for key in self.states if isinstance(key, str)}, **(self.names or {})}
        names = {key: self.rename.get(name, name) for key, name in names.items()}
        named = _inverted(names) and all(key in names for key in self.states)
        by_name = _inverted(declared)
        if (
            by_name
            and named
            and by_name.keys().isdisjoint(names.values())
            and names.keys() == declared.keys()
        ):
            warnings.warn(
                "no parameter of the file has a name that is known here "
                f"({_listed(list(names.values()))} and "
                f"{_listed(list(by_name))}); they are matched by their order",
                UserWarning,
                stacklevel=checks.outside(),
            )
            by_name = {}
        if by_name and named:
            keys = {key: by_name[name] for key, name in names.items() if name in by_name}
            present = set(names.values())
            new = [name for name in by_name if name not in present]
            dropped = [names[key] for key in self.states if key not in keys]
            kept = [names[key] for key in self.states if key in keys]
        else:
            # an updater that is called by names has them as its keys
            own = names if named and any(isinstance(key, str) for key in self.updater.states) else {}
            keys = {
                key: own.get(key, self.rename.get(key, key)) for key in {**self.states, **self._counted()}
            }
            present = set(keys.values())
            new = [key for key in self.updater.states if key not in present]
            dropped, kept = [], [keys[key] for key in self.states]
        if self.strict and (new or dropped):
            raise StateMismatch(
                f"the file and this optimizer have different parameters: not in the file {_listed(new)}, "
                f"only in the file {_listed(dropped)}; pass strict=False to load the rest, rename= to say "
                "what is called otherwise now"
            )
        return keys, LoadReport(tuple(kept), tuple(new), tuple(dropped), tuple(self.ignored))

    def _counted(self):
        return {key: None for one in (self.counts or {}).values() for key in one}

    def _placed(self, state, key):
        """A state as the updater keeps it, compared with the one that is there."""
        state = _dense(state, f"the state of {checks.who(self.optimizer, key)}")
        # an optimizer from the file may keep other states than this one, but not of other weights
        if key in self.updater.states:
            present = self.updater.states[key]
            comparable = self.optimizer is self.live or orders.skeleton(present) == orders.skeleton(state)
            if comparable and orders.spelled(present) != orders.spelled(state):
                raise StateMismatch(
                    f"the file's state of {checks.who(self.optimizer, key)} is {orders.spelled(state)}, "
                    f"and the updater's is {orders.spelled(present)}"
                )
        return state

    # the end

    def _commit(self, states, keys):
        updater, optimizer, live = self.updater, self.optimizer, self.live
        counts = {
            device: {keys[key]: value for key, value in one.items() if key in keys}
            for device, one in (self.counts or {}).items()
        }
        number, device = self.number, self.device
        if self.num_update is not None:
            number, device, counts = self.num_update, 0, {0: dict.fromkeys(states, self.num_update)}
        if optimizer is not live:
            optimizer.param_dict = live.param_dict
            if live.idx2name:
                optimizer.idx2name = dict(live.idx2name)
            for which in ("lr_mult", "wd_mult"):
                given = getattr(optimizer, which)
                setattr(optimizer, which, {keys.get(key, key): value for key, value in given.items()})
        if number is not None:
            mxnet_objects.count_from(optimizer, counts or {0: {}}, device)
            optimizer.num_update = number
        for name in optimizer.progress:
            value = self.progress.get(name, getattr(optimizer, name))
            if isinstance(value, dict) and (optimizer is not live or name in self.progress):
                value = {keys[key]: item for key, item in value.items() if key in keys}
            setattr(optimizer, name, value)
        updater.optimizer = optimizer
        updater.states = states
        updater.states_synced = dict.fromkeys(states, True)


def _inverted(names):
    """The key of each name; empty where two keys share one, so that names say nothing."""
    inverted = {name: key for key, name in names.items()}
    return inverted if len(inverted) == len(names) else {}


def _listed(names):
    shown = ", ".join(map(repr, names[:5]))
    return f"[{shown}{', ...' if len(names) > 5 else ''}]"


def _dense(state, where):
    """States are stepped as whole arrays; the rows that a row-sparse one lacks are zeros."""
    if isinstance(state, (tuple, list)):
        return type(state)(_dense(part, where) for part in state)
    if not isinstance(state, RowSparseArray):
        return state
    try:
        return state.todense()
    except (MemoryError, ValueError):
        raise StateMismatch(
            f"{where} is row-sparse with shape {state.shape}, which is too large for this machine"
        ) from None


class _Document:
    """The parts of our own document, each of the type it must have."""

    _PARTS = {
        "writer": str,
        "optimizer": dict,
        "names": dict,
        "counts": dict,
        "progress": dict,
        "states": dict,
    }

    #: only in files made of states that left it open (`orders.Undecided`)
    undecided = None

    def __init__(self, tree):
        self._check(tree, self._PARTS, "the document")
        vars(self).update(tree)
        described = self.optimizer
        self._check(described, {"name": str, "dialect": str}, "the document's optimizer")
        if described["dialect"] not in dialects.NAMES:
            raise StateMismatch(
                f"the file's dialect must be one of {dialects.NAMES}, got {described['dialect']!r}"
            )
        if "attributes" in described:
            self._check(described, {"attributes": dict}, "the document's optimizer")
            if described.get("scheduler") is not None:
                self._check(
                    described["scheduler"], {"class": str, "attributes": dict}, "the document's scheduler"
                )
        self._check(self.counts, {"num_update": int, "device": int, "devices": dict}, "the document's counts")
        if not all(isinstance(name, str) for name in self.names.values()):
            raise ForeignStateFile("the document's names must be strings")
        if self.undecided is not None:
            self._check(self.undecided, {"states": list, "readings": list}, "the document's 'undecided'")
            keys, readings = self.undecided["states"], self.undecided["readings"]
            known = all(isinstance(key, (int, str)) for key in keys)
            pairs = known and all(orders.is_pair(self.states.get(key)) for key in keys)
            if not pairs or readings not in (["1.x", "2.x"], ["2.x", "1.x"]):
                raise ForeignStateFile(
                    "the document's 'undecided' must name pairs of arrays and both dialects"
                )

    @staticmethod
    def _check(part, types, where):
        for name, kind in types.items():
            if not isinstance(part, dict) or not isinstance(part.get(name), kind):
                raise ForeignStateFile(f"{where} must have {name!r}, a {kind.__name__}")
