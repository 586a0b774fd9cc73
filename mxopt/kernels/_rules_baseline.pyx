# The rules, built for the instruction set "baseline" (see setup.py).
include "rules/all.pxi"
