#!/usr/bin/env python
"""Record small results of the MXNet installed here in tests/recorded/, for tests without MXNet."""

import json
import pathlib
import random
import sys

# Run as a script, where the tests' folder is not on the path: the imports below need it first.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from cases import OPTIMIZERS, draw_case, draw_scheduler  # noqa: E402

from oracle import driver, recorded  # noqa: E402
from oracle.comparison import cells_here, mxnet_version  # noqa: E402
from oracle.expect import goes_on_from_mxnet  # noqa: E402


def recorded_run(case, side):
    """The last step of a run, or all where each is compared for itself."""
    snapshots = list(driver.run(case, side))
    return case, snapshots if goes_on_from_mxnet(case) else snapshots[-1:]


def record_optimizers(mxnet, folder):
    side = driver.MXNet(mxnet)
    for name in OPTIMIZERS:
        cases = [
            draw_case(*cell, number, small=True)
            for cell in cells_here([name])
            for number in range(2 if cell[3] == "float32" else 1)
        ]
        if cases:
            recorded.write(folder / f"{name}.npz", [recorded_run(case, side) for case in cases])


def record_schedulers(mxnet, path):
    """Write scheduler configurations, the updates asked for and the rates answered; JSON keeps every bit."""
    rng = random.Random(9)
    entries = []
    for _ in range(100):
        name, settings = draw_scheduler(rng, base_lr=rng.choice([0.01, 1.0, rng.random()]))
        schedule = getattr(mxnet.lr_scheduler, name)(**settings)
        updates = [rng.randint(0, 24) for _ in range(12)]
        entries.append([name, settings, updates, [schedule(update) for update in updates]])
    path.write_text(json.dumps(entries) + "\n")


def main():
    import mxnet

    folder = recorded.FOLDER / mxnet_version()
    record_optimizers(mxnet, folder)
    record_schedulers(mxnet, folder / "schedulers.json")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {len(list(folder.iterdir()))} files, {size:,} bytes")


if __name__ == "__main__":
    main()
