"""One driver for both sides: mxopt has MXNet's surface, so only array making and a few keywords differ."""

import contextlib
import importlib
import io
import os
import types
import warnings

import numpy as np
from cases import gradients_of, weights_of

from mxopt import kernels

# Set before MXNet loads: it warns of every row-sparse gradient that it makes dense.
os.environ.setdefault("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "0")
os.environ.setdefault("DMLC_LOG_LEVEL", "1")


class Side:
    """What the driver needs of a package with MXNet's surface.

    Parameters
    ----------
    package : module
        ``mxnet``, ``mxopt`` or ``mxopt.v1``.
    """

    def __init__(self, package):
        self.package = package

    def keywords(self, case):
        """The constructor's keywords that the case's dialect, path and dtype ask for."""
        keywords = dict(case.settings)
        if case.dialect != "1.x":
            keywords["use_fused_step"] = self.fused(case)
            if case.path == "aggregated":
                keywords["aggregate_num"] = 2
        if case.master:
            keywords["multi_precision"] = True
        if case.path in ("sparse lazy", "sparse standard") and self.has_lazy_keyword(case):
            keywords["lazy_update"] = case.path == "sparse lazy"
        if case.idx2name:
            keywords["param_idx2name"] = dict(case.idx2name)
        if case.params:
            keywords["param_dict"] = {
                key: types.SimpleNamespace(name=f"parameter{key}", lr_mult=lr_mult, wd_mult=wd_mult)
                for key, (lr_mult, wd_mult) in zip(case.keys, case.params)
            }
        return keywords

    def gradient(self, case, gradient, shape):
        return self.row_sparse(*gradient, shape) if case.sparse else self.dense(gradient)


class MXNet(Side):
    def fused(self, case):
        return case.dialect == "2.x fused" and case.row.mxnet.kernels != "none"

    def has_lazy_keyword(self, case):
        return case.row.mxnet.sparse == "keyword"

    def dense(self, values):
        return self.package.nd.array(values, dtype=values.dtype)

    def weight(self, case, values):
        array = self.dense(values)
        lazy_by_weight = case.path == "sparse lazy" and case.row.mxnet.sparse == "weight"
        return array.tostype("row_sparse") if lazy_by_weight else array

    def row_sparse(self, values, rows, shape):
        if not len(rows):
            return self.package.nd.sparse.zeros("row_sparse", shape, dtype=values.dtype)
        return self.package.nd.sparse.row_sparse_array((values, rows), shape=shape, dtype=values.dtype)

    @staticmethod
    def numpy(array):
        return array.asnumpy()


class Mxopt(Side):
    def fused(self, case):
        return case.dialect == "2.x fused"

    def has_lazy_keyword(self, case):
        return case.row.local or case.row.mxnet.sparse == "keyword"

    def dense(self, values):
        return values.copy()

    def weight(self, case, values):
        return values.copy()

    def row_sparse(self, values, rows, shape):
        return self.package.nd.sparse.row_sparse_array((values, rows), shape=shape)

    @staticmethod
    def numpy(array):
        return np.array(array)


def mxopt_for(dialect):
    """Return mxopt's side for a dialect."""
    return Mxopt(importlib.import_module("mxopt.v1" if dialect == "1.x" else "mxopt"))


@contextlib.contextmanager
def quiet():
    """Silence what MXNet prints, and both sides warn of, when a scheduler meets a default learning rate."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tree(side, state):
    """Return a state with its arrays as NumPy copies."""
    if state is None:
        return None
    if isinstance(state, (tuple, list)):
        return tuple(tree(side, part) for part in state)
    return side.numpy(state)


def make_optimizer(case, side):
    keywords = side.keywords(case)
    if case.scheduler:
        name, settings = case.scheduler
        keywords["lr_scheduler"] = getattr(side.package.lr_scheduler, name)(**settings)
    optimizer = side.package.optimizer.create(case.optimizer, **keywords)
    if case.lr_mult:
        optimizer.set_lr_mult(dict(case.lr_mult))
    if case.wd_mult:
        optimizer.set_wd_mult(dict(case.wd_mult))
    return optimizer


def as_kernels_read(optimizer):
    """Let float64 rules take the float32 numbers that MXNet's float64 kernels take."""
    row_of, between = optimizer._row, optimizer.between
    names, corrections = optimizer.scalar_names, optimizer.corrections
    # What MXNet forms in double from such numbers, and the one number that it reads as a double.
    double = {names.index(name) for name in corrections}
    double |= {names.index("epsilon")} if type(optimizer).__name__ == "FTML" else set()

    def rounded(singles):
        return [tuple(value if at in double else float(np.float32(value)) for at, value in enumerate(single))
                for single in singles]  # fmt: skip

    def row_of_singles(scalars, t):
        exact, single = row_of(scalars, t)
        (row,) = map(list, rounded([single]))
        for name, beta in corrections.items():
            if exact[names.index(name)] != 1:
                row[names.index(name)] = 1 - row[names.index(beta)] ** t
        return tuple(row), tuple(row)

    def between_as_singles(*arguments):
        scalars = between(*arguments)
        table = np.array(rounded(scalars.table if scalars.singles is None else scalars.singles))
        return kernels.Scalars(table, scalars.rows, table)

    optimizer.between = between_as_singles
    if type(optimizer).__name__ != "LARS":  # its first pass needs no rates, and they are rounded after it
        optimizer._row = row_of_singles
        optimizer._scalars = lambda rates, _ledger: optimizer._tabulated(rates, optimizer.scalars)
        optimizer._usual_path = False  # on which the compiled step would not look for it


def _write(target, source):
    """Overwrite the arrays of a state."""
    if isinstance(target, tuple):
        for one, other in zip(target, source):
            _write(one, other)
    elif target is not None:
        target[...] = source


def run(case, side, prepare=None):
    """Train the case's tensors and yield (step, weights, states) after every step, as NumPy copies.

    Weights are a list in the tensors' order, states a dict by key as in ``updater.states``. A (weights,
    states) pair that is sent to the generator is where it continues from (mxopt's side only).

    Parameters
    ----------
    prepare : callable, optional
        Called with the optimizer.
    """
    with quiet():
        optimizer = make_optimizer(case, side)
        if prepare is not None:
            prepare(optimizer)
        updater = side.package.optimizer.get_updater(optimizer)
        weights = [side.weight(case, values) for values in weights_of(case)]
    for step in range(1, case.steps + 1):
        with quiet():
            if case.midway and step == case.steps // 2 + 1:
                optimizer.rescale_grad = 0.5 * case.settings["rescale_grad"]
                if not case.scheduler:
                    optimizer.set_learning_rate(0.05)
            joined = len(weights) - (case.late and step < 3)
            keys = list(case.keys[:joined])
            gradients = [
                side.gradient(case, gradient, weight.shape)
                for gradient, weight in zip(gradients_of(case, step)[:joined], weights)
            ]
            if case.path == "single" or case.sparse:
                for key, gradient, weight in zip(keys, gradients, weights):
                    updater(key, gradient, weight)
            else:
                updater(keys, gradients, weights[:joined])
            states = {key: tree(side, state) for key, state in updater.states.items()}
            snapshot = [side.numpy(weight) for weight in weights], states
        given = yield (step, *snapshot)
        if given is not None:
            for weight, values in zip(weights, given[0]):
                weight[...] = values
            for key, values in given[1].items():
                _write(updater.states[key], values)
