"""Coverage-guided fuzzing of the readers of state files: ``python fuzz/fuzz_states.py corpus [options]``.

Whatever the bytes are, a reader must return or raise `StateFileError`, and states that it loads must be fit
to step. Any other exception, an audit event that only running code causes, a hang, or excessive memory stops
the run. The first byte chooses the reader.
"""

import contextlib
import math
import sys
import warnings
from pathlib import Path

import atheris
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "states"))

from attacks.alarms import alarms  # noqa: E402

with atheris.instrument_imports(include=["mxopt.states", "mxopt.saving"]):
    import mxopt
    from mxopt.states import StateFileError, checksums, header, mxnet, native
    from mxopt.states.dtypes import numpy_dtype
    from mxopt.states.mxnet_arrays import read_array, read_layout


@contextlib.contextmanager
def no_checksums():
    """All checksums are 0, so that mutated documents are not all refused for a wrong one."""
    kept = header.crc32
    header.crc32 = native.crc32 = checksums.crc32 = lambda data, value=0: 0
    try:
        yield
    finally:
        header.crc32 = native.crc32 = checksums.crc32 = kept


def right_length(data):
    """The file with its header's length corrected, since mutations rarely get it right."""
    end = data.rfind(b"}", 8) + 1
    end += len(data[end:]) - len(data[end:].lstrip(b" "))  # the header's padding
    return (end - 8 if end > 8 else 0).to_bytes(8, "little") + data[8:]


def without_checksums(data):
    with no_checksums():
        native.loads(right_length(data))


def loaded_and_stepped(data):
    """Load into a live updater, and step it with weights of the states' shapes."""
    updater = mxopt.get_updater(mxopt.create(("adam", "nadam", "lbsgd", "sgd")[len(data) % 4]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with no_checksums():
            updater.set_states(right_length(data), strict=False)
        for index, state in list(updater.states.items())[:4]:
            while isinstance(state, tuple) and state:
                state = state[0]
            shape = getattr(state, "shape", (2,))
            if math.prod(shape) > 1 << 16:
                continue
            weight = np.ones(shape, np.float32)
            # states that do not fit the weight are refused; no other outcome is acceptable
            with contextlib.suppress(ValueError, TypeError):
                updater(index, np.ones_like(weight), weight)


READERS = [
    mxnet.read,
    native.loads,
    without_checksums,
    lambda data: read_array(memoryview(data), "here"),
    lambda data: read_layout(memoryview(data), "here"),
    lambda data: mxnet.read(data, headers_only=True),
    loaded_and_stepped,
]


def one_input(data):
    if not data:
        return
    with alarms() as heard:
        try:
            READERS[data[0] % len(READERS)](data[1:])
        except StateFileError as error:
            if len(str(error)) > 1000:
                raise AssertionError("the message repeats the file") from None
    if heard:
        raise SystemError(f"reading caused the audit events {heard!r}")


def main():
    # modules that are otherwise loaded when first used
    with contextlib.suppress(StateFileError):
        numpy_dtype("bfloat16")
    for encoding in ("raw-unicode-escape", "latin-1", "utf-8"):
        b"".decode(encoding)
    for reader in READERS:
        with contextlib.suppress(StateFileError):
            reader(b"V\\u0041\nK\x01.")
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
