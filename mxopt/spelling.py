"""Argument names that people bring from other libraries, and what they are called here."""

from __future__ import annotations

#: word -> arguments that it can mean; the first that the class's constructor takes is suggested
MEANS = {
    "lr": ("learning_rate",),
    "rate": ("learning_rate",),
    "eta": ("learning_rate",),
    "alpha": ("rho", "gamma1", "learning_rate"),
    "step_size": ("learning_rate",),
    "stepsize": ("learning_rate",),
    "base_lr": ("learning_rate",),
    "initial_lr": ("learning_rate",),
    "init_lr": ("learning_rate",),
    "learning_rates": ("learning_rate",),
    "weight_decay": ("wd",),
    "decay": ("wd",),
    "l2": ("wd",),
    "l2_reg": ("wd",),
    "l2_penalty": ("wd",),
    "weight_decay_rate": ("wd",),
    "eps": ("epsilon", "eps"),
    "epsilon": ("epsilon", "eps"),
    "betas": ("beta1", "beta2"),
    "b1": ("beta1",),
    "b2": ("beta2",),
    "beta_1": ("beta1",),
    "beta_2": ("beta2",),
    "mu": ("momentum",),
    "mom": ("momentum",),
    "decay_rate": ("rho", "gamma1"),
    "gamma": ("rho", "gamma1"),
    "lambda1": ("lamda1",),
    "l1": ("lamda1",),
    "initial_accumulator_value": (),
    "trust_coefficient": ("eta",),
    "clip": ("clip_gradient",),
    "clip_value": ("clip_gradient",),
    "clipvalue": ("clip_gradient",),
    "clip_grad": ("clip_gradient",),
    "gradient_clip": ("clip_gradient",),
    "grad_clip": ("clip_gradient",),
    "schedule": ("lr_scheduler",),
    "scheduler": ("lr_scheduler",),
    "lr_schedule": ("lr_scheduler",),
    "learning_rate_schedule": ("lr_scheduler",),
    "lazy": ("lazy_update",),
    "sparse": ("lazy_update",),
    "mixed_precision": ("multi_precision",),
    "master_weights": ("multi_precision",),
    "fp16": ("multi_precision",),
    "names": ("param_idx2name",),
    "param_names": ("param_idx2name",),
    "idx2name": ("param_idx2name",),
    "begin_update": ("begin_num_update",),
    "skip_nan": ("skip_nonfinite",),
    "skip_inf": ("skip_nonfinite",),
}

#: words for features that no optimizer here has, and what to do instead
INSTEAD = {
    "params": "weights are handed over at each step, as updater(index, grad, weight); leave it out",
    "parameters": "weights are handed over at each step, as updater(index, grad, weight); leave it out",
    "model": "weights are handed over at each step, as updater(index, grad, weight); leave it out",
    "amsgrad": "there is no AMSGrad; leave it out",
    "nesterov": "that is an optimizer of its own; use create('nag', ...)",
    "maximize": "it minimizes; pass rescale_grad=-1 to go uphill",
    "maximise": "it minimizes; pass rescale_grad=-1 to go uphill",
    "decoupled": "decoupled decay is AdamW's; use mxopt.create('adamw', ...)",
    "decoupled_weight_decay": "decoupled decay is AdamW's; use mxopt.create('adamw', ...)",
    "weight_decouple": "decoupled decay is AdamW's; use mxopt.create('adamw', ...)",
    "warmup": "warmup_steps of a scheduler does that; leave it out",
    "warmup_steps": "warmup_steps of a scheduler does that; leave it out",
    "use_locking": "an updater locks itself; leave it out",
    "foreach": "a list of tensors is always one fused call; leave it out",
    "fused": "the compiled rule runs by default; leave it out",
    "capturable": "nothing runs on a GPU; leave it out",
    "differentiable": "steps are not recorded for automatic differentiation; leave it out",
    "dampening": "momentum has no dampening; leave it out",
    "clipnorm": "call mxopt.clip_global_norm(grads, max_norm) before each step",
    "clip_norm": "call mxopt.clip_global_norm(grads, max_norm) before each step",
    "max_norm": "call mxopt.clip_global_norm(grads, max_norm) before each step",
    "max_grad_norm": "call mxopt.clip_global_norm(grads, max_norm) before each step",
    "global_clipnorm": "call mxopt.clip_global_norm(grads, max_norm) before each step",
    "grad_scale": "pass rescale_grad=1/scale",
    "loss_scale": "call get_updater(optimizer, loss_scale=scale)",
    "batch_size": "pass rescale_grad=1/batch_size",
    "ema_decay": "leave it out; get_updater(optimizer, ema=decay) averages the weights",
    "name": "an optimizer is named by its class; leave it out",
    "ctx": "all memory is the CPU's; leave it out",
    "device": "all memory is the CPU's; leave it out",
    "dtype": "states take the dtype of their weight; leave it out",
    "initial_accumulator_value": "the history starts at 0; leave it out",
}


def meant(word, value, known):
    """What to pass instead of a keyword argument that people know from elsewhere.

    Parameters
    ----------
    word : str
        What was typed.
    value : object
        What was passed.
    known : container of str
        The arguments that the constructor takes.

    Returns
    -------
    str or None
        ``'pass learning_rate=0.1'``; None for an unknown word.
    """
    lower = word.lower()
    if lower == "betas":
        if not {"beta1", "beta2"} <= set(known):
            return None
        first, second = value if isinstance(value, (tuple, list)) and len(value) == 2 else ("...", "...")
        return f"pass beta1={first}, beta2={second}"
    for argument in MEANS.get(lower, ()):
        if argument in known:
            return f"pass {argument}={_shown(value)}"
    return INSTEAD.get(lower)


def owners(word, classes, arguments):
    """The names of the classes that take an argument which another class was given.

    Parameters
    ----------
    word : str
        The argument, or what people call it elsewhere.
    classes : dict of str to type
    arguments : callable
        Gives the arguments that a class takes.

    Returns
    -------
    list of str
    """
    wanted = {word, *MEANS.get(word.lower(), ())}
    return sorted(name for name, cls in classes.items() if wanted & arguments(cls).keys())


def _shown(value):
    text = repr(value)
    return text if len(text) <= 40 and "\n" not in text and not text.startswith("<") else "..."
