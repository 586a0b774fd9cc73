"""The cost of a step of sharded training on machines that are not at hand: time, bytes and memory per rank.

The model adds up what `sharded` and `transport` do, with measured rates of this machine and a given link.
With n ranks that sum M micro-batches of P parameters in tensors of one dtype:

* a rank copies its first micro-batch to its buffer, and adds the others to it;
* it sends each of its nodes of the tree (`microbatches.whole_nodes`) except for its own part,
  P / n * (n - 1) elements per node, and receives as much;
* it adds the nodes of all ranks in its part, P / n elements each, and steps the part;
* it sends its part of the weights to all others, and copies theirs to its weights.

Messages take ``latency`` per partner plus ``bytes / link``; nothing overlaps. Within one machine nothing is
sent: memory that others have written is read in place.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from .. import checks
from ..microbatches import share, whole_nodes
from ..optimizer.updater import Updater
from .transport import deepest


class Rates(NamedTuple):
    """What this machine, and a link, do per second, in bytes of one array.

    Attributes
    ----------
    copy : float
        Bytes copied.
    add : float
        Bytes of an array added to another.
    step : float
        Bytes of weights stepped by the optimizer.
    link : float
        Bytes that a rank sends while receiving as many.
    latency : float
        Seconds for a message to arrive.
    """

    copy: float
    add: float
    step: float
    link: float
    latency: float


class Plan(NamedTuple):
    """The cost of a step for each rank.

    Attributes
    ----------
    ranks : int
    seconds : float
        Duration of the step, from the last gradient to the weights of the next forward pass.
    sent : int
        Bytes sent.
    memory : int
        Bytes of weights, one gradient, this rank's states and its buffers.
    """

    ranks: int
    seconds: float
    sent: int
    memory: int


def plan(parameters, ranks, rates, state_bytes=8, accumulate=None, itemsize=4, one_machine=False):
    """The cost of a step.

    Parameters
    ----------
    parameters : int
    ranks : int
    rates : Rates
    state_bytes : int, default 8
        Bytes of state per parameter; Adam keeps two float32 numbers.
    accumulate : int, optional
        Micro-batches of a step over all ranks; by default one per rank.
    itemsize : int, default 4
        Bytes of a weight and of a gradient.
    one_machine : bool, default False
        Whether the ranks share memory.

    Returns
    -------
    Plan
    """
    parameters, ranks = checks.count("parameters", parameters), checks.count("ranks", ranks)
    count = ranks if accumulate is None else checks.count("accumulate", accumulate)
    if count < ranks:
        raise ValueError(f"accumulate must be at least the number of ranks, {ranks}, got {accumulate}")
    whole = parameters * itemsize
    part = -(-whole // ranks)
    # all wait for the rank with the most micro-batches
    held = [share(rank, ranks, count) for rank in range(ranks)]
    most = max(end - begin for begin, end in held)
    nodes = [len(whole_nodes(begin, end, count)) for begin, end in held]
    others = whole - part
    sent = 0 if ranks == 1 or one_machine else (max(nodes) + 1) * others
    alone = ranks == 1 and count == 1
    seconds = 0.0 if alone else whole / rates.copy + (most - 1) * whole / rates.add
    seconds += (sum(nodes) - 1) * part / rates.add + part / rates.step
    if ranks > 1:
        rounds = max(nodes) + 1
        seconds += rounds * (ranks - 1) * rates.latency + sent / rates.link
        seconds += (part + others) / rates.copy  # the weights, packed and unpacked
    buffers = 0 if alone else max(deepest(rank, ranks, count) for rank in range(ranks)) * whole
    if ranks > 1:
        buffers += part if one_machine else max(nodes) * (ranks - 1) * part + part + whole
    memory = 2 * whole + -(-parameters // ranks) * state_bytes + buffers
    return Plan(ranks, seconds, sent, memory)


def measured(optimizer, link, latency, elements=4_000_000, repeats=5):
    """The measured rates of this machine for an optimizer, with those of a link.

    Parameters
    ----------
    optimizer : Optimizer
    link, latency : float
        As in `Rates`.
    elements : int
        The size of the arrays to measure with.
    """
    weight, grad = np.ones(elements, np.float32), np.full(elements, 0.5, np.float32)
    other = np.empty_like(weight)
    updater = Updater(optimizer)

    def rate(work):
        work()
        found = []
        for _ in range(repeats):
            begin = time.perf_counter()
            work()
            found.append(time.perf_counter() - begin)
        return weight.nbytes / min(found)

    return Rates(
        rate(lambda: np.copyto(other, grad)),
        rate(lambda: np.add(other, grad, out=other)),
        rate(lambda: updater(0, grad, weight)),
        link,
        latency,
    )


def state_bytes(optimizer):
    """Bytes of state that an optimizer keeps per parameter of a large float32 tensor."""
    state = optimizer.create_state(0, np.zeros((64, 64), np.float32))

    def nbytes(part):
        if part is None:
            return 0
        return sum(map(nbytes, part)) if isinstance(part, (tuple, list)) else part.nbytes

    return nbytes(state) / 4096


def bandwidth(text):
    """Bytes per second of a link, from the way people write it: ``100Gb``, ``12.5GB``, ``25 Gbit/s``."""
    plain = text.strip().replace(" ", "").replace("/s", "").replace("ps", "")
    for unit, bits in (("bit", 1), ("b", 1), ("B", 8)):
        if plain.endswith(unit):
            number, factor = plain[: -len(unit)], 1.0
            for prefix, value in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
                if number.endswith(prefix):
                    number, factor = number[: -len(prefix)], value
            try:
                found = float(number) * factor * bits / 8
            except ValueError:
                break
            if found > 0:
                return found
    raise ValueError(f"link must be a rate such as 100Gb (bits) or 12.5GB (bytes) a second, got {text!r}")


def ranks_of(text):
    """The numbers of ranks in ``8``, ``2,4,6`` or ``8..1024`` (doubling)."""
    try:
        if ".." in text:
            low, high = map(int, text.split(".."))
            found = [low << i for i in range(64) if 0 < low << i <= high]
        else:
            found = [int(one) for one in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ValueError(f"ranks must be numbers such as 8, 2,4,6 or 8..1024, got {text!r}")
    return found
