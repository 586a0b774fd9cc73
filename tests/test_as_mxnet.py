"""``import mxnet`` that means mxopt: by ``python -m mxopt.mxnet`` and by the hook."""

import textwrap

import pytest
from processes import printed, python

HELPER = """
import mxnet as mx
from mxnet import nd
from mxnet.gluon import Trainer
from mxnet.lr_scheduler import FactorScheduler
import mxnet.optimizer as optimizers

@optimizers.Optimizer.register
class Halving(optimizers.Optimizer):
    def create_state(self, index, weight):
        return None

    def update(self, index, weight, grad, state):
        self._update_count(index)
        weight[:] = weight / 2

def make():
    assert optimizers.Optimizer is mx.optimizer.Optimizer
    return mx.optimizer.create("halving"), mx.optimizer.create("sgd", momentum=0.9)
"""
SCRIPT = """
import sys
import mxnet as mx
import helper
half, sgd = helper.make()
weight = mx.nd.ones((2,))
mx.optimizer.get_updater(half)(0, mx.nd.ones((2,)), weight)
print(mx.__version__, sgd.lr, weight.asnumpy().tolist(), sys.argv[1:], __name__)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


@pytest.mark.parametrize(("dialect", "said"), [("2.x", "2.0.0b1 0.1"), ("1.x", "1.9.1 0.01")])
@pytest.mark.parametrize("target", [["train.py"], ["-m", "train"]], ids="".join)
def test_scripts_and_the_modules_that_they_import(folder, dialect, said, target):
    out = printed("-m", "mxopt.mxnet", "--dialect", dialect, *target, "--epochs", "3", cwd=folder)
    assert out == f"{said} [0.5, 0.5] ['--epochs', '3'] __main__\n"


def test_an_error_of_the_script_is_its_own(folder):
    (folder / "train.py").write_text("import mxnet\nmxnet.optimizer.create('adm')\n")
    done = python("-m", "mxopt.mxnet", "train.py", cwd=folder)
    assert done.returncode == 1
    assert 'train.py", line 2' in done.stderr
    assert done.stderr.strip().splitlines()[-1] == "ValueError: unknown optimizer 'adm'; did you mean 'adam'?"


def test_a_script_that_is_not_there(folder):
    done = python("-m", "mxopt.mxnet", "trian.py", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.endswith("there is no script 'trian.py'\n")


def test_the_hook_in_a_program(folder):
    program = textwrap.dedent("""
        import mxopt.mxnet
        mxopt.mxnet.install("1.x")
        import sys
        assert "mxnet" not in sys.modules  # libraries ask, to set something up before
        import helper, mxnet, mxnet.gluon, mxopt.v1
        mxopt.mxnet.install("1.x")
        assert mxnet.create is mxopt.v1.create and mxnet.gluon is mxopt.v1.gluon
        assert dir(mxnet) == dir(mxopt.v1) and mxnet.__path__ == mxopt.v1.__path__
        mxnet.of_mine = 3
        assert mxopt.v1.of_mine == 3
        del mxnet.of_mine
        assert not hasattr(mxopt.v1, "of_mine")
        assert mxopt.v1.__version__ == mxopt.__version__ != mxnet.__version__
        space = {}
        exec("from mxnet import *", space)
        assert space["nd"] is mxopt.v1.nd
        assert helper.make()[1].lr == 0.01
        try:
            import mxnet.no_such_module
        except ModuleNotFoundError as error:
            print(error)
    """)
    assert "no_such_module" in printed("-c", program, cwd=folder)


def test_an_mxnet_that_is_already_imported_is_reported(tmp_path):
    (tmp_path / "mxnet.py").write_text("")
    program = "import mxnet, mxopt.mxnet\nmxopt.mxnet.install()"
    done = python("-c", program, cwd=tmp_path)
    assert "ImportError: mxnet has been imported already, from" in done.stderr.strip().splitlines()[-1]
