"""A rank that fails ends the job: with a line that says which rank and what, and no process left."""

import os
import random
import re
import subprocess
import sys

import pytest
from jobs import HERE, code, environment, job

import mxopt
from mxopt.distributed.launch import mpiexec

#: How a rank fails, and what is said of it.
FAULTS = {
    "kill": "rank {victim} (process",
    "raise": "rank {victim} of {ranks}: ArithmeticError: the loss is nan",
    "exit": "rank {victim} has ended its program",
    "end": "rank {victim} has ended its program",
    "shape": "gradient of index 0 must fit its weight of shape (70000,), got shape (69999,)",
    "rate": "lr 0.5",
    "order": "barrier",
}

#: How many faults at random moments are tried.
NUMBER = int(os.environ.get("MXOPT_TEST_FAULTS", "7"))


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("number", range(NUMBER))
def test_one_fault_ends_all(number, tmp_path):
    draw = random.Random(number)
    how = list(FAULTS)[number % len(FAULTS)]
    ranks = draw.choice([2, 2, 3])
    victim = draw.randrange(ranks)
    path = tmp_path / "states"
    done = job(ranks, HERE / "job_faults.py", path, how, victim, draw.uniform(0, 0.3))
    assert done.status != 0
    assert all(map(gone, map(int, re.findall(r"\[(\d+)\]", done.out))))
    said = "\n".join(done.said())
    assert FAULTS[how].format(victim=victim, ranks=ranks) in said, done.err
    updater = mxopt.get_updater(mxopt.create("adam"))
    updater.load_states(path)
    assert updater.states[0][0].shape == (70_000,)
    assert [name for name in os.listdir(tmp_path) if not name.endswith(".tmp")] == ["states"]


@pytest.mark.parametrize(
    "text, words",
    [
        # another optimizer, another setting
        ("mx.get_updater(mx.create(('adam', 'sgd')[rank]), comm=comm)", "Adam"),
        ("mx.get_updater(mx.create('adam', learning_rate=(0.1, 0.2)[rank]), comm=comm)", "lr 0.2"),
        ("mx.get_updater(mx.create('adam'), comm=comm, accumulate=2 + rank)", "accumulate"),
        # other tensors, another order
        ("step(mx.create('adam'), [0], [np.ones(3 + rank, 'f')])", "(4,)"),
        (
            "step(mx.create('adam'), [[0, 1], [1, 0]][rank], [np.ones(3, 'f'), np.ones(3, 'f')])",
            "the tensors",
        ),
        (
            "kv.init('a', np.ones(3)); kv.push('a', np.ones(3)) if rank else kv.barrier()",
            "is at push of key 'a'",
        ),
        ("kv.init('a', np.ones(3)); kv.push('b', np.ones(3))", "key 'b' is not in the store"),
        ("kv.set_optimizer(mx.create(('adam', 'sgd')[rank])); kv.barrier()", "the optimizer"),
        ("mx.create('sgld'); step(mx.create('sgld'), [0], [np.ones(3, 'f')])", "mx.random.seed"),
        # averages
        ("averaged().eval(0, np.ones(4, 'f'))", "must keep its shape (3,), got (4,)"),
        ("averaged().eval(rank, w)", "the tensors"),
        ("u = averaged(); u.eval(0, w); u(0, w, w)", "call train() first"),
        ("mx.get_updater(mx.create('adam'), comm=comm, ema=(0.9, 0.8)[rank])", "ema"),
        ("mx.get_updater(mx.create('adam'), comm=comm, ema=1.0)", "ema must be"),
        # what cannot be sharded
        ("mx.get_updater(Own(), comm=comm)", "has an update of its own"),
        ("mx.get_updater(mx.create('lamb', use_fused_step=False), comm=comm)", "use_fused_step=True"),
        ("mx.get_updater(mx.create('prodigy'), comm=comm)", "it sums over all tensors"),
        ("mx.get_updater(mx.create('muon'), comm=comm)", "it multiplies whole matrices"),
        ("mx.get_updater(mx.create('adam', cautious=True), comm=comm)", "cautious=True"),
        ("mx.get_updater(mx.create('adam'), comm=comm, accumulate=1)", "at least the number of ranks, 2"),
        ("mx.get_updater(mx.create('adam'), comm=comm, transport='letters')", "transport must be one of"),
        ("mx.get_updater(mx.create('adam'), comm='world')", "communicator of mpi4py"),
        ("mx.set_num_threads(1 + rank); world.ranks_of(comm.Dup())", "the number of threads"),
        ("kv.set_gradient_compression({'type': '2bit'}); kv.init('a', np.ones(3))", "only for float32"),
    ],
)
def test_what_ranks_disagree_about_is_said_on_every_rank(text, words, tmp_path):
    done = code(
        2,
        f"""
import numpy as np, mxopt as mx
from mpi4py import MPI
from mxopt.distributed import world
comm = MPI.COMM_WORLD
rank = comm.rank
kv = mx.kv.create("dist_sync")

class Own(mx.optimizer.Optimizer):
    def update(self, index, weight, grad, state):
        weight -= grad

def step(opt, indices, weights):
    mx.get_updater(opt, comm=comm)(indices, [np.ones_like(w) for w in weights], weights)

w = np.ones(3, "f")

def averaged():
    u = mx.get_updater(mx.create("adam"), comm=comm, ema=0.9)
    u(0, w.copy(), w)
    return u

{text}
kv.barrier()
""",
        tmp_path,
    )
    assert done.status != 0
    said = done.said()
    assert {line.split(" of 2:")[0] for line in said} == {"mxopt: rank 0", "mxopt: rank 1"}, done.err
    assert all(words in line for line in said), done.err


def test_a_plain_python_is_ended_too(tmp_path):
    # mpiexec -n 2 python script.py, without -m mpi4py
    script = tmp_path / "script.py"
    script.write_text(
        "import mxopt\nkv = mxopt.kv.create('dist')\nif kv.rank: raise ValueError('no')\nkv.barrier()\n"
    )
    done = subprocess.run([mpiexec(), "-n", "2", sys.executable, script], capture_output=True, text=True,
                          timeout=60, env=environment())  # fmt: skip
    assert done.returncode != 0
    assert "rank 1 of 2: ValueError: no" in done.stderr


@pytest.mark.parametrize("role", ["server", "scheduler"])
def test_a_parameter_server_ends_at_once(role, tmp_path):
    done = code(1, "import mxopt; mxopt.kv.create('dist_sync'); print('went on')", tmp_path, DMLC_ROLE=role)
    assert "every process is a worker" in done.err and "went on" not in done.out


def test_a_module_is_started_with_its_own_options(tmp_path):
    (tmp_path / "some_module.py").write_text("import sys; print(sys.argv[1:])\n")
    done = job(2, "-m", "some_module", "-n", "--flag", cwd=tmp_path)
    assert done.status == 0, done.err
    assert done.out.count("['-n', '--flag']") == 2
