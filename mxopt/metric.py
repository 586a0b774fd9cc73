"""``mx.metric``, in 2.0 ``mx.gluon.metric``: MXNet's metrics, computed by NumPy.

The numbers are those of MXNet 2.0; metrics that differ in 1.9 are in `mxopt.v1.metric`.
"""

from __future__ import annotations

import math

import numpy as np_

from . import namespace
from .named import Named

__all__ = [
    "MAE", "MCC", "MSE", "PCC", "RMSE", "Accuracy", "BinaryAccuracy", "CompositeEvalMetric", "CrossEntropy",
    "CustomMetric", "EvalMetric", "F1", "Fbeta", "Loss", "MeanCosineSimilarity", "MeanPairwiseDistance",
    "PearsonCorrelation", "Perplexity", "TopKAccuracy", "Torch", "alias", "check_label_shapes", "create",
    "np", "register",
]  # fmt: skip

_SMALL = 1e-12  # the smallest denominator


def check_label_shapes(labels, preds, wrap=False, shape=False):
    """Refuse labels and predictions that do not match.

    Parameters
    ----------
    labels, preds : array, or list of arrays
    wrap : bool
        Make a list of a single array.
    shape : bool
        Compare shapes; otherwise lengths.

    Returns
    -------
    labels, preds
    """
    sizes = (labels.shape, preds.shape) if shape else (len(labels), len(preds))
    if sizes[0] != sizes[1]:
        raise ValueError(f"labels of shape {sizes[0]} do not go with predictions of shape {sizes[1]}")
    if wrap:
        labels, preds = _listed(labels), _listed(preds)
    return labels, preds


def _listed(arrays):
    return [arrays] if hasattr(arrays, "dtype") else arrays


def _pairs(labels, preds):
    labels, preds = check_label_shapes(labels, preds, wrap=True)
    return [(np_.asarray(label), np_.asarray(pred)) for label, pred in zip(labels, preds)]


class EvalMetric:
    """Base of all metrics: a sum and a number of instances; the value is their quotient.

    A custom metric overrides ``update(labels, preds)`` and adds to ``sum_metric`` and ``num_inst``.

    Parameters
    ----------
    name : str
    output_names, label_names : list of str, optional
        The outputs and labels that `update_dict` uses.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> metric = mx.metric.create("acc")
    >>> metric.update([np.array([0, 1, 1])], [np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])])
    >>> metric.get()
    ('accuracy', 0.6666666666666666)
    """

    def __init__(self, name, output_names=None, label_names=None, **kwargs):
        self.name = str(name)
        self.output_names, self.label_names = output_names, label_names
        self._has_global_stats = kwargs.pop("has_global_stats", False)
        self._kwargs = kwargs
        self.reset()

    def __str__(self):
        return f"EvalMetric: {dict(self.get_name_value())}"

    def get_config(self):
        """Name and settings, from which `create` makes an equal metric."""
        return {
            **self._kwargs,
            "metric": type(self).__name__,
            "name": self.name,
            "output_names": self.output_names,
            "label_names": self.label_names,
        }

    def update_dict(self, label, pred):
        """Update from dicts of labels and outputs by name."""
        preds = [pred[name] for name in (pred if self.output_names is None else self.output_names)]
        labels = [label[name] for name in (label if self.label_names is None else self.label_names)]
        self.update(labels, preds)

    def update(self, labels, preds):
        """Add a batch.

        Parameters
        ----------
        labels, preds : list of array
        """
        raise NotImplementedError(f"{type(self).__name__} must override update(labels, preds)")

    def _add(self, total, count):
        self.sum_metric += total
        self.global_sum_metric += total
        self.num_inst += count
        self.global_num_inst += count

    def reset(self):
        """Start over."""
        self.global_num_inst, self.global_sum_metric = 0, 0.0
        EvalMetric.reset_local(self)

    def reset_local(self):
        """Start over, but keep what `get_global` returns."""
        self.num_inst, self.sum_metric = 0, 0.0

    def _value(self, total, count):
        if count == 0:
            return math.nan
        value = total / count
        return value.item() if isinstance(value, np_.ndarray) and not value.ndim else value

    def get(self):
        """(name, value) since the last reset; nan before the first batch."""
        return self.name, self._value(self.sum_metric, self.num_inst)

    def get_global(self):
        """As `get`, but since the last reset that was not local."""
        if not self._has_global_stats:
            return self.get()
        return self.name, self._value(self.global_sum_metric, self.global_num_inst)

    def get_name_value(self):
        """Pairs of name and value."""
        return _paired(*self.get())

    def get_global_name_value(self):
        """Pairs of name and value, as `get_global`."""
        return _paired(*self.get_global())


def _paired(name, value):
    names = name if isinstance(name, list) else [name]
    return list(zip(names, value if isinstance(value, list) else [value]))


_named = Named(EvalMetric, "metric")
register, alias = _named.register, _named.alias


def create(metric, *args, **kwargs):
    """Make a metric.

    Parameters
    ----------
    metric : str, callable, list or EvalMetric
        A name, a function of label and prediction, or a list of these, which makes a composite.
    *args, **kwargs
        The arguments of its constructor.
    """
    return _create(_named, metric, args, kwargs)


def _create(named, metric, args, kwargs):
    if callable(metric) and not isinstance(metric, EvalMetric):
        return CustomMetric(metric, *args, **kwargs)
    if isinstance(metric, list):
        composite = named.classes["compositeevalmetric"]()
        for child in metric:
            composite.add(_create(named, child, args, kwargs))
        return composite
    return named.create(metric, *args, **kwargs)


@register
@alias("composite")
class CompositeEvalMetric(EvalMetric):
    """Several metrics over the same batches.

    Parameters
    ----------
    metrics : list of metrics, as `create` takes them, optional
    """

    _create = staticmethod(create)

    def __init__(self, metrics=None, name="composite", output_names=None, label_names=None):
        self.metrics = [self._create(metric) for metric in metrics or ()]
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def add(self, metric):
        """Add a metric."""
        self.metrics.append(self._create(metric))

    def get_metric(self, index):
        """The metric at a position."""
        if not -len(self.metrics) <= index < len(self.metrics):
            raise IndexError(f"there are {len(self.metrics)} metrics, got the index {index}")
        return self.metrics[index]

    def update_dict(self, labels, preds):
        labels = {key: labels[key] for key in labels if self.label_names is None or key in self.label_names}
        preds = {key: preds[key] for key in preds if self.output_names is None or key in self.output_names}
        for metric in self.metrics:
            metric.update_dict(labels, preds)

    def update(self, labels, preds):
        for metric in self.metrics:
            metric.update(labels, preds)

    def reset(self):
        for metric in self.metrics:
            metric.reset()

    def reset_local(self):
        for metric in self.metrics:
            metric.reset_local()

    def _flat(self, pairs):
        pairs = [pair for metric in pairs for pair in metric]
        return [name for name, _ in pairs], [value for _, value in pairs]

    def get(self):
        return self._flat(metric.get_name_value() for metric in self.metrics)

    def get_global(self):
        return self._flat(metric.get_global_name_value() for metric in self.metrics)

    def get_config(self):
        return {**super().get_config(), "metrics": [metric.get_config() for metric in self.metrics]}


@register
@alias("acc")
class Accuracy(EvalMetric):
    """The share of correct predictions.

    Parameters
    ----------
    axis : int, default 1
        The axis along which the largest prediction gives the class; ignored if predictions are classes.
    """

    def __init__(self, axis=1, name="accuracy", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names, has_global_stats=True, axis=axis)
        self.axis = axis

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            if pred.shape != label.shape:
                pred = pred.argmax(axis=self.axis)
            self._add(*_right(label, pred))


def _right(label, pred):
    """How many predictions are correct, and how many there are."""
    label, pred = (x.astype(np_.int32).ravel() for x in (label, pred))
    check_label_shapes(label, pred)
    return float((label == pred).sum()), len(pred)


@register
@alias("top_k_accuracy", "top_k_acc")
class TopKAccuracy(EvalMetric):
    """The share of labels that are among the `top_k` largest predictions.

    Parameters
    ----------
    top_k : int
        2 or more.
    """

    def __init__(self, top_k=1, name="top_k_accuracy", output_names=None, label_names=None):
        if top_k <= 1:
            raise ValueError(f"top_k must be 2 or more, got {top_k}; use Accuracy for 1")
        self.top_k = top_k
        super().__init__(name, output_names, label_names, has_global_stats=True, top_k=top_k)
        self.name += f"_{top_k}"

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            if pred.ndim > 2:
                raise ValueError(f"predictions must have 2 dimensions at most, got shape {pred.shape}")
            best = np_.argpartition(pred.astype(np_.float32), -self.top_k)
            label = label.astype(np_.int32)
            check_label_shapes(label, best)
            if best.ndim == 2:
                best, label = best[:, -self.top_k :], label.reshape(-1, 1)
            self._add(float((best == label).sum()), len(best))


def predict_with_threshold(pred, threshold=0.5):
    """Which predictions are above a threshold, or above the threshold of their class."""
    if not isinstance(threshold, float):
        threshold = np_.asarray(threshold)
        if threshold.ndim == 0 or threshold.shape[-1] != pred.shape[-1]:
            raise ValueError(
                f"threshold must be a float, or have one for each of {pred.shape[-1]} classes, "
                f"got {threshold.tolist()}"
            )
    return pred > threshold


def one_hot(idx, num):
    """One-hot rows: a 1 at each index."""
    return (np_.arange(num) == np_.asarray(idx)[:, None]).astype(np_.int32)


class _Confusion:
    """True and false positives and negatives of each class."""

    def __init__(self, class_type="binary", threshold=0.5, beta=1):
        if class_type not in ("binary", "multiclass", "multilabel"):
            raise ValueError(f"class_type must be 'binary', 'multiclass' or 'multilabel', got {class_type!r}")
        self.class_type, self.threshold, self.beta = class_type, threshold, beta
        self.reset()

    def reset(self):
        self.counts = None

    def update(self, label, pred):
        label = label.astype(np_.int32)
        if self.class_type == "binary":
            if label.max() > 1:
                raise ValueError(f"labels of a binary classification are 0 and 1, got {label.max()}")
            if pred.shape != label.shape:
                if pred.shape[-1] > 2:
                    raise ValueError(f"predictions of two classes were expected, got shape {pred.shape}")
                if pred.shape[-1] == 2:
                    pred = pred.reshape(-1, 2)[:, 1]
            found = predict_with_threshold(pred, self.threshold).reshape(-1, 1)
            label = label.reshape(-1, 1)
        elif self.class_type == "multiclass":
            classes = pred.shape[-1]
            if label.max() >= classes:
                raise ValueError(f"label {label.max()} has no prediction; there are {classes} classes")
            found, label = one_hot(pred.argmax(-1).ravel(), classes), one_hot(label.ravel(), classes)
        else:
            check_label_shapes(label, pred, shape=True)
            classes = pred.shape[-1]
            found = predict_with_threshold(pred, self.threshold).reshape(-1, classes)
            label = label.reshape(-1, classes)
        check_label_shapes(label, found)
        found, true = found == 1, label == 1
        counts = np_.array(
            [(found & true).sum(0), (found & ~true).sum(0), (~found & true).sum(0), (~found & ~true).sum(0)],
            np_.float64,
        )
        if self.counts is None:
            self.counts = counts
        elif self.counts.shape != counts.shape:
            raise ValueError(
                f"the number of classes changed from {self.counts.shape[1]} to {counts.shape[1]}"
            )
        else:
            self.counts += counts

    @property
    def examples(self):
        return 0 if self.counts is None else int(self.counts[:, 0].sum())

    def fscore(self):
        """The F-score of each class."""
        if self.counts is None:
            return np_.zeros(1)
        right, false_pos, false_neg, _ = self.counts
        precision = right / np_.maximum(right + false_pos, _SMALL)
        recall = right / np_.maximum(right + false_neg, _SMALL)
        square = self.beta**2
        return (1 + square) * precision * recall / np_.maximum(square * precision + recall, _SMALL)

    def micro_fscore(self):
        """The F-score of all classes together."""
        if self.counts is None:
            return 0.0
        right, false_pos, false_neg, _ = self.counts.sum(1)
        precision = right / max(right + false_pos, _SMALL)
        recall = right / max(right + false_neg, _SMALL)
        square = self.beta**2
        if precision + recall <= 0:
            return 0.0
        return float((1 + square) * precision * recall / (square * precision + recall))


def matthews(right, false_pos, false_neg, right_neg):
    """Matthews' correlation from the four counts; sums that are 0 are left out of the denominator."""
    if right + false_pos + false_neg + right_neg == 0:
        return 0.0
    sums = (right + false_pos, right + false_neg, right_neg + false_pos, right_neg + false_neg)
    product = 1.0
    for value in sums:
        product *= value or 1.0
    return float((right * right_neg - false_pos * false_neg) / math.sqrt(product))


@register
class F1(EvalMetric):
    """The harmonic mean of precision and recall over all batches.

    Parameters
    ----------
    class_type : {'binary', 'multiclass', 'multilabel'}, default 'binary'
    threshold : float or array, default 0.5
        Predictions above it count as positive.
    average : {'micro', 'macro', None}, default 'micro'
        One score over all classes together, the mean of the classes' scores, or one score for each class.
    """

    def __init__(self, name="f1", output_names=None, label_names=None, class_type="binary", threshold=0.5,
                 average="micro", _beta=1):  # fmt: skip
        self.average = average
        self.metrics = _Confusion(class_type, threshold, _beta)
        super().__init__(name, output_names, label_names)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            self.metrics.update(label, pred)
        if self.average == "micro":
            score = self.metrics.micro_fscore()
        else:
            score = self.metrics.fscore()
            if self.average == "macro":
                score = float(score.mean())
        self.num_inst = self.metrics.examples
        self.sum_metric = score * self.num_inst

    def reset(self):
        self.metrics.reset()
        super().reset()

    reset_local = reset


@register
class Fbeta(F1):
    """`F1` generalised: recall is `beta` times as important as precision."""

    def __init__(self, name="fbeta", output_names=None, label_names=None, class_type="binary", beta=1,
                 threshold=0.5, average="micro"):  # fmt: skip
        super().__init__(name, output_names, label_names, class_type, threshold, average, _beta=beta)


@register
class BinaryAccuracy(EvalMetric):
    """The share of predictions on the correct side of a threshold.

    Parameters
    ----------
    threshold : float or array, default 0.5
    """

    def __init__(self, name="binary_accuracy", output_names=None, label_names=None, threshold=0.5):
        self.threshold = threshold
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            self._add(*_right(label, predict_with_threshold(pred, self.threshold)))


@register
class MCC(EvalMetric):
    """Matthews' correlation coefficient of a binary classification, over all batches."""

    def __init__(self, name="mcc", output_names=None, label_names=None):
        self._metrics = _Confusion()
        super().__init__(name, output_names, label_names)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            self._metrics.update(label, pred)
        self.num_inst = self._metrics.examples
        self.sum_metric = matthews(*self._metrics.counts[:, 0]) * self.num_inst

    def reset(self):
        self._metrics.reset()
        super().reset()

    reset_local = reset


class _PerExample(EvalMetric):
    """The mean of one number for each example."""

    def __init__(self, name, output_names=None, label_names=None, **kwargs):
        super().__init__(name, output_names, label_names, has_global_stats=True, **kwargs)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            values = self._values(label, pred)
            self._add(values.sum(), len(values))


def _rows(differences):
    return differences.reshape(len(differences), -1).mean(axis=-1)


@register
class MAE(_PerExample):
    """Mean absolute error."""

    def __init__(self, name="mae", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def _values(self, label, pred):
        return _rows(np_.abs(label - pred))


@register
class MSE(_PerExample):
    """Mean squared error."""

    def __init__(self, name="mse", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def _values(self, label, pred):
        return _rows((label - pred) ** 2.0)


@register
class RMSE(MSE):
    """The root of the mean squared error."""

    def __init__(self, name="rmse", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def _value(self, total, count):
        return math.sqrt(super()._value(total, count)) if count else math.nan


@register
class MeanPairwiseDistance(_PerExample):
    """The mean distance between predictions and labels, in the p-norm."""

    def __init__(self, name="mpd", output_names=None, label_names=None, p=2):
        self.p = p
        super().__init__(name, output_names, label_names)

    def _values(self, label, pred):
        label, pred = (x.reshape(len(x), -1) for x in (label, pred))
        return ((label - pred) ** self.p).sum(axis=-1) ** (1.0 / self.p)


@register
class MeanCosineSimilarity(_PerExample):
    """The mean cosine of the angle between predictions and labels."""

    def __init__(self, name="cos_sim", output_names=None, label_names=None, eps=1e-8):
        self.eps = eps
        super().__init__(name, output_names, label_names)

    def _values(self, label, pred):
        label, pred = np_.atleast_2d(label), np_.atleast_2d(pred)
        lengths = np_.linalg.norm(pred, axis=-1) * np_.linalg.norm(label, axis=-1)
        return ((label * pred).sum(axis=-1) / np_.maximum(lengths, self.eps)).ravel()


@register
@alias("ce")
class CrossEntropy(EvalMetric):
    """The mean negative log of the probability predicted for the label.

    Parameters
    ----------
    eps : float, default 1e-12
        The smallest probability; smaller ones are raised to it.
    ignore_label : number, optional
        Labels that do not count.
    axis : int, default -1
        The axis of the classes.
    from_logits : bool
        Predictions go through a softmax first.
    """

    def __init__(self, eps=1e-12, ignore_label=None, axis=-1, from_logits=False, name="cross-entropy",
                 output_names=None, label_names=None):  # fmt: skip
        self.eps, self.ignore_label, self.axis, self.from_logits = eps, ignore_label, axis, from_logits
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            if self.from_logits:
                pred = np_.exp(pred - pred.max(axis=self.axis, keepdims=True))
                pred = pred / pred.sum(axis=self.axis, keepdims=True)
            self._add(*surprise(label, pred, self.axis, self.eps, self.ignore_label))


def surprise(label, pred, axis, eps, ignore_label):
    """The sum of the negative logs of the probabilities predicted for the labels, and their number."""
    if label.size * pred.shape[-1] != pred.size:
        raise ValueError(f"labels of shape {label.shape} do not go with predictions of shape {pred.shape}")
    label, classes = label.ravel(), pred.shape[axis]
    flat = np_.moveaxis(pred, axis, -1).reshape(-1, classes)
    found = flat[np_.arange(len(label)), label.astype(np_.int32).clip(0, classes - 1)]
    count = len(label)
    if ignore_label is not None:
        ignored = label == ignore_label
        count -= int(ignored.sum())
        found = np_.where(ignored, found.dtype.type(1), found)
    return -np_.log(np_.maximum(found.dtype.type(eps), found)).sum(), count


@register
class Perplexity(CrossEntropy):
    """The exponential of `CrossEntropy`."""

    def __init__(self, eps=1e-12, ignore_label=None, axis=-1, from_logits=False, name="perplexity",
                 output_names=None, label_names=None):  # fmt: skip
        super().__init__(eps, ignore_label, axis, from_logits, name, output_names, label_names)

    def _value(self, total, count):
        return math.exp(total / count) if count else math.nan


@register
@alias("pearsonr")
class PearsonCorrelation(EvalMetric):
    """Pearson's correlation of predictions and labels over all batches."""

    def __init__(self, name="pearsonr", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def reset(self):
        self._moments = _Moments()
        super().reset()

    reset_local = reset

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            check_label_shapes(label, pred, shape=True)
            self.num_inst += 1
            self._moments.add(label.ravel().astype(np_.float64), pred.ravel().astype(np_.float64))

    def get(self):
        return self.name, self._moments.correlation() if self.num_inst else math.nan


class _Moments:
    """Running means, squares and products of pairs that arrive in batches."""

    def __init__(self):
        self.count, self.product = 0, 0.0
        self.means, self.squares = [0.0, 0.0], [0.0, 0.0]

    def add(self, label, pred):
        # The product takes the label's new mean and the prediction's old one, which makes it exact.
        self.count += len(label)
        self._take(0, label)
        self.product += float(np_.sum((label - self.means[0]) * (pred - self.means[1])))
        self._take(1, pred)

    def _take(self, which, values):
        before = values - self.means[which]
        self.means[which] += float(np_.sum(before / self.count))
        self.squares[which] += float(np_.sum(before * (values - self.means[which])))

    def correlation(self):
        n = self.count - 1
        with np_.errstate(all="ignore"):
            roots = [np_.sqrt(np_.float64(square) / n) for square in self.squares]
            return float(self.product / (n * roots[1] * roots[0]))


@register
class PCC(EvalMetric):
    """Matthews' correlation for any number of classes."""

    def __init__(self, name="pcc", output_names=None, label_names=None):
        self._local = self._all = np_.zeros((2, 2))
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels, preds):
        for label, pred in _pairs(labels, preds):
            label = label.astype(np_.int32)
            pred = pred.argmax(axis=1) if pred.shape != label.shape else pred.astype(np_.int32)
            size = max(pred.max(), label.max()) + 1
            self._local, self._all = (
                np_.pad(x, (0, max(0, size - len(x)))).astype(float) for x in (self._local, self._all)
            )
            for counts in (self._local, self._all):
                np_.add.at(counts, (pred.ravel(), label.ravel()), 1)
        self.num_inst += 1
        self.global_num_inst += 1

    def get(self):
        return self.name, self._correlation(self._local) if self.num_inst else math.nan

    def get_global(self):
        return self.name, self._correlation(self._all) if self.global_num_inst else math.nan

    @staticmethod
    def _correlation(counts):
        n, rows, columns = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
        variances = np_.sum(rows * (n - rows)) * np_.sum(columns * (n - columns))
        if variances == 0:
            return math.nan
        return float(np_.sum(counts.diagonal() * n - rows * columns) / variances**0.5)

    def reset(self):
        self._all = np_.zeros_like(self._local)
        super().reset()
        self.reset_local()

    def reset_local(self):
        self._local = np_.zeros_like(self._local)
        super().reset_local()


@register
class Loss(EvalMetric):
    """The mean of the outputs themselves."""

    def __init__(self, name="loss", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, _, preds):
        for pred in map(np_.asarray, _listed(preds)):
            self._add(pred.sum().item(), pred.size)


@register
class Torch(Loss):
    """`Loss` under another name."""

    def __init__(self, name="torch", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)


@register
class CustomMetric(EvalMetric):
    """A metric computed by a function.

    Parameters
    ----------
    feval : callable
        Takes a label and a prediction as NumPy arrays, and returns the value, or a sum and a count.
    name : str, optional
        By default the function's.
    allow_extra_outputs : bool
        Whether there may be more predictions than labels.
    """

    def __init__(self, feval, name=None, allow_extra_outputs=False, output_names=None, label_names=None):
        if name is None:
            name = feval.__name__
            if "<" in name:
                name = f"custom({name})"
        super().__init__(name, output_names, label_names, has_global_stats=True, feval=feval,
                         allow_extra_outputs=allow_extra_outputs)  # fmt: skip
        self._feval, self._allow_extra_outputs = feval, allow_extra_outputs

    def update(self, labels, preds):
        if self._allow_extra_outputs:
            pairs = zip(map(np_.asarray, _listed(labels)), map(np_.asarray, _listed(preds)))
        else:
            pairs = _pairs(labels, preds)
        for label, pred in pairs:
            found = self._feval(label, pred)
            self._add(*(found if isinstance(found, tuple) else (found, 1)))

    def get_config(self):
        raise NotImplementedError("a metric of a function has no description; make it anew from the function")


def np(numpy_feval, name=None, allow_extra_outputs=False):
    """Make a metric from a function of NumPy arrays; as `CustomMetric`."""
    return CustomMetric(numpy_feval, name or numpy_feval.__name__, allow_extra_outputs)


namespace.complete(__name__)
