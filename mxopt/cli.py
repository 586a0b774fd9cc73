"""The ``mxopt`` command: shows, checks, compares and converts state files."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import sys
import tempfile
import warnings
from fractions import Fraction

import numpy as np

import mxopt

from . import checks, dialects, loss_scaling
from .saving import mxnet_objects, narrow, writing
from .saving.orders import Arrangement
from .slots import WIDTHS
from .sparse import RowSparseArray
from .states import StateFileError, StateMismatch, files, kind_of, mxnet, native
from .states.summary import Array, summary


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the command line.

    Returns
    -------
    int
        The exit status: 0 for success, 1 for a damaged file or a difference, 2 for what cannot be done.
    """
    options = _parser().parse_args(_script_apart(sys.argv[1:] if arguments is None else list(arguments)))
    _survive_narrow_encodings()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = _show_warning
            status = options.run(options) or 0
        sys.stdout.flush()  # so that a closed pipe is noticed here
        return status
    except StateFileError as error:
        print(f"mxopt: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # the pipe is closed; nothing more can be written there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130  # as shells report an interrupt
    except (OSError, ValueError, TypeError, MemoryError) as error:
        print(f"mxopt: {_line(error)}", file=sys.stderr)
        return 2
    except Exception as error:
        if os.environ.get("MXOPT_TRACEBACK"):
            raise
        print(
            f"mxopt: {_line(error)} - a fault of mxopt's own; MXOPT_TRACEBACK=1 shows where, for a report",
            file=sys.stderr,
        )
        return 2


def _line(error):
    """An exception's message, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _survive_narrow_encodings():
    """Escape characters that the terminal's encoding lacks, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _show_warning(message, *_, **__):
    print(f"mxopt: {_in_options(str(message))}", file=sys.stderr)


def _in_options(text):
    """A message in which the argument of `load_states` is an option of the command."""
    return text.replace("pass num_update=", "pass --num-update")


def _parser():
    parser = argparse.ArgumentParser(prog="mxopt", description=__doc__)
    parser.add_argument("--version", action="version", version=f"mxopt {mxopt.__version__}")
    parser.set_defaults(run=lambda options: parser.print_help())
    commands = parser.add_subparsers(metavar="command")

    def command(function, *files, **options):
        sub = commands.add_parser(
            function.__name__.strip("_"), help=function.__doc__, description=function.__doc__
        )
        for name in files:
            sub.add_argument(name.rstrip("+"), metavar="FILE", nargs="+" if name.endswith("+") else None)
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(run=function)
        return sub

    command(info, "file")
    sub = command(ls, "file")
    sub.add_argument("--stats", action="store_true", help="smallest, largest, norm and count of NaN of each")
    command(check, "files+")
    command(diff, "first", "second")
    sub = command(convert, "source", "target")
    sub.add_argument(
        "--to", choices=writing.FORMATS, default="mxopt", help="the format to write (default: mxopt)"
    )
    sub.add_argument(
        "--from",
        dest="origin",
        choices=mxnet.FORMATS,
        help="which MXNet wrote bare states, where they do not tell",
    )
    sub.add_argument("--optimizer", help="the optimizer's name, where the file does not say it")
    sub.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="one of its arguments")
    sub.add_argument("--dialect", choices=dialects.NAMES, help="1.x or 2.x; default: the file's")
    sub.add_argument("--force", action="store_true", help="replace a target that is there")
    sub.add_argument("--num-update", type=int, help="how many updates the states have seen")
    sub.add_argument(
        "--state-dtype", choices=tuple(WIDTHS), help="keep running means and squares in this width"
    )
    sub = commands.add_parser("launch", help=launch.__doc__, description=launch.__doc__)
    sub.add_argument("-n", type=int, required=True, metavar="RANKS", help="how many processes")
    sub.add_argument(
        "script", nargs=argparse.REMAINDER, help="the script (or -m and a module), and its arguments"
    )
    sub.set_defaults(run=launch)
    sub = command(plan)
    sub.add_argument("--parameters", type=float, required=True, help="how many, such as 7e9")
    sub.add_argument(
        "--ranks", default="1..64", help="8, or 2,4,6, or 8..1024, doubling (default: %(default)s)"
    )
    sub.add_argument("--link", default="100Gb", help="what a rank sends in a second (default: %(default)s)")
    sub.add_argument("--latency", type=float, default=5e-6, help="seconds a message (default: %(default)s)")
    sub.add_argument("--optimizer", default="adam", help="its name (default: %(default)s)")
    sub.add_argument("--accumulate", type=int, help="micro-batches of a step (default: one a rank)")
    sub.add_argument("--one-machine", action="store_true", help="the ranks share memory")
    sub = command(list_)
    sub.add_argument("pattern", nargs="?", default="*", help="such as 'ada*'")
    sub.add_argument("--dialect", choices=dialects.NAMES, default="2.x")
    sub = command(describe)
    sub.add_argument("name", help="an optimizer's name")
    sub.add_argument("--dialect", choices=dialects.NAMES, default="2.x")
    return parser


# commands


def launch(options):
    """start a script as several processes that train together, on MPI"""
    from .distributed.launch import launch as start

    return start(options.n, [one for at, one in enumerate(options.script) if at or one != "--"])


def _script_apart(arguments):
    """Set ``-m module ...`` apart, so that ``launch`` does not take it for its own options."""
    at = 1
    while arguments[:1] == ["launch"] and at < len(arguments) and arguments[at].startswith("-n"):
        at += 2 if arguments[at] == "-n" else 1
    return [*arguments[:at], "--", *arguments[at:]] if arguments[at : at + 1] == ["-m"] else arguments


def plan(options):
    """what a step over more ranks would cost each of them, with this machine's rates"""
    from .distributed import plan as planning

    numbers, link = planning.ranks_of(options.ranks), planning.bandwidth(options.link)
    optimizer = mxopt.create(options.optimizer)
    rates = planning.measured(optimizer, link, options.latency)
    kept = planning.state_bytes(mxopt.create(options.optimizer))
    plans = [
        planning.plan(int(options.parameters), number, rates, kept, options.accumulate,
                      one_machine=options.one_machine)
        for number in numbers
    ]  # fmt: skip
    if options.json:
        return _print_json({"rates": rates._asdict(), "plans": [one._asdict() for one in plans]})
    print(
        f"{options.parameters:.4g} float32 parameters, {options.optimizer} ({kept:.3g} bytes of states "
        f"each), measured "
        f"here: copy {rates.copy / 1e9:.3g}, add {rates.add / 1e9:.3g}, step {rates.step / 1e9:.3g} GB/s; "
        f"link "
        f"{link / 1e9:.3g} GB/s"
    )
    rows = [(str(one.ranks), f"{one.seconds:.4g} s", _bytes(one.sent), _bytes(one.memory)) for one in plans]
    _table(("ranks", "step", "sent by a rank", "memory of a rank"), rows)
    return 0


def info(options):
    """what a file is: its kind, optimizer, counts and size"""
    with _input(options.file) as file:
        found = summary(file)
    said = _summary(found)
    if options.json:
        return _print_json(said)
    for name, value in said.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, item in value.items():
                print(f"  {_visible(str(key))}: {_short(item)}")
        elif value not in (None, "", []):
            print(f"{name}: {_short(value)}")
    return 0


def ls(options):
    """the arrays of a file"""
    with _input(options.file) as file:
        found = summary(file)
        values = _arrays(file) if options.stats else []
    said = [dataclasses.asdict(array) for array in found.arrays]
    for one, array in zip(said, values):
        one.update(_stats(array))
    if options.json:
        return _print_json(said)
    titles = ["array", "dtype", "shape", "size"]
    rows = [[array.name, array.dtype, _shape(array), _bytes(array.nbytes)] for array in found.arrays]
    if options.stats:
        titles += ["min", "max", "norm", "nan"]
        for row, one in zip(rows, said):
            row += [f"{one[title]:.3g}" if one.get(title) is not None else "-" for title in titles[4:]]
    _table(titles, rows)
    return 0


def check(options):
    """whether files are whole: every checksum of ours, every length of others"""
    results = []
    for path in options.files:
        result = {"file": path, "damage": None, "checked": None, "unread": None}
        try:
            with _input(path) as file:
                result["checked"] = _checked(file)
        except StateFileError as error:
            result["damage"] = str(error).removeprefix(f"{path}: ")
        except (OSError, MemoryError) as error:
            result["unread"] = _line(error).removeprefix(f"{path}: ")
        results.append(result)
        if not options.json:
            if result["unread"]:
                print(f"mxopt: {path}: {result['unread']}", file=sys.stderr)
            else:
                print(f"{path}: {result['checked'] or 'DAMAGED: ' + result['damage']}")
    if options.json:
        _print_json(results)
    return 2 if any(r["unread"] for r in results) else int(any(r["damage"] for r in results))


def _checked(file):
    source = files.FileSource(file)
    if kind_of(source) == "pickle":
        mxnet.read(source.read(0, source.size))
        return "ok, as far as can be seen (MXNet's files carry no checksums)"
    if not native.read_header(source).ours:
        return "ok, as far as can be seen (a safetensors file without checksums)"
    native.verify(source)
    return "ok (all checksums match)"


def diff(options):
    """what differs between two files, whatever their formats; exit status 1 if anything does"""
    names = (options.first, options.second)
    with _input(names[0]) as first, _input(names[1]) as second:
        outlines = []
        for name, file in zip(names, (first, second)):
            with _named_errors(_called(name)):
                outlines.append(summary(file))
        kinds = [(found.kind, _dialect_of(found)) for found in outlines]
        if kinds[0] == kinds[1] or "safetensors" in (kinds[0][0], kinds[1][0]):
            pair = _as_stored(names, (first, second))
        else:
            pair = _alike(outlines, names, (first, second))
    rows = []
    for name in {**pair[0], **pair[1]}:
        if name not in pair[0] or name not in pair[1]:
            rows.append((name, f"only in {names[0] if name in pair[0] else names[1]}"))
        else:
            difference = _difference(pair[0][name], pair[1][name])
            if difference:
                rows.append((name, difference))
    if options.json:
        _print_json([{"name": name, "difference": difference} for name, difference in rows])
    elif rows:
        _table(("what", "difference"), rows)
    else:
        print(f"{names[0]} and {names[1]}: no difference")
    return int(bool(rows))


def convert(options):
    """write a file in another format"""
    out = options.target == "-"
    with _input(options.source) as file:
        found = summary(file)
        with _named_errors(options.source):
            updater = _updater_for(found, options)
            # MXNet's formats hold float32
            convert = options.state_dtype is not None or options.to != "mxopt"
            try:
                updater.load_states(
                    file.name, num_update=options.num_update, format=options.origin, convert=convert
                )
            except StateMismatch as error:
                raise StateMismatch(f"{error}{_what_fits(found, file, options)}") from None
            if options.state_dtype is not None:
                narrow.convert(updater, options.state_dtype)
    if not out and os.path.exists(options.target) and not options.force:
        _ask_to_replace(options.target)
    held = found.record is not None or "attributes" in (found.document or {}).get("optimizer", {})
    if out:
        sys.stdout.buffer.write(updater.get_states(dump_optimizer=held, format=options.to))
        return 0
    updater.save_states(options.target, dump_optimizer=held, format=options.to)
    said = {"file": options.target, "format": options.to, "parameters": len(updater.states)}
    if options.json:
        return _print_json(said)
    print(f"{options.target}: {len(updater.states)} parameters, {options.to}")
    return 0


def _ask_to_replace(path):
    if sys.stdin is not None and sys.stdin.isatty():
        print(f"{path} is there; replace it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise FileExistsError(17, "the file is there and was left as it is; pass --force to replace it", path)


def list_(options):
    """the optimizers, with a line about each"""
    names = mxopt.list_optimizers(options.pattern, options.dialect)
    if options.json:
        return _print_json(list(names))
    if not names:
        print(
            f"mxopt: no optimizer is called like {options.pattern!r}; mxopt list shows all", file=sys.stderr
        )
        return 1
    lines = [(name, mxopt.describe(name, options.dialect).summary) for name in names]
    _table(None, lines)
    return 0


def describe(options):
    """an optimizer: arguments, defaults, states, dialects"""
    found = mxopt.describe(options.name, options.dialect)
    if options.json:
        return _print_json(dataclasses.asdict(found))
    print(found)
    return 0


# reading


@contextlib.contextmanager
def _input(path):
    """A file to read; ``-`` is standard input. Errors in it begin with its name."""
    with contextlib.ExitStack() as stack:
        if path == "-":
            # files are not read from front to back, so a copy is needed
            copy = stack.enter_context(tempfile.TemporaryDirectory())
            place = os.path.join(copy, "input")
            with open(place, "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        else:
            place = path
        stack.enter_context(_named_errors(_called(path)))
        yield stack.enter_context(files.open_for_reading(place))


def _called(path):
    return "standard input" if path == "-" else path


@contextlib.contextmanager
def _named_errors(path):
    try:
        yield
    except StateFileError as error:
        if not getattr(error, "names_file", str(error).startswith(f"{path}: ")):
            error = type(error)(f"{path}: {error}")
        error.names_file = True  # not the other of two files that are open
        raise error from None


def _arrays(file):
    """The arrays of a file in the order in which `summary` lists them."""
    return [
        value.data if isinstance(value, RowSparseArray) else value
        for value in _loaded(file).values()
        if isinstance(value, (np.ndarray, RowSparseArray))
    ]


def _stats(array):
    with np.errstate(all="ignore"):
        values = np.asarray(array, "f8").ravel()
        finite = values[~np.isnan(values)]
        return {
            "min": float(finite.min()) if finite.size else None,
            "max": float(finite.max()) if finite.size else None,
            "norm": float(np.sqrt(np.square(finite).sum())),
            "nan": int(values.size - finite.size),
        }


def _dialect_of(found):
    if found.kind == "mxopt":
        return found.document["optimizer"]["dialect"]
    recorded = mxnet_objects.dialect_of_record(found.record) if found.record is not None else None
    return recorded and recorded.name


def _as_stored(paths, opened):
    loaded = []
    for path, file in zip(paths, opened):
        with _named_errors(_called(path)):
            loaded.append(_loaded(file))
    return loaded


def _alike(outlines, paths, opened):
    """Two files of different formats or dialects, as an optimizer loads them."""
    names = [_name_of(found) for found in outlines]
    if not any(names):
        return _as_stored(paths, opened)
    held = [found.record is not None or _holds_optimizer(found) for found in outlines]
    loaded = []
    for found, path, file in zip(outlines, paths, opened):
        asked = argparse.Namespace(
            optimizer=names[0] or names[1],
            dialect=_dialect_of(found) or _dialect_of(outlines[0]) or _dialect_of(outlines[1]),
            set=[],
            to="mxopt",
        )
        with _named_errors(_called(path)):
            loaded.append(_of_updater(_loading(found, file, asked), all(held)))
    counts = [any(key.startswith("counts/updates/") for key in one) for one in loaded]
    if counts == [False, True] or counts == [True, False]:  # MXNet writes none without its optimizer
        for one in loaded:
            for name in [key for key in one if key.startswith("counts/")]:
                del one[name]
    for one, other in (loaded, loaded[::-1]):  # one dialect has arguments that the other lacks
        for name in [key for key in one if key.startswith("optimizer/") and key not in other]:
            del one[name]
    return loaded


def _loading(found, file, asked):
    """An updater with a file's states, and the arguments that they need where the file says none."""
    cls = type(_updater_for(found, asked).optimizer)
    usual = checks.arguments(cls)
    names = {"multi_precision", *(slot.when for slot in cls.state_slots if slot.when)} & usual.keys()
    switches = [f"{name}={True if usual[name] is False else 0.5}" for name in sorted(names)]
    told = found.record is not None or _holds_optimizer(found)
    refused = None
    for count in range(1 if told else len(switches) + 1):
        for asked.set in itertools.combinations(switches, count):
            updater = _updater_for(found, asked)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of counts that a file lacks: they are not compared
                    updater.load_states(file.name)
                return updater
            except StateMismatch as error:
                refused = refused or error
    raise refused


def _what_fits(found, file, options):
    """'; the states fit with --set momentum=...', or an empty string."""
    asked = argparse.Namespace(**vars(options))
    if options.set:
        return ""
    try:
        _loading(found, file, asked)
    except StateFileError:
        return ""
    said = [f"--set {text.replace('0.5', 'VALUE')}" for text in asked.set]
    return f"; pass {' '.join(said)}, with which the states fit" if said else ""


#: attributes of an optimizer that differ between dialects and change no number
_HOW = ("aggregate_num", "allow_np_array", "use_fused_step")


def _name_of(found):
    if found.kind == "mxopt":
        return found.document["optimizer"]["name"]
    return found.record.name.lower() if found.record is not None else None


def _holds_optimizer(found):
    return "attributes" in (found.document or {}).get("optimizer", {})


def _of_updater(updater, held):
    """States by index and name, counts, and the hyper-parameters of the optimizer if a file holds them."""
    optimizer = updater.optimizer
    arrangement = Arrangement(optimizer, optimizer)
    tree = {"counts": {"num_update": optimizer.num_update, "updates": dict(optimizer._index_update_count)}}
    if held:
        tree["optimizer"] = {
            key: value
            for key, value in vars(optimizer).items()
            if isinstance(value, (bool, int, float, str, type(None))) and not key.startswith("_")
            if key not in _HOW
        }
        tree["optimizer"]["class"] = type(optimizer).__name__
        if optimizer.lr_scheduler is not None:
            tree["scheduler"] = {
                "class": type(optimizer.lr_scheduler).__name__,
                **vars(optimizer.lr_scheduler),
            }
    flat = {}
    _flatten(tree, "", flat)
    for index, state in updater.states.items():
        parts = {}
        _flatten({"states": {index: state}}, "", parts)
        names = {"/".join(map(str, path)): name for path, name in arrangement.leaf_names(state).items()}
        start = f"states/{index}"
        for name, value in parts.items():
            flat[f"{start}/{names.get(name[len(start) + 1 :], name[len(start) + 1 :])}"] = value
    return flat


def _summary(found):
    """The output of `info`, as plain data."""
    kinds = {
        "mxopt": "states of mxopt",
        "mxnet": "states of MXNet (a pickle)",
        "safetensors": "safetensors, not of mxopt",
    }
    said = {"kind": kinds[found.kind], "format": found.version, "size": found.size}
    if found.document is not None:
        said.update(_of_document(found.document))
    if found.record is not None:
        attributes = dict(found.record.attributes)
        scheduler = attributes.pop("lr_scheduler", None)
        counts = attributes.pop("_index_update_count", {})
        attributes.pop("_all_index_update_counts", None)
        said["optimizer"] = found.record.path
        said["num_update"] = attributes.pop("num_update", None)
        said["updates"] = _range(counts.values())
        said["hyper-parameters"] = attributes
        if scheduler is not None:
            said["scheduler"] = {"class": scheduler.path, **(scheduler.attributes or {})}
    if found.kind != "safetensors":
        said["parameters"] = len(found.states)
    said["arrays"] = len(found.arrays)
    said["bytes of arrays"] = sum(array.nbytes for array in found.arrays)
    said["dtypes"] = sorted({array.dtype for array in found.arrays})
    return said


def _of_document(document):
    described, counts = document["optimizer"], document["counts"]
    said = {
        "written by": document["writer"],
        "optimizer": described["name"],
        "dialect": described["dialect"],
        "num_update": counts["num_update"],
        "updates": _range(counts["devices"].get(counts["device"], {}).values()),
        "names": len(document["names"]),
    }
    joined = _joined(document)
    if "loss_scale" in joined:
        scaler = document["loss_scale"]
        said["loss scale"] = f"{joined['loss_scale']}, now {scaler['scale']:g}, {scaler['skipped']} skipped"
    if "ema" in joined:
        said["averages"] = f"ema={joined['ema']:g}"
    if "attributes" in described:
        given = described["attributes"].items()
        said["hyper-parameters"] = {key: value for key, value in given if not key.startswith("_")}
    if described.get("scheduler"):
        said["scheduler"] = {"class": described["scheduler"]["class"], **described["scheduler"]["attributes"]}
    return said


def _range(counts):
    counts = sorted(set(counts))
    if not counts:
        return None
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _updater_for(found, options):
    """An updater whose optimizer the states of a file fit."""
    document, names, dialect = found.document or {}, {}, options.dialect
    name = options.optimizer
    if found.kind == "mxopt":
        name = name or document["optimizer"]["name"]
        dialect = dialect or document["optimizer"]["dialect"]
        names = document["names"]
    elif found.record is not None:
        name = name or found.record.name.lower()
        recorded = mxnet_objects.dialect_of_record(found.record)
        dialect = dialect or recorded and recorded.name
    elif found.kind == "safetensors":
        raise StateMismatch(
            "a safetensors file of another origin says nothing of optimizers; it cannot be converted"
        )
    if name is None:
        raise StateMismatch(
            "the file does not say whose states it holds; pass --optimizer, and --set for its arguments"
        )
    dialect = dialects.get(dialect or options.to.partition("-")[2] or "2.x")
    cls = dialect.registry.classes.get(name.lower())
    if cls is None:
        hint = checks.nearest(name, dialect.registry.classes) or "; mxopt list shows all"
        raise StateMismatch(f"dialect {dialect.name} has no optimizer {name!r}{hint}")
    arguments = dict(_argument(text) for text in options.set)
    return mxopt.get_updater(cls(param_idx2name=names, **arguments), **_joined(document))


def _joined(document):
    """The options of an updater that keeps what a file has beside states; faulty parts are for the loader."""
    found, scaler, averages = {}, document.get("loss_scale"), document.get("averages")
    if loss_scaling.is_described(scaler):
        found["loss_scale"] = "dynamic" if scaler["dynamic"] else scaler["scale"]
    decay = averages.get("decay") if isinstance(averages, dict) else None
    if type(decay) is float and 0 <= decay < 1:
        found["ema"] = decay
    return found


def _argument(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise StateMismatch(f"--set takes NAME=VALUE, got {text!r}")
    if value in ("True", "False", "None"):
        return name, {"True": True, "False": False, "None": None}[value]
    with contextlib.suppress(ValueError):
        return name, json.loads(value)
    with contextlib.suppress(ValueError, ZeroDivisionError):
        return name, float(Fraction(value))  # 1/64
    return name, value


def _loaded(file):
    """Everything in an open file, by name: arrays and plain values."""
    source = files.FileSource(file)
    if kind_of(source) == "pickle":
        content = mxnet.read(source.read(0, source.size))
        tree = {"states": content.states}
        if content.optimizer is not None:
            tree["optimizer"] = {"class": content.optimizer.path, **content.optimizer.attributes}
    else:
        header = native.read_header(source)
        tree = native.load(source) if header.ours else native.load_plain(header, source)
    flat = {}
    _flatten(tree, "", flat)
    flat.pop("writer", None)
    return flat


def _flatten(value, path, flat):
    if isinstance(value, mxnet.Record):
        value = {"class": value.path, **(value.attributes or {})}
    if isinstance(value, dict) and value:
        for key, part in value.items():
            _flatten(part, f"{path}/{key}" if path else str(key), flat)
    elif isinstance(value, (list, tuple)) and any(
        isinstance(part, (np.ndarray, dict, list, tuple)) for part in value
    ):
        for i, part in enumerate(value):
            _flatten(part, f"{path}/{i}", flat)
    else:
        flat[path] = value


def _difference(one, other):
    """How two values of the same name differ, in words; None if they do not."""
    one, other = (value.todense() if isinstance(value, RowSparseArray) else value for value in (one, other))
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray):
        same = type(one) is type(other) and (one == other or one != one and other != other)
        return None if same else f"{_short(one)} | {_short(other)}"
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return f"{one.dtype} {one.shape} | {other.dtype} {other.shape}"
    if one.tobytes() == other.tobytes():
        return None
    with np.errstate(all="ignore"):
        distance = np.abs(one.astype("f8") - other.astype("f8"))
    differing = int((distance != 0).sum())
    return f"{differing} of {one.size} elements, by at most {np.nanmax(distance, initial=0):.3g}"


# printing


def _print_json(value):
    json.dump(_finite(value), sys.stdout, indent=2, default=_json_default, allow_nan=False)
    print()
    return 0


def _finite(value):
    """Plain data in which strings stand for what JSON lacks: ``"inf"``, ``"nan"``."""
    if isinstance(value, mxnet.Record):
        value = {"class": value.path, **(value.attributes or {})}
    elif isinstance(value, Array):
        value = dataclasses.asdict(value)
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _json_default(value):
    return f"{value.__module__}.{value.__name__}" if isinstance(value, type) else str(value)


def _visible(text):
    """A text with what does not print escaped: a file's names must not steer the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _short(value):
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else f"{value.dtype} array of shape {value.shape}"
    text = _visible(", ".join(map(str, value)) if isinstance(value, list) else str(value))
    return text if len(text) <= 100 else text[:97] + "..."


def _shape(array):
    text = "x".join(map(str, array.shape)) or "scalar"
    return text if array.stype == "default" else f"{text} ({array.stype}, {array.stored} stored)"


def _bytes(count):
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"


def _table(titles, rows):
    """Print rows in columns, numbers right-aligned; a narrow terminal shortens the first column."""
    every = [list(map(_visible, row)) for row in ([titles, *rows] if titles else rows)]
    if not every:
        return
    widths = [max(map(len, column)) for column in zip(*every)]
    room, firsts = _width(), [row[0] for row in every]
    apart = False
    if room and titles and len(widths) > 2:
        rest = sum(widths[1:]) + 2 * (len(widths) - 1)
        widths[0] = min(widths[0], max(room - rest, 1))
        firsts = [_middle_out(text, widths[0]) for text in firsts]
        # names that cannot be told apart when shortened stand above their rows
        apart = len(set(firsts)) < len({row[0] for row in every}) or widths[0] < len(titles[0])
    right = [title in ("size", "min", "max", "norm", "nan") for title in titles or widths]
    for first, row in zip(firsts, every):
        cells = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row[1:], widths[1:], right[1:])]
        if apart:
            print("\n".join(row[0][at : at + room] for at in range(0, len(row[0]), room)))
            widest = "  ".join(["", *cells]).rstrip()
            line = widest if len(widest) <= room else "  ".join(["", *(c.strip() for c in cells)])
        else:
            line = "  ".join([first.ljust(widths[0]), *cells]).rstrip()
        if room and len(widths) == 2 and len(line) > room:
            line = f"{line[: room - 1]}\u2026"
        print(line)


def _width():
    """The terminal's width in columns; None where the output goes elsewhere."""
    if os.environ.get("COLUMNS", "").isdecimal() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def _middle_out(text, width):
    """Shorten a text to so many columns, from the middle, because its ends say most."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}\u2026{text[len(text) - tail :]}"
