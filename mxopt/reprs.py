"""Optimizers, updaters, stores and trainers as text and as HTML: arguments, numbers of states, steps.

The HTML has no scripts and no colours of its own, so that it reads in light and dark notebooks.
"""

from __future__ import annotations

import html

from . import checks

#: arguments that do not affect what a step computes
_QUIET = frozenset(
    ("sym", "param_dict", "param_idx2name", "begin_num_update", "aggregate_num", "use_fused_step")
)
_ATTRIBUTES = {"learning_rate": "lr"}
#: the most rows that a table shows; the rest are only counted
_MOST_ROWS = 40

_TABLE = (
    '<table style="border-collapse:collapse;font-size:90%"><caption style="text-align:left;font-weight:600">'
    "{caption}</caption>{rows}</table>"
)
_STYLE = "text-align:left;padding:1px 10px 1px 0;border-bottom:1px solid rgba(128,128,128,.35)"


def table(caption, titles, rows):
    """An HTML table; every text is escaped."""
    rows = list(rows)
    left_out = len(rows) - _MOST_ROWS
    shown = [titles, *rows[:_MOST_ROWS]] if titles else rows[:_MOST_ROWS]
    text = "".join(
        "<tr>"
        + "".join(
            '<{0} style="{1}">{2}</{0}>'.format(
                "th" if titles and row is shown[0] else "td", _STYLE, html.escape(str(cell))
            )
            for cell in row
        )
        + "</tr>"
        for row in shown
    )
    if left_out > 0:
        text += f"<tr><td>and {left_out} more</td></tr>"
    return _TABLE.format(caption=html.escape(caption), rows=text)


def arguments(optimizer):
    """The arguments that an optimizer keeps: those of its own class, and others if changed."""
    own, found = type(optimizer), {}
    usual = checks.arguments(own)
    base = next((cls for cls in reversed(own.__mro__) if "opt_registry" in vars(cls)), object)
    root = checks.arguments(base)  # those that all optimizers have
    for name, default in usual.items():
        if name in _QUIET:
            continue
        attribute = _ATTRIBUTES.get(name, name)
        if not hasattr(optimizer, attribute):
            continue
        value = getattr(optimizer, attribute)
        changed = value is not default and not (isinstance(value, (int, float, str)) and value == default)
        if changed or name not in root or name in ("learning_rate", "wd"):
            found[name] = value
    order = ["learning_rate", *found]
    return {name: found[name] for name in dict.fromkeys(order) if name in found}


def _count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


def optimizer_text(optimizer):
    """``<Adam(learning_rate=0.001, ...), 5 updates of 3 parameters>``"""
    told = ", ".join(f"{name}={_short(value)}" for name, value in arguments(optimizer).items())
    return f"<{type(optimizer).__name__}({told}), {_progress(optimizer)}>"


def _short(value):
    text = repr(value)
    return text if len(text) <= 120 and "\n" not in text else f"<{type(value).__name__}>"


def _progress(optimizer):
    known = len(optimizer._index_update_count)
    if not known:
        return "no updates yet"
    return f"{_count(optimizer.num_update, 'update')} of {_count(known, 'parameter')}"


def optimizer_html(optimizer):
    """The arguments, and what the next update of each parameter will use."""
    parts = [
        table(
            optimizer_title(optimizer), None, [(name, _short(v)) for name, v in arguments(optimizer).items()]
        )
    ]
    effective = optimizer.effective()
    return "".join([*parts, effective._repr_html_()] if effective else parts)


def optimizer_title(optimizer):
    return f"{type(optimizer).__name__}: {_progress(optimizer)}"


def updater_text(updater):
    """``<Updater of 3 states: Adam(...)>``"""
    return f"<{type(updater).__name__}, {_count(len(updater.states), 'state')}, {updater.optimizer!r}>"


def states_rows(updater):
    """(index, name, kind and shape of the state's arrays) of each state."""
    names = getattr(updater.optimizer, "idx2name", {})
    for index, state in updater.states.items():
        yield index, names.get(index, ""), _shapes(state)


def _shapes(state):
    if isinstance(state, (tuple, list)):
        return "(" + ", ".join(_shapes(part) for part in state) + ")"
    return "-" if state is None else f"{state.dtype} {'x'.join(map(str, state.shape)) or 'scalar'}"


def updater_html(updater):
    title = f"{type(updater).__name__}: {_count(len(updater.states), 'state')}"
    return table(title, ("index", "name", "state"), states_rows(updater)) + _html_of(updater.optimizer)


def _html_of(optimizer):
    own = getattr(optimizer, "_repr_html_", None)
    return own() if own else table(repr(optimizer), None, ())


def store_text(store):
    """``<KVStore 'local', 3 keys, <Adam(...)>>``"""
    return f"<{type(store).__name__} {store.type!r}, {_count(len(store._stored), 'key')}{_applied(store)}>"


def _applied(store):
    """What a store does with a pushed gradient, in a few words."""
    updater = store._updater
    if updater is None:
        return ""
    return f", {getattr(updater, 'optimizer', updater)!r}"


def store_html(store):
    rows = [
        (key, "x".join(map(str, held.array.shape)) or "scalar", held.array.dtype, held.stype)
        for key, held in store._stored.items()
    ]
    title = f"{type(store).__name__} {store.type!r}: {_count(len(rows), 'key')}"
    optimizer = getattr(store._updater, "optimizer", None)
    text = table(title, ("key", "shape", "dtype", "storage"), rows)
    return text if optimizer is None else text + _html_of(optimizer)


def trainer_text(trainer):
    """``<Trainer of 3 parameters: <Adam(...)>>``"""
    return (
        f"<{type(trainer).__name__} of {_count(len(trainer._params), 'parameter')}, {trainer._optimizer!r}>"
    )


def trainer_html(trainer):
    rows = [
        (p.name, "x".join(map(str, p.shape)) or "scalar", p.grad_req, p.lr_mult, p.wd_mult)
        for p in trainer._params
    ]
    title = f"{type(trainer).__name__} of {_count(len(rows), 'parameter')}"
    return table(title, ("name", "shape", "grad_req", "lr_mult", "wd_mult"), rows) + _html_of(
        trainer._optimizer
    )
