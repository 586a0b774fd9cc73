"""The plan of a step on more machines, beside steps of real ranks."""

import json

import pytest
from jobs import code

from mxopt import cli
from mxopt.distributed.plan import Rates, bandwidth, plan, ranks_of

RATES = Rates(copy=1e10, add=5e9, step=2e9, link=1e10, latency=1e-5)

SENT = """
import json, sys, numpy as np, mxopt
from mxopt.distributed import world
ranks, found = world.world(), []
for size, count, transport in CASES:
    updater = mxopt.get_updater(mxopt.create("adam"), comm=ranks, accumulate=count, transport=transport)
    weight = np.ones(size, np.float32)
    def step():
        for _ in range(*updater.micro_batches):
            updater(0, np.ones_like(weight), weight)
    step()
    before = ranks.sent
    step()
    found.append([ranks.sent - before, sum(state.nbytes for state in updater.states[0])])
lines = ranks.gather_bytes(json.dumps(found).encode())
if ranks.rank == 0:
    print(json.dumps([json.loads(line) for line in lines]), flush=True)
"""


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_send_and_keep_what_the_plan_says(ranks, tmp_path):
    unit = ranks * 16_384
    cases = [(size, count, how) for size in (unit, 2 * unit) for count in (ranks, 2 * ranks, ranks + 1)
             for how in ("messages", "windows")]  # fmt: skip
    (found,) = code(ranks, f"CASES = {cases!r}\n{SENT}", tmp_path).lines()
    for number, (size, count, how) in enumerate(cases):
        expected = plan(size, ranks, RATES, accumulate=count, one_machine=how == "windows")
        sent = [of_rank[number][0] for of_rank in found]
        assert max(sent) == expected.sent, (size, count, how)
        assert {of_rank[number][1] for of_rank in found} == {8 * size // ranks}


def test_more_ranks_cost_less_time_and_memory():
    plans = [plan(7_000_000_000, ranks, RATES) for ranks in ranks_of("8..1024")]
    assert [one.ranks for one in plans] == [8, 16, 32, 64, 128, 256, 512, 1024]
    memory = [one.memory for one in plans]
    assert memory == sorted(memory, reverse=True)
    assert all(one.sent < 2 * 4 * 7e9 for one in plans)
    assert plan(1000, 1, RATES).sent == 0


@pytest.mark.parametrize(
    "text, value", [("100Gb", 12.5e9), ("12.5GB", 12.5e9), ("25 Gbit/s", 3.125e9), ("400Gbps", 5e10)]
)
def test_bandwidths(text, value):
    assert bandwidth(text) == value


@pytest.mark.parametrize("text", ["fast", "0Gb", "-1Gb", "100", ""])
def test_bad_bandwidths(text):
    with pytest.raises(ValueError, match="link must be a rate such as 100Gb"):
        bandwidth(text)


@pytest.mark.parametrize("text", ["0", "8..4", "two", "1,,2"])
def test_bad_numbers_of_ranks(text):
    with pytest.raises(ValueError, match="ranks must be numbers such as"):
        ranks_of(text)


def test_the_command(capsys):
    assert cli.main(["plan", "--parameters", "1e9", "--ranks", "8..32", "--link", "100Gb", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [one["ranks"] for one in printed["plans"]] == [8, 16, 32]
    assert cli.main(["plan", "--parameters", "1e9", "--ranks", "none"]) == 2
