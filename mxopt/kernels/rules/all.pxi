# The list of rules. Each file defines one rule (one loop over a span) and registers it.
include "rules/common.pxi"

include "rules/sgd.pxi"
include "rules/adam.pxi"
