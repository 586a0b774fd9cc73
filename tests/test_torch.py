"""`mxopt.torch`: torch's interface on our kernels. Runs where torch is: ``tox -e interop``."""

import copy
import io

import numpy as np
import pytest

import mxopt

torch = pytest.importorskip("torch", reason="needs torch: tox -e interop")
import mxopt.torch  # noqa: E402

SHAPES = [(4, 3), (5, 1), (6, 2)]
EVERY = [(name, dialect) for dialect in ("2.x", "1.x") for name in mxopt.list_optimizers(dialect=dialect)]


def arrays(seed, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in SHAPES]


def parameters(seed=0, dtype=None):
    return [torch.nn.Parameter(torch.tensor(array).to(dtype)) for array in arrays(seed)]


def hand_over(params, seed):
    for param, grad in zip(params, arrays(seed)):
        param.grad = torch.tensor(grad).to(param.dtype)


def steps(optimizer, params, seeds):
    for seed in seeds:
        hand_over(params, seed)
        optimizer.step()


def values(params):
    return [param.detach().numpy().copy() for param in params]


def assert_same(params, others):
    for one, other in zip(params, others):
        np.testing.assert_array_equal(one, other)


def model_and_data():
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    return model, torch.randn(32, 6), torch.randn(32, 1)


@pytest.mark.parametrize(("name", "dialect"), EVERY, ids=map("-".join, EVERY))
def test_bits_are_those_of_the_updater(name, dialect):
    cls = mxopt.describe(name, dialect).cls
    weights, params = arrays(0), parameters()
    mxopt.random.seed(1)
    updater = mxopt.get_updater(cls(learning_rate=0.05, wd=0.0 if name == "groupadagrad" else 0.01))
    for seed in range(1, 6):
        updater([0, 1, 2], arrays(seed), weights)
    mxopt.random.seed(1)
    decay = 0.0 if name == "groupadagrad" else 0.01
    optimizer = mxopt.torch.Optimizer(params, name, dialect=dialect, lr=0.05, weight_decay=decay)
    steps(optimizer, params, range(1, 6))
    assert_same(values(params), weights)
    assert all(optimizer.state[param]["step"] == 5 for param in params if optimizer.state)


@pytest.mark.parametrize(("name", "dialect"), EVERY, ids=map("-".join, EVERY))
def test_a_run_goes_on_from_its_state_dict(name, dialect):
    whole, resumed = parameters(), parameters()
    first = mxopt.torch.Optimizer(whole, name, dialect=dialect, lr=0.05)
    mxopt.random.seed(1)
    steps(first, whole, range(1, 6))
    second = mxopt.torch.Optimizer(resumed, name, dialect=dialect, lr=0.05)
    mxopt.random.seed(1)
    steps(second, resumed, range(1, 3))
    file = io.BytesIO()
    torch.save(second.state_dict(), file)
    file.seek(0)
    third = mxopt.torch.Optimizer(resumed, name, dialect=dialect, lr=0.5)
    third.load_state_dict(torch.load(file, weights_only=True))
    steps(third, resumed, range(3, 6))
    assert_same(values(resumed), values(whole))


# torch's words, torch's own name and arguments, and how near its numbers are to MXNet's formula
SHARED = {
    "adam": ("Adam", {"eps": 1e-12}),
    "adamax": ("Adamax", {"eps": 1e-12}),
    "adadelta": ("Adadelta", {"lr": 1.0}),
    "rmsprop": ("RMSprop", {"alpha": 0.9, "eps": 1e-12}),
    "adagrad": ("Adagrad", {"eps": 1e-12}),
}


@pytest.mark.parametrize("name", SHARED)
def test_states_of_torch_load_and_torch_loads_ours(name):
    theirs, options = SHARED[name]
    options = {"lr": 0.05, **options}
    ours_options = {key: value for key, value in options.items() if key != "alpha"}
    if name == "adadelta":
        ours_options["eps"] = options["eps"] = 1e-6
    ours, others = parameters(), parameters()
    one = mxopt.torch.Optimizer(ours, name, **ours_options)
    other = getattr(torch.optim, theirs)(others, **options)
    steps(one, ours, range(1, 4))
    steps(other, others, range(1, 4))
    one_state, other_state = copy.deepcopy(one.state_dict()), copy.deepcopy(other.state_dict())
    assert one_state["state"][0].keys() == other_state["state"][0].keys()
    swapped = mxopt.torch.Optimizer(others, name, **ours_options)
    swapped.load_state_dict(other_state)
    back = getattr(torch.optim, theirs)(ours, **options)
    back.load_state_dict(one_state)
    steps(swapped, others, range(4, 7))
    steps(back, ours, range(4, 7))
    for a, b in zip(values(ours), values(others)):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    assert swapped.state[others[0]]["step"] == 6


def test_states_share_the_memory_that_is_stepped():
    params = parameters()
    optimizer = mxopt.torch.Optimizer(params, "adam", lr=0.1)
    steps(optimizer, params, [1])
    before = optimizer.state[params[0]]["exp_avg"].clone()
    optimizer.state[params[0]]["exp_avg"].zero_()
    steps(optimizer, params, [2])
    np.testing.assert_allclose(optimizer.state[params[0]]["exp_avg"], 0.1 * arrays(2)[0], rtol=1e-5)
    assert before.abs().sum() > 0


def test_groups_have_their_own_options():
    params = parameters()
    groups = [
        {"params": params[:1], "lr": 0.5},
        {"params": params[1:2], "weight_decay": 0.1, "beta1": 0.5},
        {"params": params[2:], "betas": (0.8, 0.9)},
    ]
    optimizer = mxopt.torch.Optimizer(groups, "adam", learning_rate=0.1, betas=(0.7, 0.99))
    expected = arrays(0)
    updaters = [
        mxopt.get_updater(mxopt.create("adam", learning_rate=0.5, beta1=0.7, beta2=0.99)),
        mxopt.get_updater(mxopt.create("adam", learning_rate=0.1, wd=0.1, beta1=0.5, beta2=0.99)),
        mxopt.get_updater(mxopt.create("adam", learning_rate=0.1, beta1=0.8, beta2=0.9)),
    ]
    for seed in range(1, 4):
        hand_over(params, seed)
        optimizer.step()
        for updater, weight, grad in zip(updaters, expected, arrays(seed)):
            updater(0, grad, weight)
    assert_same(values(params), expected)
    late = torch.nn.Parameter(torch.ones(2))
    optimizer.add_param_group({"params": [late], "wd": 0.5})
    assert optimizer.param_groups[-1]["weight_decay"] == 0.5
    late.grad = torch.ones(2)
    optimizer.step()
    assert (late < 1).all()


@pytest.mark.parametrize("kind", ["step", "cosine", "one cycle", "plateau", "lambda"])
def test_schedulers_of_torch(kind):
    make = {
        "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
        "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=6),
        "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
        "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    }[kind]
    ours, theirs = parameters(), parameters()
    one = mxopt.torch.Optimizer(ours, "adam", lr=0.05, eps=1e-12)
    other = torch.optim.Adam(theirs, lr=0.05, eps=1e-12)
    schedulers = make(one), make(other)
    for seed in range(1, 6):
        steps(one, ours, [seed])
        steps(other, theirs, [seed])
        for scheduler in schedulers:
            scheduler.step(1.0) if kind == "plateau" else scheduler.step()
        assert one.param_groups[0]["lr"] == other.param_groups[0]["lr"]
        assert one.param_groups[0]["betas"] == other.param_groups[0]["betas"]
    for a, b in zip(values(ours), values(theirs)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_learning_rate_may_be_a_tensor():
    params, expected = parameters(), arrays(0)
    rate = torch.tensor(0.5)
    optimizer = mxopt.torch.Optimizer(params, "sgd", lr=rate)
    steps(optimizer, params, [1])
    rate.fill_(0.25)
    steps(optimizer, params, [2])
    updater = mxopt.get_updater(mxopt.create("sgd", learning_rate=0.5))
    updater([0, 1, 2], arrays(1), expected)
    updater.optimizer.lr = 0.25
    updater([0, 1, 2], arrays(2), expected)
    assert_same(values(params), expected)


def test_grad_scaler_skips_what_overflows():
    model, inputs, targets = model_and_data()
    optimizer = mxopt.torch.Optimizer(model.parameters(), "adam", lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    losses = []
    for step in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        scaler.scale(loss * (torch.inf if step == 3 else 1.0)).backward()
        before = values(model.parameters())
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
        if step == 3:
            assert_same(values(model.parameters()), before)
    assert losses[-1] < losses[0]
    assert optimizer.state[next(model.parameters())]["step"] == 19


def test_trains_as_torch_does():
    ends = []
    for make in (lambda p: mxopt.torch.Optimizer(p, "adam", lr=0.05), lambda p: torch.optim.Adam(p, lr=0.05)):
        model, inputs, targets = model_and_data()
        optimizer = make(model.parameters())

        def closure(model=model, optimizer=optimizer, inputs=inputs, targets=targets):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            loss.backward()
            return loss

        for _ in range(40):
            loss = optimizer.step(closure)
        ends.append(loss.item())
    assert ends[0] == pytest.approx(ends[1], rel=0.02)


def test_sparse_gradients_of_embeddings():
    ends = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = torch.nn.Embedding(10, 3, sparse=sparse)
        optimizer = mxopt.torch.Optimizer(table.parameters(), "adam", lr=0.1)
        for rows in ([1, 1, 5], [2, 5, 9]):
            optimizer.zero_grad()
            table(torch.tensor(rows)).pow(2).sum().backward()
            optimizer.step()
        ends.append(table.weight.detach())
    np.testing.assert_allclose(*ends, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_dtypes_and_masters(dtype):
    params = parameters(dtype=dtype)
    optimizer = mxopt.torch.Optimizer(params, "adam", lr=0.01, multi_precision=True)
    steps(optimizer, params, [1, 2])
    expected = parameters(dtype=dtype)
    updater = mxopt.get_updater(mxopt.create("adam", learning_rate=0.01, multi_precision=True))
    for seed in (1, 2):
        hand_over(expected, seed)
        updater([0, 1, 2], [p.grad for p in expected], [p.detach() for p in expected])
    assert all(torch.equal(a, b) for a, b in zip(params, expected))
    state = optimizer.state[params[0]]
    if dtype != torch.float64:
        assert state["master"].dtype == torch.float32
    resumed = mxopt.torch.Optimizer(params, "adam", lr=0.01, multi_precision=True)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for name, tensor in state.items():
        assert resumed.state[params[0]][name].dtype == tensor.dtype
        assert torch.equal(resumed.state[params[0]][name], tensor)


def test_parameters_whose_memory_moves_are_followed():
    params = parameters()
    optimizer = mxopt.torch.Optimizer(params, "sgd", lr=1.0)
    steps(optimizer, params, [1])
    params[0].data = torch.zeros(4, 3)
    steps(optimizer, params, [2])
    np.testing.assert_array_equal(params[0].detach(), -arrays(2)[0])
    params[0].data = torch.zeros(3, 4).t()
    steps(optimizer, params, [3])
    np.testing.assert_array_equal(params[0].detach(), -arrays(3)[0])


def test_autograd_sees_that_weights_were_written():
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = mxopt.torch.Optimizer([param], "sgd", lr=1.0)
    product = (param * param).sum()
    param.grad = torch.ones(2)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_parameters_without_gradients_wait():
    params = parameters()
    optimizer = mxopt.torch.Optimizer(params, "adam")
    before = values(params)
    optimizer.step()
    assert_same(values(params), before)
    params[1].grad = torch.ones(5, 1)
    optimizer.step()
    assert params[0] not in optimizer.state
    assert optimizer.state[params[1]]["step"] == 1
    steps(optimizer, params, [1])
    assert [optimizer.state[param]["step"].item() for param in params] == [1, 2, 1]


def test_copies_and_pickles_go_on():
    model, inputs, targets = model_and_data()
    optimizer = mxopt.torch.Optimizer(model.parameters(), "adam", lr=0.05)
    torch.nn.functional.mse_loss(model(inputs), targets).backward()
    optimizer.step()
    twin_model, twin = copy.deepcopy((model, optimizer))
    file = io.BytesIO()
    torch.save((model, optimizer), file)
    file.seek(0)
    loaded_model, loaded = torch.load(file, weights_only=False)
    for each, its in ((model, optimizer), (twin_model, twin), (loaded_model, loaded)):
        its.zero_grad()
        torch.nn.functional.mse_loss(each(inputs), targets).backward()
        its.step()
    assert_same(values(twin_model.parameters()), values(model.parameters()))
    assert_same(values(loaded_model.parameters()), values(model.parameters()))


def test_a_custom_class():
    class Half(mxopt.Optimizer):
        def create_state(self, index, weight):
            return None

        def update(self, index, weight, grad, state):
            self._update_count(index)
            weight[:] -= self._get_lr(index) * 0.5 * grad

    params = parameters()
    optimizer = mxopt.torch.Optimizer(params, Half, lr=1.0)
    steps(optimizer, params, [1])
    for param, weight, grad in zip(params, arrays(0), arrays(1)):
        np.testing.assert_array_equal(param.detach(), weight - np.float32(0.5) * grad)


MISTAKES = [
    (lambda p: ("adm", {}), "unknown optimizer 'adm'; did you mean 'adam'"),
    (lambda p: ("adam", {"learning_rat": 1}), "did you mean 'learning_rate'"),
    (lambda p: ("adam", {"amsgrad": True}), "no AMSGrad; leave it out|there is no AMSGrad"),
    (lambda p: ("adam", {"lr": float("nan")}), "learning_rate must be a finite number"),
    (lambda p: ("adam", {"betas": 0.9}), "betas must be a pair"),
    (lambda p: ("sgd", {"lr_scheduler": print}), "torch.optim.lr_scheduler"),
    (lambda p: ("sgd", {"lr": 1, "learning_rate": 2}), "are one argument; pass lr alone"),
    (lambda p: ("sgd", {"param_idx2name": {}}), "param_idx2name has no meaning"),
    (lambda p: (torch.optim.Adam, {}), "pass 'adam'"),
]


@pytest.mark.parametrize(("case", "words"), MISTAKES, ids=[words[:20] for _, words in MISTAKES])
def test_mistakes_get_one_line(case, words):
    params = parameters()
    name, options = case(params)
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        mxopt.torch.Optimizer(params, name, **options)
    assert "\n" not in str(caught.value)


def test_plain_sgd_goes_on_from_torchs_and_back():
    params, twin = parameters(), parameters()
    ours, theirs = mxopt.torch.Optimizer(params, "sgd", lr=0.1), torch.optim.SGD(twin, lr=0.2)
    steps(ours, params, [1])
    theirs.load_state_dict(ours.state_dict())
    assert theirs.param_groups[0]["lr"] == 0.1
    steps(theirs, twin, [2])
    ours.load_state_dict(theirs.state_dict())
    steps(ours, params, [2])
    with_momentum = torch.optim.SGD(twin, lr=0.1, momentum=0.9)
    steps(with_momentum, twin, [3])
    with pytest.raises(ValueError, match="keeps the states mom of parameter .*, got momentum_buffer"):
        ours.load_state_dict(with_momentum.state_dict())


def test_a_state_dict_that_does_not_fit_changes_nothing():
    params = parameters()
    optimizer = mxopt.torch.Optimizer(params, "adam", lr=0.1)
    steps(optimizer, params, [1])
    twin = parameters()
    other = mxopt.torch.Optimizer(twin, "ftrl", lr=0.1)
    steps(other, twin, [1])
    amsgrad = torch.optim.Adam(twin, amsgrad=True)
    steps(amsgrad, twin, [1])
    cut = copy.deepcopy(optimizer.state_dict())
    cut["state"][1]["exp_avg"] = torch.zeros(2)
    before = copy.deepcopy(optimizer.state_dict())
    for state, words in (
        (other.state_dict(), "keeps the states exp_avg, exp_avg_sq|has no argument"),
        (amsgrad.state_dict(), "no AMSGrad"),
        (cut, r"must have shape \(5, 1\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            optimizer.load_state_dict(state)
        after = optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"]
        for place, tensors in before["state"].items():
            assert all(torch.equal(after["state"][place][name], tensor) for name, tensor in tensors.items())
    steps(optimizer, params, [2])


def test_names_of_parameters_are_in_messages():
    if not hasattr(torch.optim.Optimizer, "register_state_dict_pre_hook"):
        pytest.skip("this torch hands parameters over without names")
    model = torch.nn.Linear(3, 2)
    optimizer = mxopt.torch.Optimizer(model.named_parameters(), "adam")
    for param in model.parameters():
        param.grad = torch.zeros_like(param)
    optimizer._runs[0].updater.states[0] = (np.zeros(1, "f4"), np.zeros(1, "f4"))
    with pytest.raises(ValueError, match="'weight'"):
        optimizer.step()


LATER = mxopt.lr_scheduler
ONE_CYCLE = {"anneal_strategy": "decay", "total_steps": "max_update", "max_lr": "base_lr"}
RESTARTS = {"T_0": "period", "T_mult": "period_factor", "eta_min": "final_lr"}


@pytest.mark.parametrize(
    ("theirs", "ours", "names", "settings"),
    [
        ("OneCycleLR", "OneCycleScheduler", ONE_CYCLE, {"total_steps": 40, "max_lr": 0.3}),
        (
            "OneCycleLR", "OneCycleScheduler", ONE_CYCLE,
            {"total_steps": 37, "max_lr": 0.3, "pct_start": 0.2, "div_factor": 7.0, "final_div_factor": 9.0,
             "three_phase": True},
        ),
        (
            "OneCycleLR", "OneCycleScheduler", ONE_CYCLE,
            {"total_steps": 40, "max_lr": 0.3, "anneal_strategy": "linear", "pct_start": 0.45},
        ),
        ("CosineAnnealingWarmRestarts", "CosineRestartsScheduler", RESTARTS, {"T_0": 7, "eta_min": 0.01}),
        ("CosineAnnealingWarmRestarts", "CosineRestartsScheduler", RESTARTS, {"T_0": 3, "T_mult": 2}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # of steps of a scheduler without steps of the optimizer
def test_the_rate_of_update_n_is_that_of_torchs_step_n_minus_1(theirs, ours, names, settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = getattr(torch.optim.lr_scheduler, theirs)(optimizer, **settings)
    given = {names.get(name, name): value for name, value in settings.items()}
    if given.get("decay") == "cos":
        given["decay"] = "cosine"
    schedule = getattr(LATER, ours)(**{"base_lr": 0.3, **given})
    for update in range(1, settings.get("total_steps", 60)):
        assert schedule(update) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-13), update
        scheduler.step()


def test_schedule_free_parameters_move_between_their_points():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = mxopt.torch.Optimizer([weight], "schedulefreesgd", lr=0.1)
    for _ in range(3):
        weight.grad = torch.tensor([1.0, -1.0, 2.0])
        optimizer.step()
    before, version = weight.detach().clone(), weight._version
    optimizer.eval()
    assert (weight != before).all()
    assert weight._version > version
    with pytest.raises(ValueError, match="train"):
        optimizer.step()
    optimizer.train()
    torch.testing.assert_close(weight.detach(), before)
    optimizer.step()


@pytest.mark.parametrize("width", ["bfloat16", "int8"])
def test_narrow_states_are_shown_and_resumed(width):
    weights = [torch.nn.Parameter(torch.ones(80, 80)) for _ in range(2)]
    optimizers = [mxopt.torch.Optimizer([w], "adam", lr=0.1, state_dtype=width) for w in weights]
    for step in range(6):
        if step == 3:
            saved = optimizers[1].state_dict()
            optimizers[1] = mxopt.torch.Optimizer([weights[1]], "adam", lr=0.1, state_dtype=width)
            optimizers[1].load_state_dict(saved)
        for weight, optimizer in zip(weights, optimizers):
            weight.grad = torch.randn(80, 80, generator=torch.Generator().manual_seed(step))
            optimizer.step()
    assert torch.equal(*weights)
    scales = {"exp_avg_scale", "exp_avg_sq_scale"} if width == "int8" else set()
    assert set(optimizers[1].state[weights[1]]) == {"step", "exp_avg_q", "exp_avg_sq_q", *scales}


def test_masters_in_two_halves():
    params, others = parameters(dtype=torch.bfloat16), parameters(dtype=torch.bfloat16)
    split = mxopt.torch.Optimizer(params, "adam", lr=0.01, multi_precision="split")
    whole = mxopt.torch.Optimizer(others, "adam", lr=0.01, multi_precision=True)
    steps(split, params, [1, 2])
    steps(whole, others, [1, 2])
    assert all(torch.equal(a, b) for a, b in zip(params, others))
    low = split.state[params[0]]["master_low"]
    assert low.dtype == torch.int16 and low.any()
    copies = [torch.nn.Parameter(p.detach().clone()) for p in params]
    resumed = mxopt.torch.Optimizer(copies, "adam", lr=0.01, multi_precision="split")
    resumed.load_state_dict(copy.deepcopy(split.state_dict()))
    for optimizer, own in ((split, params), (whole, others), (resumed, copies)):
        steps(optimizer, own, [3])
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(params, others, copies))
    whole.load_state_dict(copy.deepcopy(split.state_dict()))  # a state_dict brings its options along
    for optimizer, own in ((split, params), (whole, others)):
        steps(optimizer, own, [4])
    assert all(torch.equal(a, b) for a, b in zip(params, others)) and "master_low" in whole.state[others[0]]
