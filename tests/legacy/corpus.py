"""The corpus: small scripts as people wrote them for MXNet, run with only the import line changed."""

from __future__ import annotations

import ast
import importlib
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

FOLDER = Path(__file__).parent / "scripts"
RECORDED = Path(__file__).parent / "recorded"
IMPORT = "import mxnet as mx"
PACKAGES = {"1.x": "mxopt.v1", "2.x": "mxopt"}


class Script(NamedTuple):
    """A script, and how its results compare with real MXNet's.

    Attributes
    ----------
    pattern : str
        Whose pattern it re-creates.
    dialects : tuple of str
        The generations of MXNet that can run it. mxopt runs it in both.
    close : dict of str to (float, str)
        Largest relative deviation of the results whose names begin so, with the reason; all others are
        equal bits.
    """

    pattern: str
    dialects: tuple[str, ...] = ("1.x", "2.x")
    close: dict = {}


ONLY_1 = ("1.x",)
SCRIPTS = {
    "autoencoder_solver": Script("apache/mxnet example/autoencoder/solver.py"),
    "bandwidth_measure": Script("apache/mxnet tools/bandwidth/measure.py"),
    "bayesian_sgld": Script(
        "apache/mxnet example/bayesian-methods/algos.py",
        close={"noise~": (0.02, "mean and spread of noise that each library draws by itself")},
    ),
    "bert_adam": Script("dmlc/gluon-nlp optimizer/bert_adam.py"),
    "byteps_delta": Script("bytedance/byteps byteps/mxnet/__init__.py", ONLY_1),
    "d2l_from_scratch": Script("d2l-ai/d2l-zh, chapters that write the optimizer out"),
    "d2l_teaching": Script("d2l-ai/d2l-zh chapter_optimization"),
    "ddpg_updaters": Script("apache/mxnet example/reinforcement-learning/ddpg"),
    "dqn_rmsprop": Script("zackchase/mxnet-the-straight-dope chapter17", ONLY_1),
    "dsd_sparse_sgd": Script("apache/mxnet example/dsd/sparse_sgd.py", ONLY_1),
    "estimator_pickle": Script("dmlc/gluon-cv auto/estimators/base_estimator.py"),
    "factorization_machine": Script(
        "apache/mxnet example/sparse/factorization_machine",
        close={"adam": (1e-6, "MXNet 2's kernel for standard sparse updates orders one product otherwise")},
    ),
    "fp16_loss_scaling": Script("dmlc/gluon-nlp scripts/bert/fp16_utils.py"),
    "gluoncv_warmup": Script("dmlc/gluon-cv utils/lr_scheduler.py"),
    "gluonts_object": Script("awslabs/gluonts mx/trainer/_base.py"),
    "horovod_proxy": Script("horovod/horovod horovod/mxnet/__init__.py"),
    "insightface_schedule": Script("deepinsight/insightface, training scripts"),
    "keras_double_inheritance": Script("awslabs/keras-apache-mxnet backend/mxnet_backend.py"),
    "kvstore_workers": Script("apache/mxnet KVStore tutorials"),
    "large_word_lm": Script("apache/mxnet example/rnn/large_word_lm/train.py", ONLY_1),
    "lars_by_norms": Script("custom classes with layer-wise rates (LARS, LARC)", ONLY_1),
    "module_clone": Script("TuSimple/simpledet core/detection_module.py, msracver/Deformable-ConvNets"),
    "module_devices": Script("apache/mxnet python/mxnet/model.py and its users"),
    "names_in_the_index": Script("custom classes that read the parameter's name (APGNAG, NAGex)", ONLY_1),
    "onadam": Script("deepinsight/insightface alignment/heatmap/optimizer.py", ONLY_1),
    "partial_fc_wrapper": Script("deepinsight/insightface partial_fc/mxnet/optimizer.py", ONLY_1),
    "schedules_by_name": Script("apache/mxnet learning-rate scheduler tutorials"),
    "sockeye_resume": Script("awslabs/sockeye sockeye/training.py"),
    "sparse_linear_classification": Script(
        "apache/mxnet example/sparse/linear_classification",
        close={"adam": (1e-6, "MXNet 2's kernel for standard sparse updates orders one product otherwise")},
    ),
    "speech_sgd": Script("apache/mxnet example/speech-demo/speechSGD.py", ONLY_1),
    "states_read_by_hand": Script("scripts that inspect, copy and pickle optimizers"),
    "step_of_2x": Script("custom optimizers of MXNet 2", ("2.x",)),
    "svrg_two_optimizers": Script("apache/mxnet contrib/svrg_optimization", ONLY_1),
    "text_cnn_loop": Script("apache/mxnet example/cnn_text_classification/text_cnn.py"),
    "three_devices": Script("multi-GPU training scripts of gluon"),
    "throw_away_step": Script("microsoft/MaskFlownet main.py"),
    "word_lm_trainer": Script("dmlc/gluon-nlp scripts/language_model", ONLY_1),
    "wrapped_and_bounded": Script("custom classes after papers (Lookahead, AMSGrad, AdaBound)", ONLY_1),
}


def scripts(dialect):
    """Names of the scripts that real MXNet of this generation can run."""
    return [name for name, script in SCRIPTS.items() if dialect in script.dialects]


def disagreements(name, theirs, ours):
    """Where a script's results break the promise, one line each."""
    if set(theirs) != set(ours):
        return [f"results {sorted(theirs)} and {sorted(ours)}"]
    found = []
    for key, expected in theirs.items():
        got = ours[key]
        close = [limit for start, limit in SCRIPTS[name].close.items() if key.startswith(start)]
        if got.shape != expected.shape or got.dtype != expected.dtype:
            found.append(f"{key}: {got.dtype}{got.shape}, MXNet has {expected.dtype}{expected.shape}")
        elif close:
            deviation = np.abs(got.astype(float) - expected).max() / np.abs(expected.astype(float)).max()
            if not deviation <= close[0][0]:
                found.append(f"{key}: deviates by {deviation:.2g}, and may by {close[0][0]:.2g}")
        elif not np.array_equal(got, expected):
            found.append(f"{key}: not the same bits")
    return found


def recorded(name, dialect):
    """What real MXNet gave."""
    with np.load(RECORDED / dialect / f"{name}.npz") as file:
        return dict(file)


def title(name):
    """What a script shows, from its docstring."""
    return ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())).splitlines()[0]


def run(name, package):
    """Run a script with its import line changed to `package`.

    Returns
    -------
    dict of str to ndarray
        What its ``main()`` returns.
    """
    source = (FOLDER / f"{name}.py").read_text()
    lines = [line for line in source.splitlines() if "mxnet" in line]
    assert lines == [IMPORT], f"{name}.py names MXNet in more than its import line: {lines}"
    code = compile(source.replace(IMPORT, f"import {package} as mx"), f"{name}.py with {package}", "exec")
    registry = importlib.import_module(package).optimizer.Optimizer.opt_registry
    before = dict(registry)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MXNet's advice on precision, and its own deprecations
            namespace = {"__name__": name}
            exec(code, namespace)
            return namespace["main"]()
    finally:
        registry.clear()
        registry.update(before)


def table():
    """The corpus as a table of the documentation."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 22 34 34 10", ""]
    rows = [("Script", "What it does", "After", "MXNet")]
    for name, script in SCRIPTS.items():
        rows.append((f"``{name}``", title(name), script.pattern, ", ".join(script.dialects)))
    for row in rows:
        lines += [f"   {'*' if cell is row[0] else ' '} - {cell}" for cell in row]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table())
