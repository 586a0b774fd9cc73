"""Real MXNet in its own ``dist_sync``: a scheduler, a server and two workers, beside what was recorded of it.

``tests/distributed`` compares mxopt's store with the recorded runs; this checks the recorded runs.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parents[1] / "distributed"
RECORDED = HERE / "recorded"
WORKERS = 2


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def run(keys, path, seconds=100):
    """Train with real MXNet; every process is gone at the end, whatever that is."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DMLC_", "PS_"))}
    environment.update(
        DMLC_PS_ROOT_URI="127.0.0.1",
        DMLC_PS_ROOT_PORT=str(free_port()),
        DMLC_NUM_WORKER=str(WORKERS),
        DMLC_NUM_SERVER="1",
        DMLC_INTERFACE="lo",
        DMLC_NODE_HOST="127.0.0.1",
        OMP_NUM_THREADS="1",
    )
    script = [sys.executable, str(HERE / "dist_sync.py"), "mxnet", keys, str(path)]
    roles = [("scheduler", None), ("server", None)] + [("worker", script)] * WORKERS
    logs = [tempfile.TemporaryFile() for _ in roles]  # noqa: SIM115 - closed below
    processes = [
        subprocess.Popen(
            command or [sys.executable, "-c", "import mxnet"],
            env={**environment, "DMLC_ROLE": role},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        for (role, command), log in zip(roles, logs)
    ]
    try:
        until = time.monotonic() + seconds
        for process in processes[-WORKERS:]:
            process.wait(max(until - time.monotonic(), 0.1))
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for log in logs:
            log.seek(0)
    said = b"".join(log.read()[-1500:] for log in logs).decode(errors="replace")
    for log in logs:
        log.close()
    assert all(process.returncode == 0 for process in processes[-WORKERS:]), said


@pytest.mark.parametrize("keys", ["int", "str", "compressed"])
def test_recorded_runs_are_mxnets(keys, tmp_path):
    mxnet = pytest.importorskip("mxnet")
    if not mxnet.__version__.startswith("1.9"):
        pytest.skip("the recorded runs are those of MXNet 1.9.1")
    run(keys, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as live, np.load(RECORDED / f"{keys}.npz") as recorded:
        assert sorted(live.files) == sorted(recorded.files)
        for name in live.files:
            np.testing.assert_array_equal(live[name], recorded[name], err_msg=name)


if __name__ == "__main__":
    RECORDED.mkdir(exist_ok=True)
    for kind in ("int", "str", "compressed"):
        run(kind, RECORDED / f"{kind}.npz")
