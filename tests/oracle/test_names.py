"""The names that mxopt keeps of MXNet are those of the MXNet that is installed."""

import subprocess
import sys
from pathlib import Path

import mxnet
import pytest

import mxopt
import mxopt.absent
import mxopt.v1
from oracle import names
from oracle.comparison import dialects_here, mxnet_version

PACKAGE = mxopt.v1 if "1.x" in dialects_here() else mxopt


def test_the_list_is_that_of_this_mxnet(tmp_path):
    # In a process of its own: it loads every module of MXNet's.
    path = tmp_path / "names.txt"
    subprocess.run([sys.executable, names.__file__, str(path)], check=True, stderr=subprocess.DEVNULL)
    kept = Path(mxopt.absent.__file__).with_name("names") / f"{mxnet_version()}.txt"
    assert path.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "place",
    ["", "gluon", "gluon.nn", "gluon.data", "gluon.utils", "nd", "sym", "optimizer", "base", "io", "context",
     "kvstore", "lr_scheduler", "init", "test_utils", "random", "autograd", "gluon.loss", "image"],
)  # fmt: skip
def test_hasattr_answers_as_mxnet_does(place):
    theirs, ours = mxnet, PACKAGE
    for part in place.split(".") if place else ():
        theirs, ours = getattr(theirs, part), getattr(ours, part)
    public = [
        name
        for name, value in vars(theirs).items()
        if not name.startswith("__")
        and type(value).__module__ != "__future__"
        and getattr(value, "__name__", "") not in names.LEFT_OUT
    ]
    absent = [name for name in public if not hasattr(ours, name)]
    assert not absent
    kinds = [name for name in public if isinstance(getattr(theirs, name), type)]
    assert [name for name in kinds if not isinstance(getattr(ours, name), type)] == []
    invented = [name + suffix for name in public[:40] for suffix in ("x", "_of_mine")]
    assert [n for n in invented if hasattr(ours, n) and not hasattr(theirs, n) and n not in dir(ours)] == []
