"""Checkpoints of sharded states: the ordinary file, saved by any number of ranks and loaded by any other."""

import json

import numpy as np
import pytest
from job_sharded import SHAPES
from jobs import HERE, job

import mxopt
from mxopt.states.checksums import combined, crc32

MATRICES = [shape for shape in SHAPES if len(shape) == 2]

CASES = {
    "adam": {"name": "adam", "dump": True},
    "master": {"name": "sgd", "settings": {"momentum": 0.9, "multi_precision": True}, "dtype": "float16"},
    "halves": {"name": "sgd", "settings": {"momentum": 0.9, "multi_precision": "split"}, "dtype": "bfloat16"},
    "lamb": {"name": "lamb", "transport": "messages"},
    "nadam": {"name": "nadam", "settings": {"wd": 0.01}},
    "rows": {"name": "groupadagrad", "shapes": MATRICES, "sparse": True},
    "stateless": {"name": "sgd"},
    "numbers": {"name": "laprop", "dump": True},
    "norms": {"name": "novograd", "transport": "messages"},
    "averages": {"name": "adam", "options": {"ema": 0.9}, "dump": True, "peek": True},
    "averages of rows": {
        "name": "adam",
        "settings": {"lazy_update": True},
        "sparse": True,
        "options": {"ema": 0.9, "loss_scale": "dynamic"},
        "transport": "messages",
    },
    "averages of masters": {
        "name": "sgd",
        "settings": {"multi_precision": True},
        "dtype": "float16",
        "options": {"ema": 0.9, "loss_scale": 1024.0, "clip_global_norm": 1.0},
        "peek": True,
    },
    "two points": {"name": "schedulefreeadamw"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("states")


def run(ranks, folder, **more):
    """Train two steps and save, then two more from the file, beside four at a time; digests by case."""
    cases = []
    for name, case in CASES.items():
        files = {"save": f"{folder}/{name}.{ranks}", "weights": f"{folder}/{name}.{ranks}.npz"}
        cases.append({**case, "count": 4, "steps": [0, 2], **files})
        cases.append({**case, "count": 4, "steps": [0, 4]})
    lines = job(ranks, HERE / "job_saving.py", json.dumps(cases), timeout=90).lines()
    assert len(lines) == ranks * len(cases)
    return [lines[i * ranks : (i + 1) * ranks] for i in range(len(cases))]


@pytest.fixture(scope="module")
def saved(folder):
    return {ranks: run(ranks, folder) for ranks in (1, 2, 3, 4)}


def test_files_and_results_are_the_same_for_any_number_of_ranks(saved, folder):
    for ranks in (2, 3, 4):
        for here, alone in zip(saved[ranks], saved[1]):
            assert here == alone * ranks
        for name in CASES:
            with open(f"{folder}/{name}.{ranks}", "rb") as file, open(f"{folder}/{name}.1", "rb") as other:
                assert file.read() == other.read(), name


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_resumed_is_uninterrupted(ranks, saved, folder):
    # the files of all numbers of ranks are one file, as the test above says
    source = 4 if ranks < 3 else 1
    cases = [
        {
            **case,
            "count": 4,
            "steps": [2, 4],
            "load": f"{folder}/{name}.{source}",
            "weights": f"{folder}/{name}.{source}.npz",
        }
        for name, case in CASES.items()
    ]
    lines = job(ranks, HERE / "job_saving.py", json.dumps(cases), timeout=90).lines()
    for number, name in enumerate(CASES):
        assert lines[number * ranks : (number + 1) * ranks] == saved[1][2 * number + 1] * ranks, name


def test_states_that_were_not_read_yet_are_saved_again(saved, folder, tmp_path):
    text = """
import sys, mxopt
from mxopt.distributed import world
updater = mxopt.get_updater(mxopt.create("adam"), comm=world.world(), accumulate=4)
updater.load_states(sys.argv[1])
updater.save_states(sys.argv[2], dump_optimizer=True)
with open(sys.argv[1], "rb") as file:
    updater.set_states(file.read())
assert len(updater.get_states(dump_optimizer=True)) == len(open(sys.argv[1], "rb").read())
updater.save_states(sys.argv[3], format="mxnet-2.x")
"""
    script = tmp_path / "script.py"
    script.write_text(text)
    copy, pickled = tmp_path / "copy", tmp_path / "pickled"
    done = job(3, script, f"{folder}/adam.1", copy, pickled)
    assert done.status == 0, done.err
    with open(f"{folder}/adam.1", "rb") as file:
        assert copy.read_bytes() == file.read()
    updater = mxopt.get_updater(mxopt.create("adam"))
    updater.load_states(f"{folder}/adam.1")
    assert pickled.read_bytes() == updater.get_states(format="mxnet-2.x")


@pytest.mark.parametrize("before", ["split", True])
def test_masters_are_converted_when_ranks_meet_their_weights(before, tmp_path):
    """The weights are those of a run without a change; none of them is a tie."""
    file = {"weights": f"{tmp_path}/weights.npz"}
    cases = [
        {"masters": before, "steps": [0, 2], "save": f"{tmp_path}/states", **file},
        {"masters": True if before == "split" else "split", "steps": [2, 4], "load": f"{tmp_path}/states",
         "convert": True, **file},
        {"masters": before, "steps": [0, 4]},
    ]  # fmt: skip
    for case in cases:
        case.update(name="adam", settings={"multi_precision": case.pop("masters")})
        case.update(dtype="bfloat16", count=4, shapes=((97, 101), (20_000,)))
    lines = job(2, HERE / "job_saving.py", json.dumps(cases), timeout=90).lines()
    weights = [line[0] for line in lines[::2]]
    assert weights[1] == weights[2] and lines[2][1] != lines[4][1]


def test_mxnet_gets_the_masters_that_ranks_hold_halves_of(tmp_path):
    text = """
import sys, warnings, ml_dtypes, numpy as np, mxopt
from mxopt.distributed import world
warnings.simplefilter("ignore")
updater = mxopt.get_updater(mxopt.create("adam", multi_precision="split"), comm=world.world(), accumulate=2)
weight = np.ones(40_000, ml_dtypes.bfloat16)
for _ in range(*getattr(updater, "micro_batches", (0, 2))):
    updater(0, np.linspace(0, 1, 40_000, dtype=weight.dtype), weight)
updater.save_states(sys.argv[1], format="mxnet-2.x")
"""
    script = tmp_path / "script.py"
    script.write_text(text)
    for ranks in (1, 2):
        done = job(ranks, script, tmp_path / f"pickled{ranks}")
        assert done.status == 0, done.err
    assert (tmp_path / "pickled1").read_bytes() == (tmp_path / "pickled2").read_bytes()
    updater = mxopt.get_updater(mxopt.create("adam", multi_precision=True))
    updater.load_states(tmp_path / "pickled1", num_update=1)
    master = updater.states[0][0]
    assert master.dtype == np.float32 and master.shape == (40_000,) and (master < 1).mean() > 0.9


@pytest.mark.parametrize("where", ["header", "array"])
def test_a_damaged_file_is_refused_on_every_rank(where, saved, folder, tmp_path):
    with open(f"{folder}/adam.1", "rb") as file:
        data = bytearray(file.read())
    data[100 if where == "header" else -1000] ^= 1
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    text = """
import sys, mxopt
from mxopt.distributed import world
updater = mxopt.get_updater(mxopt.create("adam"), comm=world.world(), accumulate=4)
try:
    updater.load_states(sys.argv[1])
except (mxopt.StateFileError, RuntimeError) as error:
    print([type(error).__name__, updater.states == {}])
    raise
"""
    script = tmp_path / "script.py"
    script.write_text(text)
    done = job(2, script, damaged)
    assert done.status != 0
    assert done.out.count("True") == 2, done.out + done.err
    assert len(done.said()) >= 2 and "does not match its checksum" in done.err


def test_checksums_of_pieces_combine():
    data = np.random.RandomState(1).bytes(70_001)
    for cut in (0, 1, 17, 65_536, len(data)):
        first, second = data[:cut], data[cut:]
        assert combined(crc32(first), crc32(second), len(second)) == crc32(data)


def test_a_save_between_micro_batches_is_refused():
    updater = mxopt.get_updater(mxopt.create("adam"), accumulate=2)
    weight = np.ones(3, np.float32)
    updater(0, np.ones(3, np.float32), weight)
    with pytest.raises(RuntimeError, match="1 of the 2 micro-batches .*drop_micro"):
        updater.get_states()
    updater.drop_micro_batches()
    updater.get_states()
