"""Ranks that agree before they exchange: no rank waits in a call for one that makes another call.

Every exchange begins with a short record from each rank: what it is about to do, with a digest of everything
that must be equal on all ranks, or the error that kept it from doing so. All ranks see the same records, so
either all continue or all raise the same error. While it waits for the records, a rank watches for others
that have reached the end of their program. Only then do all of them exchange memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import struct
import sys
import time

import numpy as np

from .. import config
from .._version import __version__
from .errors import RankError

_RECORD = struct.Struct("<q16sB7xq")
_LENGTH = 640
_LEFT = 77  # a tag

#: Polls before a waiting rank yields the processor.
_POLLS = 2000

_CURE = "every rank must make the same calls, alike and in the same order"

#: Seconds that a failed rank waits for the others, to tell them why, before it ends them all.
_PATIENCE = 2.0


class Alone:
    """One process as the only rank, with the methods of `Ranks`."""

    rank, size, one_machine = 0, 1, True
    local_rank, local_size = 0, 1

    def agree(self, call, details=None, error=None, flag=0):
        if error is not None:
            raise error
        return [flag]

    def introduce(self):
        """Does nothing: there are no other ranks."""

    def leave(self):
        """Does nothing: no other rank waits."""

    wait_a_moment = leave

    def gather_bytes(self, data):
        return [bytes(data)]

    def exchange(self, parts):
        return [np.frombuffer(part, np.uint8) for part in parts]

    def broadcast(self, value):
        return value

    def gather(self, send, receive, counts):
        receive[...] = send

    def scatter(self, send, counts, receive, received, starts=None):
        receive[...] = send


class Ranks:
    """The ranks of a communicator, duplicated so that the program's messages are not mistaken for ours.

    Parameters
    ----------
    MPI : module
    comm : mpi4py.MPI.Intracomm

    Attributes
    ----------
    rank, size : int
    local_rank, local_size : int
        Those on this machine.
    one_machine : bool
        Whether all ranks can share memory.
    """

    def __init__(self, MPI, comm):
        self._MPI = MPI
        self.rank, self.size = comm.rank, comm.size
        self._comm = comm.Dup()
        self._watch = comm.Dup()
        node = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = node.rank, node.size
        node.Free()
        self._crowded = self.local_size > len(_cores())
        self._calls = 0
        self._gone = {}
        self._failed = None
        self._windows = []
        self.sent = 0  # bytes sent to other ranks in exchanges
        self._send = np.zeros(_LENGTH, np.uint8)
        self._records = np.zeros((self.size, _LENGTH), np.uint8)
        flags = self.gather_bytes(struct.pack("<q", self.local_size))
        self.one_machine = all(struct.unpack("<q", flag)[0] == self.size for flag in flags)

    @property
    def comm(self):
        """The duplicate communicator for exchanges; all ranks make every call on it."""
        return self._comm

    def introduce(self):
        """Compare what must be equal on all ranks before anything is computed."""
        library = self._MPI.Get_library_version().split("\n")[0].strip().rstrip("\x00")
        self.agree(
            "the start",
            {
                "mxopt": __version__,
                "the MPI library": library,
                "the number of threads": config.get_num_threads(),
                "the byte order": sys.byteorder,
            },
            cure="start all alike, with `mxopt launch`, which shares threads out (or set OMP_NUM_THREADS)",
        )

    # -- agreement -----------------------------------------------------------------------------------

    def agree(self, call, details=None, error=None, flag=0, cure=_CURE):
        """Wait until all ranks are at the same call.

        Parameters
        ----------
        call : str
            What this rank is about to do.
        details : dict of str to object, optional
            What must be equal on all ranks; compared by ``repr``.
        error : Exception, optional
            What keeps this rank from doing it. It is raised here, and reported by a `RankError` elsewhere.
        flag : int
            A number for the others.

        Returns
        -------
        list of int
            The flags, by rank.

        Raises
        ------
        RankError
            With what one rank does differently from the others.
        """
        if isinstance(error, RankError) or getattr(error, "told_to_all_ranks", False):
            raise error
        items = {name: repr(value) for name, value in (details or {}).items()}
        digest = hashlib.blake2b(repr((call, items)).encode(), digest_size=16).digest()
        text = call if error is None else f"{type(error).__name__}: {error}"
        if self._failed is not None:
            raise RankError(f"this rank failed before, and the others have not been told: {self._failed}")
        self._calls += 1
        self._settle()
        record = _RECORD.pack(self._calls, digest, error is not None, flag)
        line = " ".join(text.split()).encode()[: _LENGTH - len(record) - 1]
        self._send[:] = 0
        self._send[: len(record) + len(line)] = np.frombuffer(record + line, np.uint8)
        if not self._finish(self._comm.Iallgather(self._send, self._records), call, error and _PATIENCE):
            self._failed = error
            raise error
        found = [_RECORD.unpack_from(one) for one in self._records]
        failed = [rank for rank, one in enumerate(found) if one[2]]
        if failed:
            if error is not None:
                with contextlib.suppress(AttributeError):
                    error.told_to_all_ranks = True
                raise error
            raise RankError(f"rank {failed[0]} failed: {self._line(failed[0])}; all ranks end")
        if any(one[1] != found[0][1] for one in found):
            raise RankError(f"{self._difference(found, items)}; {cure}")
        self._settle()
        return [one[3] for one in found]

    def _line(self, rank):
        text = self._records[rank, _RECORD.size :].tobytes()
        return text.rstrip(b"\0").decode(errors="replace")

    def _difference(self, found, items):
        # The odd one out is the one that differs from the majority.
        digests = [one[1] for one in found]
        usual = max(digests, key=digests.count)
        odd = next(rank for rank, digest in enumerate(digests) if digest != usual)
        other = digests.index(usual)
        if self._line(odd) != self._line(other):
            return f"rank {odd} is at {self._line(odd)}, rank {other} at {self._line(other)}"
        everywhere = [json.loads(part) for part in self.gather_bytes(json.dumps(items).encode())]
        for name in {**everywhere[other], **everywhere[odd]}:
            one, two = (side.get(name, "none") for side in (everywhere[odd], everywhere[other]))
            if one != two:
                return (
                    f"at {self._line(odd)}, rank {odd} has {_apart(one, two, name)}, rank {other} has "
                    + _apart(two, one, name)
                )
        return f"at {self._line(odd)}, ranks {odd} and {other} differ"

    def _finish(self, request, call, patience=None):
        """Wait for an exchange, meanwhile watching for ranks that will not take part.

        Returns False after `patience` seconds.
        """
        polls, until = 0, patience and time.monotonic() + patience
        while not request.Test():
            polls += 1
            if until and polls % 256 == 0 and time.monotonic() > until:
                return False
            if polls % 256 == 0:
                self._look_for_leavers(call)
            if polls > _POLLS:
                if self._crowded or polls > 100 * _POLLS:
                    time.sleep(0.0002 if polls > 4 * _POLLS else 0.00002)
                else:
                    os.sched_yield() if hasattr(os, "sched_yield") else time.sleep(0)
        return True

    def _look_for_leavers(self, call):
        MPI = self._MPI
        while self._watch.Iprobe(MPI.ANY_SOURCE, _LEFT):
            status, number = MPI.Status(), np.zeros(1, np.int64)
            self._watch.Recv(number, MPI.ANY_SOURCE, _LEFT, status)
            self._gone[status.source] = int(number[0])
        for rank, number in self._gone.items():
            if number < self._calls:
                raise RankError(
                    f"rank {rank} has ended its program, and rank {self.rank} waits for it at {call}; every "
                    "rank must make the same calls"
                )

    def leave(self):
        """Tell the others that this rank will make no more calls."""
        number = np.array([self._calls], np.int64)
        requests = [self._watch.Isend(number, rank, _LEFT) for rank in range(self.size) if rank != self.rank]
        self._kept = number, requests  # until the process ends

    def wait_a_moment(self):
        """Give the others time to report before the job is ended."""
        request, until = self._watch.Ibarrier(), time.monotonic() + 1.0
        while not request.Test() and time.monotonic() < until:
            time.sleep(0.005)

    # -- exchanges: made by all ranks, after they have agreed ------------------------------------------

    def gather_bytes(self, data):
        """The bytes of every rank, by rank."""
        data = _bytes_of(data)
        lengths = np.empty(self.size, np.int64)
        self._finish(self._comm.Iallgather(np.array([data.size], np.int64), lengths), "an exchange")
        found = np.empty(int(lengths.sum()), np.uint8)
        self.gather(data, found, lengths)
        ends = np.cumsum(lengths)
        return [found[end - length : end].tobytes() for length, end in zip(lengths, ends)]

    def gather(self, send, receive, counts):
        """Join the arrays of all ranks (bytes), in rank order, on every rank."""
        counts, byte = list(map(int, counts)), self._MPI.BYTE
        starts = [0, *np.cumsum(counts[:-1]).tolist()]
        self.sent += counts[self.rank] * (self.size - 1)
        self._finish(self._comm.Iallgatherv([send, byte], [receive, counts, starts, byte]), "an exchange")

    def gather_in_place(self, memory, counts):
        """As `gather`, where each rank's own part is already in its place in `memory` (bytes)."""
        counts, MPI = list(map(int, counts)), self._MPI
        starts = [0, *np.cumsum(counts[:-1]).tolist()]
        self.sent += counts[self.rank] * (self.size - 1)
        self._finish(self._comm.Iallgatherv(MPI.IN_PLACE, [memory, counts, starts, MPI.BYTE]), "an exchange")

    def scatter(self, send, counts, receive, received, starts=None):
        """Send each rank its part of `send` (bytes), and receive from each what it sends here.

        The parts are contiguous, or begin at `starts`.
        """
        byte = self._MPI.BYTE
        counts, received = list(map(int, counts)), list(map(int, received))
        one_by_one, places = ([0, *np.cumsum(c[:-1]).tolist()] for c in (counts, received))
        starts = one_by_one if starts is None else starts
        self.sent += sum(counts) - counts[self.rank]
        self._finish(
            self._comm.Ialltoallv([send, counts, starts, byte], [receive, received, places, byte]),
            "an exchange",
        )

    def exchange(self, parts):
        """Send each rank a buffer of any length; returns what each rank has sent here, as bytes."""
        parts = [_bytes_of(part) for part in parts]
        counts = np.array([part.size for part in parts], np.int64)
        received = np.empty(self.size, np.int64)
        self._finish(self._comm.Ialltoall(counts, received), "an exchange")
        found = np.empty(int(received.sum()), np.uint8)
        self.scatter(np.concatenate(parts), counts, found, received)
        ends = np.cumsum(received)
        return [found[end - length : end] for length, end in zip(received, ends)]

    def broadcast(self, value):
        """Rank 0's object, on every rank."""
        return pickle.loads(self.gather_bytes(pickle.dumps(value) if self.rank == 0 else b"")[0])

    def shared(self, nbytes):
        """Memory from every rank, shared by all.

        Parameters
        ----------
        nbytes : int
            Size of this rank's memory.

        Returns
        -------
        list of uint8 arrays
            By rank.
        """
        window = self._MPI.Win.Allocate_shared(nbytes, 1, comm=self._comm)
        window.Lock_all()
        self._windows.append(window)
        return [np.frombuffer(window.Shared_query(rank)[0], np.uint8) for rank in range(self.size)]

    def _settle(self):
        """Memory fence: what ranks write to shared memory before they agree, all of them see afterwards."""
        for window in self._windows:
            window.Sync()


def _bytes_of(data):
    """An array's elements, or bytes, as a flat uint8 array."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(np.asarray(data)).reshape(-1).view(np.uint8)
    return np.frombuffer(data, np.uint8)


def _cores():
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def _apart(one, two, name=""):
    """Where two long texts differ, with what precedes it."""
    at = next((i for i, (a, b) in enumerate(zip(one, two)) if a != b), min(len(one), len(two)))
    begin = max(at - 30, 0) if len(one) > 90 else 0
    text = ("..." if begin else "") + one[begin : begin + 90] + ("..." if len(one) > begin + 90 else "")
    return f"{name} {text}".strip()
