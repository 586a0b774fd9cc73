"""Jobs of several ranks, started as a user starts them; each is bounded in time and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import NamedTuple

import mxopt

HERE = Path(__file__).parent


class Ended(NamedTuple):
    """How a job ended: its exit status, what it printed, and after how many seconds."""

    status: int
    out: str
    err: str
    seconds: float

    def lines(self):
        """The JSON values that it printed; the job must have ended well."""
        assert self.status == 0, self.out[-2000:] + self.err[-4000:]
        found = []
        for line in self.out.splitlines():  # a line may hold the output of several ranks
            while line.startswith(("{", "[")):
                value, end = json.JSONDecoder().raw_decode(line)
                found.append(value)
                line = line[end:]
        return found

    def said(self):
        """The lines in which ranks say why a job ends."""
        return [line for line in self.err.splitlines() if line.startswith("mxopt: ")]


def environment(**variables):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MXOPT_", "OMP_", "DMLC_"))}
    home = Path(mxopt.__file__).parents[1]
    if home != Path(sysconfig.get_path("platlib")):  # not installed: tested where it was built
        kept["PYTHONPATH"] = str(home)
    kept["OMP_NUM_THREADS"] = "1"
    return {**kept, **variables}


def job(number, *arguments, timeout=60, cwd=None, launcher=("-m", "mxopt", "launch", "-n"), **variables):
    """Run a script of this folder, or code, as `number` ranks."""
    begin = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *launcher, str(number), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
        cwd=cwd,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            time.sleep(1)
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"no end within {timeout} s\n{out[-2000:]}{err[-4000:]}") from None
    return Ended(process.returncode, out, err, time.monotonic() - begin)


def code(number, text, tmp_path, **options):
    """Run code as `number` ranks."""
    script = tmp_path / "script.py"
    script.write_text(text)
    return job(number, script, **options)
