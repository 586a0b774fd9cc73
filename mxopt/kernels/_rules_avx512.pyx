# The rules, built for the instruction set "avx512" (see setup.py).
include "rules/all.pxi"
