"""MXNet's update operators (``nd.sgd_mom_update`` and the like), each one a call of a rule.

An operator takes a weight, its gradient and states, and scalars. It writes the states in place and the new
weight to ``out``, usually the weight itself. Names, order and defaults of the scalars are MXNet's; the
arithmetic is in the rules of `mxopt.kernels`, so an operator here is a row of a table.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import checks, kernels
from ..arrays import as_array
from ..dialects import V1, V2
from ..sparse import RowSparseArray, as_gradient
from .ndarray import NDArray, view

COMMON = {"wd": 0.0, "rescale_grad": 1.0, "clip_gradient": -1.0}
REQUIRED = object()
_SGD = {"lr": REQUIRED, **COMMON, "lazy_update": True}
_MOMENTUM = {"lr": REQUIRED, "momentum": 0.0, **COMMON}
_LAZY_MOMENTUM = {**_MOMENTUM, "lazy_update": True}
_ADAM = {"lr": REQUIRED, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, **COMMON}

#: operator: (rule, its states, its scalars with their defaults)
SINGLE = {
    "sgd_update": ("sgd", "", _SGD),
    "sgd_mom_update": ("sgd_mom", "mom", _LAZY_MOMENTUM),
    "nag_mom_update": ("nag", "mom", _MOMENTUM),
    "signsgd_update": ("signsgd", "", {"lr": REQUIRED, **COMMON}),
    "signum_update": ("signum", "mom", {**_MOMENTUM, "wd_lh": 0.0}),
    "ftml_update": (
        "ftml",
        "d v z",
        {"lr": REQUIRED, "beta1": 0.6, "beta2": 0.999, "epsilon": 1e-8, "t": REQUIRED, "wd": 0.0,
         "rescale_grad": 1.0, "clip_grad": -1.0},
    ),
    "adam_update": ("adam", "mean var", {**_ADAM, "lazy_update": True}),
    "rmsprop_update": (
        "rmsprop", "n", {"lr": REQUIRED, "rho": 0.95, "epsilon": 1e-8, **COMMON, "clip_weights": -1.0},
    ),
    "rmspropalex_update": (
        "rmsprop_centered",
        "n g delta",
        {"lr": REQUIRED, "rho": 0.95, "momentum": 0.9, "epsilon": 1e-8, **COMMON, "clip_weights": -1.0},
    ),
    "ftrl_update": ("ftrl", "z n", {"lr": REQUIRED, "lamda1": 0.01, "beta": 1.0, **COMMON}),
    "adagrad_update": ("adagrad", "history", {"lr": REQUIRED, "epsilon": 1e-7, **COMMON}),
    "group_adagrad_update": (
        "groupadagrad_in_turn", "history",
        {"lr": REQUIRED, "rescale_grad": 1.0, "clip_gradient": -1.0, "epsilon": 1e-5},
    ),
}  # fmt: skip

#: operators with a variant for float16 weights with float32 masters, ``mp_...``, and those with one for lists
_MIXED = ("sgd_update", "sgd_mom_update", "nag_mom_update")
_LISTS = ("sgd_update", "sgd_mom_update")
#: names of scalars in the other dialect
_ALIASES = {"gamma1": "rho", "gamma2": "momentum", "clip_grad": "clip_gradient", "eps": "epsilon"}
#: scalars of rules that are 1 - beta**t, and the beta of each
_CORRECTIONS = (("correct1", "beta1"), ("correct2", "beta2"))


class Words:
    """Stands in for an optimizer in the messages of `mxopt.checks`."""

    multi_precision = False

    def __init__(self, name, states, norms=False):
        self.name, self.state_names, self.norms = name, states, norms
        self.idx2name = self.param_dict = {}


def _plan(words, rule, weights, grads, states, lazy, mixed):
    """Check the arrays of a call; any error is found before anything is written."""
    rows = [g.indices if isinstance(g, RowSparseArray) else None for g in grads]
    for i, (weight, grad) in enumerate(zip(weights, grads)):
        if grad.shape != weight.shape:
            raise checks.gradient_shape(words, i, weight, grad)
    dense = [np.asarray(g.data) if isinstance(g, RowSparseArray) else g for g in grads]
    try:
        return kernels.Plan(rule, weights, dense, states, 0 if mixed else -1, rows, lazy, bool(words.norms))
    except kernels.Refused as error:
        raise checks.refused(error, words, range(len(weights)), weights, grads, states) from None


def _run(words, rules, plan, scalars, text):
    """Run rules, one after the other, over a plan.

    Parameters
    ----------
    scalars : list of dict
        One for each tensor.
    text : sequence of str or None
        Which scalars MXNet reads from text; None: all except FTML's epsilon, which it reads as a double.
    """
    names = rules[-1].scalars
    rows = [_row(rules[-1], row) for row in scalars]
    for row in rows:
        checks.scalars(names, row)
    if not rows:
        return
    if text is None:
        text = [name for name in names if not (rules[0].name.startswith("ftml") and name == "epsilon")]
    flags = tuple(name in text for name in names)
    powers = tuple((names.index(word), names.index(beta)) for word, beta in _CORRECTIONS if word in names)
    read = [kernels.as_read_by_mxnet(row, flags) for row in rows]
    if powers:
        read = [kernels.corrected(row, powers, given["t"]) for row, given in zip(read, scalars)]
    table, singles = np.array(rows), np.array(read)
    each = np.arange(len(rows), dtype=np.int32) if len(rows) > 1 else None
    for rule in rules:
        sums = plan.run(rule, table, each, singles)
        if rule.sums:
            columns = [names.index(name) for name in rule.sums]
            table[:, columns] = singles[:, columns] = sums


def _row(rule, given):
    """Translate the operator's scalars into the rule's."""
    clip = given["clip_gradient"]
    values = {**given, "clip_gradient": clip if clip >= 0 else math.inf}
    if values.get("clip_weights", 0) <= 0:
        values["clip_weights"] = math.inf
    values.setdefault("wd", 0.0)
    for word, beta in _CORRECTIONS:
        if word in rule.scalars:
            values[word] = 1 - values[beta] ** values["t"] if values.get("bias_correction", True) else 1.0
    if "rho" in values:
        values.setdefault("rest", 1.0 - values["rho"])
        values.setdefault("momentum", 0.0)
    return tuple(float(values[name]) for name in rule.scalars)


def scalars_of(name, known, positional, keywords):
    """MXNet's scalars by name, from arguments in any form that it accepts."""
    names = list(known)
    if len(positional) > len(names):
        raise TypeError(f"{name} takes {len(names)} scalars ({', '.join(names)}), got {len(positional)}")
    given = dict(zip(names, positional))
    for word, value in keywords.items():
        word = _ALIASES.get(word, word) if word not in known else word
        word = word if word in known else next((k for k in known if _ALIASES.get(k) == word), word)
        if word not in known:
            raise TypeError(
                f"{name} has no argument {word!r}{checks.nearest(word, known)}; it takes {', '.join(names)}"
            )
        given[word] = value
    for word, default in known.items():
        if word not in given:
            if default is REQUIRED:
                raise TypeError(f"{name} needs {word}=")
            given[word] = default
    lazy = bool(given.pop("lazy_update", False))
    switch = {word: bool(given.pop(word)) for word in ("bias_correction",) if word in given}
    numbers = {_ALIASES.get(word, word): checks.number(word, v) if word != "rescale_grad" else float(v)
               for word, v in given.items()}  # fmt: skip
    return {**numbers, **switch}, lazy


def _target(weight, out):
    """The array to step: `out` if that is the weight itself, else a copy of the weight."""
    if out is None:
        return np.array(weight)
    target = as_array(out, "out")
    if (target.shape, target.dtype) != (weight.shape, weight.dtype):
        raise ValueError(
            f"out must have the weight's shape {weight.shape} and dtype {weight.dtype}, "
            f"got {target.shape} and {target.dtype}"
        )
    same = target.ctypes.data == weight.ctypes.data and target.strides == weight.strides
    return target if same else np.array(weight)


def _operator(name, rule, states, known, mixed, rules):
    arrays = ("weight", "grad", *states, *(("weight32",) if mixed else ()))
    words = Words(name, states)

    def operator(*args, out=None, **kwargs):
        taken = list(args[: len(arrays)])
        taken += [kwargs.pop(array) for array in arrays[len(taken) :] if array in kwargs]
        if len(taken) < len(arrays):
            raise TypeError(f"{name} takes the arrays {', '.join(arrays)}, got {len(taken)}")
        kwargs.pop("name", None)
        scalars, lazy = scalars_of(name, known, args[len(arrays) :], kwargs)
        columns = [[array] for array in taken]
        return run_list(words, (rules(rule, single=True),), columns, [scalars], [out], mixed, lazy=lazy)[0]

    return named(operator, name, f"MXNet's operator over the rule {rule!r}: {', '.join((*arrays, *known))}.")


def _state(arrays):
    return None if not arrays else arrays[0] if len(arrays) == 1 else tuple(arrays)


class Checked(NamedTuple):
    """The checked arrays of a call: a plan, the arrays to step, and all columns."""

    plan: kernels.Plan
    targets: list
    columns: list

    def results(self, out):
        """What the operator returns: `out` with the new weights, and new arrays where `out` has None."""
        for o, target in zip(out, self.targets):
            if o is not None and as_array(o).ctypes.data != target.ctypes.data:
                as_array(o)[...] = target
        return [o if o is not None else target.view(NDArray) for o, target in zip(out, self.targets)]


def checked(words, rule, columns, out, mixed, lazy=False):
    """Check the arrays of a call, before anything is written.

    Parameters
    ----------
    words : Words
    rule : Rule
    columns : list of lists
        Weights, gradients, each state, and with `mixed` the float32 masters.
    out : list of array or None
    """
    if len({len(column) for column in (*columns, out)}) > 1:
        lengths = ", ".join(str(len(column)) for column in (*columns, out))
        raise ValueError(f"{words.name} takes lists of equal lengths, got {lengths}")
    many = len(out) > 1
    weights = [
        as_array(w, f"weight {i}" if many else "weight", writable=False) for i, w in enumerate(columns[0])
    ]
    grads = [as_gradient(g, f"gradient {i}" if many else "gradient") for i, g in enumerate(columns[1])]
    names = (*words.state_names, "weight32")
    own = [
        [as_array(x, f"{name} {i}" if many else name) for i, x in enumerate(column)]
        for name, column in zip(names, columns[2:])
    ]
    count = len(words.state_names)
    packed = [_state(list(row)) for row in zip(*own[:count])] if count else [None] * len(weights)
    if mixed:
        packed = list(zip(own[-1], packed))
    targets = [_target(weight, o) for weight, o in zip(weights, out)]
    plan = _plan(words, rule, targets, grads, packed, lazy, mixed)
    return Checked(plan, targets, [weights, grads, *own])


def run_list(words, rules, columns, scalars, out, mixed, text=None, lazy=False):
    """Run rules over a list of tensors; returns `out`, with new arrays where it has None.

    Parameters
    ----------
    words, columns, out, mixed
        As in `checked`.
    rules : tuple of Rule
    scalars, text
        As in `_run`.
    """
    call = checked(words, rules[-1], columns, out, mixed, lazy)
    _run(words, rules, call.plan, scalars, text)
    return call.results(out)


def _lists(name, rule, states, known, mixed, preloaded, rules):
    """``multi_...``: weights, gradients and states of several tensors, interleaved; one rate per tensor."""
    each = 2 + len(states) + mixed
    known = {word: value for word, value in known.items() if word not in ("lr", "wd", "lazy_update")}
    words = Words(name, states)

    def operator(*args, out=None, lrs=None, wds=None, num_weights=None, **kwargs):
        arrays = list(args[0]) if len(args) == 1 and isinstance(args[0], (list, tuple)) else list(args)
        if preloaded:
            *arrays, lrs, wds = arrays
        kwargs.pop("name", None)
        scalars, _ = scalars_of(name, known, (), kwargs)
        count = len(arrays) // each if num_weights is None else int(num_weights)
        if len(arrays) != count * each or lrs is None or wds is None or not len(lrs) == len(wds) == count:
            raise ValueError(
                f"{name} takes {each} arrays a weight, and lrs and wds with one number each; got "
                f"{len(arrays)} arrays for {count} weights"
            )
        out = list(out) if isinstance(out, (list, tuple)) else [out] * count if out is None else [out]
        if len(out) != count:
            raise ValueError(f"{name} needs one out for each of the {count} weights, got {len(out)}")
        columns = [arrays[start::each] for start in range(each)]
        rows = [{"lr": float(lr), "wd": float(wd), **scalars} for lr, wd in zip(lrs, wds)]
        # the rates come as tuples or arrays, which MXNet reads with correct rounding
        text = [word for word in rules(rule).scalars if word not in ("lr", "wd")]
        return run_list(words, (rules(rule),), columns, rows, out, mixed, text)

    return named(operator, name, f"MXNet's operator for lists, over the rule {rule!r}.")


def named(function, name, doc):
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


# -- LAMB in two phases: elementwise NumPy; the caller takes the norms in between -------------------


def _lamb_phase1(weight, grad, mean, var, scalars):
    dtype = weight.dtype.type
    beta1, beta2 = dtype(scalars["beta1"]), dtype(scalars["beta2"])
    g = np.asarray(grad, weight.dtype) * dtype(scalars["rescale_grad"])
    if scalars["clip_gradient"] >= 0:
        bound = dtype(scalars["clip_gradient"])
        g = np.clip(g, -bound, bound)
    mean[...] = beta1 * mean + (dtype(1) - beta1) * g
    var[...] = beta2 * var + (dtype(1) - beta2) * g * g
    if scalars["bias_correction"]:
        # the power is rounded; the difference and the quotient are then taken in double
        mean_hat, var_hat = (
            (moment / np.float64(1.0 - float(dtype(float(beta) ** scalars["t"])))).astype(dtype)
            for moment, beta in ((mean.astype(float), beta1), (var.astype(float), beta2))
        )
    else:
        mean_hat, var_hat = mean, var
    return mean_hat / (np.sqrt(var_hat) + dtype(scalars["epsilon"])) + dtype(scalars["wd"]) * weight


_PHASE1 = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6, "t": REQUIRED, "bias_correction": True,
           "wd": REQUIRED, "rescale_grad": 1.0, "clip_gradient": -1.0}  # fmt: skip
_PHASE2 = {"lr": REQUIRED, "lower_bound": -1.0, "upper_bound": -1.0}


def lamb_update_phase1(weight, grad, mean, var, *args, out=None, **kwargs):
    """LAMB's moments and direction; `mean` and `var` are written, the direction is returned."""
    scalars, _ = scalars_of("lamb_update_phase1", _PHASE1, args, kwargs)
    arrays = [as_array(x, name) for x, name in ((weight, "weight"), (mean, "mean"), (var, "var"))]
    grad = as_array(grad, "gradient", writable=False)
    return result_to(_lamb_phase1(arrays[0], grad, *arrays[1:], scalars), out)


def mp_lamb_update_phase1(weight, grad, mean, var, weight32, *args, out=None, **kwargs):
    """As `lamb_update_phase1`, on the float32 master of a float16 weight."""
    return lamb_update_phase1(
        weight32, np.asarray(grad).astype(np.float32), mean, var, *args, out=out, **kwargs
    )


def lamb_update_phase2(weight, g, r1, r2, *args, out=None, **kwargs):
    """Move the weight along LAMB's direction `g`, scaled by the ratio of the norms `r1` and `r2`."""
    scalars, _ = scalars_of("lamb_update_phase2", _PHASE2, args, kwargs)
    weight = as_array(weight, "weight", writable=False)
    dtype = weight.dtype.type
    size, length = (dtype(float(np.asarray(r).reshape(-1)[0])) for r in (r1, r2))
    if scalars["lower_bound"] >= 0:
        size = max(size, dtype(scalars["lower_bound"]))
    if scalars["upper_bound"] >= 0:
        size = min(size, dtype(scalars["upper_bound"]))
    lr = dtype(scalars["lr"])
    if size != 0 and length != 0:
        lr = lr * size / length
    return result_to(weight - lr * np.asarray(g), out)


def mp_lamb_update_phase2(weight, g, r1, r2, weight32, *args, out=None, **kwargs):
    """As `lamb_update_phase2`, on the float32 master, which is updated too."""
    lamb_update_phase2(weight32, g, r1, r2, *args, out=weight32, **kwargs)
    return result_to(np.asarray(weight32).astype(np.asarray(weight).dtype), out)


def multi_lars(lrs, weights_sum_sq, grads_sum_sq, wds, eta, eps, rescale_grad=1.0, out=None, name=None):
    """Learning rates scaled by the layers' norms (LARS)."""
    lrs, squares, grads, wds = (np.asarray(x, np.float32) for x in (lrs, weights_sum_sq, grads_sum_sq, wds))
    eta, eps, rescale = np.float32(eta), np.float32(eps), np.float32(rescale_grad)
    size = np.sqrt(squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = lrs * eta * size / (np.sqrt(grads) * rescale + wds * size + eps)
    return result_to(np.where((size > 0) & (grads > 0), scaled, lrs), out)


def result_to(values, out):
    if out is None:
        return view(np.asarray(values))
    np.copyto(as_array(out, "out"), values, casting="unsafe")
    return out


def rules_of(dialect):
    """A function that finds a rule by name: the dialect's own if it has one."""
    own = dialect.suffix

    def rules(name, single=False):
        # 1.9 has two SGD formulas: one for lists, which its optimizers use, and one for single tensors
        names = ([f"{name}_single{own}"] if single else []) + [f"{name}{own}", name]
        return next(kernels.RULES[name] for name in names if name in kernels.RULES)

    return rules


def operators(dialect=V2):
    """Every update operator by name.

    Parameters
    ----------
    dialect : Dialect
        The dialect whose rules they run.
    """
    rules = rules_of(dialect)
    table = {}
    for name, (rule, states, known) in SINGLE.items():
        states = tuple(states.split())
        table[name] = _operator(name, rule, states, known, False, rules)
        if name in _MIXED:
            table[f"mp_{name}"] = _operator(f"mp_{name}", rule, states, known, True, rules)
        if name in _LISTS:
            for mixed in (False, True):
                for preloaded in (False, True):
                    full = f"{'preloaded_' * preloaded}multi_{'mp_' * mixed}{name}"
                    # with preloaded rates MXNet 2 kept the formula of 1.9
                    table[full] = _lists(
                        full,
                        f"{rule}{V1.suffix}" if preloaded else rule,
                        states,
                        known,
                        mixed,
                        preloaded,
                        rules,
                    )
    for function in (
        lamb_update_phase1,
        lamb_update_phase2,
        mp_lamb_update_phase1,
        mp_lamb_update_phase2,
        multi_lars,
    ):
        table[function.__name__] = function
    return table
