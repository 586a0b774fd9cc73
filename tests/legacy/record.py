"""Record what the scripts give under the MXNet installed here: ``python tests/legacy/record.py``."""

import sys
from pathlib import Path

import mxnet
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from legacy.corpus import RECORDED, run, scripts

dialect = "1.x" if mxnet.__version__.startswith("1.") else "2.x"
for name in scripts(dialect):
    path = RECORDED / dialect / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **run(name, "mxnet"))
    print(path.name)
