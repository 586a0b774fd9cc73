"""The cures that messages of several ranks name; those of one process are in tests/test_cures.py."""

import pytest
from jobs import HERE, job


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_message_names_a_cure_that_works(ranks):
    lines = job(ranks, HERE / "job_cures.py").lines()
    assert len(lines) == 8 * ranks
