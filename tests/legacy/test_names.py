"""What scripts import from MXNet and mxopt lacks: it imports, and fails at its first real use."""

import copy
import importlib
import inspect
import pickle
import pydoc
import subprocess
import sys
import typing

import pytest

import mxopt
import mxopt.v1
from mxopt.absent import RELEASES, Names, stand_ins

dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])

#: As public scripts write them, with ``{mx}`` for the package.
IMPORTS = [
    "from {mx}.gluon.data.vision import transforms",
    "from {mx}.contrib import text",
    "from {mx}.gluon import nn, rnn, loss as gloss, HybridBlock, SymbolBlock",
    "from {mx}.gluon.nn import Dense, BatchNorm",
    "from {mx}.gluon.model_zoo.vision import resnet50_v1",
    "from {mx}.gluon.block import Block, HybridBlock",
    "from {mx}.gluon.rnn.rnn_cell import LSTMCell",
    "from {mx}.symbol import Symbol",
    "from {mx}.ndarray import NDArray, Convolution, waitall",
    "from {mx}.ndarray.ndarray import NDArray",
    "from {mx}.image import imread",
    "from {mx} import autograd, gluon, image, init, nd, npx, np, profiler, recordio, sym, viz",
    "from {mx}.base import _LIB, check_call, MXNetError, mx_real_t",
    "from {mx}.kvstore.kvstore import KVStore",
    "from {mx}.module.base_module import BaseModule",
    "from {mx}.io import DataIter, ImageRecordIter",
    "from {mx}.optimizer.optimizer import SGD, Optimizer",
    "import {mx}.gluon.contrib.estimator.event_handler as handlers",
    "import {mx}.ndarray.sparse, {mx}.kv, {mx}.mod",
    "from {mx}.gluon.nn import *",
    "from {mx}.symbol import *",
]


@pytest.mark.parametrize("line", IMPORTS)
@dialects
def test_imports_of_scripts(mx, line):
    exec(line.format(mx=mx.__name__), {})


@pytest.mark.parametrize(
    ("mx", "path"),
    [(mxopt.v1, "contrib.amp"), (mxopt, "contrib.amp"), (mxopt, "amp"), (mxopt, "gluon.probability")],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_each_dialect_has_its_generation(mx, path):
    assert importlib.import_module(f"{mx.__name__}.{path}")


def test_1x_has_no_names_of_2x():
    assert not hasattr(mxopt.v1, "amp")
    assert not hasattr(mxopt.v1.gluon, "probability")


@dialects
def test_one_object_under_all_its_names(mx):
    assert mx.gluon.HybridBlock is mx.gluon.nn.HybridBlock is mx.gluon.block.HybridBlock
    assert issubclass(mx.gluon.nn.Dense, mx.gluon.Block)
    assert mx.sym is mx.symbol is importlib.import_module(f"{mx.__name__}.symbol")
    trainer = importlib.import_module(f"{mx.__name__}.gluon.trainer")
    assert trainer.Trainer is mx.gluon.Trainer
    assert importlib.import_module(f"{mx.__name__}.ndarray.sparse") is mx.nd.sparse
    assert importlib.import_module(f"{mx.__name__}.optimizer.optimizer").SGD is mx.optimizer.SGD


def test_other_names_load_no_module_twice():
    importlib.import_module("mxopt.v1.ndarray.random")
    importlib.import_module("mxopt.ndarray.ndarray")
    assert mxopt.v1.nd.random is mxopt.nd.random
    assert mxopt.nd.sparse.__spec__.name == "mxopt.nd.sparse"
    importlib.reload(mxopt.nd.sparse)


@dialects
def test_classes_serve_as_annotations_and_bases(mx):
    class Net(mx.gluon.HybridBlock):
        """A user's network."""

        def __init__(self, units):
            super().__init__()
            self.units = units

        def forward(self, x: mx.nd.NDArray, state: typing.Optional[mx.sym.Symbol] = None) -> mx.gluon.Block:
            raise AssertionError

    assert typing.get_type_hints(Net.forward)["return"] is mx.gluon.Block
    assert issubclass(Net, mx.gluon.Block)
    assert not isinstance(3, mx.gluon.Block)
    with pytest.raises(
        NotImplementedError, match="HybridBlock is not here.* define the model with a library"
    ):
        Net(3)


@dialects
def test_an_exception_of_mxnets_is_one(mx):
    with pytest.raises(mx.base.MXNetError):
        raise mx.error.InternalError("caught as MXNet's error")


@dialects
def test_a_registered_operator_class_is_defined(mx):
    @mx.operator.register("softmax_of_mine")
    class SoftmaxProp(mx.operator.CustomOpProp):
        pass

    with pytest.raises(NotImplementedError, match="no custom operators"):
        SoftmaxProp()


@dialects
def test_tools_may_look(mx):
    for found in (mx.gluon.nn, mx.gluon.nn.Dense, mx.nd.Convolution, mx.base._LIB, mx.sym):
        assert copy.copy(found) is not None
        assert copy.deepcopy(found) is not None
        assert repr(found)
        assert hasattr(found, "__doc__")
        assert not hasattr(found, "nothing_of_this_name")
        assert "Not in mxopt" in inspect.getdoc(found)
        assert "Not in mxopt" in pydoc.render_doc(found)
    for found in (mx.gluon.nn, mx.gluon.nn.Dense, mx.nd.Convolution):
        assert pickle.loads(pickle.dumps(found)) is found
    assert "Dense" in dir(mx.gluon.nn)
    assert hasattr(mx.gluon.Block, "collect_params")
    assert not hasattr(mx.gluon.Block, "collect_parameters")
    assert "Dense" in dict(inspect.getmembers(mx.gluon.nn))


@dialects
def test_a_name_that_mxnet_lacks_is_an_error_as_usual(mx):
    for where in (mx, mx.gluon, mx.gluon.nn, mx.nd, mx.sym, mx.gluon.data, mx.optimizer, mx.context, mx.base):
        assert not hasattr(where, "no_such_name")
        with pytest.raises(AttributeError):
            where.no_such_name  # noqa: B018  (looking is the test)
    with pytest.raises(ImportError):
        importlib.import_module(f"{mx.__name__}.gluon.no_such_module")
    with pytest.raises(ImportError):
        exec(f"from {mx.__name__}.gluon.nn import Densest", {})


@pytest.mark.parametrize("release", ["1.9.1", "2.0.0b1"])
def test_every_name_of_mxnet_is_there(release):
    """Thousands of names; each gives something, and the stand-ins among them say what to do instead."""
    package = next(dialect for dialect, releases in RELEASES.items() if releases[0] == release)
    names, missing = Names(release), []
    for module in sorted(names._texts):
        for name, (kind, _) in names.entries(module).items():
            if kind == "outside":  # another library's, which need not be installed
                continue
            try:
                found = stand_ins(package).get(module, name)
            except AttributeError as error:
                missing.append(f"{module}.{name}: {error}")
                continue
            if kind == "class" and not isinstance(found, type):
                missing.append(f"{module}.{name} is not a class")
            if kind == "function" and not callable(found):
                missing.append(f"{module}.{name} cannot be called")
    assert not missing


def test_importing_mxopt_reads_no_names():
    code = "import sys, mxopt; sys.exit('mxopt.absent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
