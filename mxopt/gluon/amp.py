"""``mx.amp`` and ``mx.contrib.amp``: the loss scaling of MXNet's automatic mixed precision.

The forward pass is another library's, so nothing is cast here; what scripts do around the trainer runs as it
is::

    amp.init()
    amp.init_trainer(trainer)
    with amp.scale_loss(loss, trainer) as scaled:
        ...  # gradients of `scaled`
    trainer.step(batch_size)

A new script has less to write with ``Trainer(loss_scale="dynamic")``, whose scale is saved with the states.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import namespace
from ..loss_scaling import FIRST, LARGEST, PATIENCE
from ..optimizer import Optimizer
from ..sparse import RowSparseArray, all_finite
from .trainer import Trainer

__all__ = ["LossScaler", "init", "init_trainer", "scale_loss", "unscale"]

_initialized = False


class LossScaler:
    """MXNet's: starts at 2**16, is halved after an overflow, doubled after 2,000 steps without one.

    As in MXNet a change counts from the next step but one: a step takes over what the one before found.

    Attributes
    ----------
    loss_scale : float
        What losses are multiplied by now.
    """

    def __init__(self) -> None:
        self._loss_scale = self._next_loss_scale = FIRST
        self._unskipped = 0

    @property
    def loss_scale(self) -> float:
        return self._loss_scale

    def has_overflow(self, params: Sequence[Any]) -> bool:
        """Whether a gradient is not finite; moves the scale. A trainer calls it once a step.

        Parameters
        ----------
        params : list of Parameter
            The gradients of their first copies are looked at.
        """
        found = [parameter.take_gradients() for parameter in params]
        overflow = not all_finite(gradients[0] for gradients in found if gradients)
        scale, unskipped = self._next_loss_scale, 0 if overflow else self._unskipped + 1
        following = scale
        if overflow:
            following = scale / 2
            logging.info("AMP: decreasing loss scale to %f", following)
        elif unskipped == PATIENCE:
            following, unskipped = min(scale * 2, LARGEST), 0
            logging.info("AMP: increasing loss scale to %f", following)
        vars(self).update(_loss_scale=scale, _next_loss_scale=following, _unskipped=unskipped)
        return overflow


def init(target_dtype: Any = "float16", *_lists: Any, **_options: Any) -> None:
    """Allow `init_trainer`.

    Parameters
    ----------
    target_dtype : {'float16', 'bfloat16'}
    *_lists, **_options
        Which of MXNet's operators are cast; without meaning here, where there are none.
    """
    global _initialized
    name = getattr(target_dtype, "__name__", None) or str(target_dtype)
    if name not in ("float16", "bfloat16"):
        raise ValueError(f"target_dtype must be 'float16' or 'bfloat16', got {target_dtype!r}")
    if not _initialized:
        _initialized = True
        logging.info("Using AMP")


def init_trainer(optimizer_or_trainer: Any) -> None:
    """Give a trainer a `LossScaler`: it skips steps whose gradients are not finite.

    Parameters
    ----------
    optimizer_or_trainer : Trainer
    """
    trainer = _trainer(optimizer_or_trainer)
    if not _initialized:
        raise RuntimeError("amp.init() must be called before amp.init_trainer()")
    if trainer.loss_scale is not None:
        raise ValueError(
            "this trainer scales losses by its own loss_scale=; leave that out for amp, or amp.init_trainer()"
        )
    if trainer._updaters[0].accumulate > 1:
        raise ValueError(
            "amp looks for overflows in every micro-batch, and a step has several with accumulate=; "
            "pass loss_scale='dynamic' to Trainer instead of amp.init_trainer()"
        )
    trainer._amp_original_scale = trainer._scale
    trainer._amp_loss_scaler = LossScaler()


@contextlib.contextmanager
def scale_loss(loss: Any, optimizer_or_trainer: Any) -> Iterator[Any]:
    """A context that gives the scaled loss; the trainer's next step divides by the scale.

    Parameters
    ----------
    loss : array, number, or list of them
    optimizer_or_trainer : Trainer
        That `init_trainer` was given.
    """
    trainer = _trainer(optimizer_or_trainer)
    scale = _scaler_of(trainer).loss_scale
    trainer._scale = trainer._amp_original_scale / scale
    yield [scale * one for one in loss] if isinstance(loss, (list, tuple)) else scale * loss


def unscale(optimizer_or_trainer: Any) -> None:
    """Divide the gradients by the scale now, for instance to clip them; the next step does not do it again.

    Parameters
    ----------
    optimizer_or_trainer : Trainer
        That `init_trainer` was given; its ``rescale_grad`` is applied as well, as in MXNet.
    """
    trainer = _trainer(optimizer_or_trainer)
    _scaler_of(trainer)
    for parameter in trainer._params:
        for gradient in parameter.take_gradients() or ():
            values = gradient.data if isinstance(gradient, RowSparseArray) else gradient
            np.multiply(values, values.dtype.type(trainer._scale), out=values)
    trainer._scale = 1.0


def _trainer(given):
    if isinstance(given, Optimizer):
        raise TypeError(
            "AMP is only compatible with a Gluon Trainer, got an optimizer; "
            "for an updater pass loss_scale='dynamic' to get_updater"
        )
    if not isinstance(given, Trainer):
        raise TypeError(f"optimizer_or_trainer must be a Gluon Trainer, got {type(given).__name__}")
    return given


def _scaler_of(trainer):
    scaler = getattr(trainer, "_amp_loss_scaler", None)
    if scaler is None:
        raise RuntimeError("the trainer has no loss scaler; call amp.init_trainer(trainer) first")
    return scaler


__path__: list = []  # amp.amp and amp.loss_scaler are this module too
__getattr__ = namespace.missing_from(__name__, "mxopt has no graphs to cast; it scales losses")
