"""Figures of schedules, states, differences and histories, drawn with matplotlib; returned, never shown.

    mx.viz.schedule(scheduler, 10_000).savefig("rates.png")

In a notebook, a figure on the last line of a cell is shown.
"""

from __future__ import annotations

import csv
import os

import numpy as np

from . import checks
from .curves import COLORS, colors, figure_of, rates, schedule
from .namespace import missing_from
from .saving.orders import Arrangement

__all__ = ["diff", "history", "rates", "schedule", "states"]

#: more rows than this cannot be read in a figure
_MOST_ROWS = 60

# MXNet's functions of this module draw networks.
__getattr__ = missing_from("mxopt.visualization")


def states(source):
    """Draw the norm and range of every array of the states, and count what is not a number.

    Parameters
    ----------
    source : Updater, Trainer, or path of a state file

    Returns
    -------
    matplotlib.figure.Figure
        Rows with NaN or infinities come first, then the largest norms.
    """
    rows = _statistics(_arrays(source))
    rows.sort(key=lambda row: (-row["odd"], -row["norm"]))
    left_out, rows = rows[_MOST_ROWS:], rows[:_MOST_ROWS]
    figure, (norms, ranges) = figure_of(10, 1.2 + 0.26 * max(len(rows), 2), columns=2)
    places = np.arange(len(rows))
    norms.barh(places, [row["norm"] for row in rows], color=COLORS[0])
    norms.set_yticks(places, [row["name"] for row in rows], fontsize=8)
    norms.invert_yaxis()
    norms.set_xlabel("norm")
    positive = [row["norm"] for row in rows if row["norm"] > 0]
    if positive and max(positive) / min(positive) > 1e3:
        norms.set_xscale("log")
    for place, row in zip(places, rows):
        ranges.plot(
            [row["min"], row["max"]], [place, place], color=COLORS[2], linewidth=4, solid_capstyle="butt"
        )
        # seen also where all elements are one number
        ranges.plot([row["min"], row["max"]], [place, place], "|", color=COLORS[2], markersize=6)
        if row["odd"]:
            ranges.text(0.99, place, f"{row['odd']} not finite", color=COLORS[1], fontsize=8, ha="right",
                        va="center", transform=ranges.get_yaxis_transform())  # fmt: skip
    ranges.set_yticks([])
    ranges.set_ylim(norms.get_ylim())
    ranges.set_xlabel("smallest to largest")
    if left_out:
        norms.set_title(f"and {len(left_out)} more", fontsize=9, loc="left")
    return figure


def diff(one, other):
    """Draw how far apart the arrays of two states are, relative to the larger of the two.

    Parameters
    ----------
    one, other : Updater, Trainer, or path of a state file

    Returns
    -------
    matplotlib.figure.Figure
        Arrays that only one of them has are marked as such.
    """
    pair = [_arrays(source) for source in (one, other)]
    rows = []
    for name in {**pair[0], **pair[1]}:
        if name not in pair[0] or name not in pair[1]:
            rows.append((name, None, f"only in the {'first' if name in pair[0] else 'second'}"))
            continue
        a, b = (np.asarray(arrays[name], np.float64) for arrays in pair)
        if a.shape != b.shape:
            rows.append((name, None, f"{a.shape} and {b.shape}"))
            continue
        with np.errstate(all="ignore"):
            apart = np.nanmax(np.abs(a - b), initial=0.0)
            size = max(np.nanmax(np.abs(a), initial=0.0), np.nanmax(np.abs(b), initial=0.0))
        rows.append((name, float(apart / size) if size else 0.0, "" if apart else "the same"))
    rows = sorted(rows, key=lambda row: (row[1] is not None, -(row[1] or 0)))[:_MOST_ROWS]
    figure, axes = figure_of(8, 1.2 + 0.26 * max(len(rows), 2))
    places = np.arange(len(rows))
    axes.barh(places, [row[1] or 0.0 for row in rows], color=COLORS[1])
    axes.set_yticks(places, [row[0] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("largest difference, relative to the largest element")
    for place, (_, _, text) in zip(places, rows):
        if text:
            axes.text(0.01, place, text, fontsize=8, va="center", transform=axes.get_yaxis_transform())
    return figure


def history(source):
    """Draw what a logger has recorded, one panel for each quantity.

    Parameters
    ----------
    source : StepLogger, path of a CSVLogger's file, or list of dict

    Returns
    -------
    matplotlib.figure.Figure
    """
    records = getattr(source, "records", source)
    if isinstance(records, (str, os.PathLike)):
        with open(records, newline="", encoding="utf-8") as file:
            records = [{k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]
    checks.records(records)
    if not records:
        raise ValueError(
            "there are no records to draw; make a step first, or pass a logger that has seen one"
        )
    names = [
        n for n in dict.fromkeys(n for record in records for n in record) if n not in ("step", "seconds")
    ]
    figure, axes = figure_of(8, 2.0 * len(names), rows=len(names))
    for color, name, panel in zip(colors(), names, np.atleast_1d(axes)):
        points = [(record["step"], record[name]) for record in records if name in record]
        panel.plot(*zip(*points), color=color, linewidth=1.6, marker="." if len(points) < 30 else None)
        panel.set_ylabel(name)
    np.atleast_1d(axes)[-1].set_xlabel("update")
    return figure


def _arrays(source):
    """The arrays of states by name."""
    if isinstance(source, (str, os.PathLike)):
        return _arrays_of_file(source)
    updaters = getattr(source, "_updaters", None)
    updater = updaters[0] if updaters else source
    if not hasattr(updater, "states"):
        raise TypeError(
            f"states must be those of an Updater, a Trainer or a file, got {type(source).__name__}; pass "
            "mxopt.get_updater(optimizer) once it has stepped"
        )
    optimizer, found = updater.optimizer, {}
    arrangement = Arrangement(optimizer, optimizer)
    for index, state in updater.states.items():
        names = arrangement.leaf_names(state)
        name = getattr(optimizer, "idx2name", {}).get(index) or getattr(
            getattr(optimizer, "param_dict", {}).get(index), "name", index
        )
        for path, array in _leaves(state):
            found[f"{name}/{names.get(path) or '/'.join(map(str, path))}"] = array
    return found


def _leaves(state, path=()):
    if isinstance(state, (tuple, list)):
        for i, part in enumerate(state):
            yield from _leaves(part, (*path, i))
    elif state is not None:
        yield path, getattr(state, "data", state) if hasattr(state, "stype") else state


def _arrays_of_file(path):
    from .states import files, kind_of, mxnet, native
    from .states.summary import summary

    with files.open_for_reading(path) as file:
        names = [array.name.removeprefix("states/") for array in summary(file).arrays]
        source = files.FileSource(file)
        if kind_of(source) == "pickle":
            tree = mxnet.read(source.read(0, source.size)).states
        else:
            header = native.read_header(source)
            tree = native.load(source).get("states", {}) if header.ours else native.load_plain(header, source)
    arrays = [array for key in tree for _, array in _leaves(tree[key])]
    return dict(zip(names, arrays))


def _statistics(arrays):
    rows = []
    for name, array in arrays.items():
        values = np.asarray(array, np.float64).ravel()
        finite = values[np.isfinite(values)]
        rows.append(
            {
                "name": name,
                "norm": float(np.sqrt(np.square(finite).sum())),
                "min": float(finite.min()) if finite.size else 0.0,
                "max": float(finite.max()) if finite.size else 0.0,
                "odd": int(values.size - finite.size),
            }
        )
    return rows
