"""The ``mxopt`` command: what is in a state file, whether it is whole, and the same in another format."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import warnings

import numpy as np

import mxopt

from . import dialects
from .saving import mxnet_objects, writing
from .sparse import RowSparseArray
from .states import StateFileError, StateMismatch, files, kind_of, mxnet, native
from .states.summary import Array, summary


def main(arguments=None):
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the command line.

    Returns
    -------
    int
        The exit status: 0; 1 for a damaged file, or a difference; 2 for what cannot be done.
    """
    options = _parser().parse_args(arguments)
    _survive_narrow_encodings()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = _show_warning
            status = options.run(options) or 0
        sys.stdout.flush()  # so that a reader who has gone is noticed here
        return status
    except StateFileError as error:
        print(f"mxopt: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # the reader of the output has gone; nothing more can be said there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130  # as a shell says it
    except (OSError, ValueError, TypeError, MemoryError) as error:
        print(f"mxopt: {error or type(error).__name__}", file=sys.stderr)
        return 2


def _survive_narrow_encodings():
    """Names may hold characters that the terminal's encoding lacks: they are escaped rather than fatal."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _show_warning(message, *_, **__):
    print(f"mxopt: {message}", file=sys.stderr)


def _parser():
    parser = argparse.ArgumentParser(prog="mxopt", description=__doc__)
    parser.add_argument("--version", action="version", version=f"mxopt {mxopt.__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)

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
    command(ls, "file")
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
    sub.add_argument("--num-update", type=int, help="how many updates the states have seen")
    sub = commands.add_parser("launch", help=launch.__doc__, description=launch.__doc__)
    sub.add_argument("-n", type=int, required=True, metavar="RANKS", help="how many processes")
    sub.add_argument("script", nargs=argparse.REMAINDER, help="the script and its arguments, or -m module")
    sub.set_defaults(run=launch)
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

    return start(options.n, options.script)


def info(options):
    """what a file is: its kind, optimizer, counts and size"""
    with files.open_for_reading(options.file) as file:
        found = summary(file)
    said = _summary(found)
    if options.json:
        return _print_json(said)
    for name, value in said.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, item in value.items():
                print(f"  {key}: {_short(item)}")
        elif value not in (None, "", []):
            print(f"{name}: {_short(value)}")
    return 0


def ls(options):
    """the arrays of a file"""
    with files.open_for_reading(options.file) as file:
        found = summary(file)
    if options.json:
        return _print_json([dataclasses.asdict(array) for array in found.arrays])
    rows = [(array.name, array.dtype, _shape(array), _bytes(array.nbytes)) for array in found.arrays]
    _table(("array", "dtype", "shape", "size"), rows)
    return 0


def check(options):
    """whether files are whole: every checksum of ours, every length of others"""
    results = []
    for path in options.files:
        try:
            results.append({"file": path, "damage": None, "checked": _checked(path)})
        except StateFileError as error:
            results.append({"file": path, "damage": str(error), "checked": None})
    if options.json:
        _print_json(results)
    else:
        for result in results:
            print(f"{result['file']}: {result['checked'] or 'DAMAGED: ' + result['damage']}")
    return int(any(result["damage"] for result in results))


def _checked(path):
    with files.open_for_reading(path) as file:
        source = files.FileSource(file)
        if kind_of(source) == "pickle":
            mxnet.read(source.read(0, source.size))
            return "whole, as far as can be seen (MXNet's files carry no checksums)"
        if not native.read_header(source).ours:
            return "whole, as far as can be seen (a safetensors file without checksums)"
        native.verify(source)
    return "whole (all checksums match)"


def diff(options):
    """what differs between two files; exit status 1 if anything does"""
    pair = [_loaded(path) for path in (options.first, options.second)]
    rows = []
    for name in {**pair[0], **pair[1]}:
        if name not in pair[0] or name not in pair[1]:
            rows.append((name, f"only in {options.first if name in pair[0] else options.second}"))
        else:
            difference = _difference(pair[0][name], pair[1][name])
            if difference:
                rows.append((name, difference))
    if options.json:
        _print_json([{"name": name, "difference": difference} for name, difference in rows])
    elif rows:
        _table(("what", "difference"), rows)
    return int(bool(rows))


def convert(options):
    """write a file in another format"""
    with files.open_for_reading(options.source) as file:
        found = summary(file)
    updater = _updater_for(found, options)
    updater.load_states(options.source, num_update=options.num_update, format=options.origin)
    held = found.record is not None or "attributes" in (found.document or {}).get("optimizer", {})
    updater.save_states(options.target, dump_optimizer=held, format=options.to)
    said = {"file": options.target, "format": options.to, "parameters": len(updater.states)}
    if options.json:
        return _print_json(said)
    print(f"{options.target}: {len(updater.states)} parameters, {options.to}")
    return 0


def list_(options):
    """the optimizers"""
    names = mxopt.list_optimizers(options.pattern, options.dialect)
    if options.json:
        return _print_json(list(names))
    print("\n".join(names))
    return 0


def describe(options):
    """an optimizer: arguments, defaults, states, dialects"""
    found = mxopt.describe(options.name, options.dialect)
    if options.json:
        return _print_json(dataclasses.asdict(found))
    print(found)
    return 0


# reading


def _summary(found):
    """What `info` says, as plain data."""
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
        raise StateMismatch(f"dialect {dialect.name} has no optimizer {name!r}")
    arguments = dict(_argument(text) for text in options.set)
    return mxopt.get_updater(cls(param_idx2name=names, **arguments))


def _argument(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise StateMismatch(f"--set takes NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return name, value


def _loaded(path):
    """Everything in a file by a name: arrays, and what is said beside them."""
    with files.open_for_reading(path) as file:
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
    """How two values of one name differ, in words; None if they do not."""
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
    """Plain data with what JSON lacks as strings: ``"inf"``, ``"nan"``."""
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


def _short(value):
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
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
    """Print rows in columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *rows)]
    right = [title in ("size",) for title in titles]
    for row in (titles, *rows):
        cells = (cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(row, widths, right))
        print("  ".join(cells).rstrip())
