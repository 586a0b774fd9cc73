"""The tests' table of optimizers: one row each, and the settings, tensors and random cases made from it.

A new optimizer is one row in `OPTIMIZERS`. Every test over the family draws from here:

* ``SETTINGS[name]`` are a few named settings of one optimizer, `every_setting` gives all of them to pytest;
* `draw_case` makes one random training run for a cell of (optimizer, dialect, path, dtype); its fields are
  plain data, so a recorded result can carry the case that made it;
* `weights_of` and `gradients_of` make that run's tensors, the same on every machine.
"""

from __future__ import annotations

import dataclasses
import random
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest

DIALECTS = ("2.x fused", "2.x step", "1.x")
DTYPES = ("float32", "float64", "float16", "float16+master")
DENSE_PATHS = ("single", "list", "aggregated")
SPARSE_PATHS = ("sparse", "sparse lazy", "sparse standard")
PATHS = DENSE_PATHS + SPARSE_PATHS

# --- how a hyper-parameter is drawn -------------------------------------------------------------------------

Draw = Callable
OMIT = object()  # drawn instead of a value: the keyword is not given


def between(low, high) -> Draw:
    return lambda rng: rng.uniform(low, high)


def magnitude(low, high) -> Draw:
    """Spread evenly over the powers of ten."""
    return lambda rng: float(10 ** rng.uniform(np.log10(low), np.log10(high)))


def one_of(*options) -> Draw:
    """One of the options, each a value or another draw."""

    def draw(rng):
        option = rng.choice(options)
        return option(rng) if callable(option) else option

    return draw


# --- the rows -----------------------------------------------------------------------------------------------

HALF_AND_SINGLE = ("float32", "float16+master")


@dataclasses.dataclass(frozen=True)
class InMXNet:
    """What MXNet does with this optimizer; comparisons are limited to what MXNet can do.

    `kernels` says which updates are compiled: 'all' (but 2.x step), those of 'sparse' gradients only, or
    'none'; the others are array arithmetic in Python, and the fused results of 2.x are then those of its
    step. `sparse` says when its kernels (1.9 and 2.x fused; 2.x step is always standard) are lazy: 'never',
    with the 'keyword' ``lazy_update``, 'always', or with a row-sparse 'weight' only. `dtypes` are those that
    a dialect does not refuse; all of them if it is not named.
    """

    dialects: tuple = DIALECTS
    kernels: str = "all"
    sparse: str = "never"
    dtypes: Mapping = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Row:
    """One optimizer.

    Attributes
    ----------
    draws : dict
        Keyword -> how to draw its value; keywords in the 2.x spelling.
    settings : dict
        Readable name -> keywords, for tests that go through a few fixed settings.
    old_names : dict
        2.x keyword -> the name that 1.9 has for it; None if 1.9 lacks it.
    old_draws : dict
        Draws for 1.9 only.
    local : bool
        Whether an element's update needs no other element's values, so that lazy rows make sense.
    matrices : bool
        Whether weights must have two dimensions.
    decays : bool
        Whether weight decay is allowed.
    noise : bool
        Whether the update is random.
    together : bool
        Whether all tensors of a step must come in one call.
    keeps : bool
        Whether the first step leaves the weight alone, or copies it to a state.
    huge : float
        The size of the few huge gradients that this optimizer survives for ten steps.
    """

    draws: Mapping = dataclasses.field(default_factory=dict)
    settings: Mapping = dataclasses.field(default_factory=dict)
    old_names: Mapping = dataclasses.field(default_factory=dict)
    old_draws: Mapping = dataclasses.field(default_factory=dict)
    local: bool = True
    matrices: bool = False
    decays: bool = True
    noise: bool = False
    together: bool = False
    keeps: bool = False
    huge: float = 1024.0
    mxnet: InMXNet | None = None


ADAM_DRAWS = {
    "beta1": one_of(0.9, between(0.5, 0.95), between(0.0, 0.5)),
    "beta2": one_of(0.999, between(0.9, 0.9999)),
    "epsilon": magnitude(1e-8, 1e-3),
}
ADAM_SETTINGS = {"short memory": {"beta1": 0.7, "beta2": 0.9, "epsilon": 1e-5}}
MOMENTUM = one_of(0.0, 0.9, between(0.1, 0.99))
WITH_MOMENTUM = {"momentum": {"momentum": 0.9}}

OPTIMIZERS = {
    "sgd": Row(draws={"momentum": MOMENTUM}, settings=WITH_MOMENTUM, mxnet=InMXNet(sparse="keyword")),
    "ccsgd": Row(
        draws={"momentum": MOMENTUM},
        settings=WITH_MOMENTUM,
        mxnet=InMXNet(
            dialects=("1.x",), sparse="keyword", dtypes={"1.x": ("float32", "float64", "float16+master")}
        ),
    ),
    "nag": Row(
        draws={"momentum": MOMENTUM}, settings={"without momentum": {"momentum": 0.0}}, mxnet=InMXNet()
    ),
    "signum": Row(
        draws={"momentum": MOMENTUM, "wd_lh": one_of(0.0, magnitude(1e-4, 0.1))},
        settings={"without momentum": {"momentum": 0.0}, "decoupled decay": {"wd_lh": 0.01}},
        mxnet=InMXNet(),
    ),
    "ftml": Row(
        draws={
            "beta1": between(0.0, 0.9),
            "beta2": one_of(0.999, between(0.9, 0.9999)),
            "epsilon": magnitude(1e-8, 1e-3),
        },
        settings={"short memory": {"beta1": 0.4, "beta2": 0.9}},
        mxnet=InMXNet(),
    ),
    "lars": Row(
        draws={
            "momentum": MOMENTUM,
            "eta": magnitude(1e-3, 0.5),
            "epsilon": one_of(OMIT, magnitude(1e-9, 1e-3)),
        },
        settings={"momentum": {"momentum": 0.9, "eta": 0.1}},
        old_names={"epsilon": "eps"},
        old_draws={"momentum_correction": one_of(OMIT, False)},
        local=False,
        mxnet=InMXNet(sparse="keyword"),
    ),
    "lbsgd": Row(
        draws={
            "momentum": MOMENTUM,
            "batch_scale": one_of(1, 2, 3),
            "warmup_epochs": one_of(1, 5),
            "warmup_strategy": one_of("linear", "power2", "sqrt", "lars", "none"),
            "updates_per_epoch": one_of(2, 32),
            "begin_epoch": one_of(0, 1),
        },
        settings={"two batches": {"batch_scale": 2, "momentum": 0.9}},
        local=False,  # it gathers the gradients of several calls
        mxnet=InMXNet(
            dialects=("1.x",), sparse="always", dtypes={"1.x": ("float32", "float64", "float16+master")}
        ),
    ),
    "lamb": Row(
        draws={
            **ADAM_DRAWS,
            "bias_correction": one_of(True, False),
            "lower_bound": one_of(None, between(0.01, 2)),
            "upper_bound": one_of(None, between(2.0, 20)),
        },
        settings={
            "bounds": {"lower_bound": 0.5, "upper_bound": 2.0},
            "uncorrected": {"bias_correction": False},
        },
        local=False,
        mxnet=InMXNet(dtypes={"2.x fused": HALF_AND_SINGLE, "2.x step": HALF_AND_SINGLE}),
    ),
    "lans": Row(
        draws={
            **ADAM_DRAWS,
            "lower_bound": one_of(None, between(0.01, 2)),
            "upper_bound": one_of(None, between(2.0, 20)),
        },
        settings={"bounds": {"lower_bound": 0.5, "upper_bound": 2.0}},
        local=False,
        mxnet=InMXNet(
            dialects=("2.x fused", "2.x step"),
            dtypes={"2.x fused": HALF_AND_SINGLE, "2.x step": HALF_AND_SINGLE},
        ),
    ),
    "dcasgd": Row(
        draws={"momentum": MOMENTUM, "lamda": one_of(0.04, between(0.0, 0.2))},
        settings=WITH_MOMENTUM,
        keeps=True,
        huge=8.0,
        mxnet=InMXNet(kernels="none"),
    ),
    "sgld": Row(noise=True),
    "adam": Row(draws=ADAM_DRAWS, settings=ADAM_SETTINGS, mxnet=InMXNet(sparse="keyword")),
    "adamw": Row(
        draws={**ADAM_DRAWS, "correct_bias": one_of(True, False)},
        settings={**ADAM_SETTINGS, "uncorrected": {"correct_bias": False}},
        mxnet=InMXNet(dialects=("2.x fused", "2.x step"), dtypes={"2.x fused": HALF_AND_SINGLE}),
    ),
    "adabelief": Row(
        draws={**ADAM_DRAWS, "correct_bias": one_of(True, False)},
        settings={**ADAM_SETTINGS, "uncorrected": {"correct_bias": False}},
        mxnet=InMXNet(dialects=("2.x fused", "2.x step"), dtypes={"2.x fused": HALF_AND_SINGLE}),
    ),
    "adamax": Row(
        draws=ADAM_DRAWS, settings=ADAM_SETTINGS, old_names={"epsilon": None}, mxnet=InMXNet(kernels="none")
    ),
    "nadam": Row(
        draws={**ADAM_DRAWS, "schedule_decay": one_of(0.004, magnitude(1e-4, 0.1))},
        settings=ADAM_SETTINGS,
        mxnet=InMXNet(kernels="none"),
    ),
    "adagrad": Row(
        draws={"epsilon": magnitude(1e-8, 1e-3)},
        old_names={"epsilon": "eps"},
        mxnet=InMXNet(kernels="sparse", sparse="always", dtypes=dict.fromkeys(DIALECTS, HALF_AND_SINGLE)),
    ),
    "groupadagrad": Row(
        draws={"epsilon": magnitude(1e-8, 1e-3)},
        old_names={"epsilon": "eps"},
        matrices=True,
        decays=False,
        mxnet=InMXNet(kernels="sparse", sparse="always", dtypes=dict.fromkeys(DIALECTS, HALF_AND_SINGLE)),
    ),
    "rmsprop": Row(
        draws={
            "rho": between(0.5, 0.99),
            "momentum": between(0.1, 0.95),
            "epsilon": magnitude(1e-8, 1e-3),
            "centered": one_of(False, True),
            "clip_weights": one_of(None, between(0.3, 1.5)),
        },
        settings={"centered": {"centered": True}, "clipped weights": {"clip_weights": 0.5}},
        old_names={"rho": "gamma1", "momentum": "gamma2"},
        mxnet=InMXNet(dtypes=dict.fromkeys(DIALECTS, HALF_AND_SINGLE)),
    ),
    "adadelta": Row(
        draws={"rho": between(0.5, 0.99), "epsilon": magnitude(1e-7, 1e-3)},
        mxnet=InMXNet(kernels="none", dtypes=dict.fromkeys(DIALECTS, HALF_AND_SINGLE)),
    ),
    "ftrl": Row(
        draws={"lamda1": one_of(0.01, 0.0, magnitude(1e-4, 1.0)), "beta": one_of(1.0, between(0.1, 3))},
        settings={"no l1": {"lamda1": 0.0}},
        mxnet=InMXNet(sparse="weight", dtypes=dict.fromkeys(DIALECTS, HALF_AND_SINGLE)),
    ),
    "lion": Row(
        draws={"beta1": between(0.5, 0.95), "beta2": between(0.9, 0.999)},
        settings={"short memory": {"beta1": 0.5, "beta2": 0.7}},
    ),
    "radam": Row(
        draws={**ADAM_DRAWS, "decoupled_weight_decay": one_of(True, False)},
        settings={**ADAM_SETTINGS, "decoupled decay": {"wd": 0.1, "decoupled_weight_decay": True}},
    ),
    "ademamix": Row(
        draws={**ADAM_DRAWS, "beta3": between(0.99, 0.9999), "alpha": between(0.0, 8.0)},
        settings={"short memory": {"beta1": 0.7, "beta2": 0.9, "beta3": 0.95, "alpha": 2.0, "epsilon": 1e-5}},
    ),
    "adopt": Row(
        draws={
            **ADAM_DRAWS,
            "clip_exponent": one_of(0.333, None, between(0.1, 0.5)),
            "decoupled_weight_decay": one_of(True, False),
        },
        settings={**ADAM_SETTINGS, "no limit": {"clip_exponent": None}},
        keeps=True,
    ),
    "adan": Row(
        draws={**ADAM_DRAWS, "beta3": between(0.9, 0.999), "proximal": one_of(True, False)},
        settings={"decay first": {"wd": 0.1, "proximal": False}},
    ),
    "madgrad": Row(
        draws={
            "momentum": MOMENTUM,
            "epsilon": magnitude(1e-8, 1e-3),
            "decoupled_weight_decay": one_of(True, False),
        },
        settings={"no momentum": {"momentum": 0.0}},
        keeps=True,
    ),
    "laprop": Row(draws=ADAM_DRAWS, settings=ADAM_SETTINGS),
    "novograd": Row(
        draws={
            "beta1": between(0.5, 0.95),
            "beta2": between(0.9, 0.999),
            "epsilon": magnitude(1e-8, 1e-3),
            "grad_averaging": one_of(True, False),
            "decoupled_weight_decay": one_of(True, False),
        },
        settings={
            "averaging": {"grad_averaging": True, "beta1": 0.7},
            "decoupled decay": {"wd": 0.1, "decoupled_weight_decay": True},
        },
        local=False,
    ),
    "adafactor": Row(
        draws={
            "beta2_decay": between(-1.0, -0.5),
            "epsilon1": one_of(OMIT, magnitude(1e-8, 1e-4)),
            "epsilon2": magnitude(1e-4, 1e-2),
            "clip_threshold": one_of(1.0, between(1.0, 2.0)),
        },
        settings={"slow decay": {"beta2_decay": -0.5, "clip_threshold": 1.5, "epsilon1": 1e-4}},
        local=False,
    ),
    "muon": Row(
        draws={
            "momentum": MOMENTUM,
            "nesterov": one_of(True, False),
            "ns_steps": one_of(5, 3),
            "adjust_lr": one_of("original", "match_rms_adamw"),
        },
        settings={"plain momentum": {"nesterov": False, "momentum": 0.5, "adjust_lr": "match_rms_adamw"}},
        local=False,
    ),
    "prodigy": Row(
        draws={
            **ADAM_DRAWS,
            "d0": magnitude(1e-6, 1e-2),
            "d_coef": one_of(1.0, between(0.5, 2.0)),
            "decouple": one_of(True, False),
            "bias_correction": one_of(True, False),
            "safeguard_warmup": one_of(True, False),
            "growth_rate": one_of(None, 1.02),
        },
        settings={
            "coupled decay": {"wd": 0.1, "decouple": False, "d0": 0.01},
            "slow growth": {
                "growth_rate": 1.1,
                "safeguard_warmup": True,
                "bias_correction": True,
                "d0": 0.01,
            },
        },
        local=False,
        together=True,
        keeps=True,
    ),
    "schedulefreesgd": Row(
        draws={"momentum": between(0.5, 0.95), "warmup_steps": one_of(0, 3), "r": one_of(0.0, 1.0)},
        settings={"warmup": {"learning_rate": 0.1, "warmup_steps": 3, "r": 1.0}},
    ),
    "schedulefreeadamw": Row(
        draws={**ADAM_DRAWS, "beta1": between(0.5, 0.95), "warmup_steps": one_of(0, 3)},
        settings={**ADAM_SETTINGS, "warmup": {"warmup_steps": 3, "r": 1.0, "weight_lr_power": 1.0}},
    ),
    "test": Row(mxnet=InMXNet(kernels="none")),
}


# --- a few fixed settings -----------------------------------------------------------------------------------


def _settings_of(row):
    clipped = {"learning_rate": 0.05, "rescale_grad": 0.5, "clip_gradient": 0.4}
    if row.decays:
        clipped["wd"] = 0.01
    return {"defaults": {}, "clip and decay" if row.decays else "clip": clipped, **row.settings}


SETTINGS = {name: _settings_of(row) for name, row in OPTIMIZERS.items()}


def every_setting(where=lambda row: True, dialect="2.x"):
    """Return pytest parameters (name, keywords) for all settings of the optimizers whose row `where` accepts.

    Examples
    --------
    >>> @pytest.mark.parametrize(("name", "settings"), every_setting(lambda row: row.local))
    ... def test_something(name, settings): ...
    """
    return [
        pytest.param(name, dialect_keywords(row, dialect, settings), id=f"{name}-{label}".replace(" ", "_"))
        for name, row in OPTIMIZERS.items()
        if where(row)
        for label, settings in SETTINGS[name].items()
    ]


# --- random training runs -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """One training run of three tensors, as plain data.

    Attributes
    ----------
    optimizer, dialect, path, dtype : str
        The cell that this run belongs to.
    settings : dict
        The constructor's keywords in the dialect's spelling, without those that the path and dtype decide.
    scheduler : tuple or None
        Class name and keywords of the learning-rate scheduler.
    keys : list
        What the Updater is called with for each tensor: ints, or strs.
    idx2name : dict or None
        ``param_idx2name`` as (index, name) pairs.
    lr_mult, wd_mult : list
        Multipliers as (index or name, factor) pairs; None: not set.
    params : tuple or None
        ``param_dict`` as (lr_mult, wd_mult) for each tensor, as Gluon's Trainer passes it.
    late : bool
        Whether the last tensor joins at step 3 only, so that its update count lags behind.
    midway : bool
        Whether rescale_grad (and, without a scheduler, the learning rate) are set anew in the middle.
    seed, steps, shapes
        What the tensors are made from.
    """

    optimizer: str
    dialect: str
    path: str
    dtype: str
    settings: Mapping
    shapes: tuple
    seed: int
    keys: tuple = (0, 1, 2)
    scheduler: tuple | None = None
    idx2name: tuple | None = None
    lr_mult: tuple | None = None
    wd_mult: tuple | None = None
    params: tuple | None = None
    late: bool = False
    midway: bool = False
    steps: int = 10

    @property
    def row(self):
        return OPTIMIZERS[self.optimizer]

    @property
    def sparse(self):
        return self.path in SPARSE_PATHS

    @property
    def master(self):
        return self.dtype.endswith("+master")

    @property
    def numpy_dtype(self):
        return np.dtype(self.dtype.removesuffix("+master"))

    def __str__(self):
        parts = [f"{self.optimizer}, {self.dialect}, {self.path}, {self.dtype}: seed={self.seed}"]
        parts += [f"{name}={value!r}" for name, value in self.settings.items()]
        for field in ("scheduler", "idx2name", "lr_mult", "wd_mult", "params", "late", "midway"):
            if getattr(self, field):
                parts.append(f"{field}={getattr(self, field)!r}")
        return ", ".join(parts)


def dialect_keywords(row, dialect, settings):
    """`settings` as that dialect spells them, without those that it lacks."""
    if dialect != "1.x":
        return dict(settings)
    spelled = ((row.old_names.get(name, name), value) for name, value in settings.items())
    return {name: value for name, value in spelled if name is not None}


NAMES = ("fc_weight", "fc_bias", "bn_gamma")


def draw_scheduler(rng, base_lr=0.1):
    """Return a scheduler's class name and keywords, with decays inside some ten updates."""
    keywords = {
        "base_lr": base_lr,
        "warmup_mode": rng.choice(["linear", "constant"]),
        "warmup_steps": rng.choice([0, 0, rng.randint(1, 4)]),
        "warmup_begin_lr": rng.choice([0.1, 0.5]) * base_lr,
    }
    name = rng.choice(["FactorScheduler", "MultiFactorScheduler", "PolyScheduler", "CosineScheduler"])
    if name == "FactorScheduler":
        keywords.update(step=rng.randint(1, 5), factor=rng.uniform(0.3, 0.95), stop_factor_lr=0.01 * base_lr)
    elif name == "MultiFactorScheduler":
        keywords.update(step=sorted(rng.sample(range(1, 12), 3)), factor=rng.uniform(0.3, 0.95))
    else:
        keywords.update(max_update=rng.randint(6, 20), final_lr=0.05 * base_lr)
        if name == "PolyScheduler":
            keywords["pwr"] = rng.choice([1, 2, 0.5])
    return name, keywords


def begins_within(settings, updates):
    """How many updates to leave out at the start, so that the first one after the warmup is on the curve.

    Where a curve is first asked beyond its end, MXNet's answers with ``base_lr``, ours with its final rate.
    """
    if "max_update" not in settings:
        return 0
    curve = range(settings["warmup_steps"], settings["max_update"] + 1)
    return next((i for i, update in enumerate(updates) if update in curve), len(updates))


def _draw_shapes(row, sparse, small):
    if sparse:
        return ((7, 5), (19, 3), (3, 1)) if small else ((7, 13), (67, 5), (3, 1))
    if row.matrices:
        return ((5, 7), (17, 3), (1, 1)) if small else ((7, 13), (63, 65), (1, 1))
    return ((5, 7), (67,), (1,)) if small else ((7, 13), (4099,), (1,))


def draw_case(name, dialect, path, dtype, number, small=False):
    """Return the random run with this `number` in a cell; the same one on every machine.

    Parameters
    ----------
    small : bool, default False
        Whether the tensors are small enough to be recorded.
    """
    row = OPTIMIZERS[name]
    seed = zlib.crc32(f"{name} {dialect} {path} {dtype} {number}".encode())
    rng = random.Random(seed)
    draws = {
        "learning_rate": one_of(OMIT, magnitude(1e-4, 0.3), magnitude(1e-4, 0.3)),
        "wd": one_of(0.0, magnitude(1e-5, 0.1), magnitude(0.1, 1.0)) if row.decays else lambda rng: OMIT,
        "rescale_grad": one_of(1.0, between(0.1, 2.0), 1 / 64, -0.5),
        "clip_gradient": one_of(None, between(0.05, 2.0)),
        "begin_num_update": one_of(OMIT, OMIT, 3, 100, 9999),
        **row.draws,
    }
    if dtype == "float16":
        # float16 cannot hold small rates and epsilons, or long memories: 1e-8 and 1 - 0.999
        # vanish.
        tame = {
            "learning_rate": magnitude(0.03, 0.3),
            "wd": one_of(0.0, magnitude(1e-5, 0.1)),
            "epsilon": magnitude(0.03, 0.1),
            "beta2": between(0.8, 0.95),
            "rescale_grad": between(0.5, 2),
            "clip_gradient": one_of(None, between(0.5, 2)),
        }
        draws.update(
            {key: draw for key, draw in tame.items() if key in draws and (key != "wd" or row.decays)}
        )
    settings = dialect_keywords(row, dialect, {key: draw(rng) for key, draw in draws.items()})
    if dialect == "1.x":
        settings.update({key: draw(rng) for key, draw in row.old_draws.items()})
    settings = {key: value for key, value in settings.items() if value is not OMIT}

    scheduler = None
    if rng.random() < 0.4:
        smallest = -1.5 if dtype == "float16" else -3
        scheduler = draw_scheduler(rng, base_lr=float(10 ** rng.uniform(smallest, -0.5)))
        if dialect != "1.x" and rng.random() < 0.5:
            settings["learning_rate"] = None  # 2.x: what the scheduler says, undisturbed by the default
    keys, idx2name, names, params = (0, 1, 2), None, (0, 1, 2), None
    naming = rng.choice(["none", "idx2name", "strings", "param_dict"])
    if naming == "idx2name":
        idx2name, names = tuple(enumerate(NAMES)), NAMES
    elif naming == "strings":
        keys = names = NAMES
    elif naming == "param_dict":
        params = tuple((rng.uniform(0.1, 2), rng.uniform(0, 2) if row.decays else 1.0) for _ in keys)
    lr_mult = wd_mult = None
    if not params and rng.random() < 0.4:
        lr_mult = ((names[0], rng.uniform(0.1, 2)), (names[2], rng.choice([0.5, 0.0])))
        if name in ("ftml", "ftrl"):
            lr_mult = lr_mult[:1]  # they divide by the learning rate
    if not params and row.decays and rng.random() < 0.4:
        wd_mult = ((names[1], rng.uniform(0.1, 2)), (names[0], rng.choice([0.5, 0.0])))
    if rng.random() < 0.1 and row.mxnet.kernels == "all" and dialect != "2.x step" and name != "lars":
        settings["clip_gradient"] = rng.choice([0.0, -0.5])  # MXNet's kernels do not clip then
    case = Case(
        name,
        dialect,
        path,
        dtype,
        settings,
        _draw_shapes(row, path in SPARSE_PATHS, small),
        seed,
        keys,
        scheduler,
        idx2name,
        lr_mult,
        wd_mult,
        params,
        late=rng.random() < 0.3,
        midway=rng.random() < 0.3,
    )
    return _within_mxnet(case)


def _within_mxnet(case):
    """Change what MXNet refuses, or does by a bug that is not followed (docs/numerics has them)."""
    settings, changes = dict(case.settings), {}
    if case.dtype == "float64":
        # MXNet's kernels take float32 numbers also for float64 weights, and so do its clip bounds everywhere.
        for name, value in settings.items():
            if isinstance(value, float):
                settings[name] = float(np.float32(value))
    v1, kernels = case.dialect == "1.x", case.dialect != "2.x step"
    if case.optimizer == "adagrad" and case.sparse and kernels:
        settings["wd"] = 0.0  # no sparse kernel with weight decay
    if case.optimizer == "nag" and case.sparse and settings["momentum"] == 0:
        settings["momentum"] = 0.9  # without it NAG is a lazy SGD, which has a test of its own
    if case.optimizer == "signum" and v1 and settings["momentum"] == 0:
        settings["wd_lh"] = 0.0  # 1.9's operator has no such parameter then
    if case.optimizer == "dcasgd" and v1:
        settings["momentum"] = 0.0  # 1.9 fails with momentum
    if case.optimizer == "lars" and (case.path == "aggregated" or (v1 and case.sparse)):
        settings["rescale_grad"] = abs(settings["rescale_grad"])  # its kernels do not agree on negative ones
    if case.optimizer == "lars" and v1 and case.path != "list":
        settings["momentum_correction"] = False  # 1.9 corrects the first tensor of a step only
    if case.optimizer == "lars" and case.dtype == "float16":
        # Its steps are small; below 1e-4 float16 has few digits left.
        settings["learning_rate"], settings["eta"], changes["scheduler"] = 0.3, 0.5, None
    if case.optimizer == "lars" and case.path == "aggregated" and case.master:
        changes["idx2name"], changes["keys"] = None, (0, 1, 2)  # 2.x mixes up states beside excluded names
        changes["lr_mult"] = changes["wd_mult"] = None
    if case.optimizer == "ftml" and case.dtype == "float16":
        settings["learning_rate"], changes["scheduler"] = 0.1, None  # 1 / learning_rate is among its states
    if case.optimizer == "adamax" and v1 and case.sparse:
        # Without an epsilon, 1.9 divides 0 by 0 where no gradient was ever seen.
        settings["wd"], changes["wd_mult"], changes["idx2name"], changes["params"] = 0.01, None, None, None
        changes["lr_mult"], changes["keys"] = None, (0, 1, 2)
    return dataclasses.replace(case, settings=settings, **changes)


# --- the tensors of a run -----------------------------------------------------------------------------------


def _has_zeros(case):
    return not (case.optimizer == "adamax" and case.dialect == "1.x")


def weights_of(case):
    """Return the run's first weights: both signs, none near zero."""
    # RandomState's stream is frozen for good, so that recorded results stay true with any NumPy.
    rng = np.random.RandomState(case.seed % 2**32)
    drawn = [rng.uniform(-1.0, 1.0, shape) for shape in case.shapes]
    return [(np.sign(values) * (0.0625 + np.abs(values))).astype(case.numpy_dtype) for values in drawn]


def gradient_values(rng, shape, case):
    """Return gradients of both signs and many sizes, some zero, a few tiny or huge, none near subnormal."""
    half = case.numpy_dtype == np.float16
    values = rng.uniform(-1.0, 1.0, shape)
    if case.dtype == "float16":
        return (np.sign(values) * (0.25 + np.abs(values))).astype(np.float16)
    values = np.sign(values) * (0.03125 + np.abs(values))
    values = np.ldexp(values, rng.randint(-2 if half else -6, 2, shape))
    kind = rng.uniform(size=shape)
    values = np.where(kind < 0.02, np.sign(values) * case.row.huge / (64 if half else 1), values)
    values = np.where((kind > 0.02) & (kind < 0.05), np.ldexp(values, -4 if half else -14), values)
    if _has_zeros(case):
        values = np.where(kind > 0.92, 0.0, values)
    if case.optimizer == "lans" and not values.any():
        values[...] = 0.5  # MXNet divides by the norm of the gradient
    return values.astype(case.numpy_dtype)


def gradients_of(case, step):
    """Return the gradients of step 1, 2, ...: arrays, or (values, rows) pairs on the sparse paths."""
    rng = np.random.RandomState((case.seed + 7919 * step) % 2**32)
    if not case.sparse:
        return [gradient_values(rng, shape, case) for shape in case.shapes]
    gradients = []
    for shape in case.shapes:
        # A gradient without a row happens too; LANS would divide by its norm.
        present = rng.randint(1 if case.optimizer == "lans" else 0, shape[0] + 1)
        rows = np.sort(rng.permutation(shape[0])[:present]).astype(np.int64)
        gradients.append((gradient_values(rng, (present, *shape[1:]), case), rows))
    return gradients
