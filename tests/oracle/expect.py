"""Which cells can be compared with MXNet, and how close they must come."""

import dataclasses

from cases import DENSE_PATHS, DIALECTS, DTYPES, OPTIMIZERS, SPARSE_PATHS


@dataclasses.dataclass(frozen=True)
class Expected:
    """How close a result must be: `limit` relative to the tensor's largest magnitude, 0 for equal bits."""

    limit: float
    why: str = ""

    def allows(self, deviation):
        signs = not deviation.zero_signs or self.limit > 0  # a 0 may be -0 where bits may differ at all
        return deviation.relative <= self.limit and signs


EXACT = Expected(0.0)


def refusal(name, dialect, path, dtype):
    """Return why there is nothing to compare in a cell, or None where there is."""
    row = OPTIMIZERS[name]
    mxnet = row.mxnet
    if mxnet is None:
        return "the update is random: compared by its statistics" if row.noise else "not in MXNet"
    if dialect not in mxnet.dialects:
        return f"MXNet has it in {', '.join(mxnet.dialects)} only"
    if dtype not in mxnet.dtypes.get(dialect, DTYPES):
        return f"MXNet refuses {dtype}"
    if path == "aggregated" and dialect == "1.9":
        return "1.9 has no aggregate_num argument: its lists are aggregated already"
    if path in SPARSE_PATHS:
        return _sparse_refusal(name, mxnet, dialect, path, dtype)
    return None


def _sparse_refusal(name, mxnet, dialect, path, dtype):
    if dtype != "float32":
        return "row-sparse gradients are compared in float32"
    if (name, dialect) == ("lamb", "2.x fused"):
        return "MXNet counts every step twice there (its bug, not followed)"
    if (name, dialect) == ("test", "1.9"):
        return "MXNet refuses row-sparse gradients there"
    kernels = dialect != "2.x step"
    if path == "sparse lazy" and (mxnet.sparse == "never" or not kernels):
        return "MXNet is never lazy there"
    if path == "sparse standard" and mxnet.sparse == "always" and kernels:
        return "MXNet is always lazy there"
    return None


def cells(optimizers=None):
    """Yield every (optimizer, dialect, path, dtype) that can be compared."""
    for name in optimizers or OPTIMIZERS:
        for dialect in DIALECTS:
            for path in (*DENSE_PATHS, *SPARSE_PATHS):
                for dtype in DTYPES:
                    if refusal(name, dialect, path, dtype) is None:
                        yield name, dialect, path, dtype


def expected(case):
    """Return how close mxopt must come to MXNet in this case, and why where that is not to the bit."""
    name, dialect = case.optimizer, case.dialect
    kernels = dialect != "2.x step"
    if case.dtype == "float16" and name == "signum":
        return Expected(1.0, "a sum that rounds to the other side of zero turns a whole step around")
    if case.dtype == "float16":
        # Some six roundings a step in MXNet, of half a unit in the eleventh bit each.
        return Expected(
            case.steps * 6 * 2.0**-12, "computed in float32 and rounded once; MXNet rounds each operation"
        )
    if name in ("lars", "lamb", "lans") or (_uses_lars(case) and case.sparse):
        return _expected_of_norms(case)
    if name == "groupadagrad" and not (case.sparse and kernels):
        return Expected(1e-6, "the order of summation in a mean")
    if name == "ftml" and kernels and case.dtype == "float64":
        return Expected(1e-5, "MXNet's kernels take float32 hyper-parameters, and 1 - beta2**t cancels")
    if name == "ftml" and kernels:
        return Expected(1e-6, "powf of the rounded beta")
    if case.dtype == "float64" and kernels and case.row.mxnet.kernels == "all":
        return Expected(1e-6, "MXNet's kernels take float32 hyper-parameters")
    if case.dtype == "float64":
        return Expected(1e-12, "MXNet reads its numbers from text and misses the nearest double")
    if case.sparse:
        return _expected_of_sparse(case, kernels)
    return EXACT


def _uses_lars(case):
    return case.optimizer == "lbsgd" and case.settings.get("warmup_strategy") == "lars"


def _expected_of_norms(case):
    # Norms of tensors this small are summed in MXNet's order.
    name, v1 = case.optimizer, case.dialect == "1.9"
    if case.master and v1:
        return Expected(1e-3, "1.9 rounds the squares of float16 to float16 for its norms")
    if name == "lars" and case.path == "aggregated":
        # It adds up to 4099 squares here one by one, in float32: 2**-24 * 4099**0.5.
        return Expected(4e-6, "MXNet's kernel for lists writes LARS another way than its Updater's default")
    if case.sparse and (name == "lars" or (name == "lans" and case.dialect == "2.x step")):
        return Expected(2e-6, "MXNet sums row-sparse arrays in another order")
    if name == "lars" and case.master:
        return Expected(1e-6, "the order of summation in a norm")
    if case.dtype == "float64" or name == "lbsgd":
        return Expected(1e-6, "MXNet takes norms in float32, also for float64")
    return EXACT


def _expected_of_sparse(case, kernels):
    name, v1 = case.optimizer, case.dialect == "1.9"
    lazy = case.path == "sparse lazy" or (case.path == "sparse" and v1)
    if kernels and name in ("adamw", "adabelief"):
        # One kernel adds (1 - beta2) * x**2, the other x**2 - beta2 * x**2: a rounding of beta2, and one of
        # beta2 * x**2, both as large as those numbers and set beside the difference.
        limit = 1e-6 + 2.0**-23 / (1 - case.settings["beta2"])
        return Expected(limit, "MXNet uses its other kernel there, which writes the averages another way")
    if kernels and name == "adagrad":
        return Expected(
            1e-6, "only MXNet's sparse kernel reads its numbers from text; rows are as dense here"
        )
    if kernels and name in ("sgd", "ccsgd", "lbsgd"):
        # The weight is scaled by 1 - lr * wd first; 1.9 also sums the decay of its standard kernel apart, and
        # its sparse kernels read the rates from text, the dense ones for lists not.
        if v1 and name != "lbsgd":
            return _ORDER
        apart = (v1 and not lazy) or case.settings["momentum"] == 0
        if apart and case.settings["wd"] and not (lazy and not v1):
            return _ORDER
    if kernels and name == "adam" and (not lazy or (v1 and (case.settings["clip_gradient"] or 0) > 0)):
        return _ORDER
    return EXACT


# A unit in the last place for each of ten steps.
_ORDER = Expected(10 * 2.0**-23, "MXNet's sparse kernel orders the operations differently from its dense one")
