"""What a file may not decide, what a schedule answers after a resume, and saves during everything else."""

import copy
import errno
import gc
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from processes import python

import mxopt
import mxopt.v1
from mxopt.saving import document
from mxopt.states import StateFileError, files, header, native

SCHEDULES = mxopt.lr_scheduler


def trained(name="adam", steps=3, **arguments):
    updater = mxopt.get_updater(mxopt.create(name, **arguments))
    weight = np.linspace(-1, 1, 6, dtype=np.float32)
    step(updater, weight, steps)
    return updater, weight


def step(updater, weight, steps=1):
    for number in range(steps):
        updater(0, np.cos(np.arange(6, dtype=np.float32) + number), weight)


def edited(data, edit):
    tree = native.loads(data)
    edit(tree["optimizer"], tree)
    return native.dumps(tree)


def refused(data, words, optimizer="sgd"):
    updater = mxopt.get_updater(mxopt.create(optimizer))
    before = dict(vars(updater)), dict(vars(updater.optimizer))
    with pytest.raises(StateFileError, match=words):
        updater.set_states(data)
    assert (dict(vars(updater)), dict(vars(updater.optimizer))) == before


@pytest.mark.parametrize(
    "name",
    ["_corrections", "_texts", "_rates_apart", "_own_rates", "_found", "rules", "scalar_names",
     "dialect", "built_in", "step", "scalars", "state_slots", "__class__", "progress", "_nobody"],
)  # fmt: skip
@pytest.mark.parametrize("part", ["attributes", "attached"])
def test_a_file_sets_no_attribute_that_is_not_data(name, part):
    data = edited(
        trained()[0].get_states(dump_optimizer=True),
        lambda o, _: o.setdefault(part, {}).update({name: ((0,),)}),
    )
    refused(data, name)


@pytest.mark.parametrize(
    ("schedule", "change", "words"),
    [
        ("factor", {"step": 0}, "step must be at least 1"),
        ("factor", {"step": -3}, "step must be at least 1"),
        ("factor", {"count": -1e18}, "count must be 0 or more"),
        ("factor", {"factor": 2.0}, "factor must be 1 or less"),
        ("cosine", {"base_lr": None}, "base_lr must be a number"),
        ("cosine", {"base_lr": float("nan")}, "base_lr must be a finite number"),
        ("cosine", {"max_steps": 0}, "max_steps must be"),
        ("multi", {"cur_step_ind": 9}, "cur_step_ind must be at most"),
        ("multi", {"step": []}, "step must be a list"),
        ("poly", {"get_warmup_lr": 1}, "get_warmup_lr is not data"),
        ("poly", {"note": 1}, "is not its own"),
        ("cycle", {"warmup_steps": 9}, "warmup_steps must be 0, got 9"),
        ("cycle", {"warmup_mode": None}, "warmup_mode must be 'linear', got None"),
        ("cycle", {"pct_start": 2.0}, r"pct_start must be within \[0, 1\]"),
        ("restarts", {"period_factor": 0}, "period_factor must be 1 or more"),
        ("stable", {"decay": ["linear"]}, "decay must be one of"),
        ("stable", {"decay_steps": 99}, "must be at most max_update together"),
    ],
)
def test_a_schedule_that_could_not_be_made_is_refused(schedule, change, words):
    made = {
        "factor": lambda: SCHEDULES.FactorScheduler(2, 0.5),
        "multi": lambda: SCHEDULES.MultiFactorScheduler([2, 4], 0.5),
        "poly": lambda: SCHEDULES.PolyScheduler(9),
        "cosine": lambda: SCHEDULES.CosineScheduler(9),
        "cycle": lambda: SCHEDULES.OneCycleScheduler(9),
        "restarts": lambda: SCHEDULES.CosineRestartsScheduler(9),
        "stable": lambda: SCHEDULES.WarmupStableDecayScheduler(9),
    }
    updater, _ = trained(lr_scheduler=made[schedule](), learning_rate=None)
    data = updater.get_states(dump_optimizer=True)
    refused(edited(data, lambda o, _: o["scheduler"]["attributes"].update(change)), words)


def test_a_schedule_without_an_attribute_is_refused():
    updater, _ = trained(lr_scheduler=SCHEDULES.CosineScheduler(9), learning_rate=None)
    data = updater.get_states(dump_optimizer=True)
    refused(edited(data, lambda o, _: o["scheduler"]["attributes"].pop("base_lr")), r"lacks \['base_lr'\]")


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("nadam", "m_schedule", float("nan"), "m_schedule must be a finite number"),
        ("nadam", "m_schedule", 7.0, r"m_schedule must be within \[0, 1\]"),
        ("lbsgd", "cumgrads", {0: 5}, "cumgrads"),
        ("lbsgd", "cumgrads", {0: {"cum_grad": "x", "num_cums": 1}}, "cum_grad of 0 must be 0 or an array"),
        ("lbsgd", "cumgrads", {0: {"cum_grad": 0, "num_cums": -1}}, "num_cums of 0"),
    ],
)
@pytest.mark.parametrize("dump", [False, True])
def test_progress_that_would_not_step_is_refused(name, key, value, words, dump):
    updater, _ = trained(name)

    def edit(described, tree):
        (described["attributes"] if dump else tree["progress"]).update({key: value})

    refused(edited(updater.get_states(dump_optimizer=dump), edit), words, name)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda o, _: o["attributes"].update(lr=10**300 * 10**8), "learning_rate|cannot be|integer"),
        (lambda _, tree: tree.update(_check=1), "unknown part '_check'"),
        (lambda o, _: o.update(_check=1), "unknown part '_check'"),
        (lambda o, _: o["attributes"].update(lr=None), "would not step|must be a number"),
        (lambda o, _: o["attributes"].update(sym_info=({"a": 1}, ["a"])), "sym_info"),
        (lambda o, _: o["attributes"].update(idx2name={0: 1}), "must be a string"),
        (lambda o, _: o["attributes"].update(skipped=-1), "skipped must be a count"),
    ],
)
def test_every_error_of_a_file_is_a_state_file_error(edit, words):
    refused(edited(trained()[0].get_states(dump_optimizer=True), edit), words)


def test_what_is_set_by_hand_and_would_be_refused_is_refused_when_saving(tmp_path):
    updater, _ = trained("sgd", momentum=0.5)
    vars(updater.optimizer)["momentum"] = -0.5  # bypasses the check on assignment
    with pytest.raises(StateFileError, match="momentum must be 0 or more, got -0.5"):
        updater.save_states(tmp_path / "a.states", dump_optimizer=True)
    assert not list(tmp_path.iterdir())


# cost


def test_brackets_in_disguise_are_refused():
    data = native.dumps(["[" * 50])
    body = bytearray(data)
    at = body.index(b"[[[[[[")
    body[at : at + 6] = b"\\u005b"
    body[header.SUM] = b"00000000"
    body[header.SUM] = b"%08x" % header.crc32(bytes(body[: int.from_bytes(body[:8], "little") + 8]))
    with pytest.raises(StateFileError, match="spells ASCII characters as escapes"):
        native.loads(bytes(body))


@pytest.mark.parametrize("text", ["\\u0041", "\\\\u005b[", 'a"\\u0022', "\x1f\x7f", "é\\u00e9"])
def test_strings_that_look_like_escapes_come_back(text):
    assert native.loads(native.dumps({text: [text]})) == {text: [text]}


def test_a_huge_row_sparse_state_stays_as_small_as_its_file():
    rows, shape = np.array([5]), (2 * 10**8, 1)
    updater, _ = trained("adagrad")
    claimed = mxopt.RowSparseArray(np.ones((1, 1), np.float32), rows, shape)
    data = edited(updater.get_states(), lambda _, tree: tree["states"].update({0: claimed}))
    fresh = mxopt.get_updater(mxopt.create("adagrad"))
    fresh.set_states(data)
    assert len(fresh.get_states()) < 4096
    with pytest.raises(ValueError, match="was loaded row-sparse with shape"):
        fresh(0, np.ones((3, 1), np.float32), np.ones((3, 1), np.float32))


def test_a_params_file_of_many_empty_arrays_is_refused(tmp_path):
    path = tmp_path / "a.params"
    mxopt.nd.save(path, [np.zeros(0, np.float32)] * 150_000)
    with pytest.raises(StateFileError, match="more than a file of"):
        mxopt.nd.load(path)


# schedules


@pytest.mark.parametrize("at", [1, 4, 9, 10, 11, 30])
@pytest.mark.parametrize("dump", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: SCHEDULES.FactorScheduler(3, 0.5, base_lr=0.5),
        lambda: SCHEDULES.MultiFactorScheduler([3, 10, 20], 0.5, base_lr=0.5),
        lambda: SCHEDULES.PolyScheduler(10, base_lr=0.5, final_lr=0.005, warmup_steps=3),
        lambda: SCHEDULES.CosineScheduler(10, base_lr=0.5, final_lr=0.005),
        lambda: SCHEDULES.WarmupStableDecayScheduler(12, 4, base_lr=0.5, warmup_steps=3),
        lambda: SCHEDULES.InverseSquareRootScheduler(base_lr=0.5, warmup_steps=3),
        lambda: SCHEDULES.OneCycleScheduler(12, base_lr=0.5),
        lambda: SCHEDULES.CosineRestartsScheduler(3, 2, base_lr=0.5, restart_factor=0.5),
    ],
    ids=["factor", "multifactor", "poly", "cosine", "stable", "root", "cycle", "restarts"],
)
def test_rates_after_a_resume_are_those_of_the_uninterrupted_run(make, dump, at):
    arguments = {"lr_scheduler": make(), "learning_rate": 0.25}
    with pytest.warns(UserWarning, match="replaces base_lr"):
        updater, weight = trained(steps=at, **arguments)
    data = updater.get_states(dump_optimizer=dump)
    with pytest.warns(UserWarning, match="replaces base_lr"):
        resumed = mxopt.get_updater(mxopt.create("adam", lr_scheduler=make(), learning_rate=0.25))
    resumed.set_states(data)
    own, other = weight.copy(), weight.copy()
    rates = []
    for _ in range(15):
        step(updater, own)
        step(resumed, other)
        rates.append(updater.optimizer.learning_rate)
        assert resumed.optimizer.learning_rate == rates[-1]
    np.testing.assert_array_equal(own, other)
    updater.set_states(data)  # the same process goes back
    for rate in rates:
        step(updater, other)
        assert updater.optimizer.learning_rate == rate


@pytest.mark.parametrize("kind", ["PolyScheduler", "CosineScheduler"])
def test_a_new_curve_that_is_asked_beyond_its_end_is_at_its_end(kind):
    assert getattr(SCHEDULES, kind)(100, base_lr=1.0, final_lr=0.01)(150) == 0.01


@pytest.mark.parametrize("step", [1, 1.5])
def test_a_count_that_jumps_does_not_keep_a_schedule_busy(step):
    assert SCHEDULES.FactorScheduler(step, 0.9999999)(2**61) == 1e-8


# beside stepping


def test_versions_that_are_readable_have_a_reader():
    assert tuple(document.READERS) == header.READABLE


def test_saves_copies_and_pickles_beside_steps_hold_one_moment(tmp_path):
    # Adam on ones: after n steps every element of mean is the same number, which belongs to n
    weight, grad = np.zeros(200_000, np.float32), np.ones(200_000, np.float32)
    updater = mxopt.get_updater(mxopt.create("adam"))
    updater(0, grad, weight)
    stop = threading.Event()

    def go_on():
        while not stop.is_set():
            updater(0, grad, weight)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        found = []
        for turn in range(4):
            path = tmp_path / f"{turn}.states"
            updater.save_states(path)
            saving = updater.save_states(tmp_path / f"{turn}.late", background=True)
            found += [mxopt.get_updater(mxopt.create("adam")) for _ in range(3)]
            found[-3].load_states(path)
            found[-2].set_states(updater.get_states())
            saving.result()
            found[-1].load_states(tmp_path / f"{turn}.late")
            found += [copy.deepcopy(updater), pickle.loads(pickle.dumps(updater))]
    finally:
        stop.set()
        thread.join()
    for one in found:
        mean, var = one.states[0]
        assert len(np.unique(mean)) == len(np.unique(var)) == 1
        expected = np.float32(0)
        for _ in range(one.optimizer._index_update_count[0]):
            expected = np.float32(0.9) * expected + (np.float32(1) - np.float32(0.9)) * np.float32(1)
        assert mean[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("format", ["mxopt", "mxnet-2.x"])
def test_a_save_in_the_background_has_the_bits_of_its_moment(tmp_path, format):
    updater, weight = trained()
    expected = updater.get_states(format=format)
    saving = updater.save_states(tmp_path / "a.states", background=True, format=format)
    step(updater, weight, 5)
    later = updater.save_states(tmp_path / "b.states", background=True, format=format)
    later.result()
    assert saving.done()
    assert (tmp_path / "a.states").read_bytes() == expected
    assert (tmp_path / "b.states").read_bytes() == updater.get_states(format=format)


def test_a_save_in_the_background_that_fails_says_so(tmp_path):
    updater, _ = trained()
    saving = updater.save_states(tmp_path / "nowhere" / "a.states", background=True)
    with pytest.raises(FileNotFoundError):
        saving.result()


@pytest.fixture
def full(monkeypatch):
    """A disk on which no file can be renamed into place; gives a function that makes room."""

    def replace(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", replace)
    return monkeypatch.undo


def test_waiting_for_a_save_that_failed_raises(tmp_path, full):
    updater, _ = trained()
    saving = updater.save_states(tmp_path / "a.states", background=True)
    for ask in (saving.wait, saving.result, saving.wait):
        with pytest.raises(OSError, match="No space left"):
            ask()
    full()
    updater.save_states(tmp_path / "a.states")  # said already


@pytest.mark.parametrize("background", [True, False])
def test_the_next_save_warns_about_a_failed_one_that_nobody_waited_for(tmp_path, full, background):
    updater, _ = trained()
    saving = updater.save_states(tmp_path / "a.states", background=True)
    assert saving._finished.wait(60)
    full()
    with pytest.warns(RuntimeWarning, match="saving '.*a.states' in the background failed, .*No space left"):
        updater.save_states(tmp_path / "a.states", background=background)
    updater.load_states(tmp_path / "a.states")


def test_a_failed_save_that_is_garbage_collected_warns(tmp_path, full):
    updater, _ = trained()
    updater.save_states(tmp_path / "a.states", background=True)
    for thread in threading.enumerate():  # which holds the save as well
        if thread.name == "mxopt-saving":
            thread.join()
    with pytest.warns(RuntimeWarning, match="in the background failed"):
        del updater, thread
        gc.collect()


def test_a_save_that_fails_at_the_very_end_is_reported(tmp_path):
    code = f"""
import os, numpy as np, mxopt
updater = mxopt.get_updater(mxopt.create("adam"))
updater(0, np.ones(3, "f4"), np.ones(3, "f4"))
def replace(*_):
    raise OSError(28, "No space left on device")
os.replace = replace
updater.save_states({str(tmp_path / "a.states")!r}, background=True)
"""
    done = python("-c", code)
    assert done.returncode == 0
    assert "in the background failed, and the file is as it was: [Errno 28] No space left" in done.stderr


def test_a_save_in_the_background_needs_no_thread(tmp_path, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    updater, _ = trained()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert updater.save_states(tmp_path / "a.states", background=True).done()
    assert (tmp_path / "a.states").read_bytes() == updater.get_states()


@pytest.mark.parametrize("threads", [True, False])
def test_large_files_are_checked_with_and_without_threads(tmp_path, monkeypatch, threads):
    from mxopt.states import checksums

    if not threads:

        def refuse(*_):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(checksums._thread, "start_new_thread", refuse)
    monkeypatch.setattr(native, "WORTH_THREADS", 1)
    tree = {"a": np.arange(5_000_000, dtype=np.float32)}
    data = native.dumps(tree)
    np.testing.assert_array_equal(native.loads(data)["a"], tree["a"])
    damaged = bytearray(data)
    damaged[-1] ^= 1
    with pytest.raises(StateFileError, match="does not match its checksum"):
        native.loads(bytes(damaged))


@pytest.mark.parametrize("where", ["atexit", "thread"])
def test_a_save_when_the_interpreter_ends(tmp_path, where):
    script = f"""
import atexit, sys, threading, time
import numpy as np, mxopt
updater = mxopt.get_updater(mxopt.create("adam"))
weight = np.ones(5_000_000, np.float32)  # worth threads
updater(0, weight.copy(), weight)
def save():
    if {where!r} == "thread":
        threading.main_thread().join()
    updater.save_states(sys.argv[1])
if {where!r} == "atexit":
    atexit.register(save)
else:
    threading.Thread(target=save).start()
"""
    path = tmp_path / "a.states"
    subprocess.run([sys.executable, "-c", script, path], check=True, timeout=120)
    with open(path, "rb", buffering=0) as file:
        native.verify(file)


# files


def test_paths_may_be_bytes(tmp_path):
    updater, _ = trained()
    path = os.fsencode(tmp_path / "a.states")
    updater.save_states(path)
    assert updater.load_states(path).kept == (0,)


@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_a_path_with_a_slash_at_its_end_is_refused(tmp_path, kind):
    updater, _ = trained()
    with pytest.raises(IsADirectoryError):
        updater.save_states(kind(str(tmp_path / "a.states") + os.sep))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="files have no permission bits there")
def test_an_unfinished_file_is_never_more_open_than_the_one_it_replaces(tmp_path, monkeypatch):
    target, seen = tmp_path / "a.states", []
    target.write_bytes(b"old")
    target.chmod(0o600)
    write = os.write

    def watching(descriptor, data):
        seen.append(os.fstat(descriptor).st_mode & 0o777)
        return write(descriptor, data)

    monkeypatch.setattr(files.os, "write", watching)
    files.write_atomically(target, [b"new"])
    assert set(seen) == {0o600}
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not hasattr(files.fcntl, "flock"), reason="needs locks on files")
def test_a_file_that_another_container_writes_is_not_a_leftover(tmp_path):
    target = tmp_path / "a.states"
    # a process number that means nothing here
    unfinished = tmp_path / files._temporary_name("a.states").replace(f".{os.getpid()}.", f".{2**30}.")
    with open(unfinished, "wb") as file:
        files.fcntl.flock(file.fileno(), files.fcntl.LOCK_EX)
        files.write_atomically(target, [b"new"])
        assert unfinished.exists()
    files.write_atomically(target, [b"newer"])
    assert not unfinished.exists()
