"""Record short runs of the peers, for tests without them: ``python tests/peers/peer_runs.py``, where all are.

The file has one flat float32 array for each run, the weights at its end, by optimizer and setting.
`test_recorded_peers.py` repeats the runs.
"""

from pathlib import Path

import numpy as np
from implementations import PEERS

SHAPES = ((7,), (8, 16))
STEPS = 50
FILE = Path(__file__).parent / "recorded.npz"


def gradients(step):
    # RandomState's stream is frozen for good, so that recorded results stay true with any NumPy.
    rng = np.random.RandomState(1000 + step)
    size = 10 ** rng.uniform(-3, 1)
    return [(rng.standard_normal(shape) * size).astype(np.float32) for shape in SHAPES]


def starting_weights():
    rng = np.random.RandomState(1)
    return [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]


def flat(weights):
    return np.concatenate([np.ravel(weight) for weight in weights])


if __name__ == "__main__":
    runs = {}
    for name, peer in PEERS.items():
        assert not peer.missing(), peer.missing()
        for label, settings in peer.settings.items():
            running = peer.start(peer, starting_weights(), settings)
            for step in range(STEPS):
                running.step(gradients(step))
            runs[f"{name}/{label}"] = flat(running.weights)
    np.savez_compressed(FILE, **runs)
