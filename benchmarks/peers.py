"""The peers: for each, its name and a function that makes one step over some tensors.

A peer that is not installed, or cannot do a case, is reported as absent, with the reason.
"""

import functools
import importlib
import sys
from pathlib import Path

import numpy as np

import mxopt

#: mxopt's settings for the optimizers that peers have too, and the peers' spelling.
SETTINGS = {
    "adam": {"learning_rate": 1e-3},
    "adamw": {"learning_rate": 1e-3, "wd": 0.01},
    "sgd": {"learning_rate": 1e-3, "momentum": 0.9},
    "adagrad": {"learning_rate": 1e-3},
    "prodigy": {"growth_rate": 1.0},  # the same gradient again and again would drive its estimate to infinity
}


def settings(name):
    return SETTINGS.get(
        name, {"momentum": 0.9} if name in ("nag", "signum", "lars", "lbsgd", "ccsgd") else {}
    )


#: torch's names for the same optimizers.
TORCH = {
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD",
    "adagrad": "Adagrad",
    "rmsprop": "RMSprop",
    "nadam": "NAdam",
    "adadelta": "Adadelta",
    "adamax": "Adamax",
}


class Absent(Exception):
    """Why a peer cannot take part."""


def _need(module):
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise Absent(f"not installed ({type(error).__name__})") from None


def ours(name, weights, grads, fused=True, package=mxopt, **options):
    """mxopt's public updater: one list call, or ``updater(index, grad, weight)`` for a single tensor."""
    updater = package.get_updater(package.create(name, use_fused_step=fused, **settings(name), **options))
    indices = list(range(len(weights)))
    if len(weights) == 1:
        (grad,), (weight,) = grads, weights

        def step():
            updater(0, grad, weight)
    else:

        def step():
            updater(indices, grads, weights)

    step()
    step.updater = updater
    return step


def torch_tensor(lib, array):
    """A torch tensor over an array; NumPy's bfloat16 through an integer of its width."""
    if array.dtype.name == "bfloat16":
        return lib.from_numpy(array.view(np.int16)).view(lib.bfloat16)
    return lib.from_numpy(array)


def torch(name, weights, grads, **options):
    lib = _need("torch")
    lib.set_num_threads(mxopt.get_num_threads())
    parameters = [lib.nn.Parameter(torch_tensor(lib, w.copy())) for w in weights]
    for parameter, grad in zip(parameters, grads):
        parameter.grad = torch_tensor(lib, grad)
    cls = TORCH.get(name)
    if cls is None:
        raise Absent(f"no {name}")
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    return getattr(lib.optim, cls)(parameters, lr=1e-3, **momentum, **options).step


def torch_clip(arrays, max_norm):
    """Clipping by the global norm; torch gets the arrays as gradients of parameters."""
    lib = _need("torch")
    parameters = [lib.nn.Parameter(lib.from_numpy(a.copy())) for a in arrays]
    for parameter, array in zip(parameters, arrays):
        parameter.grad = lib.from_numpy(array.copy())
    return lambda: lib.nn.utils.clip_grad_norm_(parameters, max_norm)


def torch_ema(weights, grads):
    """A fused step of Adam, and what torch's AveragedModel does after it."""
    lib = _need("torch")
    step = torch("adam", weights, grads, fused=True)
    parameters = [p.detach() for group in step.__self__.param_groups for p in group["params"]]
    averages = [parameter.clone() for parameter in parameters]

    def both():
        step()
        lib._foreach_lerp_(averages, parameters, 0.001)

    return both


def torch_clipped_step(weights, grads):
    """A fused step of Adam after clipping by the global norm, which raises if that is not finite."""
    lib = _need("torch")
    step = torch("adam", weights, [grad.copy() for grad in grads], fused=True)
    parameters = [p for group in step.__self__.param_groups for p in group["params"]]

    def both():
        lib.nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
        step()

    return both


def deepspeed(name, weights, grads):
    lib, ops = _need("torch"), _need("deepspeed.ops.adam")
    if name not in ("adam", "adamw"):
        raise Absent(f"no {name} on CPU")
    parameters = [lib.nn.Parameter(lib.from_numpy(w.copy())) for w in weights]
    for parameter, grad in zip(parameters, grads):
        parameter.grad = lib.from_numpy(grad)
    return ops.DeepSpeedCPUAdam(parameters, lr=1e-3, adamw_mode=name == "adamw").step


def bitsandbytes(name, weights, grads):
    lib, bnb = _need("torch"), _need("bitsandbytes")
    if name != "adam":
        raise Absent(f"{name}: not run")
    parameters = [lib.nn.Parameter(lib.from_numpy(w.copy())) for w in weights]
    for parameter, grad in zip(parameters, grads):
        parameter.grad = lib.from_numpy(grad)
    return bnb.optim.Adam8bit(parameters, lr=1e-3).step


def optax(name, weights, grads):
    jax, lib = _need("jax"), _need("optax")
    make = {
        "adam": lambda: lib.adam(1e-3),
        "adamw": lambda: lib.adamw(1e-3, weight_decay=0.01),
        "sgd": lambda: lib.sgd(1e-3, momentum=0.9),
        "adagrad": lambda: lib.adagrad(1e-3),
    }.get(name)
    if make is None:
        raise Absent(f"no {name}")
    rule = make()
    values, gradients = [jax.numpy.array(w) for w in weights], [jax.numpy.array(g) for g in grads]
    now = [values, rule.init(values)]

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(values, state, gradients):
        updates, state = rule.update(gradients, state, values)
        return lib.apply_updates(values, updates), state

    def step():
        now[:] = update(*now, gradients)
        jax.block_until_ready(now[0])

    return step


def thinc(name, weights, grads):
    lib = _need("thinc.optimizers")
    if name not in ("adam", "sgd"):
        raise Absent(f"no {name}")
    optimizer = lib.Adam(1e-3) if name == "adam" else lib.SGD(1e-3)
    values = [w.copy() for w in weights]
    gradients = [g.copy() for g in grads]

    def step():
        for key, grad in enumerate(gradients):
            values[key], gradients[key] = optimizer((0, str(key)), values[key], grad)

    return step


def mxnet(name, weights, grads, lazy=None, rows=None, shape=None):
    """Real MXNet, if this runs in its environment; `rows` makes the gradients row-sparse."""
    mx = _need("mxnet")
    options = dict(settings(name))
    if lazy is not None:
        options["lazy_update"] = lazy
    if mx.__version__.startswith("2"):  # some only have their array operations
        options["use_fused_step"] = name not in ("adadelta", "adamax", "nadam", "adagrad")
    updater = mx.optimizer.get_updater(mx.optimizer.create(name, **options))
    values = [mx.nd.array(w) for w in weights]
    if rows is None:
        gradients = [mx.nd.array(g) for g in grads]
    else:
        make = mx.nd.sparse.row_sparse_array
        gradients = [make((data, at), shape=shape) for data, at in zip(grads, rows)]
    turn = iter(range(10**9))

    def step():
        if rows is None:
            for key, (value, grad) in enumerate(zip(values, gradients)):
                updater(key, grad, value)
        else:
            updater(0, gradients[next(turn) % len(gradients)], values[0])
        mx.nd.waitall()

    return step


def mxnet_drift(weight, grad):
    """The array operations of MXNet 1.9's SGLD, without those for its noise."""
    mx = _need("mxnet")
    value, gradient, rate = mx.nd.array(weight), mx.nd.array(grad), 1e-3

    def step():
        value[:] += -rate / 2 * (gradient + 0.0 * value)
        mx.nd.waitall()

    return step


def torch_sparse_adam(table, grads):
    """SparseAdam; `grads`: (data, rows) pairs that are taken in turn."""
    lib = _need("torch")
    parameter = lib.nn.Parameter(lib.from_numpy(table.copy()))
    gradients = [
        lib.sparse_coo_tensor(
            lib.from_numpy(rows[None]), lib.from_numpy(data), table.shape, is_coalesced=True
        )
        for data, rows in grads
    ]
    optimizer = lib.optim.SparseAdam([parameter], lr=1e-3)
    turn = iter(range(10**9))

    def step():
        parameter.grad = gradients[next(turn) % len(gradients)]
        optimizer.step()

    return step


def original(name, weights, grads):
    """The implementation that a later optimizer's numbers are taken from, at its defaults."""
    _need("torch")
    folder = str(Path(__file__).parents[1] / "tests" / "peers")
    if folder not in sys.path:
        sys.path.append(folder)
    peer = _need("implementations").PEERS[name]
    if peer.missing():
        raise Absent(peer.missing())
    if peer.distribution == "optax":
        raise Absent("optax's transformation is not compiled")
    run = peer.start(peer, weights, {})
    for parameter, grad in zip(run.parameters, grads):
        parameter.grad = torch_tensor(run.torch, grad)
    return run.optimizer.step


def products(steps, shape):
    """The matrix products of Muon's iteration alone."""
    wide = min(shape), max(shape)
    x, out = np.ones(wide, np.float32), np.empty(wide, np.float32)
    gram, square = (np.ones((wide[0], wide[0]), np.float32) for _ in range(2))

    def step():
        for _ in range(steps):
            np.matmul(x, x.T, out=gram)
            np.matmul(gram, gram, out=square)
            np.matmul(square, x, out=out)

    return step


#: Peers for dense tensors and lists, by the name in the tables.
DENSE = {
    "torch fused": functools.partial(torch, fused=True),
    "torch foreach": functools.partial(torch, foreach=True),
    "DeepSpeedCPUAdam": deepspeed,
    "optax": optax,
    "thinc": thinc,
    "bitsandbytes 8-bit": bitsandbytes,
    "NumPy (mxopt's step)": functools.partial(ours, fused=False),
    "MXNet": mxnet,
}


def versions():
    """The installed versions by distribution, None where absent."""
    from importlib import metadata

    found = {}
    for name in ("mxopt", "numpy", "torch", "deepspeed", "optax", "jax", "thinc", "bitsandbytes", "mxnet"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    found["mxopt"] = mxopt.__version__
    return found


def sized(rng, size, dtype=np.float32):
    """Values like those of weights and gradients."""
    return (rng.standard_normal(size, np.float32) * np.float32(0.1)).astype(dtype)
