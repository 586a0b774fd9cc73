"""Loading states from bytes and files into an updater, our format and MXNet's; all or nothing."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import numpy as np

from .. import checks, dialects, reprs
from ..lr_scheduler import LRScheduler
from ..states import StateFileError, StateMismatch, files, kind_of, mxnet
from . import attributes, document, mxnet_objects, narrow, orders, rows
from .undecided import Undecided, still_undecided, supposed


@dataclass(frozen=True)
class LoadReport:
    """What loading a state file did.

    Attributes
    ----------
    kept : tuple
        Names (or indices, where there are no names) whose states were taken from the file.
    new : tuple
        Those that the optimizer knows and the file does not have; their states start afresh.
    dropped : tuple
        Those in the file that the optimizer does not know.
    ignored : tuple of str
        Attributes of a dumped MXNet optimizer that ours has no place for.
    """

    kept: tuple
    new: tuple = ()
    dropped: tuple = ()
    ignored: tuple = ()

    def _repr_html_(self):
        rows = [(name, len(part), ", ".join(map(str, part[:8])) + (", ..." if len(part) > 8 else ""))
                for name, part in vars(self).items()]  # fmt: skip
        return reprs.table("loaded", ("", "count", "names"), rows)

    def __str__(self):
        counted = [f"{len(part)} {name}" for name, part in vars(self).items() if part or name == "kept"]
        return ", ".join(counted)


def set_states(updater, states, num_update=None, strict=True, rename=None, format=None, convert=False):
    """Load states from bytes, in our format or written by real MXNet; no code in them is run.

    If both the optimizer and the file know the parameters' names, states are matched by name; otherwise by
    index. A file with an optimizer in it replaces the updater's, as in MXNet.

    Parameters
    ----------
    updater : Updater
    states : bytes
    num_update : int, optional
        How many updates the states have seen, for files without update counts (MXNet's without an optimizer).
        Overrides the counts of other files.
    strict : bool, default True
        Whether new and dropped parameters are an error.
    rename : dict, optional
        From names (or indices) in the file to the current ones.
    format : {'mxnet-1.x', 'mxnet-2.x'}, optional
        Which MXNet wrote the file, if the file itself does not say.
    convert : bool, default False
        Convert states that the file keeps in another width than this optimizer's ``state_dtype``.

    Returns
    -------
    LoadReport

    Raises
    ------
    StateFileError
        With the reason. The updater is left exactly as it was.
    """
    loading = _Loading(updater, num_update, strict, rename, format, convert)
    if not isinstance(states, (bytes, bytearray, memoryview)):
        raise TypeError(f"states must be bytes, got {type(states).__name__}; load_states reads files")
    return loading.run(files.BufferSource(states))


def load_states(updater, path, num_update=None, strict=True, rename=None, format=None, convert=False):
    """Load states from a file; see `set_states`."""
    loading = _Loading(updater, num_update, strict, rename, format, convert)
    with files.open_for_reading(path) as file:
        return loading.run(files.FileSource(file))


def counts_of(optimizer):
    """A snapshot of an optimizer's counts; None for an object that only behaves like an optimizer."""
    if not isinstance(getattr(optimizer, "_all_index_update_counts", None), dict):
        return None
    counts, selected = optimizer._all_index_update_counts, optimizer._index_update_count
    device = next((device for device, one in counts.items() if one is selected), 0)
    return {device: dict(one) for device, one in counts.items()}, device, optimizer.num_update


def give_counts(optimizer, counts):
    """Restore what `counts_of` returned."""
    if counts is not None:
        attributes.count_from(optimizer, counts[0], counts[1])
        optimizer.num_update = counts[2]


def load_from(updater, source, num_update=None, strict=True, rename=None, format=None, convert=False):
    """As `load_states`, from a source of `mxopt.states.files`."""
    return _Loading(updater, num_update, strict, rename, format, convert).run(source)


class _Loading:
    """One file being loaded into an updater, which is not changed until `run` has everything ready."""

    def __init__(self, updater, num_update, strict, rename, format, convert):
        if num_update is not None:
            num_update = attributes.checked_count(num_update)
        if format not in (None, *mxnet.FORMATS):
            raise ValueError(f"format must be None or one of {mxnet.FORMATS}, got {format!r}")
        self.updater = updater
        self.num_update = num_update
        self.strict = strict
        self.rename = rename or {}
        self.format = format
        self.convert = bool(convert)
        # what a file says
        self.states = self.names = None
        self.counts = self.device = self.number = None
        self.progress = {}
        self.loss_scale = self.averages = None
        #: What is kept elsewhere than in the optimizer's own attributes: SGLD's place in the stream of noise.
        self.elsewhere = {}
        self.ignored = ()
        # the keys of states that can be read in two ways, and the dialects of these readings
        self.undecided, self.readings = (), ()
        # the updater's optimizer, and the one in use: the same, or the file's
        self.live = self.optimizer = updater.optimizer

    def run(self, source):
        """Load, or raise `StateFileError` and leave everything as it was."""
        try:
            keys, report, ready = self._prepare(source)
        except StateFileError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            # not caught by any check: a bad file must raise nothing but StateFileError
            raise StateMismatch(f"the file holds what no updater writes: {error}") from error
        self._commit(keys, *ready)
        return report

    def _prepare(self, source):
        if kind_of(source) == "pickle":
            self._read_mxnet(source.read(0, source.size))
        else:
            self._read_ours(document.load(source))
        keys, report = self._match()
        states = {
            keys[key]: self._placed(state, keys[key]) for key, state in self.states.items() if key in keys
        }
        for key, state in states.items():
            self._check_weight(state, key)
        sparse = {keys[key]: rows.sparse_parts(state) for key, state in self.states.items() if key in keys}
        undecided = {keys[key]: states[keys[key]] for key in self.undecided if key in keys}
        sparse = {key: parts for key, parts in sparse.items() if parts}
        undecided = undecided and Undecided(self.optimizer, undecided, *self.readings)
        return keys, report, (states, sparse, undecided, self._come_so_far(keys))

    # reading

    def _read_ours(self, found):
        name, dialect = found.name, found.dialect
        self.states, self.names = found.states, found.names
        self.counts, self.device, self.number = found.counts, found.device, found.number
        source = self.live
        if found.dumped is not None:
            source = self.optimizer = self._restored(found)
            judged = attributes.judged_progress(source, found.progress)  # the rest is among its attributes
            self.progress = {name: value for name, value in judged.items() if _is_property(source, name)}
        else:
            if name != type(self.live).__name__.lower():
                self._check_related(name, dialect)
            elif dialect is not dialects.of(self.live):
                source = orders.as_in(self.live, dialect)
                if source is None:
                    raise StateMismatch(
                        f"the file holds states of {name!r} of dialect {dialect.name}, which is not known"
                    )
            self.progress = attributes.judged_progress(self.live, found.progress)
        self._check_masters(source)
        self._arrange({dialect: source}, True)
        self.undecided, self.readings = found.undecided, found.readings
        self._take_loss_scale(found.loss_scale)
        self.averages = found.averages
        if self.averages is not None and self.updater._averages is None and self.strict:
            cure = f"ema={self.averages['decay']!r}"
            raise StateMismatch(
                f"the file was saved with {cure}, and this updater has none; create it with {cure}, or pass "
                "strict=False to leave the averages out"
            )

    def _take_loss_scale(self, described):
        scaler = self.updater._scaler
        if described is None:
            return
        if scaler is not None and scaler.dynamic is described["dynamic"]:
            self.loss_scale = described
        elif self.strict:
            cure = repr("dynamic" if described["dynamic"] else described["scale"])
            raise StateMismatch(
                f"the file was saved with loss_scale={cure}, and this updater has "
                f"{'none' if scaler is None else 'another kind'}; create it with loss_scale={cure}, or pass "
                "strict=False to leave the file's out"
            )

    def _check_masters(self, source):
        arrange = orders.Arrangement(source, source)
        key = next((key for key, state in self.states.items() if arrange.has_master(state)), None)
        if key is not None and not self.optimizer.multi_precision:
            split = narrow.has_split(self.states[key])
            kept, mode = ("the low half of a", '"split"') if split else ("a float32", "True")
            raise StateMismatch(
                f"the file's state of {self._who(key)} has {kept} master, as multi_precision={mode} keeps "
                f"it, and this updater's {type(self.optimizer).__name__.lower()!r} "
                f"has multi_precision=False; create it with multi_precision={mode}"
            )

    def _restored(self, found):
        cls = found.dialect.registry.classes.get(found.name)
        if cls is None:
            raise StateMismatch(
                f"the file's optimizer {found.name!r} is not registered; define the class and register it, "
                "then load again"
            )
        new = attributes.restored(cls, found.dumped, found.attached)
        if found.scheduler is not None:
            described = found.scheduler
            new.lr_scheduler = attributes.restored_scheduler(
                described["class"], described["attributes"], described.get("attached")
            )
        return new

    def _check_related(self, name, dialect):
        """Raise for states of another optimizer, unless it is the same one under two names (ccSGD, SGD)."""
        own = type(self.live)
        other = dialect.registry.classes.get(name)
        if (
            other is None
            or (other.create_state, other.state_slots) != (own.create_state, own.state_slots)
            or not (issubclass(own, other) or issubclass(other, own))
        ):
            raise StateMismatch(
                f"the file holds states of {name!r} and this updater's optimizer is "
                f"{type(self.live).__name__.lower()!r}; "
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
        sources = {dialect: orders.as_in(self.optimizer, dialect) for dialect in likely}
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
        """Convert a dumped optimizer to ours, in the updater's dialect if possible; returns the file's."""
        own = dialects.of(self.live)
        dialect = mxnet_objects.dialect_of_record(record)
        name = record.name.lower()
        cls = None
        for candidate in (own, dialect) if dialect else (own,):
            cls = cls or candidate.registry.classes.get(name)
        if cls is None:
            self._take_counts_of(record)
            return dialect or likely[0]
        # attributes with other names in the other dialect are renamed on the way
        self.optimizer, self.ignored = mxnet_objects.from_record(record, cls)
        self.counts = self.optimizer._all_index_update_counts
        self.device = next(d for d, one in self.counts.items() if one is self.optimizer._index_update_count)
        self.number = self.optimizer.num_update
        self.names = {k: v for k, v in self.optimizer.idx2name.items() if isinstance(v, str)}
        return dialect or likely[0]

    def _take_counts_of(self, record):
        said = record.attributes
        self.counts, self.device = attributes.linked_counts(
            said.get("_all_index_update_counts"), said.get("_index_update_count", {})
        )
        self.number = attributes.checked_count(said.get("num_update", 0))
        warnings.warn(
            f"the file's optimizer is a {record.path}, which is not registered here: its states and "
            "update counts are "
            f"loaded, the optimizer stays {type(self.live).__name__.lower()!r} with its own hyper-parameters",
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
            By dialect, the optimizers whose order the states may be in, the likeliest first.
        said : bool
            Whether the first one is certain if it fits.
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
                f"updater's {type(self.optimizer).__name__.lower()!r} with its hyper-parameters keeps "
                f"{arrange.spelled}"
            )
        readings = list(fitting)
        if len(readings) > 1 and not said:
            readings = self._likeliest(fitting)
        self.states = {key: state[0] for key, state in fitting[readings[0]][1].items()}

    def _likeliest(self, fitting):
        """The dialects whose orders fit, the one that the contents suggest first."""
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
                + supposed(*(dialect.name for dialect in self.readings)),
                UserWarning,
                stacklevel=checks.outside(),
            )
        return self.readings

    def _who(self, key):
        name = (self.names or {}).get(key)
        return f"index {key!r}" + (f" ({name!r})" if name is not None else "")

    # matching

    def _match(self):
        """Map the file's keys to the updater's, and report on it."""
        declared = self._declared()
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
            # an updater that is called with names uses them as keys
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
                "only in the file "
                f"{_listed(dropped)}; pass strict=False to load the rest, rename= to say what is called "
                "otherwise now"
            )
        return keys, LoadReport(tuple(kept), tuple(new), tuple(dropped), tuple(self.ignored))

    def _declared(self):
        """The name of each of the updater's keys that has one."""
        names = document.names_of(self.updater)
        # an updater that is called with names uses them as keys, whatever the optimizer's indices are called
        used = {key for key in (*self.updater.states, *self.updater._store_keys) if isinstance(key, str)}
        own = {key: key for key in used.intersection(names.values())}
        return {**{key: name for key, name in names.items() if name not in own}, **own}

    def _counted(self):
        return {key: None for one in (self.counts or {}).values() for key in one}

    def _placed(self, state, key):
        """A state as the updater keeps it, compared with the one that is there."""
        state = rows.whole(state, f"the state of {checks.who(self.optimizer, key)}")
        state = narrow.fitted(self.optimizer, key, state, self.convert)
        # an optimizer from the file may keep other states than this one, but for the same weights
        if key in self.updater.states:
            present = self.updater.states[key]
            comparable = self.optimizer is self.live or orders.skeleton(present) == orders.skeleton(state)
            if comparable and orders.spelled(present) != orders.spelled(state):
                raise StateMismatch(
                    f"the file's state of {checks.who(self.optimizer, key)} is {orders.spelled(state)}, "
                    f"and the updater's is {orders.spelled(present)}"
                )
        return state

    def _check_weight(self, state, key):
        """Compare the shapes with those of a new state for the parameter, if there is one."""
        shape = getattr(self.live.param_dict.get(key), "shape", None)
        if shape is None or not getattr(self.optimizer, "built_in", False):
            return
        trial = copy.copy(self.optimizer)
        trial._warned_of_half = True
        weight = np.empty(shape, self.live.param_dict[key].dtype)
        try:
            fresh = trial.create_state_multi_precision(key, weight)
        except (TypeError, ValueError):  # a weight that the optimizer does not step
            return
        if orders.skeleton(fresh) == orders.skeleton(state) and orders.shapes(fresh) != orders.shapes(state):
            raise StateMismatch(
                f"the file's state of {checks.who(self.optimizer, key)} is {orders.spelled(state)}, and its "
                f"weight has shape {tuple(shape)}; load the file into a trainer of the model that wrote it"
            )

    # the end

    def _come_so_far(self, keys):
        """Counts and progress by the updater's keys; also checks that what is loaded can step."""
        optimizer, live = self.optimizer, self.live
        counts = {
            device: {keys[key]: value for key, value in one.items() if key in keys}
            for device, one in (self.counts or {}).items()
        }
        number, device = self.number, self.device
        if self.num_update is not None:
            kept = {keys[key]: self.num_update for key in self.states if key in keys}
            number, device, counts = self.num_update, 0, {0: kept}
        reached = {}
        if number is not None:
            counts = counts or {0: {}}
            reached = {
                "_all_index_update_counts": counts,
                "_index_update_count": counts.setdefault(device, {}),
                "num_update": number,
            }
        for name in attributes.rules_of_progress(type(optimizer)):
            if _is_property(optimizer, name):
                if name in self.progress:
                    self.elsewhere[name] = self.progress[name]
                continue
            value = self.progress.get(name, getattr(optimizer, name))
            if isinstance(value, dict) and (optimizer is not live or name in self.progress):
                value = {keys[key]: item for key, item in value.items() if key in keys}
            reached[name] = value
        trial = copy.copy(optimizer)
        trial.param_dict = live.param_dict
        vars(trial).update(reached)
        if optimizer is not live or reached:
            attributes.check_steps(trial)
        return reached

    def _commit(self, keys, states, sparse, undecided, reached):
        updater, optimizer, live = self.updater, self.optimizer, self.live
        if optimizer is not live:
            optimizer.param_dict = live.param_dict
            if live.idx2name:
                optimizer.idx2name = dict(live.idx2name)
            for which in ("lr_mult", "wd_mult"):
                given = getattr(optimizer, which)
                setattr(optimizer, which, {keys.get(key, key): value for key, value in given.items()})
        scheduler, number = optimizer.lr_scheduler, reached.get("num_update")
        if isinstance(scheduler, LRScheduler) and number is not None:
            if optimizer is live:
                scheduler.resume_at(number, optimizer.begin_num_update)
            else:
                scheduler._begin_at(number)
        vars(optimizer).update(reached)
        for name, value in self.elsewhere.items():
            setattr(optimizer, name, value)
        if self.loss_scale is not None:
            updater._scaler.take(self.loss_scale)
        if updater._averages is not None:
            updater._averages.take(self.averages, keys)
        updater.optimizer = optimizer
        updater.states = states
        updater.states_synced = dict.fromkeys(states, True)
        updater._row_sparse, updater._undecided = sparse, undecided
        still_undecided(updater)


def _is_property(optimizer, name):
    return isinstance(getattr(type(optimizer), name, None), property)


def _inverted(names):
    """The key of each name; empty where two keys share one, so that names say nothing."""
    inverted = {name: key for key, name in names.items()}
    return inverted if len(inverted) == len(names) else {}


def _listed(names):
    shown = ", ".join(map(repr, names[:5]))
    return f"[{shown}{', ...' if len(names) > 5 else ''}]"
