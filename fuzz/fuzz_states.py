"""Coverage-guided fuzzing of the readers of state files: ``python fuzz/fuzz_states.py corpus [options]``.

Whatever the bytes are, a reader returns or raises `StateFileError`. Any other exception, an audit event
that only running code causes, a hang or memory out of proportion stops the run. The first byte chooses the
reader.
"""

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["mxopt.states"]):
    from mxopt.states import StateFileError, header, mxnet, native
    from mxopt.states.dtypes import numpy_dtype
    from mxopt.states.mxnet_arrays import read_array, read_layout

FORBIDDEN = (
    "exec",
    "compile",
    "import",
    "os.",
    "subprocess.",
    "open",
    "pickle.",
    "socket.",
    "ctypes.",
    "marshal.",
)
watching = False


def forbid(event, arguments):
    if watching and event.startswith(FORBIDDEN):
        raise SystemError(f"reading caused the audit event {event} {arguments!r}")


def without_checksums(data):
    """Read with all checksums 0, so that mutated documents are not all refused for theirs."""
    kept = header.crc32
    header.crc32 = native.crc32 = lambda data, value=0: 0
    try:
        # the length of the header is made right, since mutations rarely do
        end = data.rfind(b"}", 8) + 1
        native.loads((end - 8 if end > 8 else 0).to_bytes(8, "little") + data[8:])
    finally:
        header.crc32 = native.crc32 = kept


READERS = [
    mxnet.read,
    native.loads,
    without_checksums,
    lambda data: read_array(memoryview(data), "here"),
    lambda data: read_layout(memoryview(data), "here"),
    lambda data: mxnet.read(data, headers_only=True),
]


def one_input(data):
    global watching
    if not data:
        return
    watching = True
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except StateFileError as error:
        if len(str(error)) > 1000:
            raise AssertionError("the message repeats the file") from None
    finally:
        watching = False


def main():
    # what is loaded when it is first used
    with contextlib.suppress(StateFileError):
        numpy_dtype("bfloat16")
    for encoding in ("raw-unicode-escape", "latin-1", "utf-8"):
        b"".decode(encoding)
    for reader in READERS:
        with contextlib.suppress(StateFileError):
            reader(b"V\\u0041\nK\x01.")
    sys.addaudithook(forbid)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
