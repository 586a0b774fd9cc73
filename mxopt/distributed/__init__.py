"""Training by many processes, on MPI: one program started n times, each process a *rank*.

Nothing here imports mpi4py before a store, an updater or `world` asks for it.

`world` finds the ranks, `ranks` lets them agree and exchange memory, `shards` divides tensors among them,
`sharded` is the updater that spreads states over them, `stores` has MXNet's stores by name, `launch` starts
a job.
"""

from .errors import RankError

__all__ = ["RankError"]
