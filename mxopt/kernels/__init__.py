"""The only entry from Python into compiled code: chooses the instruction set and holds the table of rules."""

import importlib
import importlib.util
import os

try:
    from . import _engine
except ImportError:
    from importlib.machinery import EXTENSION_SUFFIXES

    _here = os.path.dirname(os.path.abspath(__file__))
    if any(os.path.exists(os.path.join(_here, "_engine" + suffix)) for suffix in EXTENSION_SUFFIXES):
        raise  # it exists but cannot be loaded, as the error explains
    _root = os.path.dirname(os.path.dirname(_here))
    raise ImportError(
        f"mxopt was imported from {_root}, whose kernels have not been built for this Python; run "
        "`pip install -e .` in that folder, or start Python elsewhere to get the mxopt that is installed"
    ) from None
from ._engine import (
    WHOLE_SUM,
    Clipped,
    Factored,
    Narrow,
    Plan,
    Refused,
    Rule,
    Split,
    Stream,
    address_of,
    catch_up,
    fused_step,
    get_num_threads,
    get_num_threads_setting,
    get_tuning,
    join_halves,
    normals,
    openmp_version,
    part_halves,
    plan_of,
    replay_steps,
    same_memory,
    set_num_threads,
    set_tuning,
    step_joined,
    step_of_updater,
    sum_into,
    tuning_words,
    write_back,
)
from ._rows import group_rows, reduce_rows, sum_rows
from ._scalars import (
    Ledger,
    Scalars,
    ahead,
    as_read_by_mxnet,
    clip_of,
    corrected,
    give_back,
    put_back,
    read_row,
    remember,
    rescale_of,
    restore,
    scalars_of,
    take_control,
)

__all__ = [
    "INSTRUCTION_SET", "QUANTISERS", "RULES", "STORAGE_DTYPES", "WHOLE_SUM", "Clipped", "Factored",
    "Ledger", "Narrow", "Plan", "Refused", "Rule", "Scalars", "Split", "Stream", "address_of", "ahead",
    "as_read_by_mxnet", "available_instruction_sets", "catch_up", "clip_of", "corrected",
    "fused_step", "get_num_threads", "get_num_threads_setting", "get_tuning", "give_back",
    "group_rows", "join_halves", "normals", "openmp_version", "part_halves", "plan_of", "put_back",
    "read_row", "reduce_rows", "remember", "replay_steps", "rescale_of", "restore", "same_memory",
    "scalars_of", "set_num_threads", "set_tuning", "step_joined", "step_of_updater", "sum_into",
    "sum_rows", "take_control", "tuning_words", "write_back",
]  # fmt: skip

#: From the plainest set to the widest.
INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


def available_instruction_sets():
    """Names of the instruction sets that were built and that this processor runs, plainest first.

    Returns
    -------
    tuple of str
    """
    found = []
    for name in INSTRUCTION_SETS:
        spec = importlib.util.find_spec(f"{__name__}._rules_{name}")
        if spec is not None and _engine.cpu_has(name):
            found.append(name)
    return tuple(found)


def _choose():
    available = available_instruction_sets()
    if not available:
        built = [name for name in INSTRUCTION_SETS if importlib.util.find_spec(f"{__name__}._rules_{name}")]
        raise ImportError(
            f"this mxopt was built for {', '.join(built) or 'no instruction set'} only, which this processor "
            "lacks; build it again with MXOPT_BUILD_ISA=baseline, or without MXOPT_BUILD_ISA"
        )
    asked = os.environ.get("MXOPT_ISA", "").strip().lower()
    if not asked:
        return available[-1]
    if asked not in available:
        raise ImportError(
            f"MXOPT_ISA must be one of {', '.join(available)} on this machine, got {asked!r}; unset it to "
            "let mxopt choose"
        )
    return asked


INSTRUCTION_SET = _choose()
_module = importlib.import_module(f"{__name__}._rules_{INSTRUCTION_SET}")
_engine.use_normals(_module.NORMALS)
_engine.use_factored(_module.FACTORED)
_engine.use_moves(_module.MOVES)
_engine.use_fade(_module.FADE)

#: Bytes per element of every dtype that the engine steps, by name, in the order of their numbers.
STORAGE_DTYPES = _engine.use_storage(_module.STORAGE)

#: How the arrays of `Narrow` are kept, by name: whether blocks of them have scales.
QUANTISERS = _engine.quantisers()

#: Every rule of the chosen instruction set, by name.
RULES = {name: Rule(name, entry) for name, entry in _module.RULES.items()}
_engine.use_rules(RULES)
