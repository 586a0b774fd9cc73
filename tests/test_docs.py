"""The documentation is right: its snippets run, and what it names exists."""

import doctest
import importlib
import pkgutil
import re
import shutil
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
from processes import printed

import mxopt

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/*.rst"), ROOT / "README.md"])
PAGES.remove(ROOT / "docs" / "contributing.rst")  # followed below
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(mxopt.__path__, "mxopt.")
    if not info.name.endswith("__main__")
)


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    """Snippets write their files to a temporary folder, and print options are restored."""
    monkeypatch.chdir(tmp_path)
    with np.printoptions():
        yield


def run_examples(test):
    said = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_page(path):
    text = path.read_text(encoding="utf-8")
    run_examples(doctest.DocTestParser().get_doctest(text, {}, path.name, str(path), 0))


@pytest.mark.parametrize("name", ["mxopt", *MODULES])
def test_docstrings(name):
    if name == "mxopt.torch":
        pytest.importorskip("torch", reason="needs torch: tox -e interop")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        if test.examples:
            run_examples(test)


def test_architecture_has_a_sentence_about_every_file(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import tables

    mute = [name for name, sentence in tables.described_files() if not sentence]
    assert not mute, f"{', '.join(mute)}: begin with a docstring or comment that says what the file is for"


def test_numerics_names_tests_that_exist():
    named = set(re.findall(r"``(test_\w+)``", (ROOT / "docs" / "numerics.rst").read_text(encoding="utf-8")))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert not named - set(re.findall(r"def (test_\w+)", sources))


def test_readme_starts_with_the_example_and_the_tests():
    commands = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    first, second = commands.strip().splitlines()
    assert "python examples/digits.py" in first
    assert re.search(r"\btox\b", second)


def test_readme_snippet_runs():
    (snippet,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    shapes = {"fc_weight": (4, 3), "fc_bias": (3,), "embedding": (9, 2)}
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    names = {
        "grads": [np.ones(shapes["fc_weight"], np.float32), np.ones(3, np.float32)],
        "weights": [weights["fc_weight"], weights["fc_bias"]],
        "row_sparse_grad": mxopt.nd.sparse.row_sparse_array((np.ones((1, 2), np.float32), [4]), shape=(9, 2)),
        "embedding": weights["embedding"],
    }
    exec(snippet, names)
    assert all((weight != 1).any() for weight in weights.values())


# --- examples -----------------------------------------------------------------------------------------------


def example(name, *arguments, cwd):
    return printed("-W", "error::UserWarning", ROOT / "examples" / name, *arguments, cwd=cwd)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "nadam"])
def test_digits(optimizer, tmp_path):
    pytest.importorskip("sklearn", reason="needs the extra 'examples': tox -e build")
    pytest.importorskip("matplotlib", reason="needs the extra 'examples': tox -e build")
    said = example("digits.py", "--optimizer", optimizer, "--epochs", "20", cwd=tmp_path)
    assert "the resumed run ends in the same bits" in said
    assert float(re.search(r"reads ([\d.]+)%", said)[1]) > 90
    assert (tmp_path / f"digits-{optimizer}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / f"digits-{optimizer}.states").exists()


def test_word_vectors(tmp_path):
    said = example("word_vectors.py", "--epochs", "2", "--batch", "1024", cwd=tmp_path)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", said)]
    assert losses[1] < losses[0] < 4.16  # an untrained model scores 6 log 2
    assert len(re.findall(r"lazy +[\d.]+ ms, standard +[\d.]+ ms", said)) == 2


def test_narrow_states(tmp_path):
    pytest.importorskip("sklearn", reason="needs the extra 'examples': tox -e build")
    said = example("narrow_states.py", "1", "digits", "tumours", cwd=tmp_path)
    accuracies = [float(line.split()[-2]) for line in said.splitlines()[1:]]
    assert len(accuracies) == 6
    assert min(accuracies) > 0.94 and max(np.ptp(accuracies[:3]), np.ptp(accuracies[3:])) < 0.02


def test_table_on_disk(tmp_path):
    said = example("table_on_disk.py", "--rows", "400000", "--steps", "20", cwd=tmp_path)
    first, last = map(float, re.search(r"loss: ([\d.]+) at first, ([\d.]+) at last", said).groups())
    assert last < first == 1.0
    assert "table and states: 614 MB" in said


# --- contributing: "Add an optimizer", followed to the letter -----------------------------------------------


def blocks_of(page):
    """(caption, text) of the code blocks with captions."""
    found = re.finditer(
        r"^( *)\.\. code-block:: \w+\n\1   :caption: (.+)\n\n((?:\1   .*\n|\n)+)", page, re.MULTILINE
    )
    for block in found:
        yield block[2], textwrap.dedent(block[3]).strip("\n") + "\n"


def follow(caption, text, folder):
    found = re.fullmatch(r"add to (\S+)(?: (before|after) (.+))?", caption)
    if not found:
        (folder / caption).write_text(text)
        return
    path, where, anchor = folder / found[1], found[2], found[3]
    old = path.read_text()
    if where:
        assert old.count(anchor) == 1
    if where == "before":
        new = old.replace(anchor, f"{text}\n{anchor}")
    elif where == "after":
        new = old.replace(anchor, f"{anchor}\n{textwrap.indent(text, '    ')}")
    else:
        new = old + text
    path.write_text(new)


@pytest.mark.slow
def test_adding_an_optimizer_goes_as_the_page_says(tmp_path):
    pytest.importorskip("Cython", reason="needs what builds mxopt: tox -e build")
    for folder in ("mxopt", "tests"):
        left_out = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "fixtures", "recorded")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=left_out)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    steps = list(blocks_of((ROOT / "docs" / "contributing.rst").read_text(encoding="utf-8")))
    assert len(steps) == 5
    for caption, text in steps:
        follow(caption, text, tmp_path)

    def run(*command):
        return printed(*command, cwd=tmp_path, MXOPT_BUILD_ISA="baseline", PYTHONPATH=str(tmp_path))

    run("setup.py", "build_ext", "--inplace")
    assert str(tmp_path) in run("-c", "import mxopt; print(mxopt.__file__)")
    code = "import doctest, mxopt.optimizer.tiger as tiger; raise SystemExit(doctest.testmod(tiger).failed)"
    run("-c", code)
    chosen = "tiger or every_optimizer"
    said = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_promises.py", "-k", chosen)
    assert int(re.search(r"(\d+) passed", said)[1]) > 100
