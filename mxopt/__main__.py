"""``python -m mxopt``: the command line of `mxopt.cli`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
