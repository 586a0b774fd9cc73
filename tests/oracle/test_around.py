"""What mxopt has around the optimizers beside MXNet's own: metrics, initializers, batches, callbacks."""

import inspect
import io
import logging
import re
import warnings

import mxnet
import numpy as np
import pytest

import mxopt
import mxopt.v1
from oracle.comparison import dialects_here
from oracle.driver import quiet

V1 = "1.x" in dialects_here()
OURS = mxopt.v1 if V1 else mxopt
THEIR_OPTIMIZERS = dict(mxnet.optimizer.Optimizer.opt_registry)
METRICS = mxnet.metric if V1 else mxnet.gluon.metric
array = mxnet.nd.array if V1 else mxnet.np.array
rng = np.random.RandomState(0)


def classes(count=8, of=4):
    pred = rng.rand(count, of).astype(np.float32)
    return rng.randint(0, of, count).astype(np.float32), pred / pred.sum(1, keepdims=True)


def two_classes():
    return classes(of=2)


def numbers(*shape):
    shape = shape or (8, 3)
    return rng.rand(*shape).astype(np.float32), rng.rand(*shape).astype(np.float32)


def vectors():
    return numbers(8)


BOTH = [
    ("accuracy", {}, classes),
    ("acc", {}, two_classes),
    ("top_k_accuracy", {"top_k": 2}, classes),
    ("f1", {}, two_classes),
    ("f1", {"average": "micro"}, two_classes),
    ("mcc", {}, two_classes),
    ("mae", {}, numbers),
    ("mae", {}, vectors),
    ("mse", {}, numbers),
    ("mse", {}, vectors),
    ("rmse", {}, numbers),
    ("rmse", {}, vectors),
    ("ce", {}, classes),
    ("perplexity", {"ignore_label": None}, classes),
    ("perplexity", {"ignore_label": 1}, classes),
    ("pearsonr", {}, numbers),
    ("pcc", {}, classes),
    ("pcc", {}, two_classes),
    ("loss", {}, numbers),
    ("torch", {}, numbers),
]
ONLY_1X = [
    ("nll_loss", {}, classes),
    ("mcc", {"average": "micro"}, two_classes),
    ("pearsonr", {"average": "micro"}, numbers),
    ("caffe", {}, numbers),
]
ONLY_2X = [
    ("fbeta", {"beta": 2}, two_classes),
    ("f1", {"class_type": "multiclass", "average": "macro"}, classes),
    ("f1", {"class_type": "multiclass", "average": None}, classes),
    ("binaryaccuracy", {}, lambda: (rng.randint(0, 2, 8).astype(np.float32), rng.rand(8).astype(np.float32))),
    ("meanpairwisedistance", {}, numbers),
    ("meancosinesimilarity", {}, numbers),
    ("ce", {"from_logits": True, "ignore_label": 2}, classes),
]


@pytest.mark.parametrize(
    ("name", "settings", "draw"),
    BOTH + (ONLY_1X if V1 else ONLY_2X),
    ids=lambda x: x if isinstance(x, str) else None,
)
def test_metrics(name, settings, draw):
    theirs, ours = METRICS.create(name, **settings), OURS.metric.create(name, **settings)
    assert ours.get_config() == theirs.get_config()
    for batch in range(5):
        label, pred = draw()
        theirs.update([array(label)], [array(pred)])
        ours.update([OURS.nd.array(label)], [OURS.nd.array(pred)])
        if V1 and batch == 2:
            theirs.reset_local()
            ours.reset_local()
        compared = [(theirs.get(), ours.get())]
        if V1:
            compared.append((theirs.get_global(), ours.get_global()))
        for (their_name, value), (our_name, found) in compared:
            assert our_name == their_name
            # sums of float32 in another order
            np.testing.assert_allclose(np.asarray(found, float), np.asarray(value, float), rtol=2e-6)


def both(call):
    """What a call gives with each of the packages; of an error its kind."""
    found = []
    for package in (mxnet, OURS):
        np.random.seed(3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found.append(call(package))
            except (AssertionError, TypeError, ValueError) as error:
                found.append(type(error))
    return found


# A batch larger than the data, of data that rolls over, is an error of MXNet's own indices.
@pytest.mark.parametrize(
    ("handle", "count", "size"),
    [
        (handle, count, size)
        for handle in ("pad", "discard", "roll_over")
        for count, size in ((10, 4), (8, 4), (3, 8), (10, 10), (5, 3))
        if not (handle == "roll_over" and size > count)
    ],
)
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_batches(handle, shuffle, count, size):
    def epochs(mx):
        source = mx.io.NDArrayIter(
            np.arange(2 * count).reshape(count, 2), np.arange(count), size, shuffle, handle
        )
        told = [str(source.provide_data), str(source.provide_label)]
        for _ in range(3):
            for batch in source:
                told += [x.asnumpy().tolist() for x in (*batch.data, *batch.label)]
                told += [batch.pad, str(batch), source.cursor]
            source.reset()
        source.hard_reset()
        return told

    theirs, ours = both(epochs)
    assert ours == theirs


@pytest.mark.parametrize(
    "settings",
    [{}, {"shuffle": True}, {"last_batch": "discard"}, {"last_batch": "rollover"}, {"sampler": "sequence"}],
    ids=str,
)
def test_loaders(settings):
    def rounds(mx):
        data = mx.gluon.data
        chosen = dict(settings, sampler=data.SequentialSampler(5, 2)) if "sampler" in settings else settings
        examples = data.ArrayDataset(np.arange(14).reshape(7, 2), list(range(7)))
        loader = data.DataLoader(examples, 3, **chosen)
        return [[[x.asnumpy().tolist() for x in batch] for batch in loader] for _ in range(2)] + [len(loader)]

    theirs, ours = both(rounds)
    assert ours == theirs


def test_datasets_and_samplers():
    def walk(mx):
        data = mx.gluon.data
        whole = data.SimpleDataset(list(range(11)))
        found = [[whole.shard(4, i)[j] for j in range(len(whole.shard(4, i)))] for i in range(4)]
        found += [len(whole.take(3)), len(whole.take(None)), len(whole.filter(lambda x: x % 3))]
        found += [int(i) for i in data.RandomSampler(6)]
        rolling = data.BatchSampler(data.SequentialSampler(7), 3, "rollover")
        return [*found, list(rolling), len(rolling), list(rolling), len(rolling)]

    theirs, ours = both(walk)
    assert ours == theirs


def test_uneven_slices():
    def cut(mx):
        parts = []
        for count, axis in ((2, 0), (3, 0), (7, 0), (3, 1), (9, 0)):
            values = mx.nd.array(np.arange(35).reshape(7, 5))
            split = mx.gluon.utils.split_data(values, count, axis, even_split=False)
            parts.append([part.asnumpy().tolist() for part in split])
        return parts

    theirs, ours = both(cut)
    assert ours == theirs


@pytest.mark.parametrize("name", ["fc_weight", "fc_bias", "bn_gamma", "bn_beta", "x_min", "x_max", "thing"])
@pytest.mark.parametrize(
    ("kind", "settings", "shape"),
    [
        ("constant", {"value": 3.5}, (4, 3)),
        ("zeros", {}, (4, 3)),
        ("one", {}, (4, 3)),
        ("bilinear", {}, (2, 1, 4, 4)),
        ("bilinear", {}, (1, 1, 3, 5)),
        ("lstmbias", {"forget_bias": 2.0}, (8,)),
    ],
)
def test_initializers_without_chance(kind, settings, shape, name):
    def fill(mx):
        values, made = mx.nd.zeros(shape), mx.init.create(kind, **settings)
        made(mx.init.InitDesc(name), values)
        return made.dumps(), values.asnumpy().tolist()

    theirs, ours = both(fill)
    assert ours == theirs


@pytest.mark.parametrize("shape", [(300, 200), (20, 30, 10, 10)], ids=str)
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("uniform", {"scale": 0.3}),
        ("normal", {"sigma": 0.5}),
        ("xavier", {}),
        ("xavier", {"rnd_type": "gaussian", "factor_type": "in", "magnitude": 2}),
        ("xavier", {"factor_type": "out"}),
        ("msraprelu", {}),
        ("orthogonal", {}),
    ],
)
def test_initializers_by_chance(kind, settings, shape):
    found = []
    for mx in (mxnet, OURS):
        mx.random.seed(1)
        values, made = mx.nd.zeros(shape), mx.init.create(kind, **settings)
        made(mx.init.InitDesc("fc_weight"), values)
        found.append((values.asnumpy(), made.dumps()))
    (theirs, their_description), (ours, our_description) = found
    assert our_description == their_description
    # 60,000 numbers each: the spreads' own deviation is below 0.4%
    assert ours.std() == pytest.approx(theirs.std(), rel=0.02)
    assert abs(ours.mean() - theirs.mean()) < 0.02 * theirs.std()


@pytest.mark.parametrize("deviation", [0, 1e-5, 1e-4, 5e-4, 2e-3, 1e-2])
@pytest.mark.parametrize(
    "settings", [{}, {"rtol": 1e-6, "atol": 1e-6}, {"rtol": {np.dtype(np.float32): 1e-2}}]
)
def test_comparisons(settings, deviation):
    a = np.random.RandomState(0).rand(5)
    for b in (a + deviation, a * 100 * (1 + deviation)):
        scale = 100 if b.max() > 10 else 1

        def compare(mx, a=a * scale, b=b):
            mx.test_utils.assert_almost_equal(mx.nd.array(a), b.astype(np.float32), **settings)

        theirs, ours = both(compare)
        assert ours == theirs


def test_callbacks():
    def log(mx):
        told, root = io.StringIO(), logging.getLogger()
        handler = logging.StreamHandler(told)
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            metrics = METRICS if mx is mxnet else mx.metric
            metric, make = metrics.create("acc"), mx.nd.array
            callbacks = [mx.callback.Speedometer(4, 2), mx.callback.Speedometer(4, 2, auto_reset=False),
                         mx.callback.ProgressBar(4, 10), mx.callback.log_train_metric(2),
                         mx.callback.LogValidationMetricsCallback()]  # fmt: skip
            for epoch in range(2):
                for batch in range(5):
                    metric.update([make([1, 0])], [make([[0, 1], [0, 1]])])
                    for callback in callbacks:
                        callback(mx.model.BatchEndParam(epoch, batch, metric, None))
                callbacks[0](mx.model.BatchEndParam(epoch, 6, None, None))
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
        return re.sub(r"Speed: \S+", "Speed: ...", told.getvalue())

    theirs, ours = both(log)
    assert ours == theirs


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"density": 0.5},
        {"density": 0.0},
        {"density": 1.0, "dtype": np.float64},
        {"data_init": 3.0, "density": 0.5},
        {"rsp_indices": np.array([0, 3])},
        {"modifier_func": lambda value: 1 - value, "density": 0.7},
    ],
    ids=lambda settings: " ".join(settings) or "defaults",
)
def test_random_row_sparse_arrays_are_drawn_as_mxnet_draws_them(settings):
    found = []
    for package in (mxnet, OURS):
        np.random.seed(7)
        sparse, (values, rows) = package.test_utils.rand_sparse_ndarray((6, 3), "row_sparse", **settings)
        found.append((sparse.asnumpy(), sparse.data.asnumpy(), sparse.indices.asnumpy(), values, rows))
    theirs, ours = found
    for one, other in zip(theirs[:3], ours[:3]):
        np.testing.assert_array_equal(other, one)
        assert other.dtype == one.dtype
    np.testing.assert_array_equal(ours[3].ravel(), theirs[3].ravel())
    np.testing.assert_array_equal(ours[4], theirs[4])
    options = {name: value for name, value in settings.items() if name not in ("data_init", "rsp_indices")}
    np.random.seed(7)
    one = mxnet.test_utils.rand_ndarray((6, 3), "row_sparse", **options).asnumpy()
    np.random.seed(7)
    np.testing.assert_array_equal(
        OURS.test_utils.rand_ndarray((6, 3), "row_sparse", **options).asnumpy(), one
    )


@pytest.mark.parametrize("name", [n for n in OURS.list_optimizers() if n in THEIR_OPTIMIZERS])
def test_numbers_that_mxnet_refuses(name):
    """Each hyper-parameter that MXNet's kernels cannot read is refused here, when it is given."""
    theirs = THEIR_OPTIMIZERS[name]
    numbers = {
        parameter.name
        for base in theirs.__mro__
        if "__init__" in vars(base)
        for parameter in inspect.signature(base.__init__).parameters.values()
        if isinstance(parameter.default, float)
    }
    refused = 0
    for argument in sorted(numbers - {"rescale_grad"} | {"clip_gradient"}):
        for value in (1e39, 1e-39, 1e-46):
            try:
                updater = mxnet.optimizer.get_updater(theirs(**{argument: value}))
                with quiet():
                    updater(0, mxnet.nd.ones((2, 3)), mxnet.nd.ones((2, 3)))
            except (mxnet.base.MXNetError, ValueError, AssertionError):
                refused += 1
                with pytest.raises(ValueError, match=f"{argument} must be"):
                    OURS.create(name, **{argument: value})
        OURS.create(name, **{argument: 0.0625})
    assert refused or name == "test"
