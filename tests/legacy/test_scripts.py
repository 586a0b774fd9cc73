"""The corpus runs on mxopt, and its results are those that real MXNet gave."""

import numpy as np
import pytest

from legacy.corpus import FOLDER, PACKAGES, SCRIPTS, disagreements, recorded, run, scripts, table


def test_every_script_is_listed():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SCRIPTS)


def test_the_documentation_has_the_table():
    page = FOLDER.parents[2] / "docs" / "legacy-scripts.rst"
    assert table() in page.read_text(encoding="utf-8"), "python tests/legacy/corpus.py prints it"


@pytest.mark.parametrize(
    ("name", "dialect"),
    [pytest.param(n, d, id=f"{n}-{d}") for d in PACKAGES for n in scripts(d)],
)
def test_script_gives_what_mxnet_gave(name, dialect):
    assert disagreements(name, recorded(name, dialect), run(name, PACKAGES[dialect])) == []


@pytest.mark.parametrize("name", [n for n, s in SCRIPTS.items() if "2.x" not in s.dialects])
def test_script_of_the_first_generation_runs_in_the_second_dialect(name):
    """Real MXNet 2 cannot: it hands lists to classes that take one tensor, and refuses old keywords."""
    found = run(name, "mxopt")
    assert found
    assert all(np.isfinite(array).all() for array in found.values())
