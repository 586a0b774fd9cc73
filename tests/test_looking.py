"""What there is to look at: loggers, pictures, and how things show themselves as text and in notebooks."""

import csv
import re
import warnings

import numpy as np
import pytest

import mxopt as mx
import mxopt.v1


def run(logger, steps=4, **options):
    """A few steps on two parameters, one call each, with a loss."""
    options = {"learning_rate": 0.5, **options}
    optimizer = mx.create("adam", param_idx2name={0: "weight", 1: "bias"}, **options)
    optimizer.add_step_callback(logger)
    updater = mx.get_updater(optimizer)
    weights = [np.ones((2, 3), "f4"), np.ones(3, "f4")]
    for step in range(steps):
        for index, weight in enumerate(weights):
            updater(index, np.full_like(weight, 0.1), weight)
        logger.log(loss=1.0 / (step + 1))
    return updater


# --- loggers ------------------------------------------------------------------------------------------------


def test_a_step_of_several_calls_is_one_record():
    logger = mx.callback.StepLogger()
    run(logger, lr_scheduler=mx.lr_scheduler.FactorScheduler(2, 0.5, base_lr=0.5))
    assert [record["step"] for record in logger.records] == [1, 2, 3, 4]
    assert [record["lr"] for record in logger.records] == [0.5, 0.5, 0.25, 0.25]
    assert [record["loss"] for record in logger.records] == [1.0, 1 / 2, 1 / 3, 1 / 4]


def test_every_so_many():
    logger = mx.callback.StepLogger(every=2)
    run(logger.__class__(), 1)
    optimizer = mx.create("sgd")
    optimizer.add_step_callback(logger)
    updater = mx.get_updater(optimizer)
    for _ in range(5):
        updater(0, np.ones(2, "f4"), np.ones(2, "f4"))
    assert [record["step"] for record in logger.records] == [2, 4]


def test_mistakes_with_loggers():
    logger = mx.callback.StepLogger()
    with pytest.raises(ValueError, match="call log.. after the updater"):
        logger.log(loss=1.0)
    run(logger, 1)
    with pytest.raises(TypeError, match="loss must be a number, got str"):
        logger.log(loss="low")
    with pytest.raises(TypeError, match=r"loss must be a number, got ndarray of shape \(3,\); pass float"):
        logger.log(loss=np.ones(3))
    with pytest.raises(ValueError, match="every must be an integer of 1 or more"):
        mx.callback.StepLogger(every=0)


def test_csv(tmp_path):
    path = tmp_path / "run.csv"
    with mx.callback.CSVLogger(path) as logger:
        run(logger, skip_nonfinite=True)
        logger.log(accuracy=0.9)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert [row["accuracy"] for row in rows] == ["", "", "", "0.9"]
    assert {row["skipped"] for row in rows} == {"0"}


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="needs TensorBoard: tox -e interop")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of its dependencies
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        with mx.callback.TensorBoardLogger(tmp_path) as logger:
            run(logger)
        found = EventAccumulator(str(tmp_path))
        found.Reload()
        tags = found.Tags()
        name = "optimizer/loss"
        if name in tags["scalars"]:
            points = [(event.step, event.value) for event in found.Scalars(name)]
        else:
            points = [(event.step, event.tensor_proto.float_val[0]) for event in found.Tensors(name)]
    assert [step for step, _ in points] == [1, 2, 3, 4]
    np.testing.assert_allclose([value for _, value in points], [1, 1 / 2, 1 / 3, 1 / 4], rtol=1e-6)


def test_tensorboard_by_a_writer_of_the_script(tmp_path):
    class Writer:
        said, closed = [], False

        def add_scalar(self, name, value, step):
            self.said.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            self.closed = True

    writer = Writer()
    with mx.callback.TensorBoardLogger(writer) as logger:
        run(logger)
    assert ("optimizer/loss", 1.0, 1) in writer.said
    assert not writer.closed


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs MLflow: tox -e interop")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
        with mx.callback.MLflowLogger() as logger:
            run(logger)
        points = mlflow.tracking.MlflowClient().get_metric_history(logger.run.info.run_id, "loss")
    assert [point.step for point in points] == [1, 2, 3, 4]
    assert mlflow.active_run() is None


def test_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs Weights & Biases: tox -e interop")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mx.callback.WandbLogger(mode="offline", dir=str(tmp_path), project="mxopt") as logger:
            run(logger)
            logger.flush()
            summary = dict(logger.run.summary)
    assert summary["num_update"] == 4
    assert summary["lr"] == 0.5
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


def test_a_missing_library_is_reported(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ImportError, match="needs wandb, which is not installed; pip install wandb"):
        mx.callback.WandbLogger()


# --- pictures -----------------------------------------------------------------------------------------------


def test_rates_are_those_of_their_updates():
    for make in (
        lambda: mx.lr_scheduler.CosineScheduler(20, base_lr=1.0, warmup_steps=5),
        lambda: mx.lr_scheduler.FactorScheduler(3, 0.5, base_lr=1.0),
        lambda: mx.lr_scheduler.MultiFactorScheduler([4, 9], 0.1, base_lr=1.0),
        lambda: mx.lr_scheduler.PolyScheduler(20, base_lr=1.0, final_lr=0.1),
        lambda: mx.lr_scheduler.WarmupStableDecayScheduler(20, 5, base_lr=1.0, warmup_steps=3),
        lambda: mx.lr_scheduler.CosineRestartsScheduler(4, 2, base_lr=1.0),
    ):
        scheduler = make()
        before = dict(vars(scheduler))
        drawn = mx.viz.rates(scheduler, 30)
        assert vars(scheduler) == before
        lived = make()
        assert drawn.tolist() == [lived(update) for update in range(1, 31)]


def texts(figure):
    pytest.importorskip("matplotlib")
    from matplotlib.text import Text

    figure.draw_without_rendering()
    return " | ".join(text.get_text() for text in figure.findobj(Text) if text.get_text())


def is_png(figure):
    return figure._repr_png_().startswith(b"\x89PNG")


@pytest.fixture
def pictures():
    pytest.importorskip("matplotlib", reason="needs the extra 'viz': tox -e build")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield mx.viz


def test_plot_is_the_picture_of_a_schedule(pictures):
    scheduler = mx.lr_scheduler.OneCycleScheduler(50, base_lr=1.0)
    (line,) = mx.lr_scheduler.plot(scheduler, 60).axes[0].lines
    assert line.get_ydata().tolist() == mx.viz.rates(scheduler, 60).tolist()


def test_schedule(pictures):
    scheduler = mx.lr_scheduler.CosineScheduler(50, base_lr=1.0)
    figure = pictures.schedule(scheduler, 60)
    (line,) = figure.axes[0].lines
    assert line.get_ydata()[-1] == 0.0
    optimizer = mx.create(
        "sgd", learning_rate=None, lr_scheduler=scheduler, param_idx2name={0: "weight", 1: "bias"}
    )
    optimizer.set_lr_mult({"bias": 2.0})
    figure = pictures.schedule(optimizer, 60)
    assert len(figure.axes[0].lines) == 2
    assert "2 x  bias" in texts(figure)
    assert is_png(pictures.schedule(mx.create("sgd", learning_rate=0.1), 10))


def test_states_of_updaters_and_files(pictures, tmp_path):
    updater = run(mx.callback.StepLogger())
    updater.states[1][0][0] = np.nan
    for name, path in (("ours", {}), ("theirs", {"format": "mxnet-2.x"})):
        updater.save_states(tmp_path / name, dump_optimizer=True, **path)
    figure = pictures.states(updater)
    assert "bias/mean" in texts(figure)
    assert "1 not finite" in texts(figure)
    assert is_png(figure)
    assert "bias/mean" in texts(pictures.states(tmp_path / "ours"))
    assert "1 not finite" in texts(pictures.states(tmp_path / "theirs"))
    with pytest.raises(TypeError, match="get_updater"):
        pictures.states(updater.optimizer)


def test_diff(pictures):
    one, other = run(mx.callback.StepLogger()), run(mx.callback.StepLogger(), 5)
    text = texts(pictures.diff(one, other))
    assert "weight/var" in text
    del other.states[1]
    assert "only in the first" in texts(pictures.diff(one, other))
    assert "the same" in texts(pictures.diff(one, one))


def test_a_state_of_one_number_is_seen(pictures):
    updater = mx.get_updater(mx.create("sgd", momentum=0.9))
    updater("w", np.ones(3, "f4"), np.ones(3, "f4"))
    ranges = pictures.states(updater).axes[1]
    assert any(line.get_marker() == "|" for line in ranges.lines)


def test_history(pictures, tmp_path):
    logger = mx.callback.CSVLogger(tmp_path / "run.csv")
    run(logger)
    logger.close()
    for source in (logger, tmp_path / "run.csv", logger.records):
        figure = pictures.history(source)
        assert [axes.get_ylabel() for axes in figure.axes] == ["lr", "wd", "loss"]
    with pytest.raises(ValueError, match="no records to draw"):
        pictures.history(mx.callback.StepLogger())


def test_nothing_is_shown(pictures):
    import sys

    if "matplotlib.pyplot" not in sys.modules:
        pictures.schedule(mx.lr_scheduler.FactorScheduler(3), 5)
        assert "matplotlib.pyplot" not in sys.modules


# --- text and HTML ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["2.x", "1.x"])
def test_every_optimizer_shows_its_arguments_and_progress(dialect):
    for name in mx.list_optimizers(dialect=dialect):
        cls = mx.describe(name, dialect).cls
        optimizer = cls(learning_rate=0.125)
        assert re.fullmatch(rf"<{cls.__name__}\(learning_rate=0.125.*\), no updates yet>", repr(optimizer))
        updater = mx.get_updater(optimizer)
        updater([0, 1], [np.ones((2, 2), "f4")] * 2, [np.ones((2, 2), "f4"), np.ones((2, 2), "f4")])
        if name != "test":  # which does not count in 1.x
            assert repr(optimizer).endswith(", 1 update of 2 parameters>")
        assert repr(updater).startswith("<Updater, 2 states, <")


def test_what_was_changed_is_shown():
    text = repr(mx.create("adam", clip_gradient=5.0, multi_precision=True, learning_rate=0.1))
    assert "clip_gradient=5.0" in text
    assert "multi_precision=True" in text
    assert "rescale_grad" not in text


@pytest.mark.parametrize("package", [mx, mxopt.v1], ids=["2.x", "1.x"])
def test_a_store_shows_what_it_holds(package):
    store = package.kv.create("device")
    store.init([3, 5], [np.ones((2, 4), "f4"), np.ones(1, "f2")])
    assert repr(store) == "<KVStore 'device', 2 keys>"
    store.set_optimizer(package.create("sgd", learning_rate=0.5))
    assert repr(store).startswith("<KVStore 'device', 2 keys, <SGD(learning_rate=0.5")
    assert "<td" in store._repr_html_()
    assert all(word in store._repr_html_() for word in (">2x4<", ">float16<", "SGD: no updates yet"))


def shown():
    updater = run(mx.callback.StepLogger())
    trainer = mx.gluon.Trainer({"<b>": np.ones(2, "f4")}, "sgd")
    store = mx.kv.create()
    store.init(["<a>", "b"], [np.ones(2, "f4"), mx.nd.ones((3, 2)).tostype("row_sparse")])
    store.set_optimizer(mx.create("sgd"))
    return [updater, updater.optimizer, updater.optimizer.effective(), trainer, store, mx.describe("lamb"),
            updater.set_states(updater.get_states())]  # fmt: skip


@pytest.mark.parametrize("thing", shown(), ids=lambda thing: type(thing).__name__)
def test_html_is_whole_and_has_neither_scripts_nor_colours(thing):
    from html.parser import HTMLParser

    class Reader(HTMLParser):
        open: list = []

        def handle_starttag(self, tag, attrs):
            assert tag in ("table", "caption", "tr", "td", "th", "pre")
            assert not [name for name, _ in attrs if name != "style"]
            assert "color:" not in dict(attrs).get("style", "").replace("border-color:", "")
            self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    reader = Reader()
    text = thing._repr_html_()
    reader.feed(text)
    assert not reader.open
    assert text
    assert "<b>" not in text


def test_help_shows_first_what_a_user_needs():
    import pydoc

    lines = pydoc.render_doc(mx.Adam, renderer=pydoc.plaintext).splitlines()
    text = "\n".join(lines[:45])
    for words in ("Updates are applied by", "Parameters", "learning_rate"):
        assert words in text
    joined = "".join(text.replace("|", "").split())  # 3.13 lays long signatures out over lines
    assert "Adam(learning_rate" in joined
