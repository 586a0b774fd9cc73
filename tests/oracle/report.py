#!/usr/bin/env python
"""Compare mxopt with the MXNet installed here and print the table: optimizer x dialect x path.

python tests/oracle/report.py --optimizer adamw --runs 50
"""

import argparse
import pathlib
import sys
import traceback

_TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTS))
sys.path.append(str(_TESTS.parent))  # last: an installed mxopt comes before this checkout

from cases import DTYPES, OPTIMIZERS, PATHS  # noqa: E402

from oracle.comparison import (  # noqa: E402
    Table,
    cells_here,
    compare_case,
    dialects_here,
    mxnet_version,
    runs_of,
    verdict,
)
from oracle.driver import mxopt_for  # noqa: E402


def parse(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--optimizer", action="append", choices=sorted(OPTIMIZERS), help="default: all")
    parser.add_argument(
        "--dialect", action="append", choices=dialects_here(), help="default: all that MXNet speaks"
    )
    parser.add_argument("--path", action="append", choices=PATHS, help="default: all")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="default: all")
    parser.add_argument("--runs", type=int, default=6, help="random cases in each cell (default 6)")
    parser.add_argument("--fails", type=int, default=1, help="failures to show of each cell (default 1)")
    parser.add_argument("--traceback", action="store_true", help="show where errors come from")
    return parser.parse_args(arguments)


def main(arguments=None):
    chosen = parse(arguments)
    wanted = (chosen.optimizer, chosen.dialect, chosen.path, chosen.dtype)
    known = {
        dialect: mxopt_for(dialect).package.optimizer.Optimizer.opt_registry for dialect in dialects_here()
    }
    table, failures, missing = Table(), 0, set()
    for cell in cells_here():
        if not all(choice is None or part in choice for part, choice in zip(cell, wanted)):
            continue
        if cell[0] not in known[cell[1]]:
            missing.add(cell[0])
            continue
        shown = 0
        for case in runs_of(cell, chosen.runs):
            try:
                deviation = compare_case(case)
            except Exception as error:
                told = f"{type(error).__name__}: {error}; {case}"
                if chosen.traceback:
                    told += "\n" + traceback.format_exc()
            else:
                table.add(case, deviation)
                told = verdict(case, deviation)
            if told:
                failures += 1
                shown += 1
                if shown <= chosen.fails:
                    print(told, flush=True)
    if missing:
        failures += len(missing)
        print(f"not in mxopt: {', '.join(sorted(missing))}")
    print(f"\nmxopt against MXNet {mxnet_version()}: {failures} of the runs too far apart\n{table}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
