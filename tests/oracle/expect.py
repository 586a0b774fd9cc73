"""Which cells can be compared with MXNet, and how close they must come."""

import dataclasses
import math
import sys

from cases import DENSE_PATHS, DIALECTS, DTYPES, OPTIMIZERS, SPARSE_PATHS

from mxopt import kernels


@dataclasses.dataclass(frozen=True)
class Expected:
    """How close a result must be: `limit` relative to the tensor's largest magnitude, 0 for equal bits."""

    limit: float
    why: str = ""
    zero_signs: bool = False  # whether a 0 may be -0; it may where bits may differ at all

    def allows(self, deviation):
        signs = not deviation.zero_signs or self.limit > 0 or self.zero_signs
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
    if path == "aggregated" and dialect == "1.x":
        return "1.9 has no aggregate_num argument: its lists are aggregated already"
    if path in SPARSE_PATHS:
        return _sparse_refusal(name, mxnet, dialect, path, dtype)
    return None


def _sparse_refusal(name, mxnet, dialect, path, dtype):
    if dtype == "float16":
        return "row-sparse gradients are not compared in float16"
    kernels = dialect != "2.x step"
    if kernels and dtype.endswith("+master"):
        if name in ("adamw", "adabelief"):
            return "MXNet uses its other kernel there; float32 tells how far apart the two are"
        if (
            name in ("sgd", "ccsgd", "lars")
            and path != "sparse standard"
            and (dialect, path) != ("2.x fused", "sparse")
        ):
            return "MXNet refuses lazy updates of masters (2.0), or makes the gradient dense (1.9)"
    if (name, dialect) == ("lamb", "2.x fused"):
        return "MXNet counts every step twice there (its bug, not followed)"
    if (name, dialect) == ("test", "1.x"):
        return "MXNet refuses row-sparse gradients there"
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
    if case.dtype == "float16":
        return _expected_of_half(case, kernels)
    if name in ("lars", "lamb", "lans") or (_uses_lars(case) and case.sparse):
        return _expected_of_norms(case)
    if name == "groupadagrad" and case.sparse:
        width = max(shape[1] for shape in case.shapes)
        return Expected(2 * _of_a_sum(width), "MXNet sums dense and row-sparse rows in different orders")
    if name == "groupadagrad" and dialect != "1.x" and not _adds_sixteen_at_a_time():
        width = max(shape[1] for shape in case.shapes)
        return Expected(2 * _of_a_sum(width), "MXNet's sums depend on the width of the registers")
    if name == "ftml" and kernels and case.dtype == "float64":
        return Expected(1e-5, "MXNet's kernels take float32 rates, and d - beta1 * d_before cancels")
    if takes_float32_numbers(name, dialect, case.path, case.dtype):
        return Expected(1e-6, "MXNet's kernels take float32 hyper-parameters")
    if case.dtype == "float64":
        return Expected(1e-12, "MXNet reads its numbers from text and misses the nearest double")
    if case.sparse:
        return _expected_of_sparse(case, kernels)
    return EXACT


def _adds_sixteen_at_a_time():
    # What was recorded comes from such a processor; here it may be another one.
    return "mxnet" not in sys.modules or "avx512" in kernels.available_instruction_sets()


def takes_float32_numbers(name, dialect, path, dtype):
    """Whether MXNet updates this cell by a float64 kernel."""
    return dtype == "float64" and dialect != "2.x step" and OPTIMIZERS[name].mxnet.kernels == "all"


def expected_of_the_same_numbers(case):
    """Return how close float64 rules come when they take the float32 numbers that MXNet's kernels take."""
    if case.optimizer in ("lars", "lamb") and (case.dialect == "1.x" or case.path == "aggregated"):
        return expected(case)
    if case.optimizer == "ftml":
        return Expected(1e-14, "pow of another library")
    return EXACT


def _expected_of_half(case, kernels):
    # One step from MXNet's numbers, in which it rounds the scalars and each operation to eleven bits: by up
    # to 2**-11 each, and a square doubles what was before. FTML's z is a difference of such sums.
    roundings = 32 if case.optimizer == "ftml" else 8
    limit = roundings * 2.0**-11
    if kernels:
        # What is left of 1 where a beta was rounded, by up to 2**-12.
        names = ("momentum",) if case.optimizer == "signum" else ("beta1", "beta2")
        rests = [1 - case.settings[name] for name in names if name in case.settings]
        limit += 2.0**-12 / min(rests, default=math.inf)
    return Expected(limit, "computed in float32 and rounded once; MXNet rounds each operation")


def goes_on_from_mxnet(case):
    """Whether every step starts from MXNet's weights and states, because each may be some roundings off: what
    these grow into over ten steps says nothing about a step.
    """
    # LARS takes the norm of the 16-bit weight, so one rounded the other way changes the next rate.
    return case.dtype == "float16" or (case.optimizer == "lars" and case.path == "aggregated" and case.master)


def _uses_lars(case):
    return case.optimizer == "lbsgd" and case.settings.get("warmup_strategy") == "lars"


def _of_a_sum(number):
    """The relative rounding error of a float32 sum of so many squares."""
    return number**0.5 * 2.0**-24


def _largest(case):
    return max(math.prod(shape) for shape in case.shapes)


def _expected_of_norms(case):
    # Norms of tensors this small are summed in MXNet's order.
    name, v1 = case.optimizer, case.dialect == "1.x"
    if name == "lars" and v1 and case.sparse and case.master:
        return Expected(2.0**-10, "1.9 rounds the squares of float16 for the norms of dense gradients only")
    if name == "lars" and case.path == "aggregated":
        # It adds the squares one by one, in float32.
        return Expected(
            _of_a_sum(_largest(case)),
            "MXNet's kernel for lists writes LARS another way than its Updater's default",
        )
    if case.sparse and (name == "lars" or (name == "lans" and case.dialect == "2.x step")):
        return Expected(2 * _of_a_sum(_largest(case)), "MXNet sums row-sparse arrays by BLAS")
    if case.dtype == "float64" or name == "lbsgd":
        return Expected(1e-6, "MXNet takes norms in float32, also for float64")
    return EXACT


def _expected_of_sparse(case, kernels):
    name, v1 = case.optimizer, case.dialect == "1.x"
    lazy = case.path == "sparse lazy" or (case.path == "sparse" and v1)
    if kernels and name in ("adamw", "adabelief"):
        # One kernel adds (1 - beta) * x, the other x - beta * x: a rounding of beta, one of beta * x, both
        # as large as those numbers and set beside the difference.
        limit = 1e-6 + 2.0**-23 / (1 - max(case.settings["beta1"], case.settings["beta2"]))
        return Expected(limit, "MXNet uses its other kernel there, which writes the averages another way")
    if kernels and name in ("sgd", "ccsgd", "lbsgd"):
        # The weight is scaled by 1 - lr * wd first; 1.9 also sums the decay of its standard kernel apart, and
        # its sparse kernels read the rates from text, the dense ones for lists not.
        if v1 and name != "lbsgd":
            return _ORDER
        apart = (v1 and not lazy) or case.settings["momentum"] == 0
        if apart and case.settings["wd"] and not (lazy and not v1):
            return _ORDER
    if kernels and name == "ftrl" and lazy and case.master:
        return Expected(
            0.0, "MXNet narrows the rows of a row-sparse weight and loses the sign of -0", zero_signs=True
        )
    if kernels and name == "adam" and (not lazy or (v1 and (case.settings["clip_gradient"] or 0) > 0)):
        return _ORDER
    return EXACT


# A unit in the last place for each of ten steps.
_ORDER = Expected(10 * 2.0**-23, "MXNet's sparse kernel orders the operations differently from its dense one")
