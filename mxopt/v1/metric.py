"""``mx.metric`` of MXNet 1.9: the metrics that differ from 2.0."""

from __future__ import annotations

import math

import numpy as np_

from .. import metric, namespace
from ..metric import CustomMetric, EvalMetric, Loss, _pairs, check_label_shapes, np
from ..named import Named

#: metrics that are the same in both generations
_SHARED = (metric.Accuracy, metric.TopKAccuracy, metric.PCC, Loss, metric.Torch, CustomMetric)

_named = Named(
    EvalMetric, "metric", {name: cls for name, cls in metric._named.classes.items() if cls in _SHARED}
)
register, alias = _named.register, _named.alias
Accuracy, PCC, TopKAccuracy, Torch = metric.Accuracy, metric.PCC, metric.TopKAccuracy, metric.Torch

__all__ = [
    "MAE", "MCC", "MSE", "PCC", "RMSE", "Accuracy", "Caffe", "CompositeEvalMetric", "CrossEntropy",
    "CustomMetric", "EvalMetric", "F1", "Loss", "NegativeLogLikelihood", "PearsonCorrelation", "Perplexity",
    "TopKAccuracy", "Torch", "alias", "check_label_shapes", "create", "np", "register",
]  # fmt: skip


def create(metric, *args, **kwargs):
    return _create(_named, metric, args, kwargs)


_create = metric._create
create.__doc__ = metric.create.__doc__


@alias("composite")
@register
class CompositeEvalMetric(metric.CompositeEvalMetric):
    __doc__ = metric.CompositeEvalMetric.__doc__

    _create = staticmethod(create)


class _Binary:
    """Counts of a binary classification: true and false positives, false and true negatives."""

    def __init__(self):
        self.all = np_.zeros(4)
        self.local = np_.zeros(4)

    def update(self, label, pred, who):
        label = label.astype(np_.int32)
        check_label_shapes(label, pred)
        if len(np_.unique(label)) > 2:
            raise ValueError(f"{who} takes labels of two classes, got {len(np_.unique(label))}")
        found, true = pred.argmax(axis=1) == 1, label == 1
        counts = [(a * b).sum() for a, b in ((found, true), (found, 1 - true), (1 - found, true),
                                             (1 - found, 1 - true))]  # fmt: skip
        self.local += counts
        self.all += counts


def _fscore(right, false_pos, false_neg, _):
    precision = right / (right + false_pos) if right + false_pos > 0 else 0.0
    recall = right / (right + false_neg) if right + false_neg > 0 else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


class _OfCounts(EvalMetric):
    """A score computed from the counts of each update, or of all together."""

    def __init__(self, name, output_names=None, label_names=None, average="macro"):
        self.average = average
        self.metrics = _Binary()
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            self.metrics.update(label, pred, type(self).__name__)
        counts = self.metrics
        if self.average == "macro":
            self._add(self._score(*counts.local), 1)
            self.metrics = _Binary()
        else:
            self.num_inst, self.global_num_inst = counts.local.sum(), counts.all.sum()
            self.sum_metric = self._score(*counts.local) * self.num_inst
            self.global_sum_metric = self._score(*counts.all) * self.global_num_inst

    def reset(self):
        self.metrics = _Binary()
        super().reset()

    def reset_local(self):
        self.metrics.local = np_.zeros(4)
        super().reset_local()


@register
class F1(_OfCounts):
    """The harmonic mean of precision and recall.

    Parameters
    ----------
    average : {'macro', 'micro'}
        The mean of the scores of the updates, or the score of all data.
    """

    def __init__(self, name="f1", output_names=None, label_names=None, average="macro"):
        super().__init__(name, output_names, label_names, average)

    _score = staticmethod(_fscore)


@register
class MCC(_OfCounts):
    """Matthews' correlation coefficient.

    Parameters
    ----------
    average : {'macro', 'micro'}
        The mean of the scores of the updates, or the score of all data.
    """

    def __init__(self, name="mcc", output_names=None, label_names=None, average="macro"):
        super().__init__(name, output_names, label_names, average)

    _score = staticmethod(metric.matthews)


class _PerUpdate(EvalMetric):
    """The mean over updates of one number per update."""

    def __init__(self, name, output_names=None, label_names=None):
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            label, pred = (x.reshape(len(x), 1) if x.ndim == 1 else x for x in (label, pred))
            self._add(self._number(label, pred), 1)


@register
class MAE(_PerUpdate):
    """Mean absolute error of each update, averaged over updates."""

    def __init__(self, name="mae", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def _number(self, label, pred):
        return np_.abs(label - pred).mean()


@register
class MSE(_PerUpdate):
    """Mean squared error of each update, averaged over updates."""

    def __init__(self, name="mse", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def _number(self, label, pred):
        return ((label - pred) ** 2.0).mean()


@register
class RMSE(_PerUpdate):
    """Root mean squared error of each update, averaged over updates."""

    def __init__(self, name="rmse", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def _number(self, label, pred):
        return np_.sqrt(((label - pred) ** 2.0).mean())


@alias("ce")
@register
class CrossEntropy(EvalMetric):
    """The mean of ``-log(p + eps)``, where p is the predicted probability of the label."""

    def __init__(self, eps=1e-12, name="cross-entropy", output_names=None, label_names=None):
        self.eps = eps
        super().__init__(name, output_names, label_names, has_global_stats=True, eps=eps)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            label = label.ravel()
            if len(label) != len(pred):
                raise ValueError(f"{len(label)} labels do not go with {len(pred)} predictions")
            found = pred[np_.arange(len(label)), label.astype(np_.int64)]
            self._add((-np_.log(found + self.eps)).sum(), len(label))


@register
@alias("nll_loss")
class NegativeLogLikelihood(CrossEntropy):
    """`CrossEntropy` under another name."""

    def __init__(self, eps=1e-12, name="nll-loss", output_names=None, label_names=None):
        super().__init__(eps, name, output_names, label_names)


@register
class Perplexity(EvalMetric):
    """The exponential of the mean of ``-log(p)``, where p is the predicted probability of the label.

    Parameters
    ----------
    ignore_label : number or None
        Label to leave out. None: count all.
    axis : int, default -1
        The axis of the classes.
    """

    def __init__(self, ignore_label, axis=-1, name="perplexity", output_names=None, label_names=None):
        self.ignore_label, self.axis = ignore_label, axis
        super().__init__(name, output_names, label_names, has_global_stats=True, ignore_label=ignore_label)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            self._add(*metric.surprise(label, pred, self.axis, 1e-10, self.ignore_label))

    def _value(self, total, count):
        return math.exp(total / count) if count else math.nan


@alias("pearsonr")
@register
class PearsonCorrelation(EvalMetric):
    """Pearson's correlation of predictions and labels.

    Parameters
    ----------
    average : {'macro', 'micro'}
        The mean of the correlations of the updates, or the correlation of all data.
    """

    def __init__(self, name="pearsonr", output_names=None, label_names=None, average="macro"):
        self.average = average
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def reset(self):
        self._moments = metric._Moments()
        super().reset()

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            check_label_shapes(label, pred, shape=True)
            label, pred = (x.ravel().astype(np_.float64) for x in (label, pred))
            if self.average == "macro":
                self._add(np_.corrcoef(pred, label)[0, 1], 1)
            else:
                self.num_inst += 1
                self.global_num_inst += 1
                self._moments.add(label, pred)

    def get(self):
        if self.average == "macro" or not self.num_inst:
            return super().get()
        return self.name, self._moments.correlation()


@register
class Caffe(Loss):
    """`Loss` under another name."""

    def __init__(self, name="caffe", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)


namespace.complete(__name__)
