"""``python -m benchmarks``: run the cases side by side and write the report."""

import argparse
import datetime
import os
import sys
from pathlib import Path

import mxopt

from . import peers, report
from .cases import APART, GROUPS


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"some of: {', '.join(GROUPS)}; all when not given")
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long a case may take")
    parser.add_argument("--threads", type=int, default=2, help="threads of every contestant")
    parser.add_argument("--out", type=Path, default=Path("benchmark-report"), help="folder of the report")
    options = parser.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    os.environ["MXOPT_NUM_THREADS"] = str(options.threads)
    mxopt.set_num_threads(None)
    config = mxopt.show_config("dict")
    head = {
        "date": f"{datetime.date.today():%Y-%m-%d}",
        "command": "python -m benchmarks " + " ".join(sys.argv[1:]),
        "machine": f"{os.cpu_count()} cores, {report.machine()}",
        "config": {key: str(value) for key, value in config.items()},
        "versions": peers.versions(),
    }
    lines = [f"{key}: {value}" for key, value in head.items()]
    print("\n".join(lines), flush=True)
    rows = []
    for name in options.groups or [name for name in GROUPS if name not in APART]:
        print(f"\n{name}", flush=True)
        lines += ["", name]
        for row in GROUPS[name](options.seconds):
            rows.append(row)
            for text in report.line(row):
                print(text, flush=True)
                lines.append(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.txt").write_text("\n".join(lines) + "\n")
    (options.out / "report.json").write_text(report.as_json(rows, head) + "\n")
    print(f"\n{options.out}: report.txt, report.json, {', '.join(report.pictures(rows, options.out))}")


if __name__ == "__main__":
    main()
