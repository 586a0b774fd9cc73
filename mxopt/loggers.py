"""Loggers: what each step used, and the caller's numbers, to CSV, TensorBoard, MLflow or Weights & Biases.

>>> import mxopt as mx
>>> opt = mx.optimizer.create("adam")
>>> logger = opt.add_step_callback(mx.callback.StepLogger())     # keeps records; the others write them, too

A logger is called after each call of an updater (`Optimizer.add_step_callback`); a step of many calls is one
record.
"""

from __future__ import annotations

import contextlib
import csv
import numbers
import os
import time

from . import checks

__all__ = ["CSVLogger", "MLflowLogger", "StepLogger", "TensorBoardLogger", "WandbLogger"]


class StepLogger:
    """Keeps a record of every step. To store records elsewhere, derive a class and override `write`.

    Parameters
    ----------
    every : int, default 1
        Record only every so many updates.

    Attributes
    ----------
    records : list of dict
        ``step`` (the number of updates), ``lr``, ``wd``, ``seconds`` since the first, ``skipped`` where
        `skip_nonfinite` is on, and what `log` was given.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> opt = mx.optimizer.create("sgd", learning_rate=0.5)
    >>> logger = opt.add_step_callback(mx.callback.StepLogger())
    >>> mx.optimizer.get_updater(opt)(0, np.ones(2, "f4"), np.ones(2, "f4"))
    >>> logger.log(loss=0.25)
    >>> [(record["step"], record["lr"], record["loss"]) for record in logger.records]
    [(1, 0.5, 0.25)]
    """

    def __init__(self, every=1):
        self.every = checks.count("every", every)
        self.records = []
        self._start = None
        self._written = 0

    def __call__(self, optimizer, indices):
        step = optimizer.num_update
        if step % self.every or (self.records and self.records[-1]["step"] == step):
            return
        self.flush()
        now = time.perf_counter()
        self._start = now if self._start is None else self._start
        record = {
            "step": step,
            "lr": float(optimizer.learning_rate),
            "wd": float(optimizer.wd),
            "seconds": now - self._start,
        }
        if getattr(optimizer, "skip_nonfinite", False):
            record["skipped"] = optimizer.skipped
        self.records.append(record)

    def log(self, **numbers_by_name):
        """Add numbers to the record of the last step: a loss, a norm.

        Raises
        ------
        TypeError
            For a value that is not a number.
        ValueError
            Before the first step.
        """
        plain = {}
        for name, value in numbers_by_name.items():
            try:
                plain[name] = value if isinstance(value, numbers.Real) else float(value.item())
            except (AttributeError, TypeError, ValueError, RuntimeError):  # text; more than one element
                shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
                raise TypeError(
                    f"{name} must be a number, got {type(value).__name__}{shape}; pass float(...)"
                ) from None
        if not self.records:
            raise ValueError("there is no step to log numbers of; call log() after the updater")
        record = self.records[-1]
        record.update({name: float(value) for name, value in plain.items()})
        if self._written == len(self.records):
            self.write(record)

    def flush(self):
        """Write the records that are complete, as at the next step."""
        while self._written < len(self.records):
            self._written += 1
            self.write(self.records[self._written - 1])

    def write(self, record):
        """Store a record; does nothing here. Called again for a record when `log` adds to it later."""

    def close(self):
        """Write what is left."""
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<{type(self).__name__}, {len(self.records)} records>"


class CSVLogger(StepLogger):
    """Writes a row for each step to a CSV file; a new name adds a column, empty in the rows before.

    Parameters
    ----------
    path : str or os.PathLike
        Overwritten if it exists.
    every : int, default 1
    """

    def __init__(self, path, every=1):
        super().__init__(every)
        self.path = os.fspath(path)
        self.columns = []
        self._rows(mode="w")

    def write(self, record):
        new = [name for name in record if name not in self.columns]
        self.columns += new
        if new or record is not self.records[-1] or self._last is record:
            self._rows("w", self.records[: self._written])
        else:
            self._rows("a", [record])
        self._last = record

    _last = None

    def _rows(self, mode, records=()):
        with open(self.path, mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            if mode == "w" and self.columns:
                writer.writeheader()
            writer.writerows(records)


class TensorBoardLogger(StepLogger):
    """Writes scalars that TensorBoard shows; needs ``pip install tensorboard``.

    Parameters
    ----------
    folder : str, os.PathLike or SummaryWriter
        For ``tensorboard --logdir``; or a writer that the script has, which stays open.
    every : int, default 1
    prefix : str, default 'optimizer/'
        Put before each name.
    """

    def __init__(self, folder, every=1, prefix="optimizer/"):
        super().__init__(every)
        self.prefix = prefix
        if hasattr(folder, "add_scalar"):  # torch's SummaryWriter, tensorboardX's
            self._writer, self._own = folder, False
            return
        with _needs("tensorboard"):
            from tensorboard.summary import Writer
        self._writer, self._own = Writer(os.fspath(folder)), True

    def write(self, record):
        for name, value in _scalars(record).items():
            self._writer.add_scalar(f"{self.prefix}{name}", value, record["step"])

    def flush(self):
        super().flush()
        self._writer.flush()

    def close(self):
        super().close()
        if self._own:
            self._writer.close()


class MLflowLogger(StepLogger):
    """Logs metrics to the MLflow run that is active, or to a new one; needs ``pip install mlflow``.

    Parameters
    ----------
    every : int, default 1
    prefix : str, default ''
    """

    def __init__(self, every=1, prefix=""):
        super().__init__(every)
        with _needs("mlflow"):
            import mlflow
        self._mlflow, self.prefix = mlflow, prefix
        self._own = self._mlflow.active_run() is None
        self.run = self._mlflow.start_run() if self._own else self._mlflow.active_run()

    def write(self, record):
        found = {f"{self.prefix}{name}": value for name, value in _scalars(record).items()}
        self._mlflow.log_metrics(found, step=record["step"], run_id=self.run.info.run_id)

    def close(self):
        super().close()
        if self._own:
            self._mlflow.end_run()


class WandbLogger(StepLogger):
    """Logs to a run of Weights & Biases; needs ``pip install wandb``.

    Parameters
    ----------
    run : wandb run, optional
        Not given: a new one, started with `options` (``mode="offline"``, ``project=...``).
    every : int, default 1
    **options
        Arguments of ``wandb.init``.
    """

    def __init__(self, run=None, every=1, **options):
        super().__init__(every)
        with _needs("wandb"):
            import wandb
        self._own = run is None
        self.run = wandb.init(**options) if run is None else run

    def write(self, record):
        self.run.log({**_scalars(record), "num_update": record["step"]})

    def close(self):
        super().close()
        if self._own:
            self.run.finish()


def _scalars(record):
    return {name: value for name, value in record.items() if name != "step"}


@contextlib.contextmanager
def _needs(package):
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"this logger needs {package}, which is not installed; pip install {package}"
        ) from error
