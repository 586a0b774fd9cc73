"""``mx.nd.contrib``: finite checks, and the update operators that MXNet keeps there."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..arrays import as_array
from .ops import isfinite, isinf, isnan
from .updates import COMMON, REQUIRED, Words, operators, result_to, run_list, scalars_of

__all__ = [
    "adamw_update", "boolean_mask", "group_adagrad_update", "isfinite", "isinf", "isnan", "mp_adamw_update",
    "multi_adamw_update", "multi_mp_adamw_update",
]  # fmt: skip

_ADAMW = {"lr": REQUIRED, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, **COMMON, "eta": REQUIRED}

group_adagrad_update = operators()["group_adagrad_update"]


def boolean_mask(data, index, axis=0):
    """The slices whose entry of `index` is not zero."""
    return result_to(np.compress(np.asarray(index) != 0, np.asarray(data), axis=axis), None)


def adamw_update(weight, grad, mean, var, rescale_grad=1.0, *args, out=None, **kwargs):
    """AdamW for one tensor, decay decoupled and scaled by `eta`.

    `rescale_grad` may be an array of one number; the update is skipped when it is 0 or not finite, which is
    how loss scaling survives an overflow.
    """
    scalars, _ = scalars_of("adamw_update", _ADAMW, args, kwargs)
    rescale = float(np.asarray(rescale_grad).reshape(-1)[0])
    weight = as_array(weight, "weight", writable=False)
    if not math.isfinite(rescale) or rescale == 0:
        return result_to(weight.copy(), out)
    mean, var = as_array(mean, "mean"), as_array(var, "var")
    dtype = weight.dtype.type
    beta1, beta2 = dtype(scalars["beta1"]), dtype(scalars["beta2"])
    g = dtype(rescale) * as_array(grad, "gradient", writable=False).astype(weight.dtype)
    if scalars["clip_gradient"] >= 0:
        bound = dtype(scalars["clip_gradient"])
        g = np.clip(g, -bound, bound)
    mean[...] = beta1 * mean + (dtype(1) - beta1) * g
    var[...] = beta2 * var + (dtype(1) - beta2) * np.square(g)
    move = (
        dtype(scalars["lr"]) * mean / (np.sqrt(var) + dtype(scalars["epsilon"]))
        + dtype(scalars["wd"]) * weight
    )
    return result_to(weight - dtype(scalars["eta"]) * move, out)


def mp_adamw_update(weight, grad, mean, var, weight32, *args, out=None, **kwargs):
    """As `adamw_update`, on the float32 master of a float16 weight, which is written too."""
    adamw_update(weight32, grad, mean, var, *args, out=weight32, **kwargs)
    return result_to(np.asarray(weight32).astype(np.asarray(weight).dtype), out)


def multi_adamw_update(weights, grads, mean, var, rescale_grad, lrs, wds, etas, out=None, size=0, **kwargs):
    """AdamW for lists, in one fused call over the rule of `mxopt.optimizer.AdamW`."""
    return _multi_adamw(
        "multi_adamw_update", [weights, grads, mean, var], rescale_grad, lrs, wds, etas, out, kwargs
    )


def multi_mp_adamw_update(
    weights, grads, mean, var, weights32, rescale_grad, lrs, wds, etas, out=None, size=0, **kwargs
):
    """As `multi_adamw_update`, with float32 masters."""
    columns = [weights, grads, mean, var, weights32]
    return _multi_adamw("multi_mp_adamw_update", columns, rescale_grad, lrs, wds, etas, out, kwargs)


def _multi_adamw(name, columns, rescale_grad, lrs, wds, etas, out, keywords):
    if any(float(lr) != 1 for lr in lrs):
        raise ValueError(f"{name} takes the learning rates as etas, with lrs=1, got lrs={list(lrs)!r}")
    known = {
        key: default for key, default in _ADAMW.items() if key not in ("lr", "wd", "eta", "rescale_grad")
    }
    scalars, _ = scalars_of(name, known, (), keywords)
    rescale = float(np.asarray(rescale_grad).reshape(-1)[0])
    out = list(out) if out is not None else [None] * len(columns[0])
    if not math.isfinite(rescale) or rescale == 0:
        return [result_to(np.array(weight), target) for weight, target in zip(columns[0], out)]
    rows = [
        {**scalars, "rescale_grad": rescale, "lr": float(eta), "wd": float(wd)} for eta, wd in zip(etas, wds)
    ]
    columns = [list(column) for column in columns]
    return run_list(
        Words(name, ("mean", "var")), kernels.RULES["adamw"], columns, rows, out, len(columns) == 5
    )
