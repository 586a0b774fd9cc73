"""What can be wrong with a state file."""


class StateFileError(ValueError):
    """A state file, or the bytes of one, cannot be used.

    The message says what is wrong and where in the file. Nothing has changed when it is raised.
    """

    def __init__(self, message):
        # names and keys quoted from the file can be of any length
        super().__init__(message if len(message) <= 800 else f"{message[:700]} ... {message[-90:]}")


class DamagedStateFile(StateFileError):
    """The file was a state file once; bytes are missing, altered or left over."""


class ForeignStateFile(StateFileError):
    """The file holds something that a state file never holds: another format, or an attack."""


class StateMismatch(StateFileError):
    """The file is sound, but it is not for this optimizer, these parameters or this format."""
