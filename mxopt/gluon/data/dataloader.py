"""Batches of a dataset."""

from __future__ import annotations

import collections
import concurrent.futures

from ...context import cpu_pinned
from .batchify import Stack
from .sampler import BatchSampler, RandomSampler, SequentialSampler

__all__ = ["DataLoader"]

default_batchify_fn = default_mp_batchify_fn = Stack()


class DataLoader:
    """Batches of a dataset, each time it is iterated.

    Parameters
    ----------
    dataset : Dataset, list or array
    batch_size : int, optional
        Required, except with `batch_sampler`.
    shuffle : bool
        Use a new order each time.
    sampler : Sampler, optional
        The order, instead of `shuffle`.
    last_batch : {'keep', 'discard', 'rollover'}, optional
        As in `BatchSampler`.
    batch_sampler : Sampler, optional
        Gives lists of indices, and replaces all of the above.
    batchify_fn : callable, optional
        Makes a batch from a list of examples; by default they are stacked.
    num_workers : int, default 0
        Threads that make batches ahead, in the same order. MXNet uses processes.
    prefetch : int, optional
        How many batches are made ahead; by default two for each worker.
    timeout : float, default 120
        Seconds to wait for a worker.
    pin_memory : bool
        Batches have the context ``cpu_pinned(pin_device_id)``; the memory is the same.
    pin_device_id : int, default 0
    thread_pool, try_nopython, auto_reload : ignored
        Workers are threads, and batches are made on demand.

    Examples
    --------
    >>> import numpy as np, mxopt as mx
    >>> data = mx.gluon.data.ArrayDataset(np.arange(5.0), np.array([0, 1, 0, 1, 0]))
    >>> [label.asnumpy().tolist() for _, label in mx.gluon.data.DataLoader(data, batch_size=2)]
    [[0, 1], [0, 1], [0]]
    """

    def __init__(self, dataset, batch_size=None, shuffle=False, sampler=None, last_batch=None,
                 batch_sampler=None, batchify_fn=None, num_workers=0, pin_memory=False, pin_device_id=0,
                 prefetch=None, thread_pool=False, timeout=120, try_nopython=None,
                 auto_reload=False):  # fmt: skip
        if timeout <= 0:
            raise ValueError(f"timeout must be positive, got {timeout}")
        if batch_sampler is not None:
            if batch_size is not None or shuffle or sampler is not None or last_batch is not None:
                raise ValueError(
                    "batch_sampler says it all; leave batch_size, shuffle, sampler and last_batch out"
                )
        elif batch_size is None:
            raise ValueError("batch_size must be given unless batch_sampler is")
        elif sampler is not None and shuffle:
            raise ValueError("sampler decides the order; leave shuffle out")
        else:
            sampler = sampler or (RandomSampler if shuffle else SequentialSampler)(len(dataset))
            batch_sampler = BatchSampler(sampler, batch_size, last_batch or "keep")
        self._dataset, self._batch_sampler, self._timeout = dataset, batch_sampler, timeout
        self._batchify_fn = batchify_fn or default_batchify_fn
        self._num_workers = max(0, num_workers)
        self._pin = cpu_pinned(pin_device_id) if pin_memory else None
        self._prefetch = max(1, 2 * self._num_workers if prefetch is None else int(prefetch))

    def _batch(self, indices):
        batch = self._batchify_fn([self._dataset[i] for i in indices])
        return batch if self._pin is None else _placed(batch, self._pin)

    def __iter__(self):
        if not self._num_workers:
            yield from map(self._batch, self._batch_sampler)
            return
        waiting = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(self._num_workers) as pool:
            try:
                for indices in self._batch_sampler:
                    waiting.append(pool.submit(self._batch, list(indices)))
                    if len(waiting) > self._prefetch:
                        yield waiting.popleft().result(self._timeout)
                while waiting:
                    yield waiting.popleft().result(self._timeout)
            finally:
                for batch in waiting:
                    batch.cancel()

    def __len__(self):
        return len(self._batch_sampler)


def _placed(batch, context):
    if hasattr(batch, "as_in_context"):
        return batch.as_in_context(context)
    return [_placed(part, context) for part in batch] if isinstance(batch, (list, tuple)) else batch
