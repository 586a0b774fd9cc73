"""A network in PyTorch, and the rest of a gluon script as it was."""

from pathlib import Path

import numpy as np
import pytest
from processes import printed

import mxopt
import mxopt.v1

torch = pytest.importorskip("torch")
gluon = mxopt.gluon
dialects = pytest.mark.parametrize("mx", [mxopt, mxopt.v1], ids=["2.x", "1.x"])


class Classifier(torch.nn.Module):
    """Words to classes; decodes with the weights that it encodes with."""

    def __init__(self, words=12, width=5, sparse=False, tied=False):
        super().__init__()
        self.words = torch.nn.Embedding(words, width, sparse=sparse)
        self.mix = torch.nn.Linear(width, width)
        self.out = torch.nn.Linear(width, words, bias=False)
        if tied:
            self.out.weight = self.words.weight

    def forward(self, sentences):
        return self.out(torch.tanh(self.mix(self.words(sentences).mean(1))))


def made(**options):
    torch.manual_seed(0)
    return Classifier(**options)


def backward(net, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    sentences = torch.randint(0, 12, (8, 3), generator=drawn)
    net.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(sentences), sentences[:, 0], reduction="sum")
    loss.backward()
    return loss.item() / 8


def values(net):
    return {name: value.detach().clone() for name, value in net.named_parameters()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("given", [lambda net: net.named_parameters(), lambda net: net,
                                   lambda net: dict(net.named_parameters())])  # fmt: skip
@dialects
def test_a_network_learns(mx, given):
    net = made()
    trainer = mx.gluon.Trainer(given(net), "adam", {"learning_rate": 0.05})
    losses = []
    for step in range(25):
        losses.append(backward(net, seed=step % 3))
        trainer.step(8)
    assert losses[-1] < losses[0] / 2


def test_steps_are_those_of_the_arrays_alone():
    net = made()
    weights = {name: value.numpy().copy() for name, value in values(net).items()}
    trainer = gluon.Trainer(net.named_parameters(), "nag", {"momentum": 0.9, "wd": 0.01})
    other = gluon.Trainer(list(weights.items()), "nag", {"momentum": 0.9, "wd": 0.01})
    for step in range(3):
        backward(net, step)
        grads = {name: value.grad.numpy().copy() for name, value in net.named_parameters()}
        trainer.step(8)
        other.step(8, grads=grads)
    for name, value in values(net).items():
        np.testing.assert_array_equal(value.numpy(), weights[name])


def test_shared_weights_are_one_parameter():
    net = made(tied=True)
    named = list(net.named_parameters(remove_duplicate=False))
    assert [name for name, _ in named].count("out.weight") == 1
    trainer = gluon.Trainer(named, "sgd", {"learning_rate": 0.5})
    assert [parameter.name for parameter in trainer._params] == ["words.weight", "mix.weight", "mix.bias"]
    backward(net)
    before = values(net)
    trainer.step(1)
    expected = before["words.weight"] - 0.5 * net.words.weight.grad
    np.testing.assert_allclose(net.out.weight.detach(), expected, rtol=1e-6)


def test_what_torch_does_not_train_is_left_alone():
    net = made()
    net.words.weight.requires_grad_(False)
    trainer = gluon.Trainer(net.named_parameters(), "sgd", {"learning_rate": 0.5})
    before = values(net)
    backward(net)
    trainer.step(1)  # no complaint about the gradient that is not there
    assert torch.equal(net.words.weight, before["words.weight"])
    assert not torch.equal(net.mix.weight, before["mix.weight"])
    with pytest.raises(RuntimeError, match=r"'words.weight' takes no gradient.* call its requires_grad_\(\)"):
        trainer.step(1, grads={"words.weight": np.ones((12, 5), np.float32)})
    net.words.weight.requires_grad_()  # thawed, as the message says
    net.mix.requires_grad_(False)
    middle = values(net)
    backward(net, 1)
    trainer.step(1)
    assert not torch.equal(net.words.weight, middle["words.weight"])
    assert torch.equal(net.mix.weight, middle["mix.weight"])


def test_a_gradient_that_is_missing_is_told_of():
    net = made()
    net.spare = torch.nn.Linear(2, 2)
    trainer = gluon.Trainer(net.named_parameters(), "sgd", {"learning_rate": 0.5})
    before = values(net)
    backward(net)
    with pytest.raises(UserWarning, match=r"'spare.weight', 'spare.bias'.* ignore_stale_grad=True"):
        trainer.step(1)
    assert same(before, values(net))
    trainer.step(1, ignore_stale_grad=True)
    assert torch.equal(net.spare.weight, before["spare.weight"])
    assert not torch.equal(net.out.weight, before["out.weight"])


@pytest.mark.parametrize(
    ("optimizer", "lazy"), [("sgd", True), ("adam", True), ("adam", False), ("adagrad", None)]
)
def test_gradients_of_sparse_embeddings(optimizer, lazy):
    settings = {"learning_rate": 0.5} if lazy is None else {"learning_rate": 0.5, "lazy_update": lazy}
    net, dense = made(sparse=True), made()
    trainers = [gluon.Trainer(x.named_parameters(), optimizer, dict(settings)) for x in (net, dense)]
    before = values(net)
    for x, trainer in zip((net, dense), trainers):
        backward(x)
        trainer.step(8)
    assert net.words.weight.grad.is_sparse
    rows = net.words.weight.grad.coalesce().indices()[0]
    untouched = [row for row in range(12) if row not in rows]
    assert untouched
    assert torch.equal(net.words.weight[untouched], before["words.weight"][untouched])
    np.testing.assert_allclose(
        net.words.weight.detach().numpy(), dense.words.weight.detach().numpy(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_a_master(dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    net = made().to(getattr(torch, dtype))
    trainer = gluon.Trainer(
        net.named_parameters(), "sgd", {"learning_rate": 1e-4, "momentum": 0.9, "multi_precision": True}
    )
    start = values(net)
    for step in range(4):
        backward(net, step)
        trainer.step(8)
    master = trainer._updaters[0].states[0][0]
    assert master.dtype == np.float32
    # a quarter of a step's size is below what the narrow weight can tell; the master adds it up
    assert not np.array_equal(master, start["words.weight"].float().numpy())
    narrow = torch.from_numpy(np.array(master)).to(net.words.weight.dtype)
    assert torch.equal(narrow, net.words.weight.detach())


def test_a_net_and_its_trainer_go_on_from_their_files(tmp_path):
    def trained(net, trainer, steps):
        for step in steps:
            backward(net, step)
            trainer.step(8)
        return values(net)

    def trainer_of(net):
        schedule = mxopt.lr_scheduler.FactorScheduler(2, 0.5, base_lr=0.1)
        return gluon.Trainer(net.named_parameters(), "adam", {"learning_rate": 0.1, "lr_scheduler": schedule})

    net = made()
    trainer = trainer_of(net)
    trained(net, trainer, range(3))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    trainer.save_states(tmp_path / "trainer.states")
    straight = trained(net, trainer, range(3, 6))

    torch.manual_seed(1)
    again = Classifier()
    resumed = trainer_of(again)
    again.load_state_dict(torch.load(tmp_path / "net.pt"))
    resumed.load_states(tmp_path / "trainer.states")
    assert same(trained(again, resumed, range(3, 6)), straight)


def test_a_module_that_moves_its_parameters_is_followed():
    net = made()
    trainer = gluon.Trainer(net.named_parameters(), "sgd", {"learning_rate": 0.5})
    backward(net)
    trainer.step(8)
    for value in net.parameters():
        value.data = value.data.clone()  # as .to() and .half() do
    before = values(net)
    backward(net)
    trainer.step(8)
    assert not torch.equal(net.mix.weight, before["mix.weight"])
    np.testing.assert_array_equal(trainer._params[1].data(), net.mix.weight.detach().numpy())


def test_autograd_notices_the_update():
    weight = torch.nn.Parameter(torch.ones(3))
    trainer = gluon.Trainer([("w", weight)], "sgd", {"learning_rate": 0.5})
    loss = (weight * weight).sum()
    loss.backward(retain_graph=True)
    trainer.step(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_tensors_need_names():
    with pytest.raises(ValueError, match=r"of a torch module its named_parameters\(\)"):
        gluon.Trainer(list(made().parameters()), "sgd")


@pytest.mark.parametrize("optimizer", ["adam", "lamb"])
def test_the_ported_script(optimizer, tmp_path):
    script = Path(__file__).parents[2] / "examples" / "gluon_to_torch.py"
    said = printed("-W", "error::UserWarning", script, "--optimizer", optimizer, cwd=tmp_path)
    assert "the resumed run ends in the same bits" in said
    losses = [float(line.split()[-1]) for line in said.splitlines() if line.startswith("epoch")][:6]
    assert losses[-1] < losses[0] / 2
