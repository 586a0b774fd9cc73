"""Sharded states: one answer for any number of ranks, either transport, and one process."""

import json

import pytest
from job_sharded import SHAPES, trained
from jobs import HERE, job

import mxopt
import mxopt.v1

#: Two packages: the dialects.
PACKAGES = {"2.x": mxopt, "1.x": mxopt.v1}

SETTINGS = {"momentum": 0.9, "wd": 0.01}
MATRICES = [shape for shape in SHAPES if len(shape) == 2]


def cases(count):
    """Every optimizer of both dialects, and what is stepped in another way."""
    found = []
    for dialect, package in PACKAGES.items():
        for name, cls in sorted(package.optimizer.opt_registry.items()):
            if cls.not_sharded_because:
                continue
            case = {"name": name, "settings": {"wd": 0.01, "clip_gradient": 0.5, "rescale_grad": 0.25}}
            if name == "groupadagrad":
                case["settings"]["wd"] = 0.0
                case["shapes"] = MATRICES
            if dialect == "1.x":
                case["v1"] = True
            found.append(case)
    found += [
        {"name": "sgd", "settings": {"momentum": 0.9, "multi_precision": True}, "dtype": "float16"},
        {"name": "adam", "settings": {"multi_precision": True}, "dtype": "float16"},
        {"name": "adam", "settings": {"multi_precision": "split"}, "dtype": "bfloat16"},
        {"name": "lamb", "settings": {"multi_precision": "split"}, "dtype": "bfloat16", "order": "F"},
        {"name": "adam", "settings": {"multi_precision": "split", "lazy_update": True}, "dtype": "bfloat16",
         "sparse": True, "options": {"ema": 0.9}},
        {"name": "adam", "settings": {}, "dtype": "float64"},
        {"name": "adam", "settings": {"use_fused_step": False}},
        {"name": "adam", "settings": {"skip_nonfinite": True}},
        {"name": "adam", "settings": {}, "order": "F"},
        {"name": "nadam", "settings": {}, "one_by_one": True},
        {"name": "adam", "settings": {}, "sparse": True},
        {"name": "adam", "settings": {"lazy_update": True}, "sparse": True},
        {"name": "ftrl", "settings": {"lazy_update": True}, "sparse": True, "transport": "messages"},
        {"name": "sgd", "settings": {"momentum": 0.9}, "sparse": True, "v1": True},
        {"name": "groupadagrad", "settings": {}, "sparse": True, "shapes": MATRICES},
        {"name": "lamb", "settings": {}, "sparse": True},
        {"name": "adam", "settings": {}, "clip": 1.0},
        {"name": "lamb", "settings": {}, "clip": 0.5, "sparse": True},
        {"name": "lars", "settings": {"lazy_update": True, "momentum": 0.9, "eta": 0.1}, "sparse": True},
        {"name": "adam", "options": {"ema": 0.9, "report": True}},
        {"name": "adam", "options": {"ema": 0.9}, "settings": {"use_fused_step": False}, "order": "F"},
        {"name": "adam", "options": {"ema": 0.9}, "settings": {"lazy_update": True}, "sparse": True},
        {"name": "sgd", "options": {"loss_scale": "dynamic", "ema": 0.5}, "overflow": True, "v1": True},
        {"name": "lamb", "options": {"loss_scale": "dynamic", "report": 1}, "overflow": True, "clip": 1.0},
        {"name": "adam", "options": {"loss_scale": 64.0, "ema": 0.9}, "dtype": "float16", "clip": 1.0,
         "settings": {"multi_precision": True}},
    ]  # fmt: skip
    for number, case in enumerate(found):
        case.setdefault("transport", ("windows", "messages")[number % 2])
        case.update(count=count, steps=2, settings=case.get("settings", {}))
    return found


def alone(case):
    """The same case in this process."""
    from job_sharded import digest, evaluated, state_bytes

    case = dict(case)
    package = mxopt.v1 if case.pop("v1", False) else mxopt
    updater, weights = trained(ranks=None, package=package, **{**case, "transport": None})
    return {
        "digest": digest(weights),
        "evaluated": evaluated(updater, weights),
        "scale": [updater.loss_scale, updater.skipped],
        "report": {name: list(norms) for name, norms in updater.report.items()},
        "states": state_bytes(updater),
        "num_update": updater.optimizer.num_update,
    }


@pytest.fixture(scope="module", params=[8, 12])
def expected(request):
    found = cases(request.param)
    return found, [alone(case) for case in found]


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
def test_one_answer(ranks, expected):
    found, alone = expected
    lines = job(ranks, HERE / "job_sharded.py", json.dumps(found), timeout=120).lines()
    assert len(lines) == ranks * len(found)
    for number, (case, expected) in enumerate(zip(found, alone)):
        here = lines[number * ranks : (number + 1) * ranks]
        for line in here:
            same = ("digest", "evaluated", "scale", "num_update")
            assert {name: line[name] for name in same} == {name: expected[name] for name in same}, case
            assert line["report"].keys() == expected["report"].keys()
            for name, norms in line["report"].items():
                assert norms == pytest.approx(expected["report"][name], rel=1e-6), case
        assert sum(line["states"] for line in here) == expected["states"], case
