"""What a job of several ranks ends with."""


class RankError(RuntimeError):
    """Something that one rank did or found, said alike on every rank.

    It is raised by all ranks in the same call, so that the job ends and none waits for another.
    """
