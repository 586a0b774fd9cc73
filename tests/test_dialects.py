"""Dialects as values: what each holds, how it is found, and which classes are known to be mxopt's own."""

import subprocess
import sys

import pytest

import mxopt
import mxopt.v1
from mxopt import dialects

PACKAGES = {"1.x": mxopt.v1, "2.x": mxopt}


@pytest.mark.parametrize("name", dialects.NAMES)
def test_a_dialect_holds_what_its_package_shows(name):
    dialect, package = dialects.get(name), PACKAGES[name]
    assert dialect.name == name
    assert dialect.base is package.optimizer.Optimizer
    assert dialect.updater is package.optimizer.Updater
    assert dialect.registry.classes is package.optimizer.opt_registry
    for surface in (package.gluon.Trainer, package.kv.KVStore, package.mod.ParameterModule):
        assert surface.dialect is dialect
    assert dialect.other.other is dialect


@pytest.mark.parametrize("name", dialects.NAMES)
def test_every_optimizer_of_a_dialect_is_built_in_and_knows_it(name):
    for cls in dialects.get(name).registry.classes.values():
        if cls.__module__.startswith("mxopt."):  # other tests register their own
            assert dialects.is_built_in(cls)
            assert dialects.of(cls) is dialects.of(cls()) is dialects.get(name)


@pytest.mark.parametrize(("old", "name"), [("1.9", "1.x"), ("1.9.1", "1.x"), ("v1", "1.x"), ("2.0", "2.x")])
def test_other_spellings_are_read(old, name):
    assert dialects.get(old) is dialects.get(name)


@pytest.mark.parametrize("name", ["3.x", "", None, 1])
def test_an_unknown_dialect_is_refused(name):
    with pytest.raises(ValueError, match="dialect must be one of '1.x', '2.x', got"):
        dialects.get(name)


def test_a_program_of_2_x_loads_1_x_only_when_it_is_asked_for():
    script = (
        "import sys, mxopt\n"
        "assert not any(name.startswith('mxopt.v1') for name in sys.modules)\n"
        "from mxopt import dialects\n"
        "assert 'lbsgd' in dialects.get('1.x').registry.classes\n"
        "assert dialects.get('1.x').updater is sys.modules['mxopt.v1.optimizer'].Updater\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_subclass_stays_built_in_while_it_overrides_rates_only():
    class Warm(mxopt.Adam):
        def _get_lr(self, index):
            return 0.5

    class Scaled(Warm):
        def scalars(self, t, lr, wd):
            return super().scalars(t, lr / 2, wd)

    assert dialects.is_built_in(Warm)
    assert dialects.is_built_in(Scaled)


@pytest.mark.parametrize(
    "method",
    [
        "update",
        "update_multi_precision",
        "step",
        "fused_step",
        "create_state",
        "create_state_multi_precision",
    ],
)
def test_a_class_with_a_protocol_of_its_own_is_not_built_in(method):
    own = {method: lambda self, *args: None}
    mixin = type("Mixin", (), own)
    for cls in (
        type("Own", (mxopt.Adam,), own),
        type("Below", (type("Own", (mxopt.v1.SGD,), own),), {}),
        type("Mixed", (mixin, mxopt.Adam), {}),
        type("Base", (mxopt.Optimizer,), own),
    ):
        assert not dialects.is_built_in(cls)
    assert dialects.is_built_in(type("Behind", (mxopt.Adam, mixin), {}))  # the mixin is never asked


def test_a_class_of_both_dialects_speaks_the_older_one():
    class Both(mxopt.Nadam, mxopt.v1.SGD):
        pass

    assert dialects.of(Both) is dialects.get("1.x")


def test_what_only_acts_like_an_optimizer_is_not_built_in():
    class Proxy:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

    assert not dialects.is_built_in(Proxy(mxopt.Adam()))
    assert dialects.of(Proxy(mxopt.v1.Adam())) is dialects.get("2.x")


def test_a_copied_dialect_is_the_dialect():
    import copy
    import pickle

    dialect = dialects.get("1.x")
    assert copy.deepcopy(dialect) is pickle.loads(pickle.dumps(dialect)) is dialect
