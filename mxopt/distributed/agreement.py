"""What must be equal in the optimizers of all ranks, and which optimizers can be stepped in parts."""

from __future__ import annotations

import hashlib

from .. import kernels, stream
from ..dialects import is_built_in

_PLAIN = (int, float, str, bool, type(None), tuple)


def description(optimizer):
    """The properties, by name, that must be equal in the optimizers of all ranks.

    Parameters
    ----------
    optimizer : Optimizer

    Returns
    -------
    dict of str to object
    """
    cls = type(optimizer)
    found = {"the optimizer": f"{cls.__name__} of {cls.__module__}"}
    for name, value in vars(optimizer).items():
        if type(value) in _PLAIN and not name.startswith("_"):
            found[name] = value
    for name in ("lr_mult", "wd_mult"):
        found[name] = getattr(optimizer, name)
    scheduler = optimizer.lr_scheduler
    if scheduler is not None:
        found["lr_scheduler"] = type(scheduler).__name__, getattr(scheduler, "__dict__", None)
    owners = optimizer.param_dict
    if owners:
        found["the parameters' lr_mult and wd_mult"] = [
            (index, getattr(one, "lr_mult", 1.0), getattr(one, "wd_mult", 1.0))
            for index, one in owners.items()
        ]
    if optimizer._draw is not None:
        generator = getattr(optimizer, "generator", None)
        state = (stream.state() if generator is None else repr(generator.bit_generator.state)).encode()
        found["the noise (seed all ranks alike: mx.random.seed)"] = hashlib.blake2b(
            state, digest_size=8
        ).hexdigest()
    return found


def keeps_rows(optimizer):
    """Whether a state has one number for each row, so that rows must stay whole."""
    return any(kernels.RULES[name].by_row for name in optimizer.passes)


def refuse_what_needs_whole_tensors(optimizer):
    """Raise for an optimizer that cannot update a part of a tensor on its own."""
    cls = type(optimizer)
    if not is_built_in(cls):
        raise TypeError(
            f"{cls.__name__} has an update of its own, which may need whole tensors, so its states cannot "
            "be sharded; leave sharded=True and comm= out and use kvstore='dist_sync', or derive it from "
            "an optimizer of mxopt without overriding update, step and create_state"
        )
    if optimizer.cautious:
        raise ValueError(
            f"cautious=True of {cls.__name__} counts over whole tensors, which no rank has; leave "
            "sharded=True and comm= out and use kvstore='dist_sync'"
        )
    if optimizer.lazy_update == "exact":
        raise ValueError(
            'lazy_update="exact" keeps a log for whole tables, which no rank has; leave sharded=True and '
            "comm= out and use kvstore='dist_sync', or pass lazy_update=False"
        )
    if optimizer._narrows:
        raise ValueError(
            f"state_dtype of {cls.__name__} keeps states in blocks of whole tensors, which no rank has; "
            "leave state_dtype out, or sharded=True and comm="
        )
    if optimizer.not_sharded_because:
        raise ValueError(
            f"states of {cls.__name__} cannot be sharded: {optimizer.not_sharded_because}; leave "
            "sharded=True and comm= out and use kvstore='dist_sync'"
        )
    if len(optimizer.passes) > 1 and not optimizer.use_fused_step:
        raise ValueError(
            f"{cls.__name__} with use_fused_step=False takes norms of whole tensors in NumPy, which no rank "
            "has; pass use_fused_step=True"
        )
    if getattr(optimizer, "warmup_strategy", None) == "lars":
        raise ValueError(
            f"{cls.__name__} with warmup_strategy='lars' takes norms of whole tensors in NumPy, which no "
            "rank has; use the optimizer 'lars', or another strategy"
        )
