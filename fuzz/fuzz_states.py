"""Coverage-guided fuzzing of the readers of state files: ``python fuzz/fuzz_states.py corpus [options]``.

Whatever the bytes are, a reader returns or raises `StateFileError`. Any other exception, an audit event
that only running code causes, a hang or memory out of proportion stops the run. The first byte chooses the
reader.
"""

import contextlib
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "states"))

from attacks.alarms import alarms  # noqa: E402

with atheris.instrument_imports(include=["mxopt.states"]):
    from mxopt.states import StateFileError, checksums, header, mxnet, native
    from mxopt.states.dtypes import numpy_dtype
    from mxopt.states.mxnet_arrays import read_array, read_layout


def without_checksums(data):
    """Read with all checksums 0, so that mutated documents are not all refused for theirs."""
    kept = header.crc32
    header.crc32 = native.crc32 = checksums.crc32 = lambda data, value=0: 0
    try:
        # the length of the header is made right, since mutations rarely do
        end = data.rfind(b"}", 8) + 1
        native.loads((end - 8 if end > 8 else 0).to_bytes(8, "little") + data[8:])
    finally:
        header.crc32 = native.crc32 = checksums.crc32 = kept


READERS = [
    mxnet.read,
    native.loads,
    without_checksums,
    lambda data: read_array(memoryview(data), "here"),
    lambda data: read_layout(memoryview(data), "here"),
    lambda data: mxnet.read(data, headers_only=True),
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
    # what is loaded when it is first used
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
