"""Write the inputs that fuzzing starts from: ``python fuzz/make_corpus.py folder``.

They are the tests' own files: those of real MXNet, the attacks, and some of ours, each preceded by the byte
that chooses a reader.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "states"))

import fake_mxnet  # noqa: E402
import mxnet_files  # noqa: E402
from attacks.headers import FORGERIES, forged, forged_rows  # noqa: E402
from attacks.pickles import ATTACKS  # noqa: E402

from mxopt.states import mxnet, native  # noqa: E402


def inputs():
    for name in mxnet_files.NAMES:
        data = mxnet_files.data(name)
        yield b"\0" + data
        yield b"\5" + data
        tree = mxnet.read(data).states
        for reader in (b"\1", b"\2"):
            yield reader + native.dumps({"states": tree})
    for data in ATTACKS.values():
        yield b"\0" + data
    for data, _ in FORGERIES.values():
        yield b"\2" + data
    yield b"\2" + forged('{"dict":[[1,{"tuple":[{"float":"nan"},{"scalar":["float32",1.5]}]}]]}')
    yield b"\2" + forged_rows([1, 4])
    for data in (
        fake_mxnet.v1(fake_mxnet.ARRAY),
        fake_mxnet.v2(fake_mxnet.ARRAY),
        fake_mxnet.without_magic(fake_mxnet.ARRAY),
    ):
        yield b"\3" + data
        yield b"\4" + data


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(data for data in inputs() if len(data) < 4096):
        (folder / f"{number:04d}").write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1])
