"""The environments of tox that the workflows call have something to run."""

import configparser
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"

pytestmark = pytest.mark.skipif(not WORKFLOW.exists(), reason="needs a checkout, with its workflows")


def expanded(text):
    """``py31{0, 1}`` -> py310, py311."""
    parts = re.split(r"\{([^{}]*)\}", text)
    choices = [re.split(r",\s*", part) if i % 2 else [part] for i, part in enumerate(parts)]
    return {"".join(one).strip() for one in itertools.product(*choices)}


def sections():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini")
    return parser


def commands(name):
    """The lines of commands that tox runs in an environment."""
    parser = sections()
    found = ""
    for section in parser.sections():
        if section.startswith("testenv:") and name in expanded(section[len("testenv:") :]):
            found = parser[section].get("commands", "")
    lines = (found or parser["testenv"]["commands"]).splitlines()
    conditional = re.compile(r"(py[\w{},]*): (.*)")
    rows = [
        (match and match[1], line) for line in lines if line.strip() for match in [conditional.match(line)]
    ]
    return [line for factors, line in rows if factors is None or name in expanded(factors)]


def called():
    """The environments that the workflow calls."""
    text = WORKFLOW.read_text()
    names = re.search(r"environment: \[(.*)\]", text)[1].split(", ")
    pythons = set(re.findall(r'"(3\.\d+t?)"', text.partition("  pythons:")[2]))
    return [*names, *sorted(f"py{version.replace('.', '')}" for version in pythons)]


def test_every_environment_that_is_called_runs_something():
    assert {"py39", "py314", "py313t", "py314t", "mxnet19", "docs"} <= set(called())
    assert [name for name in called() if not commands(name)] == []
    assert not commands("py")


def test_every_python_of_the_classifiers_is_called():
    text = (ROOT / "pyproject.toml").read_text()
    versions = re.findall(r"Python :: (3\.\d+)\"", text)
    assert {f"py{version.replace('.', '')}" for version in versions} <= set(called())
