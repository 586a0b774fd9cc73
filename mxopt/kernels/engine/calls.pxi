# The path of a call from the updater to the kernels, compiled because for a small tensor it takes longer than the
# arithmetic. These functions are methods of `Updater` and `Optimizer`. They call each other directly where a class
# overrides none of them (`Optimizer._usual_path`), and by name where one does.

cdef dict every_rule = None


def use_rules(dict rules not None):
    """Tell `fused_step` the rules of the chosen instruction set, by name."""
    global every_rule
    every_rule = rules


class Clipped(list):
    """Gradients whose norm is finite, and the factor by which the engine multiplies them before a rule sees them."""

    def __init__(self, grads, factor):
        super().__init__(grads)
        self.factor = factor


cdef bint are_arrays(object arrays) except -1:
    # Whether all of a list are ndarrays.
    cdef PyObject* array
    cdef Py_ssize_t i, n = PyList_GET_SIZE(arrays)
    for i in range(n):
        if i + LOOK_AHEAD < n:
            mxopt_prefetch(PyList_GET_ITEM(arrays, i + LOOK_AHEAD))
        array = PyList_GET_ITEM(arrays, i)
        if not is_exact_array(array) and not isinstance(<object>array, cnp.ndarray):
            return False
    return True


cdef bint are_plain(object weights, object grads, object states, Py_ssize_t n) except -1:
    # Whether the arguments of a step are lists of n entries, and all weights and gradients ndarrays.
    if type(weights) is not list or type(grads) is not list or type(states) is not list:
        return False
    if PyList_GET_SIZE(weights) != n or PyList_GET_SIZE(grads) != n or PyList_GET_SIZE(states) != n:
        return False
    return are_arrays(weights) and are_arrays(grads)


def is_stored_by_rows(weight):
    return getattr(weight, "stype", "default") == "row_sparse"


cdef list all_of(known, tuple indices):
    # As long as it will be from the start: a list comprehension that cannot grow, for want of memory, releases an entry
    # twice (Cython 3.3), so there is none in compiled code.
    cdef Py_ssize_t k, n = len(indices)
    cdef list found = [None] * n
    for k in range(n):
        found[k] = known[indices[k]]
    return found


cpdef Plan plan_of(optimizer, indices, weights, grads, states, Rule rule, lazy=None, bint ordered=False):
    """Check the arguments of a call and describe it to the engine; nothing is changed."""
    cdef Plan plan = Plan.__new__(Plan)
    cdef list rows = None
    cdef object refused, whole
    cdef double factor = grads.factor if type(grads) is Clipped else 1
    if type(states) is not list or not are_plain(weights, grads, states, len(indices)):
        if lazy is None and optimizer.lazy_on_stored_rows and not optimizer.lazy_update:
            lazy = list(map(is_stored_by_rows, weights))
        weights, grads, states, rows = optimizer._classified(indices, weights, grads, states)
    if lazy is None:
        lazy = optimizer.lazy_update
    try:
        plan.describe(rule, weights, grads, states, optimizer.master_position if optimizer.multi_precision else -1, rows,
                      lazy, ordered)
    except Refused as error:
        refused = optimizer._refused(error, indices, weights, grads, states, rule)
    else:
        whole = optimizer._whole
        if whole is not None:
            plan.are_parts(whole.sizes, whole.sums)
        if factor != 1:
            plan.shrink(every_rule["scale"], factor)
        return plan
    raise refused


cpdef fused_step(optimizer, indices, weights, grads, states, lazy=None):
    """Step by the compiled rules. Arguments as for `Optimizer.fused_step`, and `lazy` as for `Updater`."""
    cdef mxopt_control control = mxopt_take_control(False)  # scalars must not depend on the caller's rounding mode
    cdef tuple names, noise = None
    cdef list rules, columns = None
    cdef Plan plan, whole
    cdef Ledger ledger
    cdef Scalars scalars
    cdef Rule rule
    cdef object draw = None
    cdef tuple cautious = None
    cdef bint exact, usual = optimizer._usual_path
    try:
        # First everything that can fail, which changes nothing...
        indices = tuple(indices)  # the caller's list may change while a scheduler or another thread runs
        names = optimizer.passes
        rule = every_rule[names[len(names) - 1]]
        if usual:
            plan = plan_of(optimizer, indices, weights, grads, states, rule, lazy, len(names) > 1)
        else:
            plan = optimizer._plan(indices, weights, grads, states, rule, lazy, len(names) > 1)
        if not indices or (optimizer.skip_nonfinite and optimizer._skips(type(grads) is Clipped or plan.finite())):
            return
        rates, ledger = ahead(optimizer, indices) if usual else optimizer._ahead(indices)
        if plan.per_tensor:
            scalars = optimizer._scalars_from(rates, plan.numbers())
        elif usual:
            scalars = scalars_of(optimizer, rates, ledger)
        else:
            scalars = optimizer._scalars(rates, ledger)
        exact = lazy is not None and type(lazy) is not list  # `optimizer.exact.Late`: rows with the scalars of all
        if plan.sparse is not None and not exact and plan.by_rows:
            scalars = optimizer._scalars_by_rows(plan.by_rows, scalars)
        if plan.any_random:
            plan.number_updates(rates)
        rules = [rule]
        if len(names) > 1:
            whole = plan
            if optimizer.lazy_update:  # norms are of whole tensors, whichever rows are updated
                whole = optimizer._plan(indices, weights, grads, states, rule, False, True)
            rules, scalars, columns = optimizer._with_norms(indices, whole, scalars, ledger)
        if type(states) is not list and optimizer._are_new(states):
            ledger.more = [*ledger.added, *states.added]
            if states.averages is not None:
                states.averages.join(plan)
            if states.report is not None:
                states.report.join(plan)
        if exact:
            lazy.before_step(indices, weights, grads, states, rule, scalars, ledger)
        if not ledger.by_our_code or not optimizer.built_in:
            plan.compare()  # the user's code may have run since
            ledger.compare()
        if optimizer.cautious:
            cautious = optimizer._caution(rates, len(indices))
        if rule.drawn:
            draw = optimizer._draw
            noise = optimizer._noise(plan.nelements)
        # ...then one call that cannot.
        plan.take_step(rules, scalars, columns, draw, ledger, noise, cautious)
    except Refused as error:  # an array was resized while a scheduler or `_draw` ran
        raise optimizer._refused(error, indices, (), (), (), None) from None
    except (TypeError, ValueError):  # nothing has changed
        if not optimizer._fused_otherwise(indices, weights, grads, states, lazy):
            raise
    finally:
        mxopt_give_back(control)


def step_of_updater(updater, index, grad, weight, lazy, joined=None):
    """Step one weight or a list of them by an updater; arguments as for its call. The updater holds its lock.

    joined : LossScale, Reports or Averages, optional
        What changes with the weights: its `step_of` is given the call's states and returns `slots.NewStates`.
    """
    cdef bint single = not isinstance(index, (list, tuple))
    cdef tuple indices
    cdef list states
    # Indices are read until the counts are written, and the caller may change its list meanwhile: copy it.
    if single:
        indices, grads, weights = (index,), [grad], [weight]
    else:
        indices, grads, weights = tuple(index), grad, weight
    if updater._window is not None:
        grads = updater._summed(indices, grads, weights)
        if grads is None:
            return
    if updater._undecided or updater._loaded:
        updater._ready_for(indices, weights)
    if updater._young:
        updater._look_again(indices, grads, weights)
    optimizer, known = updater.optimizer, updater.states
    if updater._has_tables and getattr(optimizer, "lazy_update", False) != "exact":
        updater.flush()  # rows that lag behind from before
    if getattr(type(optimizer), "built_in", False):
        if type(optimizer.lazy_update) is str:
            updater._step_exactly(indices, grads, weights, joined)
            return
        try:
            states = [known[index]] if single else all_of(known, indices)
        except (KeyError, TypeError):
            pass
        else:
            if joined is not None:
                step_joined(optimizer, indices, weights, grads, joined.step_of(optimizer, indices, weights, grads, states),
                            lazy)
            elif optimizer.use_fused_step and optimizer._runs_own_rules:
                if optimizer._usual_path:
                    fused_step(optimizer, indices, weights, grads, states, lazy)
                else:
                    optimizer._fused(indices, weights, grads, states, lazy)
            else:
                optimizer.update_multi_precision(indices, weights, grads, states)
            if optimizer.step_callbacks:
                updater._report(indices)
            return
    updater._update_slowly(indices, grads, weights, lazy, joined)


def step_joined(optimizer, indices, weights, grads, states, lazy=None):
    """Step by a built-in optimizer, with all that `states`, a `slots.NewStates`, brings along.

    No Python code runs between the step and what follows from it here, so that no interrupt can come in between.
    """
    cdef object averages = states.averages, if_skipped = states.skipped, before = optimizer.skipped
    try:
        if lazy is not None or optimizer.use_fused_step and optimizer._runs_own_rules:
            optimizer._fused(indices, weights, grads, states, lazy)
        else:
            optimizer.update_multi_precision(indices, weights, grads, states)
    finally:
        # whether the ledger was written
        if averages is not None and not averages.joined and averages.steps.get(averages.last) == averages.number:
            (<Plan>averages.plan).run(averages.rule, averages.scalars)
        if if_skipped is not None and optimizer.skipped > before:
            (<dict?>if_skipped[0]).update(if_skipped[1])
    if states.report is not None and optimizer.skipped == before:
        states.report.finish()
