"""Hostile files: refused with a reason, nothing run, nothing filled, nothing changed."""

import itertools
import sys
import tracemalloc

import numpy as np
import pytest
from attacks.alarms import alarms
from attacks.headers import FORGERIES
from attacks.pickles import ATTACKS

import mxopt
from mxopt.states import StateFileError, mxnet, native

#: what every reading may take beside the file: the interpreter's and NumPy's own small objects
CONSTANT = 48 << 20


@pytest.fixture(scope="module", autouse=True)
def everything_imported():
    """Modules and codecs that are loaded when they are first used."""
    with pytest.raises(StateFileError):
        mxopt.get_updater(mxopt.create("adam")).set_states(b"\x80\x04N.")
    with pytest.raises(StateFileError):
        mxnet.read(b"V\\u0041\n.")


def refused(read, data):
    """The error of reading; it comes after work and memory in proportion to the file, and runs nothing."""
    with pytest.raises(StateFileError), alarms() as heard:
        read(data)
    calls = itertools.count()
    sys.setprofile(lambda *_: next(calls))
    try:
        with pytest.raises(StateFileError):
            read(data)
    finally:
        sys.setprofile(None)
    tracemalloc.start()
    with pytest.raises(StateFileError) as caught:
        read(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert heard == []
    assert next(calls) < 40 * len(data) + 1000
    assert peak < 4 * len(data) + CONSTANT
    assert len(str(caught.value)) < 600
    return caught.value


@pytest.mark.parametrize("data", ATTACKS.values(), ids=ATTACKS)
def test_pickle(data):
    refused(mxnet.read, data)
    updater = mxopt.get_updater(mxopt.create("adam"))
    updater(0, np.ones(2, "f4"), np.ones(2, "f4"))
    before = dict(vars(updater)), dict(vars(updater.optimizer)), dict(updater.states)
    with pytest.raises(StateFileError):
        updater.set_states(data)
    assert (dict(vars(updater)), dict(vars(updater.optimizer)), dict(updater.states)) == before


@pytest.mark.parametrize(("data", "words"), FORGERIES.values(), ids=FORGERIES)
def test_header(data, words):
    refused(native.loads, data)
