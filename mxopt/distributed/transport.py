"""How gradients reach the ranks that own their elements, and new weights get back: two ways, same bits.

Both keep the sums of a rank's micro-batches in buffers laid out by owner (`shards.Layout`), one buffer
for each node of the tree that a rank may hold at a time. `Messages` sends each owner its share of them.
`Windows` keeps them in memory shared by all ranks of one machine: the owner reads them there, and nothing
is sent.
"""

from __future__ import annotations

import numpy as np

from ..microbatches import share, whole_nodes


class Transport:
    """The buffers of the calls for one list of tensors.

    Parameters
    ----------
    ranks : Ranks
    gradients, weights : Layout
    count : int
        How many micro-batches make a step.

    Attributes
    ----------
    buffers : list of uint8 arrays
        This rank's.
    """

    def __init__(self, ranks, gradients, weights, count):
        self.ranks, self.gradients, self.weights, self.count = ranks, gradients, weights, count
        self.nodes = [whole_nodes(*share(rank, ranks.size, count), count) for rank in range(ranks.size)]
        self.buffers = self._made(deepest(ranks.rank, ranks.size, count))

    def _made(self, number):
        raise NotImplementedError

    def collect(self):
        """This rank's share of every node of every rank, from left to right: (end of the node, bytes).

        The bytes may be written to.
        """
        raise NotImplementedError

    def publish(self, fill, take):
        """Give this rank's parts of the weights to all.

        Parameters
        ----------
        fill : callable
            ``fill(memory)`` copies this rank's parts to a buffer.
        take : callable
            ``take(rank, memory)`` copies another rank's parts from a buffer.
        """
        raise NotImplementedError


class Messages(Transport):
    """For ranks on any machines."""

    def _made(self, number):
        size = self.ranks.size
        self._received = [np.empty(0, np.uint8)] * size
        self._sent = np.empty(self.weights.lengths[self.ranks.rank], np.uint8)
        self._came = np.empty(self.weights.nbytes, np.uint8)
        return [np.empty(self.gradients.nbytes, np.uint8) for _ in range(number)]

    def collect(self):
        rank, size = self.ranks.rank, self.ranks.size
        own, start = self.gradients.lengths[rank], self.gradients.starts[rank]
        found = {}
        for turn in range(max(map(len, self.nodes))):
            sends = turn < len(self.nodes[rank])
            counts = [
                length if sends and to != rank else 0 for to, length in enumerate(self.gradients.lengths)
            ]
            received = [
                own if turn < len(nodes) and source != rank else 0 for source, nodes in enumerate(self.nodes)
            ]
            came = self._room(turn, sum(received))
            buffer = self.buffers[turn] if sends else np.empty(0, np.uint8)
            self.ranks.scatter(buffer, counts, came, received, self.gradients.starts[:-1])
            at = 0
            for source in range(size):
                if received[source]:
                    found[source, turn] = came[at : at + own]
                    at += own
            if sends:
                found[rank, turn] = buffer[start : start + own]
        return [
            (end, found.get((source, turn), buffer[:0]))
            for source, nodes in enumerate(self.nodes)
            for turn, (_, end) in enumerate(nodes)
        ]

    def collect_tensor(self, nodes, cuts, itemsize):
        """As `collect`, for one tensor that is sent straight from its own memory.

        Parameters
        ----------
        nodes : list of uint8 arrays
            The tensor in each node of this rank.
        cuts : tuple of int
            Where each rank's part of it begins, then its size.
        """
        rank = self.ranks.rank
        starts = [cut * itemsize for cut in cuts]
        lengths = [high - low for low, high in zip(starts, starts[1:])]
        own, found, empty = lengths[rank], {}, np.empty(0, np.uint8)
        for turn in range(max(map(len, self.nodes))):
            sends = turn < len(nodes)
            counts = [length if sends and to != rank else 0 for to, length in enumerate(lengths)]
            received = [
                own if turn < len(of) and source != rank else 0 for source, of in enumerate(self.nodes)
            ]
            came = np.empty(sum(received), np.uint8)
            self.ranks.scatter(nodes[turn] if sends else empty, counts, came, received, starts[:-1])
            at = 0
            for source, length in enumerate(received):
                found[source, turn] = came[at : at + length]
                at += length
            if sends:
                found[rank, turn] = nodes[turn][starts[rank] : starts[rank + 1]]
        return [
            (end, found[source, turn])
            for source, ends in enumerate(self.nodes)
            for turn, (_, end) in enumerate(ends)
        ]

    def _room(self, turn, length):
        self._received += [np.empty(0, np.uint8)] * (turn + 1 - len(self._received))
        if self._received[turn].size != length:
            self._received[turn] = np.empty(length, np.uint8)
        return self._received[turn]

    def publish(self, fill, take):
        self.ranks.agree("the new weights")
        fill(self._sent)
        self.ranks.gather(self._sent, self._came, self.weights.lengths)
        for rank, (start, end) in enumerate(zip(self.weights.starts, self.weights.starts[1:])):
            if rank != self.ranks.rank:
                take(rank, self._came[start:end])


class Windows(Transport):
    """For ranks of one machine."""

    def _made(self, number):
        ranks, length = self.ranks, self.gradients.nbytes
        self._rooms = [length * deepest(rank, ranks.size, self.count) for rank in range(ranks.size)]
        self._memory = ranks.shared(length * number + self.weights.lengths[ranks.rank])
        own = self._memory[ranks.rank]
        return [own[i * length : (i + 1) * length] for i in range(number)]

    def collect(self):
        rank = self.ranks.rank
        length, start, own = self.gradients.nbytes, self.gradients.starts[rank], self.gradients.lengths[rank]
        return [
            (end, memory[turn * length + start : turn * length + start + own])
            for memory, nodes in zip(self._memory, self.nodes)
            for turn, (_, end) in enumerate(nodes)
        ]

    def publish(self, fill, take):
        rank = self.ranks.rank
        fill(self._memory[rank][self._rooms[rank] :])
        self.ranks.agree("the new weights")
        for other, (memory, room) in enumerate(zip(self._memory, self._rooms)):
            if other != rank:
                take(other, memory[room:])


def deepest(rank, size, count):
    """The most nodes that a rank holds at a time while its micro-batches arrive."""
    begin, end = share(rank, size, count)
    return max((len(whole_nodes(begin, at + 1, count)) for at in range(begin, end)), default=0)
