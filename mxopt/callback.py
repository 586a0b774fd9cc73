"""``mx.callback``: what scripts call at the end of a batch or an epoch."""

from __future__ import annotations

import logging
import math
import time

from . import namespace
from .loggers import CSVLogger, MLflowLogger, StepLogger, TensorBoardLogger, WandbLogger
from .model import save_checkpoint

__all__ = [
    "CSVLogger", "LogValidationMetricsCallback", "MLflowLogger", "ProgressBar", "Speedometer", "StepLogger",
    "TensorBoardLogger", "WandbLogger", "do_checkpoint", "log_train_metric", "module_checkpoint",
]  # fmt: skip


def module_checkpoint(mod, prefix, period=1, save_optimizer_states=False):
    """A callback that saves a module after every `period` epochs.

    Parameters
    ----------
    mod : ParameterModule
    prefix : str
        The files are ``prefix-0001.params`` and so on.
    period : int, default 1
    save_optimizer_states : bool

    Returns
    -------
    callable
        Takes the number of the epoch, counted from 0.
    """
    period = int(max(1, period))

    def save(iter_no, *_module, **_parts):
        if (iter_no + 1) % period == 0:
            mod.save_checkpoint(prefix, iter_no + 1, save_optimizer_states)

    return save


def do_checkpoint(prefix, period=1):
    """A callback that saves parameters after every `period` epochs.

    Returns
    -------
    callable
        Takes the number of the epoch, a symbol or None, and the dicts of arrays.
    """
    period = int(max(1, period))

    def save(iter_no, sym, arg, aux):
        if (iter_no + 1) % period == 0:
            save_checkpoint(prefix, iter_no + 1, sym, arg, aux)

    return save


def _restart(metric):
    getattr(metric, "reset_local", metric.reset)()


def log_train_metric(period, auto_reset=False):
    """A callback that logs the metric every `period` batches.

    Parameters
    ----------
    period : int
    auto_reset : bool
        Begin the metric anew each time.

    Returns
    -------
    callable
        Takes a `mx.model.BatchEndParam`.
    """

    def log(param):
        if param.nbatch % period == 0 and param.eval_metric is not None:
            for name, value in param.eval_metric.get_name_value():
                logging.info("Iter[%d] Batch[%d] Train-%s=%f", param.epoch, param.nbatch, name, value)
            if auto_reset:
                _restart(param.eval_metric)

    return log


class Speedometer:
    """Logs speed and metric every `frequent` batches, in MXNet's format, so that log parsers keep working.

    Parameters
    ----------
    batch_size : int
    frequent : int, default 50
    auto_reset : bool, default True
        Begin the metric anew each time.
    """

    def __init__(self, batch_size, frequent=50, auto_reset=True):
        self.batch_size, self.frequent, self.auto_reset = batch_size, frequent, auto_reset
        self.init, self.tic, self.last_count = False, 0.0, 0

    def __call__(self, param):
        count = param.nbatch
        if self.last_count > count:
            self.init = False
        self.last_count = count
        if not self.init:
            self.init, self.tic = True, time.time()
        elif count % self.frequent == 0:
            passed = time.time() - self.tic
            self._log(param, self.frequent * self.batch_size / passed if passed > 0 else math.inf)
            self.tic = time.time()

    def _log(self, param, speed):
        if param.eval_metric is None:
            logging.info("Iter[%d] Batch [%d]\tSpeed: %.2f samples/sec", param.epoch, param.nbatch, speed)
            return
        pairs = param.eval_metric.get_name_value()
        begin = param.nbatch - self.frequent if self.auto_reset else 0
        if self.auto_reset:
            _restart(param.eval_metric)
        text = "Epoch[%d] Batch [%d-%d]\tSpeed: %.2f samples/sec" + "\t%s=%f" * len(pairs)
        logging.info(text, param.epoch, begin, param.nbatch, speed, *(x for pair in pairs for x in pair))


class ProgressBar:
    """Logs a progress bar.

    Parameters
    ----------
    total : int
        Number of batches.
    length : int, default 80
        Width of the bar, in characters.
    """

    def __init__(self, total, length=80):
        self.total, self.bar_len = total, length

    def __call__(self, param):
        filled = round(self.bar_len * param.nbatch / float(self.total))
        bar = "=" * filled + "-" * (self.bar_len - filled)
        logging.info("[%s] %s%s\r", bar, math.ceil(100.0 * param.nbatch / float(self.total)), "%")


class LogValidationMetricsCallback:
    """Logs the metric of a validation."""

    def __call__(self, param):
        if param.eval_metric:
            for name, value in param.eval_metric.get_name_value():
                logging.info("Epoch[%d] Validation-%s=%f", param.epoch, name, value)


namespace.complete(__name__)
