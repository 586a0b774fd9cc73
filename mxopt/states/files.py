"""Bytes to and from disk: a crash at any moment leaves either the old file or the new one."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import time
import zlib

import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from mxopt.states.errors import DamagedStateFile

#: the unit of writes, checksums and progress bars
BLOCK = 1 << 24

#: room for the name, of the 255 bytes that most file systems allow
_ROOM_IN_A_NAME = 200

#: smaller files are done before anyone could read a bar
_WORTH_A_BAR = 1 << 28


def write_atomically(path, pieces, keep_previous=False, head=None):
    """Write buffers to ``path`` so that the file there is always the whole old one or the whole new one.

    The bytes go to a new file in the same folder, are synced to the disk, and take the name of the old file
    in one step; then the folder is synced too. A symbolic link stays, and the file it points to is
    replaced.

    Parameters
    ----------
    path : str or os.PathLike
        The target.
    pieces : sequence of buffers
        The contents, in order.
    keep_previous : bool, default False
        Whether to keep the replaced file as ``<path>.prev``.
    head : (int, callable), optional
        The length of what precedes the pieces, and a function that makes it once they are written.
    """
    with replacing(path, keep_previous) as (descriptor, _):
        length, make = head or (0, bytes)
        os.lseek(descriptor, length, os.SEEK_SET)
        with progress("saving", sum(memoryview(piece).nbytes for piece in pieces)) as advance:
            for piece in pieces:
                _write_all(descriptor, piece, advance)
        os.lseek(descriptor, 0, os.SEEK_SET)
        _write_all(descriptor, make(), lambda count: None)


@contextlib.contextmanager
def replacing(path, keep_previous=False):
    """A new file for a ``with`` block to write, which then replaces ``path``; see `write_atomically`.

    Yields
    ------
    descriptor : int
    temporary : str
        The file's temporary name.
    """
    target = os.path.realpath(checked_path(path))
    before = _status_of(target)
    folder, name = os.path.split(target)
    _remove_leftovers(folder, name)
    temporary, descriptor = os.path.join(folder, _temporary_name(name)), None
    try:
        try:
            descriptor = os.open(temporary, _NEW, 0o666 if before is None else 0o600)
            _prepare(descriptor, before)
            yield descriptor, temporary
            _sync(descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)
        if keep_previous and os.path.exists(target):
            _keep(target)
        _replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def checked_path(path):
    """A path as a string.

    Raises
    ------
    IsADirectoryError
        If it ends like a folder's path.
    """
    text = os.fsdecode(path)
    if text.endswith(tuple(filter(None, (os.sep, os.altsep)))):
        raise IsADirectoryError(errno.EISDIR, "a file's path cannot end with a slash", text)
    return text


#: no O_TRUNC, no links followed: the file is new, or the call fails
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def _prepare(descriptor, before):
    """Lock a new file for its process's lifetime, and give it the owner and permissions of the old one."""
    if hasattr(fcntl, "flock"):
        with contextlib.suppress(OSError):  # file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    if before is not None and hasattr(os, "fchmod"):
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(OSError):  # only the superuser may change owners
                os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _sync(descriptor):
    """Flush to the disk; where fsync stops at the disk's own cache, ask for a full flush."""
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS
    if full is not None:
        try:
            fcntl.fcntl(descriptor, full)
            return
        except OSError:  # a file system that does not support it
            pass
    os.fsync(descriptor)


def _replace(source, target):
    """Rename over a file. Windows refuses while anyone has it open, so there retry for a second."""
    for wait in (0.01, 0.04, 0.15, 0.3, 0.5) if os.name == "nt" else ():
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(wait)
    os.replace(source, target)


def _write_all(descriptor, piece, advance):
    view = memoryview(piece)
    while len(view):
        written = os.write(descriptor, view[:BLOCK])
        if written == 0:
            raise OSError(errno.ENOSPC, "the disk takes no more bytes")
        advance(written)
        view = view[written:]


def _status_of(target):
    """The status of the file to be replaced; None if there is none."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        # renaming a file over a device or a pipe would destroy it
        raise OSError(
            errno.EINVAL, "states are saved to regular files only, and this is something else", target
        )
    return status


def _temporary_name(name):
    return f"{_temporary_prefix(name)}{os.getpid()}.{secrets.token_hex(4)}.tmp"


def _temporary_prefix(name):
    """The prefix of the names of this file's unfinished saves on this machine."""
    host = socket.gethostname()
    if len(os.fsencode(name)) + len(host) > _ROOM_IN_A_NAME:
        name, host = (f"{zlib.crc32(os.fsencode(long)):08x}" for long in (name, host))
    return f".{name}.{host}."


def _remove_leftovers(folder, name):
    """Remove what saves of this file left behind when their process was killed on this machine.

    Process ids mean nothing if another container has the same host name, so a file that is still being
    written is also locked.
    """
    pattern = re.compile(re.escape(_temporary_prefix(name)) + r"(\d+)\.[0-9a-f]{8}\.tmp")
    for entry in os.listdir(folder):
        match = pattern.fullmatch(entry)
        if match and not _is_running(int(match[1])):
            path = os.path.join(folder, entry)
            with contextlib.suppress(OSError):
                if not _is_locked(path):
                    os.unlink(path)


def _is_locked(path):
    if not hasattr(fcntl, "flock"):
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _is_running(pid):
    if os.name == "nt":  # there os.kill(pid, 0) would kill the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return False
    except OSError:
        return True
    return True


def _keep(target):
    """Give the file at ``target`` a second name, ``<target>.prev``, in one step."""
    spare = f"{target}.prev"
    folder, name = os.path.split(target)
    second = os.path.join(folder, _temporary_name(name))
    try:
        try:
            os.link(target, second)
        except OSError:  # a file system without hard links
            shutil.copy2(target, second)
        _replace(second, spare)
        # if both names were already one file, the rename above does nothing
        if os.path.exists(second):
            os.unlink(second)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(second)
        raise


def _sync_folder(folder):
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some network file systems refuse; the rename has been done anyway
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def open_for_reading(path):
    """Open a regular file, unbuffered; a pipe would block the caller, and has no random access.

    Raises
    ------
    OSError
        Also for anything that is not a regular file.
    """
    # without O_NONBLOCK, opening a pipe waits until somebody writes
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return open(path, "rb", buffering=0, opener=lambda *_: descriptor)
    os.close(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, "state files are regular files, and this is something else", os.fspath(path))


class BufferSource:
    """A file in memory."""

    def __init__(self, data):
        self._view = memoryview(data).cast("B")
        self.size = len(self._view)

    def read(self, offset, count):
        return bytes(self._view[offset : offset + count])

    def read_into(self, offset, out):
        np.copyto(out, np.frombuffer(self._view, np.uint8, out.size, offset))


class FileSource:
    """A file on disk, opened for unbuffered reading."""

    def __init__(self, file):
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, offset, count):
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) != count:
            raise DamagedStateFile(
                f"the data ends after byte {offset + len(data)}; the file was cut while it was read"
            )
        return data

    def read_into(self, offset, out):
        self._file.seek(offset)
        view, done = memoryview(out), 0
        while done < len(view):
            count = self._file.readinto(view[done:])
            if not count:
                raise DamagedStateFile(
                    f"the data ends after byte {offset + done}; the file was cut while it was read"
                )
            done += count


def _bar_of_notebooks():
    """tqdm's bar if in a notebook and tqdm is installed."""
    if "ipykernel" not in sys.modules:
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


@contextlib.contextmanager
def progress(doing, total):
    """A progress bar on a terminal if the work is long enough for one; yields ``advance(count)``."""
    if total < _WORTH_A_BAR or sys.stderr is None:
        yield lambda count: None
        return
    bar_of_notebooks = _bar_of_notebooks()
    if bar_of_notebooks is not None:
        with bar_of_notebooks(total=total, desc=doing, unit="B", unit_scale=True) as shown_there:
            yield shown_there.update
        return
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    done, shown = 0, -1

    def advance(count):
        nonlocal done, shown
        done += count
        percent = 100 * done // total
        if percent != shown:
            shown = percent
            bar = "#" * (percent * 3 // 10)
            sys.stderr.write(f"\r{doing} [{bar:<30}] {percent:3d}% of {total / 1e9:.1f} GB")
            sys.stderr.flush()

    try:
        yield advance
    finally:
        sys.stderr.write("\n")
