# The rules, built for the instruction set "avx2" (see setup.py).
include "rules/all.pxi"
