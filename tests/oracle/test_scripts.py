"""The corpus of legacy scripts, run live under real MXNet and under mxopt."""

import pytest
from legacy.corpus import PACKAGES, disagreements, run, scripts

from oracle.comparison import dialects_here
from oracle.driver import quiet

DIALECT = "1.x" if "1.x" in dialects_here() else "2.x"


@pytest.mark.parametrize("name", scripts(DIALECT))
def test_script_gives_what_mxnet_gives(name):
    with quiet():
        assert disagreements(name, run(name, "mxnet"), run(name, PACKAGES[DIALECT])) == []
