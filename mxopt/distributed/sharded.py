"""The updater that spreads states over the ranks: each keeps, and steps, its part of every tensor.

A step sums its micro-batches in the order of `microbatches`, steps this rank's parts with the unmodified
optimizer, which just sees smaller arrays, and sends the new weights to all. Every rank counts every tensor,
even those it has no part of, so rates, schedules and counts are the same as in one process.
"""

from __future__ import annotations

import contextlib
import math
from copy import copy as shallow

import numpy as np

from .. import checks, clipping
from ..arrays import as_array
from ..kernels import WHOLE_SUM
from ..microbatches import Stack, check_alike, merge, share, summed_dtype
from ..optimizer.updater import Updater
from ..sparse import RowSparseArray, as_gradient
from ..states.spread import Spread
from . import checkpoints, world
from .agreement import description, keeps_rows, refuse_what_needs_whole_tensors
from .shards import Layout, Shards, unit_of
from .transport import Messages, Windows, deepest

#: From this many bytes on, a tensor is sent from its own memory rather than packed with others.
LARGE = 1 << 20

TRANSPORTS = {"messages": Messages, "windows": Windows}


def updater_over(
    comm,
    updater,
    optimizer,
    accumulate=None,
    transport=None,
    clip_global_norm=None,
    loss_scale=None,
    ema=None,
    report=False,
):
    """A sharded updater over the ranks of a communicator; with one rank, an `updater`. See `get_updater`."""
    ranks = world.ranks_of(comm)
    if ranks.size == 1:
        return updater(optimizer, accumulate, clip_global_norm, loss_scale, ema, report)
    options = {"loss_scale": loss_scale, "ema": ema, "report": report}
    return ShardedUpdater(optimizer, ranks, accumulate, transport, clip_global_norm, **options)


class ShardedUpdater(Updater):
    """As `Updater`, with 1/n of all states on each of n ranks. Made by ``get_updater(opt, comm=...)``.

    Every rank calls it for the same tensors in the same order, with its own gradients and with identical
    weights; after the last micro-batch all tensors have been stepped on all ranks. The results are
    bit-identical to one process, ``get_updater(opt, accumulate=M)``, for any number of ranks.

    Parameters
    ----------
    optimizer : Optimizer
        A built-in one, or a custom class that does not override `update` and `step`.
    ranks : Ranks
    accumulate : int, optional
        How many micro-batches make a step, over all ranks: rank r of n holds numbers M*r//n to
        M*(r+1)//n, and calls once for each. Default: one per rank.
    transport : {'windows', 'messages'}, optional
        Default: windows if all ranks share a machine.
    clip_global_norm, loss_scale, ema, report
        As for `mxopt.get_updater`. Averages are spread over the ranks as states are.

    Attributes
    ----------
    states : dict
        By index, this rank's part of the state: a flat range of elements in C order, or of rows.
    """

    def __init__(
        self, optimizer, ranks, accumulate=None, transport=None, clip_global_norm=None, **options
    ):  # fmt: skip
        super().__init__(optimizer)
        self.ranks = ranks
        refused, told = None, {"accumulate": accumulate, "transport": transport, "clip": clip_global_norm}
        told.update(options)
        try:
            super().__init__(optimizer, **options)
            self._check(accumulate, transport)
            if self._reports is not None:
                self._reports.whole = self._of_all_ranks
            if clip_global_norm is not None:
                self.max_norm = checks.number("clip_global_norm", clip_global_norm, 0)
        except (TypeError, ValueError) as error:
            refused = error
        self.ranks.agree(
            "get_updater",
            {**told, **description(optimizer)} if not refused else {},
            refused,
        )
        self.shards = Shards(ranks.size)
        self._calls = {}
        self._steps = 0
        self._built = {}  # by the shape of a weight, and whether its rows stay whole
        self._file = None  # a file with states that have not been read yet

    def _check(self, accumulate, transport):
        size = self.ranks.size
        self._micro_batches = size if accumulate is None else checks.count("accumulate", accumulate)
        if self._micro_batches < size:
            raise ValueError(
                f"accumulate must be at least the number of ranks, {size}, so that each has a micro-batch "
                f"of the step, got {accumulate}; start fewer ranks, or cut the batch into more micro-batches"
            )
        if transport is None:
            transport = "windows" if self.ranks.one_machine else "messages"
        checks.one_of("transport", transport, tuple(TRANSPORTS))
        if transport == "windows" and not self.ranks.one_machine:
            raise ValueError("transport='windows' needs all ranks on one machine; use 'messages'")
        self.transport = transport
        refuse_what_needs_whole_tensors(self.optimizer)

    @property
    def accumulate(self):
        return self._micro_batches

    @property
    def micro_batches(self):
        """[begin, end): the micro-batches of each step that this rank calls with."""
        return share(self.ranks.rank, self.ranks.size, self.accumulate)

    # -- states ----------------------------------------------------------------------------------------

    def outline(self, index, array):
        """The stand-in for the whole array that a state's array is a part of."""
        if isinstance(array, Spread):
            return array
        shape, by_rows = self._built[index]
        if array.shape == () != shape:  # one number a tensor: all ranks have it, the first one writes it
            first = int(self.ranks.rank == 0)
            found = Spread.made((), array.dtype, 1 - first, array.reshape(-1)[:first])
            found.own = array
            return found
        begin = self.shards.own(index, self.ranks.rank)[0]
        if by_rows:
            whole = (shape[0], *array.shape[1:])
            begin = rows_at(begin, shape) * math.prod(array.shape[1:])
        else:
            whole = shape
        found = Spread.made(whole, array.dtype, begin, array.reshape(-1))
        found.own = array
        return found

    def take(self, loaded):
        """Take over the states of an updater that has loaded a file; read once the weights are known."""

        refuse_what_needs_whole_tensors(loaded.optimizer)
        self.optimizer, self.states = loaded.optimizer, loaded.states
        self.states_synced, self._row_sparse = loaded.states_synced, loaded._row_sparse
        if loaded.optimizer.multi_precision:  # masters may have to be converted
            self._loaded = frozenset(self.states)
        if self._averages is not None:
            vars(self._averages).update(vars(loaded._averages))
        if self._scaler is not None:
            self._scaler.take(loaded._scaler.described())
        for values in self._kept():
            for index in values:
                values[index] = checkpoints.mapped(values[index], index, _unread)
        self._read(self._built)

    def keep_open(self, file):
        """Keep a file open until all states have been read from it."""
        if self._file is not None:
            self._file.close()
        self._file = file

    def _kept(self):
        """Everything that is kept by index."""
        progress = [getattr(self.optimizer, name) for name in self.optimizer.progress]
        averages = [] if self._averages is None else [self._averages.arrays, self._averages.marks]
        return [self.states, *averages, *(values for values in progress if isinstance(values, dict))]

    def _read(self, indices):
        """Read this rank's parts of the states of some tensors, if they are still in a file."""
        for values in self._kept():
            for index in indices:
                if index in values:
                    values[index] = checkpoints.mapped(values[index], index, self._part)

    def _part(self, index, array):
        if not isinstance(array, Spread):
            return array
        shape, by_rows = self._built[index]
        if array.shape == () != shape:
            return np.array(array.elements(0, 1)).reshape(())
        if array.shape != shape and not (by_rows and array.shape[:1] == shape[:1]):
            raise ValueError(
                f"state of {checks.who(self.optimizer, index)} must fit its weight of shape {shape}, got "
                f"shape "
                f"{array.shape}"
            )
        begin, end = self.shards.own(index, self.ranks.rank)
        if not by_rows:
            return np.array(array.elements(begin, end))
        begin, end = (rows_at(at, shape) * math.prod(array.shape[1:]) for at in (begin, end))
        return np.array(array.elements(begin, end)).reshape(-1, *array.shape[1:])

    def get_states(self, dump_optimizer=False, **options):
        """The states as bytes, equal on every rank and to one process's; all ranks must call it."""
        self._refuse_within_a_step("states cannot be saved")
        return checkpoints.get(self, dump_optimizer, **options)

    def set_states(self, states, **options):
        """Load states from bytes that every rank has; all ranks must call it."""
        self._refuse_within_a_step("states cannot be loaded")
        return checkpoints.set_from(self, states, **options)

    def save_states(self, path, dump_optimizer=False, **options):
        """Write the states to a file, crash-safely; every rank writes its part, and all must call it."""
        self._refuse_within_a_step("states cannot be saved")
        checkpoints.save(self, path, dump_optimizer, **options)

    def load_states(self, path, **options):
        """Load states from a file of any number of ranks; each rank reads its part, and all must call it."""
        self._refuse_within_a_step("states cannot be loaded")
        return checkpoints.load(self, path, **options)

    def drop_micro_batches(self):
        """Forget the micro-batches of an unfinished step; all ranks must call it."""
        for call in self._calls.values():
            call._restart()

    def _refuse_within_a_step(self, what):
        open_ = next((call for call in self._calls.values() if call.stack.nodes), None)
        if open_ is not None:
            number = open_.stack.end - self.micro_batches[0]
            raise RuntimeError(
                f"{what} within a step: {number} of this rank's {len(range(*self.micro_batches))} "
                f"micro-batches "
                "have come; do it after the last one, or drop them with updater.drop_micro_batches()"
            )

    # -- evaluation ------------------------------------------------------------------------------------

    def _move(self, index, weight, evaluating):
        """Each rank moves its parts, and all get them; states that are still in a file are read whole."""
        if self._averages is None and not self.optimizer.has_two_points:
            return
        indices, weights = (index, weight) if isinstance(index, (list, tuple)) else ([index], [weight])
        key, refused = tuple(map(checks.key, indices)), None
        try:
            weights = self._movable(key, weights)
        except (TypeError, ValueError, RuntimeError) as error:
            refused = error
        self.ranks.agree("eval" if evaluating else "train", {"the tensors": key}, refused)
        divided = [(i, one) for i, one in zip(key, weights) if i in self._built]
        parts = [self._part_of(i, one) for i, one in divided]
        try:
            super()._move([i for i, _ in divided], parts, evaluating)
            self._move_unread([(i, one) for i, one in zip(key, weights) if i not in self._built], evaluating)
        except Exception as error:
            self.ranks.agree("weights are moved", error=error)
        self.ranks.agree("weights are moved")
        for (_, one), part in zip(divided, parts):
            came = b"".join(self.ranks.gather_bytes(part))
            np.copyto(one, np.frombuffer(came, np.uint8).view(one.dtype).reshape(one.shape))

    def _movable(self, key, weights):
        """Weights as arrays; raises for those that cannot be moved."""
        self._refuse_within_a_step("weights cannot be moved")
        if len(key) != len(weights):
            raise ValueError(
                f"index and weight must be lists of the same length, got {len(key)} and {len(weights)}"
            )
        if len(set(key)) < len(key):
            raise checks.duplicate_index(self.optimizer, list(key))
        found = []
        for index, weight in zip(key, weights):
            who = f"weight of {checks.who(self.optimizer, index)}"
            array = np.asarray(as_array(weight, who))
            shape = self._built.get(index, (array.shape,))[0]
            if array.shape != shape:
                raise ValueError(f"{who} must keep its shape {shape}, got {array.shape}")
            found.append(array)
        return found

    def _part_of(self, index, weight):
        begin, end = self.shards.own(index, self.ranks.rank)
        part = np.ascontiguousarray(weight).reshape(-1)[begin:end]
        return part.reshape(-1, *weight.shape[1:]) if self._built[index][1] else part

    def _move_unread(self, pairs, evaluating):
        alone = Updater(self.optimizer)
        alone.states = {index: self.states[index] for index, _ in pairs if index in self.states}
        if self._averages is not None:
            alone._averages = averages = shallow(self._averages)
            averages.arrays, averages.marks = dict(averages.arrays), dict(averages.marks)
        for values in ShardedUpdater._kept(alone):
            for index in [index for index, _ in pairs if index in values]:
                values[index] = checkpoints.mapped(values[index], index, _read_whole)
        alone._move([index for index, _ in pairs], [weight for _, weight in pairs], evaluating)
        for index, state in alone.states.items():
            self.states[index] = checkpoints.mapped(state, index, _unread)

    # -- a step ----------------------------------------------------------------------------------------

    def __call__(self, index, grad, weight, lazy=None):
        if lazy is not None and any(own != self.optimizer.lazy_update for own in lazy):
            raise ValueError(
                "sharded states take row-sparse gradients as lazy_update says, alike for all weights; store "
                "the weights dense, and pass lazy_update= to the optimizer"
            )
        single = not isinstance(index, (list, tuple))
        given = ([index], [grad], [weight]) if single else (index, grad, weight)
        key = tuple(map(checks.key, given[0]))
        call, error = self._calls.get(key), None
        try:
            gradients, weights = self._checked(key, *given[1:])
            if call is not None:
                call.check(gradients, weights)
        except (TypeError, ValueError, IndexError) as refused:
            error = refused
        if call is None and error is None:
            call = self._first(key, gradients, weights)
        if error is not None and not (call.is_last if call else len(range(*self.micro_batches)) == 1):
            raise error
        if error is None and not call.add(gradients):
            return
        self._agree_to_step(key, call, error)
        sums = call.sums()
        if self.max_norm is not None:
            self._clip(call, sums)
        parts = [call.part(i, w) for i, w in enumerate(weights)]
        self._step(call, key, sums, parts)
        call.publish(weights, parts, sums)

    def _checked(self, key, grads, weights):
        optimizer = self.optimizer
        if len({len(key), len(grads), len(weights)}) > 1:
            raise ValueError(
                "index, grad and weight must be lists of the same length, got "
                f"{len(key)}, {len(grads)} and {len(weights)}"
            )
        if not key:
            raise ValueError("index must not be empty: the ranks would wait for nothing")
        if len(set(key)) < len(key):
            raise checks.duplicate_index(optimizer, list(key))
        if self._averages is not None:
            self._averages.refuse_moved(optimizer, key, "a step cannot be made")
        checked = []
        for index, grad, weight in zip(key, grads, weights):
            who = checks.who(optimizer, index)
            array = np.asarray(as_array(weight, f"weight of {who}"))
            grad = as_gradient(grad, f"gradient of {who}")
            checks.float_weight(optimizer, index, array)
            if grad.shape != array.shape:
                raise checks.gradient_shape(optimizer, index, array, grad)
            checked.append((grad, array))
        return [grad for grad, _ in checked], [array for _, array in checked]

    def _first(self, key, gradients, weights):
        """Divide tensors that are new."""
        # the largest first, so that small ones fill the gaps
        for index, grad, weight in sorted(zip(key, gradients, weights), key=lambda one: -one[2].size):
            if index not in self.shards:
                by_rows = isinstance(grad, RowSparseArray) or keeps_rows(self.optimizer)
                self.shards.add(
                    index, weight.size, unit_of(weight.shape, by_rows, len(self.optimizer.passes) > 1)
                )
                self._built[index] = weight.shape, by_rows
        self._read(key)
        call = self._calls[key] = Call(self, key, gradients, weights)
        return call

    def _agree_to_step(self, key, call, error):
        details = {"the tensors": key, **description(self.optimizer)}
        if call is not None:
            details.update(call.details)
        self.ranks.agree(f"step {self._steps + 1}", details, error)
        self._steps += 1

    def _clip(self, call, sums):
        """Scale down the gradients of a step if their norm over all ranks is too large."""
        found = np.zeros(len(sums))
        plan = clipping.planned([sums[i] for i in call.dense])
        plan.are_parts(call.whole_dense.sizes, call.whole_dense.sums)
        found[call.dense] = clipping.squares(plan)
        rows = [i for i, sum_ in enumerate(sums) if isinstance(sum_, RowSparseArray)]
        for i in rows:  # there are few: every rank gets all of them
            came = b"".join(self.ranks.gather_bytes(sums[i].data))
            found[i] = clipping.squares(clipping.planned([np.frombuffer(bytearray(came), sums[i].dtype)]))[0]
        limit = self.max_norm if self._scaler is None else self.max_norm * self._scaler.scale
        norm, factor = clipping.limited(found, limit, not self._checks_finite)
        if not math.isfinite(norm) and self._checks_finite:
            return  # the step is skipped
        if not factor >= 1:
            clipping.scale(plan, factor)
            clipping.scale(clipping.planned([sums[i].data for i in rows]), factor)

    def _of_all_ranks(self, sums):
        """What all ranks have measured, from what each has measured of its parts."""
        came = self.ranks.gather_bytes(np.ascontiguousarray(sums))
        return sum(np.frombuffer(one).reshape(sums.shape) for one in came)

    def _step(self, call, key, sums, parts):
        optimizer = self.optimizer
        optimizer._whole = call.whole
        try:
            with call.drawing(optimizer):
                Updater.__call__(self, list(key), sums, parts)
        except Exception as error:
            self.ranks.agree("a step", error=error)
        finally:
            del optimizer._whole


class Call:
    """What the updater keeps about a list of tensors between calls."""

    def __init__(self, updater, key, gradients, weights):
        self.updater, self.ranks, self.key = updater, updater.ranks, key
        self.count = updater.accumulate
        rank = self.ranks.rank
        self.shapes = [weight.shape for weight in weights]
        self.dtypes = [weight.dtype for weight in weights]
        self.sparse = [isinstance(grad, RowSparseArray) for grad in gradients]
        self.by_rows = [one or keeps_rows(updater.optimizer) for one in self.sparse]
        self.own = [updater.shards.own(index, rank) for index in key]
        self.first = [_outline(grad) for grad in gradients]
        self.dense = [i for i, sparse in enumerate(self.sparse) if not sparse]
        bounds = [updater.shards.bounds(index) for index in key]
        self.whole = Whole(self.ranks, bounds)
        self.whole_dense = Whole(self.ranks, [bounds[i] for i in self.dense])
        size = self.ranks.size
        self.sums_in = [summed_dtype(grad.dtype) for grad in gradients]
        sends = updater.transport == "messages"
        self.large = [i for i in self.dense if sends and weights[i].nbytes >= LARGE]
        self.packed = [i for i in self.dense if i not in self.large]
        packed = [bounds[i] for i in self.packed]
        self._summed = Layout(packed, [self.sums_in[i] for i in self.packed], size)
        self._shared = Layout(packed, [self.dtypes[i] for i in self.packed], size)
        # All ranks must make the transport's memory together, and they first meet at the end of a step.
        self.transport = None
        self._use([np.empty(self._summed.nbytes, np.uint8) for _ in range(deepest(rank, size, self.count))])
        self.details = {
            f"index {index!r}": f"{dtype} {shape}, {'row_sparse' if sparse else 'dense'} {first.dtype} "
            f"gradients"
            for index, dtype, shape, sparse, first in zip(
                key, self.dtypes, self.shapes, self.sparse, self.first
            )
        }
        self._restart()

    def _use(self, buffers):
        self._buffers = buffers
        self._views = [self._summed.views(buffer) for buffer in buffers]

    def _connect(self):
        """Make the memory that the ranks exchange, and move the sums so far there."""
        self.details = {}
        made = TRANSPORTS[self.updater.transport]
        self.transport = made(self.ranks, self._summed, self._shared, self.count)
        for buffer, before in zip(self.transport.buffers, self._buffers):
            buffer[...] = before
        self._use(self.transport.buffers)
        self.ranks.agree("the memory of the first step")  # no rank may read before all have copied

    def _restart(self):
        self._begin, self._end = share(self.ranks.rank, self.ranks.size, self.count)
        self.stack = Stack(self.count, self._begin, self._merge)

    @property
    def is_last(self):
        """Whether the next micro-batch is this rank's last one of the step."""
        return self.stack.end + 1 == self._end

    def check(self, gradients, weights):
        """Raise if the tensors differ from those of the first call."""
        for index, shape, dtype, first, grad, weight in zip(
            self.key, self.shapes, self.dtypes, self.first, gradients, weights
        ):
            if weight.shape != shape or weight.dtype != dtype:
                raise ValueError(
                    f"weight of index {index!r} must stay {dtype} {shape}, got {weight.dtype} {weight.shape}"
                )
            check_alike(index, first, grad)

    # -- sums over micro-batches -------------------------------------------------------------------------

    def add(self, gradients):
        """Add one micro-batch; True after the last one of this rank."""
        dense = [np.ascontiguousarray(gradients[i]).reshape(-1) for i in self.packed]
        large = [np.ascontiguousarray(gradients[i]).reshape(-1) for i in self.large]
        rows = [grad for grad, sparse in zip(gradients, self.sparse) if sparse]
        end = self.stack.end + 1
        if self.stack.joins(end):
            value = dense, rows, large
        else:
            slot = len(self.stack.nodes)
            for part, view in self._views[slot]:
                np.copyto(view, dense[part.tensor][part.begin : part.end], casting="same_kind")
            if self._end - self._begin > 1:  # a single one need not outlive this call
                large = [np.array(one, self.sums_in[i]) for one, i in zip(large, self.large)]
            else:
                large = [np.asarray(one, self.sums_in[i]) for one, i in zip(large, self.large)]
            rows = [grad.astype(summed_dtype(grad.dtype), copy=True) for grad in rows]
            value = slot, rows, large
        self.stack.add(value, end)
        return end == self._end

    def _merge(self, left, right):
        slot, rows, large = left
        dense, others, larger = right
        for one, other in zip(large, larger):
            np.add(one, other, out=one, casting="same_kind")
        if isinstance(dense, list):
            for part, view in self._views[slot]:
                np.add(view, dense[part.tensor][part.begin : part.end], out=view, casting="same_kind")
        else:
            for (_, view), (_, other) in zip(self._views[slot], self._views[dense]):
                np.add(view, other, out=view)
        return slot, [merge(one, other) for one, other in zip(rows, others)], large

    @contextlib.contextmanager
    def drawing(self, optimizer):
        """For the ``with`` block, give the optimizer its parts of the noise of all elements."""
        if optimizer._draw is None:
            yield
            return
        noise = Noise(optimizer._draw, self.own, self.shapes, self.dtypes)
        optimizer._draw = noise
        try:
            yield
        finally:
            del optimizer._draw
        noise.finish()

    def sums(self):
        """This rank's parts of the gradients of the step."""
        nodes = self.stack.nodes
        if self.transport is None:
            self._connect()
        parts = self.transport.gradients.parts[self.ranks.rank]

        def add(left, right):
            for one, other in zip(left, right):
                np.add(one, other, out=one)
            return left

        total = Stack(self.count, 0, add)
        for end, memory in self.transport.collect():
            total.add([part.of(memory) for part in parts], end)
        found = [np.empty(self._part_shape(i), self.first[i].dtype) for i in range(len(self.key))]
        for part, view in zip(parts, total.nodes[0][2]):
            i = self.packed[part.tensor]
            found[i] = view.reshape(self._part_shape(i))
        for at, i in enumerate(self.large):
            found[i] = self._large_sum(i, [node[2][2][at] for node in nodes]).reshape(self._part_shape(i))
        if any(self.sparse):
            for i, rows in zip([i for i, s in enumerate(self.sparse) if s], self._row_sums(nodes)):
                found[i] = rows
        self._restart()
        return found

    def _large_sum(self, i, nodes):
        """As `sums`, for a tensor sent from its own memory; the caller's gradient is only read."""

        def add(left, right):
            new = left if left.flags.writeable else None
            return np.add(left, right, out=new)

        total = Stack(self.count, 0, add)
        flat = [node.view(np.uint8) for node in nodes]
        for one in flat:
            one.flags.writeable = False
        for end, memory in self.transport.collect_tensor(flat, self._cuts(i), self.sums_in[i].itemsize):
            total.add(memory.view(self.sums_in[i]), end)
        return total.nodes[0][2]

    def _part_shape(self, i):
        begin, end = self.own[i]
        if not self.by_rows[i]:
            return (end - begin,)
        return ((end - begin) // self._width(i), *self.shapes[i][1:])

    def _row_sums(self, nodes):
        """As `sums`, for row-sparse gradients: every owner is sent its rows."""
        which = [i for i, sparse in enumerate(self.sparse) if sparse]
        size = self.ranks.size
        parts = []
        for to in range(size):
            pieces = []
            for _, _, (_, rows, _) in nodes:
                for i, grad in zip(which, rows):
                    begin, end = (cut // self._width(i) for cut in self._cuts(i)[to : to + 2])
                    low, high = np.searchsorted(grad.indices, (begin, end))
                    pieces += [
                        _packed(high - low),
                        (grad.indices[low:high] - begin).tobytes(),
                        np.ascontiguousarray(grad.data[low:high]).tobytes(),
                    ]
            parts.append(b"".join(pieces))
        came = self.ranks.exchange(parts)
        total = Stack(self.count, 0, lambda left, right: [merge(a, b) for a, b in zip(left, right)])
        for memory, ends in zip(came, self.transport.nodes):
            at = 0
            for _, end in ends:
                found = []
                for i in which:
                    rows, at = self._unpacked(memory, at, i, summed_dtype(self.first[i].dtype))
                    found.append(rows)
                total.add(found, end)
        return total.nodes[0][2]

    def _unpacked(self, memory, at, i, dtype):
        """Rows of tensor i, packed as their number, their ids and their elements."""
        count = int.from_bytes(memory[at : at + 8].tobytes(), "little")
        ids, end = at + 8, at + 8 + 8 * count
        indices = np.frombuffer(memory[ids:end].tobytes(), np.int64)
        at = end + count * self._width(i) * dtype.itemsize
        data = np.frombuffer(memory[end:at].tobytes(), dtype).reshape(count, *self.shapes[i][1:])
        return RowSparseArray._trusted(data, indices, self._part_shape(i)), at

    def _width(self, i):
        return max(math.prod(self.shapes[i][1:]), 1)

    def _cuts(self, i):
        return self.updater.shards.bounds(self.key[i])

    # -- weights -----------------------------------------------------------------------------------------

    def part(self, i, weight):
        """This rank's part of a weight: a view, or a copy if it is not in C order."""
        begin, end = self.own[i]
        return np.ascontiguousarray(weight).reshape(-1)[begin:end].reshape(self._part_shape(i))

    def publish(self, weights, parts, sums):
        """Give all ranks the new weights."""
        rank, layout = self.ranks.rank, self.transport.weights
        flat = {i: weights[i].reshape(-1) for i in self.dense if weights[i].flags.c_contiguous}
        copies = {i: np.empty(weights[i].size, self.dtypes[i]) for i in self.dense if i not in flat}
        for i, copy in copies.items():
            begin, end = self.own[i]
            copy[begin:end] = parts[i].reshape(-1)
        flat.update(copies)

        def fill(memory):
            for part in layout.parts[rank]:
                part.of(memory)[...] = flat[self.packed[part.tensor]][part.begin : part.end]

        def take(other, memory):
            for part in layout.parts[other]:
                flat[self.packed[part.tensor]][part.begin : part.end] = part.of(memory)

        self.transport.publish(fill, take)
        for i in self.large:
            cuts, itemsize = self._cuts(i), self.dtypes[i].itemsize
            counts = [(high - low) * itemsize for low, high in zip(cuts, cuts[1:])]
            self.ranks.gather_in_place(flat[i].view(np.uint8), counts)
        for i, copy in copies.items():
            weights[i][...] = copy.reshape(weights[i].shape)
        if any(self.sparse):
            self._publish_rows(weights, parts, sums)

    def _publish_rows(self, weights, parts, sums):
        """Give all ranks the rows that were stepped: the gradients' rows if the update is lazy, else all."""
        optimizer = self.updater.optimizer
        lazy = optimizer.use_fused_step and optimizer.lazy_update and not hasattr(optimizer, "cumgrads")
        which = [i for i, sparse in enumerate(self.sparse) if sparse]
        pieces = []
        for i in which:
            rows = sums[i].indices if lazy else np.arange(len(parts[i]))
            pieces += [
                _packed(len(rows)),
                rows.astype(np.int64).tobytes(),
                np.ascontiguousarray(parts[i][rows]).tobytes(),
            ]
        for other, memory in enumerate(self.ranks.gather_bytes(b"".join(pieces))):
            at, memory = 0, np.frombuffer(memory, np.uint8)
            for i in which:
                rows, at = self._unpacked(memory, at, i, self.dtypes[i])
                first = self._cuts(i)[other] // self._width(i)
                if other != self.ranks.rank or not weights[i].flags.c_contiguous:
                    weights[i][rows.indices + first] = rows.data


def _unread(index, array):
    """An array as it is kept until its weight is known: as if it were in a file."""
    if not isinstance(array, Spread):
        flat = array.reshape(-1)
        return Spread.made(array.shape, array.dtype, read=lambda *some: flat[slice(*some)])
    return array if array.own is None else array.own


def _read_whole(index, array):
    if not isinstance(array, Spread):
        return array
    return np.array(array.elements(0, array.size)).reshape(array.shape)


def rows_at(element, shape):
    """The row of an array that an element (in C order) is in."""
    return element // max(math.prod(shape[1:]), 1)


def _packed(number):
    return int(number).to_bytes(8, "little")


def _outline(gradient):
    """What is kept of a gradient once it is gone: its storage, shape and dtype."""
    if isinstance(gradient, RowSparseArray):
        none = np.empty((0, *gradient.shape[1:]), gradient.dtype)
        return RowSparseArray._trusted(none, np.empty(0, np.int64), gradient.shape)
    return np.broadcast_to(np.zeros((), gradient.dtype), gradient.shape)


class Whole:
    """Answers the optimizer's questions about whole tensors while it steps parts of them.

    Parameters
    ----------
    ranks : Ranks
    bounds : list of tuple of int
        For each tensor, where each rank's part begins, then its size.
    """

    def __init__(self, ranks, bounds):
        self._ranks = ranks
        self.sizes = [cuts[-1] for cuts in bounds]
        # blocks of each part, tensor by tensor within each rank, the order in which the ranks' sums arrive
        self._blocks = [
            [-(-(cuts[rank + 1] - cuts[rank]) // WHOLE_SUM) for cuts in bounds] for rank in range(ranks.size)
        ]

    def sums(self, blocks):
        """The sums over whole tensors, added in block order, from the sums over blocks of these parts."""
        self._ranks.agree("the norms")
        number = blocks.shape[1]
        pieces = []
        for came, counts in zip(self._ranks.gather_bytes(blocks.tobytes()), self._blocks):
            everything = np.frombuffer(came).reshape(-1, number)
            pieces.append(np.split(everything[: sum(counts)], np.cumsum(counts)[:-1]))
        found = np.zeros((len(self.sizes), number))
        for tensor, parts in enumerate(zip(*pieces)):
            joined = np.concatenate(parts)
            if len(joined):
                found[tensor] = np.add.accumulate(joined)[-1]
        return found

    def finite(self, finite):
        """Whether the gradients of all ranks are finite."""
        return all(self._ranks.agree("the check for finite gradients", flag=int(finite)))


class Noise:
    """Draws the noise of all elements, and returns that of some.

    Parameters
    ----------
    draw : callable
        Fills an array with the next numbers.
    own : list of (int, int)
        The wanted elements [begin, end) of each tensor.
    shapes, dtypes : list
        Those of the whole tensors.
    """

    def __init__(self, draw, own, shapes, dtypes):
        self._draw = draw
        self._todo = []  # (how many, whether they are wanted, dtype)
        for (begin, end), shape, dtype in zip(own, shapes, dtypes):
            real = np.dtype(np.float64 if dtype == np.float64 else np.float32)
            size = math.prod(shape)
            self._todo += [(begin, False, real), (end - begin, True, real), (size - end, False, real)]
        self._drawn = False

    def __call__(self, out):
        self._drawn, at = True, 0
        while at < out.size:
            at += self._next(out[at:])

    def finish(self):
        """Draw what is left, if anything was drawn at all."""
        while self._drawn and self._todo:
            self._next(None)

    def _next(self, out):
        number, asked, dtype = self._todo.pop(0)
        if asked and out is not None:
            took = min(number, out.size)
            self._draw(out[:took])
            number -= took
        else:
            took = 0
            block = np.empty(min(number, 1 << 16), dtype)
            while number:
                self._draw(block[:number])
                number -= min(number, block.size)
        if number:
            self._todo.insert(0, (number, asked, dtype))
        return took
