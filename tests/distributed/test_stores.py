"""MXNet's distributed stores by name, and Horovod's names."""

import pytest
from jobs import HERE, code, job

import mxopt


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_what_mxnets_own_tests_ask(ranks, tmp_path):
    assert job(ranks, HERE / "job_stores.py", tmp_path / "states").lines() == [{}] * ranks


HOROVOD = """
import numpy as np, mxopt as mx, mxopt.horovod as hvd
hvd.init()
rank, size = hvd.rank(), hvd.size()
assert hvd.local_size() == size and hvd.local_rank() == rank and hvd.is_initialized()
params = {"b": np.full(3, rank, np.float32), "a": np.full((2, 2), rank, np.float32)}
hvd.broadcast_parameters(params, root_rank=size - 1)
assert all((value == size - 1).all() for value in params.values())
mean = (size + 1) / 2
assert np.allclose(hvd.allreduce(np.full(3, rank + 1, np.float32), name="x"), mean)
assert np.allclose(hvd.allreduce(np.full(3, rank + 1, np.float32), average=False), mean * size)
assert hvd.allgather(np.full((rank + 1, 2), rank, np.float32)).shape == (size * (size + 1) // 2, 2)
weight = np.full((4, 2), float(rank), np.float32)
trainer = hvd.DistributedTrainer({"w": weight}, "sgd", {"learning_rate": 1.0})
trainer.step(2, grads={"w": np.full((4, 2), rank + 1, np.float32)})
assert np.allclose(weight, -mean / 2), weight
opt = hvd.DistributedOptimizer(mx.optimizer.create("sgd", learning_rate=1.0))
weight = np.zeros((4, 2), np.float32)
opt.update(0, weight, np.full((4, 2), rank + 1, np.float32), opt.create_state(0, weight))
assert np.allclose(weight, -mean)
print("{}", flush=True)
"""


@pytest.mark.parametrize("ranks", [1, 3])
def test_horovod(ranks, tmp_path):
    assert code(ranks, HOROVOD, tmp_path).lines() == [{}] * ranks


@pytest.mark.parametrize("name", ["dist_async", "dist_device_async", "p3", "byteps"])
def test_missing_stores_are_refused_with_a_cure(name):
    with pytest.raises(NotImplementedError, match="use 'dist_sync'"):
        mxopt.kv.create(name)


@pytest.mark.parametrize("name", ["Dist_Sync", "dist", "dist_sync_device", "dist_device_sync", "horovod"])
def test_names(name):
    store = mxopt.kv.create(name)
    assert (store.type, store.rank, store.num_workers) == (name.lower(), 0, 1)


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"type": "4bit"}, "unknown type"),
        ({}, "'type'"),
        ({"type": "2bit", "threshold": 0}, "greater than 0"),
    ],
)
def test_bad_compression_settings_are_refused(parameters, words):
    with pytest.raises(ValueError, match=words):
        mxopt.kv.create("dist_sync").set_gradient_compression(parameters)


def test_horovod_before_init():
    from mxopt import horovod

    if not horovod.is_initialized():
        with pytest.raises(ValueError, match="hvd.init"):
            horovod.rank()
