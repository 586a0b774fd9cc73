"""What training scripts use around an optimizer: metrics, initializers, batches, callbacks, helpers."""

import hashlib
import http.server
import logging
import math
import threading

import numpy as np
import pytest

import mxopt
import mxopt.v1

dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])
nd = mxopt.nd

# -- metrics: numbers found by hand; those of MXNet are compared live in tests/oracle


@dialects
@pytest.mark.parametrize("array", [nd.array, np.asarray], ids=["NDArray", "numpy"])
def test_accuracy_counts_right_predictions(mx, array):
    metric = mx.metric.create("acc")
    assert math.isnan(metric.get()[1])
    metric.update([array([0, 1, 1])], [array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])])
    metric.update(array([1.0]), array([1.0]))  # classes, and arrays outside of lists
    assert metric.get() == ("accuracy", 0.75)
    metric.reset_local()
    metric.update(array([1.0]), array([0.0]))
    assert metric.get()[1] == 0
    assert metric.get_global()[1] == 0.6
    metric.reset()
    assert math.isnan(metric.get_global()[1])


@dialects
def test_metrics_by_every_way_of_naming_them(mx):
    metric = mx.metric
    assert isinstance(metric.create("top_k_acc", top_k=2), metric.TopKAccuracy)
    assert metric.create(metric.MAE()).name == "mae"
    both = metric.create(["acc", lambda label, pred: (np.abs(label - pred).sum(), label.size)])
    both.update([np.array([1.0, 0.0])], [np.array([1.0, 1.0])])
    assert both.get() == (["accuracy", "custom(<lambda>)"], [0.5, 0.5])
    again = metric.create(metric.Accuracy(axis=0).get_config())
    assert (type(again), again.axis) == (metric.Accuracy, 0)
    with pytest.raises(ValueError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        metric.create("acuracy")
    with pytest.raises(ValueError, match="labels of shape 2 do not go with predictions of shape 1"):
        metric.create("acc").update([np.zeros(2), np.zeros(2)], [np.zeros(2)])


def test_the_dialects_differ_where_mxnet_does():
    label, pred = [np.array([0.0, 0.0])], [np.array([1.0, 3.0])]
    found = {}
    for name, mx in (("2.x", mxopt), ("1.x", mxopt.v1)):
        metric = mx.metric.RMSE()
        for _ in range(2):
            metric.update(label, pred)
        metric.update([np.array([0.0])], [np.array([6.0])])
        found[name] = metric.get()[1]
    assert found["2.x"] == pytest.approx(math.sqrt((1 + 9 + 1 + 9 + 36) / 5))
    assert found["1.x"] == pytest.approx((2 * math.sqrt(5) + 6) / 3)
    assert hasattr(mxopt.v1.metric, "NegativeLogLikelihood")
    assert mxopt.gluon.metric is mxopt.metric
    assert mxopt.v1.metric.Perplexity(ignore_label=None).get()[0] == "perplexity"


@dialects
def test_a_custom_metric(mx):
    @mx.metric.register
    class Largest(mx.metric.EvalMetric):
        def __init__(self):
            super().__init__("largest")

        def update(self, labels, preds):
            self.sum_metric = max(self.sum_metric, *(float(pred.max()) for pred in preds))
            self.num_inst = 1

    metric = mx.metric.create("largest")
    metric.update_dict({}, {"out": np.array([1.0, 4.0])})
    assert metric.get_name_value() == [("largest", 4.0)]
    assert metric.get_global() == metric.get()


# -- initializers


@dialects
def test_an_initializer_fills_by_the_end_of_the_name(mx):
    filled = {}
    for name in ("fc_weight", "fc_bias", "bn_gamma", "bn_beta"):
        filled[name] = np.full((2, 2), 9, np.float32)
        mx.init.create("constant", value=3)(mx.init.InitDesc(name), filled[name])
    assert {name: array[0, 0] for name, array in filled.items()} == {
        "fc_weight": 3, "fc_bias": 0, "bn_gamma": 1, "bn_beta": 0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"'thing' does not say how .* InitDesc\(name, attrs") as raised:
        mx.init.One()(mx.init.InitDesc("thing"), filled["fc_bias"])
    # the cure that the message names
    assert "__init__" in str(raised.value)
    mx.init.One()(mx.init.InitDesc("thing", attrs={"__init__": mx.init.One().dumps()}), filled["fc_bias"])
    assert (filled["fc_bias"] == 1).all()


@pytest.mark.parametrize(
    ("name", "settings", "spread"),
    [
        ("uniform", {"scale": 0.3}, 0.3 / math.sqrt(3)),
        ("normal", {"sigma": 0.5}, 0.5),
        ("xavier", {}, math.sqrt(3 / 250) / math.sqrt(3)),
        ("xavier", {"rnd_type": "gaussian", "factor_type": "in", "magnitude": 2}, math.sqrt(2 / 200)),
        ("xavier", {"factor_type": "out"}, math.sqrt(3 / 300) / math.sqrt(3)),
        ("msraprelu", {"factor_type": "in", "slope": 0}, math.sqrt(2 / 200)),
    ],
)
def test_random_initializers_spread_as_they_say(name, settings, spread):
    mxopt.random.seed(7)
    weight = nd.zeros((300, 200))
    mxopt.init.create(name, **settings)(mxopt.init.InitDesc("fc_weight"), weight)
    # 60,000 numbers: the deviation of their spread is below 0.3%
    assert float(weight.std() if hasattr(weight, "std") else np.std(weight)) == pytest.approx(
        spread, rel=0.02
    )
    first = weight.asnumpy()
    mxopt.random.seed(7)
    mxopt.init.create(name, **settings)(mxopt.init.InitDesc("fc_weight"), weight)
    assert (weight.asnumpy() == first).all()


def test_initializers_of_shape():
    square = np.zeros((3, 8), np.float32)
    mxopt.init.Orthogonal(scale=2)(mxopt.init.InitDesc("q_weight"), square)
    np.testing.assert_allclose(square @ square.T, 4 * np.eye(3), atol=1e-5)
    up = np.zeros((1, 1, 4, 4))
    mxopt.init.Bilinear()(mxopt.init.InitDesc("up_weight"), up)
    np.testing.assert_array_equal(up[0, 0, 1], [0.1875, 0.5625, 0.5625, 0.1875])
    bias = np.ones(8)
    mxopt.init.LSTMBias(2.0)._init_weight("lstm_i2h_bias", bias)
    assert bias.tolist() == [0, 0, 2, 2, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="Xavier needs a matrix"):
        mxopt.init.Xavier()(mxopt.init.InitDesc("a_weight"), np.zeros(3))


def test_initializers_by_pattern_and_from_a_file(tmp_path):
    nd.save(str(tmp_path / "net.params"), {"arg:fc_weight": nd.ones((2,)) * 7})
    weight, other = nd.zeros((2,)), nd.zeros((2,))
    load = mxopt.init.Load(str(tmp_path / "net.params"), default_init=mxopt.init.One())
    load(mxopt.init.InitDesc("fc_weight"), weight)
    load(mxopt.init.InitDesc("gc_weight"), other)
    assert (float(weight[0]), float(other[0])) == (7, 1)
    mixed = mxopt.init.Mixed([".*bias", ".*"], [mxopt.init.Zero(), mxopt.init.Constant(2)])
    mixed(mxopt.init.InitDesc("fc_weight"), weight)
    assert float(weight[0]) == 2
    with pytest.raises(ValueError, match="no pattern matches 'fc_weight'; add '.*'"):
        mxopt.init.Mixed(["bias"], [mxopt.init.Zero()])(mxopt.init.InitDesc("fc_weight"), weight)


def test_descriptions_of_initializers():
    made = mxopt.init.create('["xavier", {"magnitude": 2.0}]')
    assert made == mxopt.init.Xavier(magnitude=2.0)
    assert mxopt.init.create(made.dumps()) == made
    assert made != mxopt.init.Xavier()
    array = mxopt.init.Constant(nd.ones((2,)))
    assert mxopt.init.create(array.dumps()) == array
    with pytest.warns(DeprecationWarning, match="InitDesc"):
        made("fc_weight", np.zeros((2, 2)))


# -- batches


@pytest.mark.parametrize(
    ("handle", "batches"),
    [
        ("pad", [[[0, 1], [2, 3], [4, 0]], [[0, 1], [2, 3], [4, 0]]]),
        ("discard", [[[0, 1], [2, 3]], [[0, 1], [2, 3]]]),
        ("roll_over", [[[0, 1], [2, 3]], [[4, 0], [1, 2], [3, 4]]]),
    ],
)
@dialects
def test_what_becomes_of_the_last_examples(mx, handle, batches):
    source = mx.io.NDArrayIter(np.arange(5), np.arange(5) * 10, 2, last_batch_handle=handle)
    for epoch in batches:
        found = list(source)
        assert [batch.data[0].asnumpy().tolist() for batch in found] == epoch
        assert [batch.label[0].asnumpy().tolist() for batch in found] == [[10 * x for x in b] for b in epoch]
        source.reset()
    assert source.provide_data[0] == ("data", (2,))
    assert source.provide_label[0].name == "softmax_label"


def test_a_batch_iterator_shuffles_data_and_labels_alike():
    np.random.seed(0)
    source = mxopt.io.NDArrayIter({"a": np.arange(6), "b": np.arange(6) + 10}, np.arange(6), 3, shuffle=True)
    seen = []
    for batch in source:
        (a, b), (label,) = batch.data, batch.label
        assert (a.asnumpy() + 10 == b.asnumpy()).all()
        assert (a.asnumpy() == label.asnumpy()).all()
        seen += label.asnumpy().tolist()
    assert sorted(seen) == list(range(6))
    assert seen != sorted(seen)


def test_iterators_of_iterators():
    source = mxopt.io.NDArrayIter(np.arange(4), batch_size=2)
    longer = mxopt.io.ResizeIter(source, 3)
    assert [batch.data[0].asnumpy().tolist() for batch in longer] == [[0, 1], [2, 3], [0, 1]]
    pair = mxopt.io.PrefetchingIter(
        [mxopt.io.NDArrayIter(np.arange(4), batch_size=2), mxopt.io.NDArrayIter(np.arange(4), batch_size=2)],
        rename_data=[{"data": "left"}, {"data": "right"}],
    )
    assert [desc.name for desc in pair.provide_data] == ["left", "right"]
    assert [len(batch.data) for batch in pair] == [2, 2]


def test_bad_data_is_refused():
    with pytest.raises(ValueError, match="'b' has 3 examples, others 4"):
        mxopt.io.NDArrayIter({"a": np.zeros(4), "b": np.zeros(3)})
    with pytest.raises(TypeError, match="data must be a list of arrays"):
        mxopt.io.DataBatch(np.zeros(3))
    with pytest.raises(ValueError, match="last_batch_handle must be 'pad'"):
        mxopt.io.NDArrayIter(np.zeros(4), last_batch_handle="keep")


@pytest.mark.parametrize("workers", [0, 2])
@dialects
def test_a_loader_batches_in_order(mx, workers):
    data = mx.gluon.data.ArrayDataset(mx.nd.array(np.arange(10).reshape(5, 2)), np.arange(5))
    loader = mx.gluon.data.DataLoader(data, batch_size=2, num_workers=workers)
    found = [[x.asnumpy().tolist() for x in batch] for batch in loader]
    assert found == [[[[0, 1], [2, 3]], [0, 1]], [[[4, 5], [6, 7]], [2, 3]], [[[8, 9]], [4]]]
    assert len(loader) == 3
    assert len(list(loader)) == 3  # it can be iterated again


def test_a_loader_shuffles_as_numpy_is_seeded():
    data = mxopt.gluon.data.SimpleDataset(list(range(8)))
    orders = []
    for _ in range(2):
        np.random.seed(5)
        loader = mxopt.gluon.data.DataLoader(data, 4, shuffle=True)
        orders.append(np.concatenate([batch.asnumpy() for batch in loader]).tolist())
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == list(range(8))


def test_pinned_batches_say_so():
    data = mxopt.gluon.data.ArrayDataset(np.arange(4.0), np.arange(4))
    loader = mxopt.gluon.data.DataLoader(data, 2, pin_memory=True, pin_device_id=1)
    assert {x.context for batch in loader for x in batch} == {mxopt.cpu_pinned(1)}


def test_an_error_in_a_worker_comes_out():
    data = mxopt.gluon.data.SimpleDataset(list(range(4))).transform(lambda x: 1 // x)
    with pytest.raises(ZeroDivisionError):
        list(mxopt.gluon.data.DataLoader(data, 2, num_workers=2))


def test_loader_arguments_that_do_not_go_together():
    data = [1, 2]
    with pytest.raises(ValueError, match="batch_size must be given"):
        mxopt.gluon.data.DataLoader(data)
    with pytest.raises(ValueError, match="leave shuffle out"):
        mxopt.gluon.data.DataLoader(data, 1, shuffle=True, sampler=mxopt.gluon.data.SequentialSampler(2))
    with pytest.raises(ValueError, match="leave batch_size"):
        mxopt.gluon.data.DataLoader(data, 1, batch_sampler=[[0], [1]])


def test_datasets():
    numbers = mxopt.gluon.data.SimpleDataset(list(range(11)))
    assert [len(numbers.shard(4, i)) for i in range(4)] == [3, 3, 3, 2]
    assert [numbers.shard(4, i)[0] for i in range(4)] == [0, 3, 6, 9]
    assert list(numbers.filter(lambda x: x % 5 == 0)) == [0, 5, 10]
    assert len(numbers.take(3)) == 3
    pairs = mxopt.gluon.data.ArrayDataset([1, 2], [3, 4]).transform_first(lambda x: x * 10)
    assert pairs[1] == (20, 4)
    assert pairs.transform(lambda a, b: a + b, lazy=False)[0] == 13
    with pytest.raises(ValueError, match="all arrays must have 2 examples"):
        mxopt.gluon.data.ArrayDataset([1, 2], [3])


def test_samplers():
    data = mxopt.gluon.data
    rolling = data.BatchSampler(data.SequentialSampler(5), 2, "rollover")
    assert [list(rolling), list(rolling)] == [[[0, 1], [2, 3]], [[4, 0], [1, 2], [3, 4]]]
    assert len(data.BatchSampler(data.SequentialSampler(5), 2, "discard")) == 2
    assert list(data.IntervalSampler(5, 2)) == [0, 2, 4, 1, 3]


def test_batches_of_uneven_examples():
    batchify = mxopt.gluon.data.batchify
    padded = batchify.Pad(val=-1)([np.array([1, 2, 3]), np.array([4])])
    assert padded.asnumpy().tolist() == [[1, 2, 3], [4, -1, -1]]
    grouped = batchify.Group(batchify.Pad(), batchify.Stack())([([1, 2], 0), ([3], 1)])
    assert [x.asnumpy().tolist() for x in grouped] == [[[1, 2], [3, 0]], [0, 1]]
    with pytest.raises(TypeError, match=r"Group\(Pad\(\), Pad\(\)\)"):
        batchify.Pad()([(1, 2)])


# -- callbacks and helpers


def test_callbacks_log_as_scripts_read_it(caplog):
    metric = mxopt.metric.create("acc")
    speed, bar = mxopt.callback.Speedometer(batch_size=4, frequent=2), mxopt.callback.ProgressBar(4, 8)
    with caplog.at_level(logging.INFO):
        for batch in range(5):
            metric.update([np.array([1.0])], [np.array([1.0])])
            param = mxopt.model.BatchEndParam(epoch=3, nbatch=batch, eval_metric=metric, locals=None)
            speed(param)
            bar(param)
        mxopt.callback.log_train_metric(1)(param._replace(nbatch=5))
    lines = [record.getMessage() for record in caplog.records]
    speeds = [line.split("\t") for line in lines if "Speed" in line]
    assert [line[0] for line in speeds] == ["Epoch[3] Batch [0-2]", "Epoch[3] Batch [2-4]"]
    assert all(line[2] == "accuracy=1.000000" for line in speeds)
    assert "[====----] 50%\r" in lines
    assert lines[-1].startswith("Iter[3] Batch[5] Train-accuracy=")


def test_checkpoints_at_the_end_of_epochs(tmp_path):
    save = mxopt.callback.do_checkpoint(str(tmp_path / "net"), period=2)
    for epoch in range(4):
        save(epoch, None, {"w": nd.ones((2,)) * epoch}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net-0002.params", "net-0004.params"]
    assert float(mxopt.model.load_params(str(tmp_path / "net"), 4)[0]["w"][0]) == 3


def test_arrays_are_compared_by_the_tolerance_of_their_dtype():
    compare = mxopt.test_utils.assert_almost_equal
    compare(nd.array([1.0]), np.array([1.0005], np.float32))
    compare(np.array([1.0], np.float16), np.array([1.05], np.float16))
    compare(nd.array([np.nan]), nd.array([np.nan]), equal_nan=True)
    with pytest.raises(AssertionError, match=r"1 of 2 elements differ .*\n  at \(1,\): mine = .*2.0"):
        compare(nd.array([1, 2]), nd.array([1, 3]), names=("mine", "theirs"))
    with pytest.raises(AssertionError):
        compare(np.array([1.0]), np.array([1.0005]))  # float64 allows less
    with pytest.raises(AssertionError, match="has shape"):
        compare(np.ones(2), np.ones(1), use_broadcast=False)


def test_optimizers_are_compared():
    compare = mxopt.test_utils.compare_optimizer
    fused, step = (mxopt.create("adam", use_fused_step=fused) for fused in (True, False))
    compare(fused, step, [(3, 4), (5,)], np.float32)
    with pytest.raises(AssertionError):
        compare(mxopt.create("sgd"), mxopt.create("adam"), (3, 4), np.float32)


@dialects
def test_optimizers_of_one_tensor_are_compared_with_those_of_lists(mx):
    class Plain(mx.optimizer.Optimizer):
        def create_state(self, index, weight):
            return None

        def update(self, index, weight, grad, state):
            self._update_count(index)
            decayed = grad.tostype("default") + self._get_wd(index) * weight
            weight[:] = weight - self._get_lr(index) * decayed

    settings = {"learning_rate": 0.5, "wd": 0.25}
    compare = mx.test_utils.compare_optimizer
    compare(Plain(**settings), mx.optimizer.SGD(**settings), [(3, 4), (5,)], np.float32, ntensors=2)
    compare(Plain(**settings), mx.optimizer.SGD(lazy_update=False, **settings), (3, 4), np.float32,
            w_stype="row_sparse", g_stype="row_sparse")  # fmt: skip


@dialects
def test_optimizers_with_noise_are_compared(mx):
    one, other, drift = (mx.optimizer.create("sgld", learning_rate=rate) for rate in (0.5, 0.5, 0.25))
    names = {}
    exec(f"from {mx.__name__}.test_utils import *", names)
    compare = names["compare_optimizer_noise_seeded"]
    compare(one, other, [(3, 4), (5,)], np.float32, 7)
    with pytest.raises(AssertionError):
        compare(one, drift, [(3, 4), (5,)], np.float32, 7)


def test_uneven_slices_are_mxnets():
    split = mxopt.gluon.utils.split_data
    assert [len(part) for part in split(nd.zeros((7, 1)), 3, even_split=False)] == [3, 2, 2]
    assert [part.shape for part in split(nd.zeros((2, 5)), 2, batch_axis=1, even_split=False)] == [
        (2, 3),
        (2, 2),
    ]


class _Files(http.server.BaseHTTPRequestHandler):
    content, asked, broken = b"weights", 0, 0

    def do_GET(self):
        _Files.asked += 1
        self.send_response(500 if _Files.asked <= _Files.broken else 200)
        self.end_headers()
        self.wfile.write(_Files.content)

    def log_message(self, *_args):
        pass


@pytest.fixture
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _Files.asked = _Files.broken = 0
    yield f"http://127.0.0.1:{server.server_port}/net.params"
    server.shutdown()
    server.server_close()


def test_download(url, tmp_path):
    right = hashlib.sha1(_Files.content).hexdigest()
    _Files.broken = 2
    name = mxopt.gluon.utils.download(url, str(tmp_path), sha1_hash=right)
    assert name == str(tmp_path / "net.params")
    assert mxopt.gluon.utils.check_sha1(name, right)
    mxopt.gluon.utils.download(url, name, sha1_hash=right)
    assert _Files.asked == 3  # it exists, and is correct
    mxopt.gluon.utils.download(url, name, overwrite=True)
    assert _Files.asked == 4
    with pytest.raises(ValueError, match="has another SHA-1 sum"):
        mxopt.gluon.utils.download(url, name, sha1_hash="0" * 40)
    assert mxopt.gluon.utils.check_sha1(name, right)  # the old file was kept
    assert [path.name for path in tmp_path.iterdir()] == ["net.params"]


def test_a_download_that_fails_leaves_nothing(url, tmp_path):
    _Files.broken = 9
    with pytest.raises(OSError, match="500"):
        mxopt.gluon.utils.download(url, str(tmp_path / "new" / "file"), retries=1)
    assert _Files.asked == 2
    assert list((tmp_path / "new").iterdir()) == []


@dialects
def test_switches_of_array_semantics(mx):
    assert not mx.util.is_np_array()
    mx.npx.set_np()
    try:
        assert mx.util.is_np_array()
        assert mx.util.is_np_shape()
    finally:
        mx.npx.reset_np()

    @mx.util.use_np
    class Net:
        pass

    with mx.util.np_shape():
        assert mx.util.is_np_shape()
    assert not mx.util.is_np_shape()
    with mx.test_utils.environment("MXOPT_TEST_OF_NAMES", "1"):
        assert mx.util.getenv("MXOPT_TEST_OF_NAMES") == "1"
    assert mx.util.getenv("MXOPT_TEST_OF_NAMES") is None


@dialects
def test_names_around_optimizers(mx):
    assert mx.base.mx_real_t is np.float32
    assert issubclass(mx.base.MXNetError, RuntimeError)
    assert mx.MXNetError is mx.base.MXNetError
    assert isinstance(np.int64(3), mx.base.numeric_types)
    assert mx.test_utils.default_dtype() is np.float32
    assert len(mx.test_utils.rand_shape_nd(3)) == 3
    assert mx.test_utils.rand_ndarray((4, 2), "row_sparse", density=1).stype == "row_sparse"
    names = {}
    exec(f"from {mx.__name__}.test_utils import *", names)
    array, (values, rows) = names["rand_sparse_ndarray"]((4, 2), "row_sparse", rsp_indices=[1, 3])
    assert array.indices.tolist() == rows.tolist() == [1, 3]
    assert values.shape == (2, 2)
    with pytest.raises(ValueError, match="stype must be 'row_sparse', got 'csr'; mxopt has no CSR arrays"):
        names["rand_sparse_ndarray"]((4, 2), "csr")


# --- mx.registry --------------------------------------------------------------------------------------------


@dialects
def test_families_of_classes_by_name(mx):
    class Embedding:
        def __init__(self, dim=1):
            self.dim = dim

    register = mx.registry.get_register_func(Embedding, "token embedding")
    create = mx.registry.get_create_func(Embedding, "token embedding")

    @mx.registry.get_alias_func(Embedding, "token embedding")("glove", "GloVe.6B")
    @register
    class Glove(Embedding):
        pass

    assert mx.registry.get_registry(Embedding) == {"glove": Glove, "glove.6b": Glove}
    mx.registry.get_registry(Embedding).clear()  # a copy
    made = Glove(5)
    assert create(made) is made
    for one in (
        create("GLOVE", 5),
        create('["glove", {"dim": 5}]'),
        create({"token embedding": "glove", "dim": 5}),
    ):
        assert type(one) is Glove and one.dim == 5
    with pytest.raises(ValueError, match="unknown token embedding 'glvoe'; did you mean 'glove'"):
        create("glvoe")
    with pytest.raises(TypeError, match="only a subclass of Embedding can be registered"):
        register(int)
    assert mx.registry.get_registry(int) == {}
    ours = mx.registry.get_create_func(mx.init.Initializer, "initializer")
    assert type(ours("xavier")) is mx.init.Xavier


@dialects
def test_zeros_like_another_array_take_the_context_that_scripts_pass(mx):
    for like in (mx.nd.zeros_like, mx.nd.ones_like):
        made = like(mx.nd.ones((2,), dtype="float16"), ctx=mx.cpu(1))
        assert (made.context, made.dtype) == (mx.cpu(), np.float16)
        with pytest.raises(ValueError, match="use mx.cpu"):
            like(mx.nd.ones((2,)), ctx=mx.gpu())
