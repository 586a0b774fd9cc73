"""Listing and describing optimizers: as data and as text, from the registry and the classes alone."""

import inspect
import re

import pytest

import mxopt
import mxopt.v1

EVERY = [
    pytest.param(package, name, id=f"{dialect}-{name}")
    for dialect, package in (("2.x", mxopt), ("1.x", mxopt.v1))
    for name in package.list_optimizers()
]


def test_lists_the_registry():
    assert mxopt.list_optimizers() == sorted(mxopt.optimizer.opt_registry)
    assert mxopt.v1.list_optimizers() == sorted(mxopt.v1.optimizer.opt_registry)


def test_patterns_are_as_in_file_names():
    assert mxopt.list_optimizers("LA*") == ["lamb", "lans", "laprop", "lars"]
    assert mxopt.list_optimizers("adam?") == ["adamw"]
    assert mxopt.v1.list_optimizers("la*") == ["lamb", "laprop", "lars"]
    assert mxopt.list_optimizers("nothing") == []


@pytest.mark.parametrize(("package", "name"), EVERY)
def test_every_optimizer_is_described(package, name):
    told = package.describe(name)
    assert told.cls is package.optimizer.opt_registry[name]
    assert told.states == package.create(name).state_names
    assert told.lazy == (told.cls.not_lazy_because is None)
    optimizer = package.create(name, **told.parameters)
    assert optimizer.lr == package.create(name).lr
    text = str(told)
    assert told.signature in text and told.update.splitlines()[0] in text
    assert inspect.isclass(told.cls) and told.summary and told.state


@pytest.mark.parametrize(("package", "name"), EVERY)
def test_every_docstring_is_complete(package, name):
    """Formula, parameters, state, references and an example, in either dialect (test_docs.py runs it)."""
    document = package.optimizer.opt_registry[name].__doc__
    formula = document[document.index("::\n") : document.index("Parameters\n")]
    assert "weight" in formula and "..." not in formula
    for heading in ("Parameters", "Notes", "References", "Examples"):
        assert len(re.findall(rf"^ *{heading}\n *-+\n", document, re.MULTILINE)) == 1
    assert re.search(r"^ *State: ", document, re.MULTILINE)
    assert f">>> import numpy as np, {package.__name__}" in document
    signature = inspect.signature(package.optimizer.opt_registry[name].__init__)
    for parameter in signature.parameters.keys() - {"self", "kwargs"}:
        assert re.search(rf"\b{parameter}\b", document), parameter


def test_says_what_the_other_dialect_does():
    told = mxopt.describe("rmsprop")
    assert told.differences["rho"] == {"2.x": 0.9, "1.x": "absent"}
    assert told.differences["gamma1"] == {"2.x": "absent", "1.x": 0.9}
    assert mxopt.describe("adabelief").differences == {}
    assert mxopt.describe("sgd").differences["lazy_update"] == {"2.x": False, "1.x": True}
    assert "history + eps" in mxopt.describe("adagrad").other_formula


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'lamb'"):
        mxopt.describe("lamp")
    with pytest.raises(TypeError, match="must be a string, got int"):
        mxopt.describe(3)
    with pytest.raises(ValueError, match="dialect must be"):
        mxopt.describe("sgd", dialect="3.0")
