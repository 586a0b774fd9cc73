"""The error that ends a job of several ranks."""


class RankError(RuntimeError):
    """A failure of one rank, reported on every rank.

    All ranks raise it in the same call, so that the job ends and none waits for another.
    """
