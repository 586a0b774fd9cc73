"""Files on disk: the old one or the new one, whole, whatever happens in between."""

import errno
import itertools
import os
import signal
import stat
import sys
import time
import types

import numpy as np
import pytest
from processes import in_a_fork, start_a_fork

from mxopt.states import DamagedStateFile, files, native


def content(number):
    """Contents of which every byte depends on a number."""
    return native.dumps({"number": number, "array": np.full(40_000, number, "i8")})


def number_in(path):
    tree = native.loads(path.read_bytes())
    assert (tree["array"] == tree["number"]).all()
    return tree["number"]


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "a.states"
    files.write_atomically(path, [content(1)])
    return path


def test_a_new_file_and_its_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "a.states", [b"ab", memoryview(b"cd"), np.frombuffer(b"ef", "u1")])
    finally:
        os.umask(before)
    assert (tmp_path / "a.states").read_bytes() == b"abcdef"
    assert stat.S_IMODE((tmp_path / "a.states").stat().st_mode) == 0o640


def test_a_replaced_file_keeps_its_permissions(target):
    target.chmod(0o604)
    files.write_atomically(target, [content(2)])
    assert stat.S_IMODE(target.stat().st_mode) == 0o604
    assert names_in(target.parent) == ["a.states"]


def test_the_previous_file_is_kept_on_request(target):
    for number in (2, 3):
        files.write_atomically(target, [content(number)], keep_previous=True)
        assert number_in(target) == number
        assert number_in(target.with_name("a.states.prev")) == number - 1
    assert names_in(target.parent) == ["a.states", "a.states.prev"]


def test_the_first_save_has_no_previous_file(tmp_path):
    files.write_atomically(tmp_path / "a.states", [content(1)], keep_previous=True)
    assert names_in(tmp_path) == ["a.states"]


def test_the_previous_file_is_copied_where_links_are_impossible(target, monkeypatch):
    monkeypatch.setattr(
        os, "link", lambda *arguments: (_ for _ in ()).throw(OSError(errno.EPERM, "no links"))
    )
    files.write_atomically(target, [content(2)], keep_previous=True)
    assert number_in(target.with_name("a.states.prev")) == 1


def test_a_symbolic_link_stays_and_its_target_is_replaced(target):
    folder = target.parent / "elsewhere"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to("../a.states")
    files.write_atomically(link, [content(2)])
    assert link.is_symlink()
    assert number_in(target) == 2
    assert names_in(folder) == ["link"]


def test_a_link_that_waits_at_the_temporary_name_is_not_followed(target, monkeypatch):
    victim = target.parent / "victim"
    victim.write_bytes(b"precious")
    name = files._temporary_name("a.states")
    (target.parent / name).symlink_to(victim)
    monkeypatch.setattr(files, "_temporary_name", lambda _: name)
    with pytest.raises(FileExistsError):
        files.write_atomically(target, [content(2)])
    assert victim.read_bytes() == b"precious"
    assert number_in(target) == 1


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_only_regular_files_are_replaced(tmp_path, make):
    make(tmp_path / "odd")
    with pytest.raises(OSError, match="regular files only"):
        files.write_atomically(tmp_path / "odd", [b"x"])
    assert names_in(tmp_path) == ["odd"]


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.write_atomically(tmp_path / "no" / "a.states", [b"x"])


@pytest.mark.parametrize("name", ["x" * 255, "名" * 80 + ".states"], ids=["ASCII", "wide"])
def test_a_name_as_long_as_the_file_system_allows(tmp_path, name):
    path = tmp_path / name

    def leave_an_unfinished_file():
        os.replace = lambda *_: os._exit(0)
        files.write_atomically(path, [content(1)])

    in_a_fork(leave_an_unfinished_file)
    assert len(names_in(tmp_path)) == 1
    for number in (1, 2):
        files.write_atomically(path, [content(number)])
    assert number_in(path) == 2
    assert names_in(tmp_path) == [name]


def test_a_reader_keeps_the_file_that_it_opened(target):
    with files.open_for_reading(target) as file:
        source = files.FileSource(file)
        header = source.read(0, 100)
        files.write_atomically(target, [content(2)])
        assert native.load(source)["number"] == 1
        assert source.read(0, 100) == header
    assert number_in(target) == 2


def test_a_head_that_is_made_last_stands_first(tmp_path):
    made = []

    def head():
        made.append((tmp_path / names_in(tmp_path)[0]).read_bytes())
        return b"head"

    files.write_atomically(tmp_path / "a.states", [b"one", b"two"], head=(4, head))
    assert made == [b"\0\0\0\0onetwo"]
    assert (tmp_path / "a.states").read_bytes() == b"headonetwo"


def test_short_writes_are_continued(target, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:1000])))
    files.write_atomically(target, [content(2)])
    assert number_in(target) == 2


STEPS = ("open", "write", "fchmod", "fsync", "close", "link", "replace")


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["full disk", "Ctrl-C"]
)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("turn", [0, 1])
def test_a_failure_at_any_step_leaves_the_old_file(target, monkeypatch, step, turn, error):
    files.write_atomically(target, [content(2)], keep_previous=True)
    original, turns = getattr(os, step), []

    def failing(*arguments, **options):
        turns.append(step)
        if len(turns) == turn + 1:
            if step == "close":
                original(*arguments)
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(os, step, failing)
    try:
        files.write_atomically(target, [content(3)[:20_000], content(3)[20_000:]], keep_previous=True)
    except (OSError, KeyboardInterrupt) as caught:
        assert caught is error
    monkeypatch.undo()
    assert number_in(target) in (2, 3)
    assert number_in(target.with_name("a.states.prev")) in (1, 2)
    # once the new file has its name, only the syncing of the folder can fail
    assert names_in(target.parent) == ["a.states", "a.states.prev"]


def test_a_write_that_takes_nothing_is_a_full_disk(target, monkeypatch):
    monkeypatch.setattr(os, "write", lambda descriptor, data: 0)
    with pytest.raises(OSError, match="takes no more bytes"):
        files.write_atomically(target, [content(2)])
    assert number_in(target) == 1
    assert names_in(target.parent) == ["a.states"]


def test_a_really_full_disk_leaves_the_old_file(target):
    import resource

    def fill_the_disk():  # a limit on the size of files does what a full disk does
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            files.write_atomically(target, [content(2)])
        except OSError as error:
            sys.exit(error.errno)

    assert in_a_fork(fill_the_disk) == errno.EFBIG
    assert number_in(target) == 1
    assert names_in(target.parent) == ["a.states"]


#: The calls by which a save changes the disk, and how often it makes each. The second open, fsync and close
#: are the folder's, after the renaming.
CALLS = {"open": 2, "write": 2, "fchmod": 1, "fsync": 2, "close": 2, "link": 1, "unlink": 1, "replace": 2}
RENAMED = {("replace", 1, "after")} | {
    (call, 1, moment) for call in ("open", "fsync", "close") for moment in ("before", "after")
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("call", "turn"), [(call, turn) for call in CALLS for turn in range(CALLS[call])])
def test_a_kill_at_any_moment_leaves_a_whole_file(target, call, turn, moment):
    previous = target.with_name("a.states.prev")
    os.link(target, previous)  # as a kill between the two renamings leaves it

    def save_and_be_killed():
        original, turns = getattr(os, call), []

        def killing(*arguments, **options):
            turns.append(call)
            last = len(turns) > turn
            if last and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments, **options)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(os, call, killing)
        files.write_atomically(target, [content(2)[:20_000], content(2)[20_000:]], keep_previous=True)

    assert in_a_fork(save_and_be_killed) == -signal.SIGKILL
    assert number_in(target) == (2 if (call, turn, moment) in RENAMED else 1)
    assert number_in(previous) == 1
    files.write_atomically(target, [content(3)], keep_previous=True)
    assert names_in(target.parent) == ["a.states", "a.states.prev"]  # nor is anything left behind


@pytest.mark.slow
def test_kills_at_random_moments(target):
    rng = np.random.default_rng(11)

    def save_for_ever():
        for number in itertools.cycle((2, 3, 4)):
            data = content(number)
            files.write_atomically(target, [data[:100_000], data[100_000:]], keep_previous=bool(number % 2))

    for _ in range(300):
        reader, writer = os.pipe()

        def work(writer=writer):
            os.write(writer, b"x")
            save_for_ever()

        child = start_a_fork(work)
        os.read(reader, 1)
        time.sleep(rng.uniform(0, 0.008))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
        assert number_in(target) in (1, 2, 3, 4)
        for path in target.parent.glob("*.prev"):
            number_in(path)
    files.write_atomically(target, [content(9)], keep_previous=True)
    assert names_in(target.parent) == ["a.states", "a.states.prev"]


def test_what_other_processes_still_write_is_left_alone(target):
    other = target.with_name(
        files._temporary_name("a.states").replace(f".{os.getpid()}.", f".{os.getppid()}.")
    )
    foreign = target.with_name(".a.states.otherhost.1.00000000.tmp")
    for path in (other, foreign):
        path.write_bytes(b"half")
    files.write_atomically(target, [content(2)])
    assert other.exists()
    assert foreign.exists()


def test_a_file_that_shrinks_while_it_is_read_is_said(target):
    with open(target, "rb", buffering=0) as file:
        source = files.FileSource(file)
        os.truncate(target, 10_000)
        with pytest.raises(DamagedStateFile, match="the data ends after byte 10000; the file was cut"):
            native.load(source)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_only_regular_files_are_read(tmp_path, make):
    make(tmp_path / "odd")
    with pytest.raises(OSError, match="regular files|directory"):
        files.open_for_reading(tmp_path / "odd")


def test_progress_is_shown_on_a_terminal_only(monkeypatch, capsys):
    with files.progress("saving", 1 << 30) as advance:
        advance(1 << 29)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with files.progress("saving", 1 << 20) as advance:
        advance(1 << 20)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with files.progress("saving", 1 << 30) as advance:
        advance(1 << 29)
        advance(1 << 29)
    assert "saving [###############               ]  50% of 1.1 GB" in capsys.readouterr().err


def test_progress_in_a_notebook_is_tqdm_s(monkeypatch):
    shown = []

    class Bar:
        def __init__(self, **options):
            shown.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            shown.append("closed")

        def update(self, count):
            shown.append(count)

    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    with files.progress("saving", 1 << 30) as advance:
        advance(5)
    assert shown[0]["total"] == 1 << 30
    assert shown[1:] == [5, "closed"]
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)  # not installed: as elsewhere
    with files.progress("saving", 1 << 30) as advance:
        advance(5)
    assert shown[1:] == [5, "closed"]


# --- other systems, simulated -------------------------------------------------------------------------------


@pytest.fixture
def on_windows(monkeypatch):
    """What differs there: no fcntl, and folders that cannot be opened. Nothing waits."""
    monkeypatch.setattr(files.os, "name", "nt")
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)


def refuse_to_rename(monkeypatch, times):
    """Renaming fails that many times, as on Windows while the target is open."""
    rename, left = os.replace, itertools.count()

    def replace(source, target):
        if next(left) < times:
            raise PermissionError(errno.EACCES, "The process cannot access the file", target)
        rename(source, target)

    monkeypatch.setattr(files.os, "replace", replace)


def test_windows_renames_once_a_reader_has_gone(target, monkeypatch, on_windows):
    refuse_to_rename(monkeypatch, 3)
    files.write_atomically(target, [content(2)])
    monkeypatch.undo()
    assert number_in(target) == 2
    assert names_in(target.parent) == ["a.states"]


def test_windows_keeps_the_old_file_while_a_reader_stays(target, monkeypatch, on_windows):
    refuse_to_rename(monkeypatch, 100)
    with pytest.raises(PermissionError):
        files.write_atomically(target, [content(2)], keep_previous=False)
    monkeypatch.undo()
    assert number_in(target) == 1
    assert names_in(target.parent) == ["a.states"]


def test_elsewhere_a_refused_rename_is_not_tried_again(target, monkeypatch):
    refuse_to_rename(monkeypatch, 1)
    with pytest.raises(PermissionError):
        files.write_atomically(target, [content(2)])


@pytest.mark.parametrize("supported", [True, False])
def test_macos_is_asked_to_empty_the_cache_of_the_disk(target, monkeypatch, supported):
    asked, synced, fsync = [], [], os.fsync

    class Fcntl:
        F_FULLFSYNC = 51

        def fcntl(self, descriptor, command):
            asked.append(command)
            if not supported:
                raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(files, "fcntl", Fcntl())
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: (synced.append(descriptor), fsync(descriptor)))
    files.write_atomically(target, [content(2)])
    assert asked == [51]
    assert len(synced) == (1 if supported else 2)  # the folder; and the file where it has to be fsync
    assert number_in(target) == 2
