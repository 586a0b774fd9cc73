"""The example on several ranks ends in one process's bits."""

import re

import pytest
from jobs import HERE, job

EXAMPLE = HERE.parents[1] / "examples" / "many_ranks.py"


@pytest.mark.parametrize("task", ["digits", "words"])
def test_any_number_of_ranks_ends_in_the_same_bits(task):
    if task == "digits":
        pytest.importorskip("sklearn")
        pytest.importorskip("matplotlib")
    digests = set()
    for ranks in (1, 2, 4):
        done = job(ranks, EXAMPLE, task, "--steps", "12")
        assert done.status == 0, done.err
        found = re.findall(r"weights (\w+), (\d+) bytes", done.out)
        assert len(found) == ranks
        digests |= {digest for digest, _ in found}
    assert len(digests) == 1
