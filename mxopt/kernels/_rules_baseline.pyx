# The rules, built for the instruction set "baseline" (see setup.py).
include "rules/all.pxi"
include "narrow_rules.pxi"  # setup.py writes it
