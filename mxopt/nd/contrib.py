"""``mx.nd.contrib``: finite checks, and the update operators that MXNet keeps there."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels, namespace
from ..dialects import V2
from ..kernels import as_read_by_mxnet
from .ops import isfinite, isinf, isnan
from .updates import REQUIRED, Words, checked, named, operators, result_to, rules_of, run_list, scalars_of

__all__ = ["boolean_mask", "group_adagrad_update", "isfinite", "isinf", "isnan"]

_MOMENTS = ("mean", "var")
_ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
_SINGLE = {"lr": REQUIRED, "eta": REQUIRED, **_ADAM, "wd": 0.0, "clip_gradient": -1.0}
_LIST = {**_ADAM, "clip_gradient": -1.0}
_NORMED = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6, "rescale_grad": 1.0, "lower_bound": -1.0,
           "upper_bound": -1.0, "clip_gradient": -1.0}  # fmt: skip


def boolean_mask(data, index, axis=0):
    """The slices whose entry in `index` is not zero."""
    return result_to(np.compress(np.asarray(index) != 0, np.asarray(data), axis=axis), None)


group_adagrad_update = operators()["group_adagrad_update"]


# -- AdamW and AdaBelief -----------------------------------------------------------------------------------


def _step(name, rule, weighted, mixed, columns, scalars, out):
    """Step a list of tensors.

    MXNet forms the averages in two ways: with ``1 - beta`` for single tensors, and as `weighted` means
    otherwise. The compiled rule is the second, with a single rate, as the optimizer uses it.
    """
    words, read = Words(name, _MOMENTS), ("beta1", "beta2", "epsilon", "clip_gradient")
    rescale = scalars[0]["rescale_grad"] if scalars else 0.0
    if not math.isfinite(rescale) or rescale == 0:
        return checked(words, kernels.RULES[rule], columns, out, mixed).results(out)
    if weighted and all(row["lr"] == 1 for row in scalars):
        rows = [{**row, "lr": row["eta"]} for row in scalars]
        return run_list(words, (kernels.RULES[rule],), columns, rows, out, mixed, read)
    call = checked(words, kernels.RULES[rule], columns, out, mixed)
    for target, row, (weight, grad, mean, var, *master) in zip(call.targets, scalars, zip(*call.columns)):
        main = master[0] if master else weight
        new = _moved(rule, weighted, main, grad.astype(main.dtype), mean, var, row)
        main_target = master[0] if master else target
        main_target[...] = new
        target[...] = new.astype(target.dtype)
    return call.results(out)


def _moved(rule, weighted, weight, grad, mean, var, row):
    """The new weight; `mean` and `var` are written."""
    real = weight.dtype.type
    values = tuple(row.values())
    if real is np.float32:
        values = as_read_by_mxnet(values, tuple(name != "rescale_grad" for name in row))
    s = dict(zip(row, map(real, values)))
    g = s["rescale_grad"] * grad
    if rule == "adabelief":
        g = g + s["wd"] * weight
    if row["clip_gradient"] >= 0:
        g = np.clip(g, -s["clip_gradient"], s["clip_gradient"])

    def average(beta, old, new):
        return beta * (old - new) + new if weighted else beta * old + (real(1) - beta) * new

    mean[...] = average(s["beta1"], mean, g)
    var[...] = average(s["beta2"], var, np.square(g - mean if rule == "adabelief" else g))
    if rule == "adabelief":
        var += s["epsilon"]
    move = s["lr"] * mean / (np.sqrt(var) + s["epsilon"])
    return weight - s["eta"] * (move if rule == "adabelief" else move + s["wd"] * weight)


def _number(array):
    """The number in a one-element array, which is how a loss scaler passes `rescale_grad`."""
    return float(np.asarray(array).reshape(-1)[0])


def _taken(name, names, args, kwargs):
    """The named arguments, whether passed by position or keyword; and the remaining positional ones."""
    given = dict(zip(names, args))
    given.update((one, kwargs.pop(one)) for one in names if one in kwargs and one not in given)
    missing = [one for one in names if one not in given]
    if missing:
        raise TypeError(f"{name} needs {', '.join(missing)}; it takes {', '.join(names)}")
    return [given[one] for one in names], args[len(names) :]


def _single(rule, mixed):
    name = f"{'mp_' * mixed}{rule}_update"
    names = ["weight", "grad", *_MOMENTS, *["weight32"] * mixed, "rescale_grad"]

    def operator(*args, out=None, **kwargs):
        kwargs.pop("name", None)
        (*arrays, rescale), args = _taken(name, names, args, kwargs)
        scalars = {**scalars_of(name, _SINGLE, args, kwargs)[0], "rescale_grad": _number(rescale)}
        columns = [[array] for array in arrays]
        weighted = mixed and rule == "adabelief"  # with float32 masters MXNet runs another kernel
        return _step(name, rule, weighted, mixed, columns, [scalars], [out])[0]

    return named(
        operator,
        name,
        f"""One step of {rule} for one tensor: {", ".join([*names, *_SINGLE])}.

    `rescale_grad` may be an array of one number; the update is skipped when it is 0 or not finite, which is
    how loss scaling survives an overflow.
    """,
    )


def _list(rule, mixed):
    name = f"multi_{'mp_' * mixed}{rule}_update"
    names = ["weights", "grads", *_MOMENTS, *["weights32"] * mixed, "rescale_grad", "lrs", "wds", "etas"]

    def operator(*args, out=None, size=0, **kwargs):
        kwargs.pop("name", None)
        (*columns, rescale, lrs, wds, etas), args = _taken(name, names, args, kwargs)
        common, rescale = scalars_of(name, _LIST, args, kwargs)[0], _number(rescale)
        rates = _rates(name, columns, {"lr": lrs, "wd": wds, "eta": etas})
        rows = [{**common, **row, "rescale_grad": rescale} for row in rates]
        return _step(name, rule, True, mixed, _columns(columns), rows, _outs(name, columns, out))

    return named(operator, name, f"One step of {rule} for a list of tensors: {', '.join([*names, *_LIST])}.")


def _columns(columns):
    return [list(column) for column in columns]


def _outs(name, columns, out):
    out = [None] * len(columns[0]) if out is None else list(out)
    if len(out) != len(columns[0]):
        raise ValueError(f"{name} needs one out for each of the {len(columns[0])} weights, got {len(out)}")
    return out


def _rates(name, columns, rates):
    """A dict of numbers for each tensor, from a sequence of numbers for each name."""
    count = len(columns[0])
    for word, values in rates.items():
        if len(values) != count:
            raise ValueError(f"{name} takes one {word} for each of the {count} weights, got {len(values)}")
    return [dict(zip(rates, map(float, row))) for row in zip(*rates.values())]


# -- LAMB and LANS -----------------------------------------------------------------------------------------


def _normed(rule, passes, mixed, rules):
    name = f"multi_{'mp_' * mixed}{rule}_update"
    names = ["weights", "grads", *_MOMENTS, *["weights32"] * mixed, "step_count", "lrs", "wds"]
    known = {**_NORMED, "bias_correction": True} if rule == "lamb" else _NORMED
    passes = tuple(map(rules, passes))

    def operator(*args, out=None, num_tensors=0, **kwargs):
        kwargs.pop("name", None)
        (*columns, step_count, lrs, wds), args = _taken(name, names, args, kwargs)
        common = scalars_of(name, known, args, kwargs)[0]
        sums = dict.fromkeys(passes[-1].scalars, 0.0)  # filled in between the passes
        rates = _rates(name, columns, {"t": step_count, "lr": lrs, "wd": wds})
        rows = [{**sums, **common, **row} for row in rates]
        for row in rows:
            row.update((bound, max(row[bound], 0.0)) for bound in ("lower_bound", "upper_bound"))
        words = Words(name, _MOMENTS, norms=True)
        out = _outs(name, columns, out)
        return run_list(words, passes, _columns(columns), rows, out, mixed, tuple(_NORMED))

    return named(operator, name, f"One step of {rule} for a list of tensors: {', '.join([*names, *known])}.")


def update_operators(dialect=V2):
    """The update operators of ``nd.contrib`` by name; `dialect` as in `mxopt.nd.updates.operators`."""
    rules, table = rules_of(dialect), {}
    for mixed in (False, True):
        found = [_single("adamw", mixed), _list("adamw", mixed)]
        found.append(_normed("lamb", ("lamb_moments", "lamb"), mixed, rules))
        if dialect is V2:
            found += [_single("adabelief", mixed), _list("adabelief", mixed)]
            found.append(_normed("lans", ("lans_grad", "lans_moments", "lans"), mixed, rules))
        table.update((operator.__name__, operator) for operator in found)
    return table


globals().update(update_operators())
__all__ += list(update_operators())
__getattr__ = namespace.missing_from(__name__, namespace.ARRAYS)
