"""``mx.nd.contrib``: finite checks, and the update operators that MXNet keeps there."""

from __future__ import annotations

import math

import numpy as np

from ..arrays import as_array
from .ops import isfinite, isinf, isnan
from .updates import _COMMON, _REQUIRED, _result, _scalars, operators

__all__ = ["adamw_update", "group_adagrad_update", "isfinite", "isinf", "isnan", "mp_adamw_update"]

_ADAMW = {"lr": _REQUIRED, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, **_COMMON, "eta": _REQUIRED}

group_adagrad_update = operators()["group_adagrad_update"]


def adamw_update(weight, grad, mean, var, rescale_grad=1.0, *args, out=None, **kwargs):
    """AdamW for one tensor, decay decoupled and scaled by `eta`.

    `rescale_grad` may be an array of one number; the update is skipped when it is 0 or not finite, which is
    how loss scaling survives an overflow.
    """
    scalars, _ = _scalars("adamw_update", _ADAMW, args, kwargs)
    rescale = float(np.asarray(rescale_grad).reshape(-1)[0])
    weight = as_array(weight, "weight", writable=False)
    if not math.isfinite(rescale) or rescale == 0:
        return _result(weight.copy(), out)
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
    return _result(weight - dtype(scalars["eta"]) * move, out)


def mp_adamw_update(weight, grad, mean, var, weight32, *args, out=None, **kwargs):
    """As `adamw_update`, on the float32 master of a float16 weight, which is written too."""
    adamw_update(weight32, grad, mean, var, *args, out=weight32, **kwargs)
    return _result(np.asarray(weight32).astype(np.asarray(weight).dtype), out)
