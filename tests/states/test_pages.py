"""The snippets of the pages on state files, run as they stand."""

import doctest
import re
from pathlib import Path

import pytest

import mxopt

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["state-files.md", "coming-from-mxnet.md"])
def test_snippets(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(
        r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page, page, 0)
    output = []
    failures, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=output.append)
    mxopt.Optimizer.opt_registry.pop("tiger", None)
    assert tried > 10
    assert not failures, "".join(output)
