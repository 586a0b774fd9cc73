"""Horovod's API for MXNet, over the ranks of this job: ``import mxopt.horovod as hvd``.

Sums are made by `mxopt.distributed` in rank order, so runs are reproducible to the bit.
"""

from __future__ import annotations

import os

import numpy as np

from . import gluon
from .arrays import as_array
from .distributed import world
from .distributed.sums import sum_over
from .sparse import as_gradient
from .stores import write

__all__ = [
    "DistributedOptimizer", "DistributedTrainer", "allgather", "allreduce", "allreduce_", "broadcast",
    "broadcast_", "broadcast_parameters", "cross_rank", "cross_size", "init", "is_initialized", "local_rank",
    "local_size", "mpi_built", "mpi_enabled", "mpi_threads_supported", "rank", "shutdown", "size",
]  # fmt: skip

_ready = False


def init(comm=None):
    """Find the ranks of this job, or those of an mpi4py communicator if one is given."""
    global _ready, _ranks
    _ranks = world.world() if comm is None else world.ranks_of(comm)
    _ready = True


def shutdown():
    """Does nothing: the job ends with the program."""


def is_initialized():
    """Whether `init` has been called."""
    return _ready


_ranks = None


def _all():
    if _ranks is None:
        raise ValueError("Horovod has not been initialized; call hvd.init() first")
    return _ranks


def rank():
    """The number of this rank."""
    return _all().rank


def size():
    """How many ranks there are."""
    return _all().size


def local_rank():
    """The number of this rank on its machine."""
    for name in ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "PMI_LOCAL_RANK"):
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    return _all().local_rank


def local_size():
    """How many ranks there are on this machine."""
    return _all().local_size


def cross_rank():
    """The number of this machine."""
    return rank() // local_size()


def cross_size():
    """How many machines there are, if all have as many ranks."""
    return -(-size() // local_size())


def mpi_built():
    """True."""
    return True


mpi_enabled = mpi_threads_supported = mpi_built


def allreduce(tensor, average=True, name=None, priority=0, prescale_factor=1.0, postscale_factor=1.0):
    """The mean of an array over the ranks (without `average` the sum), as a new array.

    Parameters
    ----------
    tensor : array
    average : bool, default True
    name : str, optional
        Compared across ranks: all must be reducing the same array.
    """
    array = np.asarray(as_gradient(tensor, "tensor"))
    kind = type(tensor) if isinstance(tensor, np.ndarray) else np.ndarray
    _meet("allreduce", name, array)
    factor = prescale_factor if prescale_factor != 1.0 else None
    total = sum_over(_all(), array if factor is None else array * array.dtype.type(factor))
    factor = postscale_factor / size() if average else postscale_factor
    total = total if factor == 1.0 else total * total.dtype.type(factor)
    found = np.array(total, array.dtype)
    return found if kind is np.ndarray else found.view(kind)


def allreduce_(tensor, average=True, name=None, priority=0, prescale_factor=1.0, postscale_factor=1.0):
    """As `allreduce`, in place."""
    write(tensor, allreduce(tensor, average, name, priority, prescale_factor, postscale_factor), "tensor")
    return tensor


def allgather(tensor, name=None, priority=0):
    """The arrays of all ranks, joined along the first axis."""
    array = np.ascontiguousarray(as_array(tensor, "tensor", writable=False))
    _all().agree(f"allgather of {name}", {"dtype": array.dtype, "shape": array.shape[1:]})
    came = [np.frombuffer(part, array.dtype) for part in _all().gather_bytes(array)]
    return np.concatenate([part.reshape(-1, *array.shape[1:]) for part in came])


def broadcast(tensor, root_rank=0, name=None, priority=0):
    """One rank's array, as a new array on every rank."""
    array = np.ascontiguousarray(as_array(tensor, "tensor", writable=False))
    ranks = _all()
    if not 0 <= root_rank < ranks.size:
        raise ValueError(f"root_rank must be one of the {ranks.size} ranks, got {root_rank}")
    _meet(f"broadcast from rank {root_rank}", name, array)
    came = ranks.gather_bytes(array if ranks.rank == root_rank else b"")[root_rank]
    found = np.frombuffer(bytearray(came), array.dtype).reshape(array.shape)
    kind = type(tensor) if isinstance(tensor, np.ndarray) else np.ndarray
    return found if kind is np.ndarray else found.view(kind)


def broadcast_(tensor, root_rank=0, name=None, priority=0):
    """As `broadcast`, in place."""
    write(tensor, broadcast(tensor, root_rank, name, priority), "tensor")
    return tensor


def broadcast_parameters(params, root_rank=0, prefix=None):
    """Copy one rank's parameters to all ranks, in the order of their names.

    Parameters
    ----------
    params : dict of str to (array or Parameter), or ParameterDict
    root_rank : int, default 0
    prefix : str, optional
        Put before each name.
    """
    for name, value in sorted(params.items(), key=lambda item: str(item[0])):
        arrays = value.list_data() if hasattr(value, "list_data") else [value]
        for array in arrays:
            broadcast_(array, root_rank, f"{prefix or ''}{name}")


def _meet(what, name, array):
    _all().agree(f"{what} of {name}", {"dtype": array.dtype, "shape": array.shape})


class DistributedTrainer(gluon.Trainer):
    """A Trainer that averages gradients over the ranks.

    Parameters
    ----------
    params, optimizer, optimizer_params
        As for `mxopt.gluon.Trainer`; a `DistributedOptimizer` is replaced by the optimizer it wraps.
    gradient_predivide_factor : float, default 1.0
        Gradients are divided by it before they are summed, and the sums are multiplied by it.
    prefix : str, optional
        Put before the names of parameters in messages.
    """

    def __init__(self, params, optimizer, optimizer_params=None, gradient_predivide_factor=1.0, prefix=None,
                 **_options):  # fmt: skip
        if isinstance(optimizer, DistributedOptimizer):
            optimizer = optimizer._optimizer
        super().__init__(params, optimizer, optimizer_params, kvstore=None)
        self._predivide = float(gradient_predivide_factor)
        self._prefix = prefix or ""
        self._scale *= self._predivide / size()

    def _init_kvstore(self):
        super()._init_kvstore()
        broadcast_parameters({parameter.name: parameter for parameter in self._params}, prefix=self._prefix)

    def _allreduce_grads(self):
        named = sorted(self._trained(), key=lambda parameter: parameter.name)
        for parameter in named:
            for gradient in parameter.take_gradients() or ():
                array = as_gradient(gradient, "gradient")
                _all().agree(
                    f"the gradient of {self._prefix}{parameter.name}",
                    {"dtype": array.dtype, "shape": array.shape},
                )
                if self._predivide != 1.0:
                    array = array * array.dtype.type(1 / self._predivide)
                write(gradient, sum_over(_all(), array), "gradient")


class DistributedOptimizer:
    """An optimizer that averages gradients over the ranks before each update.

    Parameters
    ----------
    optimizer : Optimizer
    gradient_predivide_factor : float, default 1.0
        As for `DistributedTrainer`.
    """

    def __init__(self, optimizer, gradient_predivide_factor=1.0, num_groups=0, process_set=None):
        self._optimizer = optimizer
        self._predivide = float(gradient_predivide_factor)
        optimizer.rescale_grad *= self._predivide / size()

    def __getattr__(self, name):
        if name.startswith("__") or name == "_optimizer":
            raise AttributeError(name)
        return getattr(self._optimizer, name)

    def _summed(self, index, grad):
        if isinstance(index, (tuple, list)):
            return [self._summed(*pair) for pair in zip(index, grad)]
        array = as_gradient(grad, f"gradient of index {index!r}")
        _all().agree(f"the gradient of index {index!r}", {"dtype": array.dtype, "shape": array.shape})
        if self._predivide != 1.0:
            array = array * array.dtype.type(1 / self._predivide)
        return sum_over(_all(), array)

    def update(self, index, weight, grad, state):
        """Sum the gradients over the ranks, then update."""
        self._optimizer.update(index, weight, self._summed(index, grad), state)

    def update_multi_precision(self, index, weight, grad, state):
        """As `update`, through float32 masters where there are any."""
        self._optimizer.update_multi_precision(index, weight, self._summed(index, grad), state)

    def create_state_multi_precision(self, index, weight):
        """As the optimizer's own."""
        return self._optimizer.create_state_multi_precision(index, weight)

    def set_learning_rate(self, lr):
        """As the optimizer's own."""
        self._optimizer.set_learning_rate(lr)
