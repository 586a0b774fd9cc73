"""The page on porting a network: both scripts run, train, and leave states that load."""

import re
from pathlib import Path

import pytest
from processes import printed

import mxopt as mx

EXAMPLES = Path(__file__).parents[1] / "examples" / "porting"


@pytest.mark.parametrize("library", ["torch", "autograd"])
def test_a_ported_script_trains(library, tmp_path):
    pytest.importorskip(library, reason="needs torch and autograd: tox -e interop")
    said = printed(str(EXAMPLES / f"with_{library}.py"), cwd=tmp_path)
    assert float(re.search(r"loss ([\d.]+)", said)[1]) < 0.2  # an untrained network scores log 2 = 0.69
    updater = mx.get_updater(mx.create("sgd"))
    updater.load_states(tmp_path / "points.states")
    assert updater.optimizer.num_update == 200
    assert len(updater.states) == 4


def test_only_the_network_changed():
    """Both contain the optimizer code of the legacy script."""
    kept = [
        line
        for line in (EXAMPLES / "mxnet_script.py").read_text().splitlines()
        if re.match(r"schedule =|print\(|trainer.save_states|    trainer.step\(1", line)
    ]
    assert len(kept) == 4
    for library in ("torch", "autograd"):
        text = (EXAMPLES / f"with_{library}.py").read_text()
        assert all(line.split("loss.as")[0].rstrip("), ") in text for line in kept)
