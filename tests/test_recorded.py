"""mxopt against recorded results of real MXNet: the promises of `oracle/`, where no MXNet is installed."""

import json

import pytest
from cases import begins_within
from oracle.comparison import compare_runs, verdict
from oracle.driver import mxopt_for
from oracle.recorded import FOLDER, read


def recorded_cases():
    for path in sorted(FOLDER.glob("*/*.npz")):
        for number, (case, snapshots) in enumerate(read(path)):
            cell = "-".join((case.optimizer, case.dialect, case.path, case.dtype))
            yield pytest.param(case, snapshots, id=f"{cell}-{number}".replace(" ", "_"))


@pytest.mark.parametrize(("case", "snapshots"), list(recorded_cases()))
def test_training_run_ends_where_mxnet_ends(case, snapshots):
    assert snapshots[-1][0] == case.steps
    assert verdict(case, compare_runs(case, snapshots)) is None


def recorded_schedules():
    for path in sorted(FOLDER.glob("*/schedulers.json")):
        for number, entry in enumerate(json.loads(path.read_text())):
            yield pytest.param(*entry, id=f"{path.parent.name}-{entry[0]}-{number}")


@pytest.mark.parametrize(("name", "settings", "updates", "rates"), list(recorded_schedules()))
@pytest.mark.parametrize("dialect", ["2.x fused"])
def test_scheduler_has_mxnets_sequence(name, settings, updates, rates, dialect):
    schedule = getattr(mxopt_for(dialect).package.lr_scheduler, name)(**settings)
    start = begins_within(settings, updates)
    assert [schedule(update) for update in updates[start:]] == rates[start:]
