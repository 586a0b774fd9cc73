# The list of rules. Each file defines one rule (one loop over a span) and registers it.
include "rules/common.pxi"

include "rules/sgd.pxi"
include "rules/adam.pxi"
include "rules/adamw.pxi"
include "rules/adabelief.pxi"
include "rules/adamax.pxi"
include "rules/nadam.pxi"
include "rules/adagrad.pxi"
include "rules/groupadagrad.pxi"
include "rules/rmsprop.pxi"
include "rules/adadelta.pxi"
include "rules/ftrl.pxi"
