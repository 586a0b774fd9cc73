"""A job: what MXNet's own tests ask of its ``dist_sync`` store, in our words; every rank checks."""

import sys

import numpy as np

import mxopt.v1 as mx

RATE = 2
#: A small array, and one that is summed part by part (MXNet: split over its servers).
SHAPES = [(2, 3), (150, 130)]
kv = mx.kv.create("dist_sync")
rank, workers = kv.rank, kv.num_workers
#: The sum over ranks of rank + 1.
TOTAL = workers * (workers + 1) // 2


def pulled(key, shape, dtype="float32", store=kv):
    out = mx.nd.zeros(shape, dtype=dtype)
    store.pull(key, out=out)
    return out.asnumpy()


def same(got, expected):
    np.testing.assert_array_equal(got, expected)


def first_values_are_those_of_rank_0():
    for number, (shape, dtype) in enumerate([(s, d) for s in SHAPES for d in ("float32", "float16")]):
        key = f"init{number}"
        kv.init(key, [mx.nd.ones(shape, dtype=dtype) * (number + 10 * rank)])
        same(pulled(key, shape, dtype), number)
    out = mx.nd.zeros((2, 3))
    kv.broadcast("cast", mx.nd.ones((2, 3)) * (rank + 1), out=out)
    same(out.asnumpy(), 1)


def without_optimizer_a_push_replaces():
    kv.init("plain", mx.nd.ones((2, 3)) * 7)
    for _ in range(2):
        kv.push("plain", mx.nd.ones((2, 3)) * (rank + 1))
        same(pulled("plain", (2, 3)), TOTAL)
    kv.push("plain", [mx.nd.ones((2, 3))] * 5)
    same(pulled("plain", (2, 3)), 5 * workers)


def dense_keys(dtype, repeats=3):
    for number, shape in enumerate(SHAPES):
        key = f"dense{number}{dtype}"
        kv.init(key, mx.nd.ones(shape, dtype=dtype))
        for repeat in range(1, repeats + 1):
            gradient = mx.nd.ones(shape, dtype=dtype) * (rank + 1)
            kv.push(key, gradient)
            same(pulled(key, shape, dtype), 1 + TOTAL * RATE * repeat)
            same(gradient.asnumpy(), rank + 1)  # MXNet's pull would write to it


def several_keys_and_pushpull():
    keys = ["many0", "many1"]
    kv.init(keys, [mx.nd.ones(shape) for shape in SHAPES])
    kv.push(keys, [[mx.nd.ones(shape)] * 2 for shape in SHAPES])
    for key, shape in zip(keys, SHAPES):
        same(pulled(key, shape), 1 + 2 * workers * RATE)
    out = [mx.nd.zeros(shape) for shape in SHAPES]
    kv.pushpull(keys, [mx.nd.ones(shape) for shape in SHAPES], out=out)
    for array in out:
        same(array.asnumpy(), 1 + 3 * workers * RATE)


def row_sparse_keys(dtype, repeats=3):
    for number, shape in enumerate(SHAPES):
        key, rows = f"rows{number}{dtype}", shape[0]
        kv.init(key, mx.nd.ones(shape, dtype=dtype).tostype("row_sparse"))
        mine = [(rank + step * 3) % rows for step in range(2 + number * 20)]
        gradient = np.zeros(shape, dtype)
        gradient[mine] = rank + 1
        expected = np.ones(shape, dtype)
        for repeat in range(repeats):
            kv.push(key, mx.nd.array(gradient, dtype=dtype).tostype("row_sparse"))
            for other in range(workers):
                expected[sorted({(other + step * 3) % rows for step in range(2 + number * 20)})] += (
                    other + 1
                ) * RATE
            asked = np.random.RandomState(rank + repeat).randint(rows, size=rows)
            out = mx.nd.sparse.zeros("row_sparse", shape, dtype=dtype)
            kv.row_sparse_pull(key, out=out, row_ids=mx.nd.array(asked))
            wanted = np.zeros(shape, dtype)
            wanted[asked] = expected[asked]
            same(out.asnumpy(), wanted)
        empty = mx.nd.sparse.zeros("row_sparse", shape, dtype=dtype)
        kv.push(key, empty)
        kv.row_sparse_pull(key, out=empty, row_ids=mx.nd.array([]))
        same(empty.asnumpy(), 0)


def two_bits(threshold=0.5):
    store = mx.kv.create("dist_sync")
    store.set_optimizer(mx.optimizer.create("test", rescale_grad=RATE))
    store.set_gradient_compression({"type": "2bit", "threshold": threshold})
    for number, shape in enumerate([*SHAPES, (31, 7)]):
        key = f"bits{number}"
        store.init(key, mx.nd.zeros(shape))
        store.init(f"first{number}", mx.nd.ones(shape))
        same(pulled(f"first{number}", shape, store=store), 1)  # the first value is not compressed
        value = 0
        # nothing; too little; just enough with what was left; too little; enough; all at once
        for sent, steps in [
            (0, 0),
            (0.4, 0),
            (threshold - 0.4, 1),
            (0.2, 0),
            (threshold - 0.2, 1),
            (threshold, 1),
        ]:
            store.push(key, mx.nd.ones(shape) * sent)
            value += steps * threshold * RATE * workers
            same(pulled(key, shape, store=store), value)
        drawn, left = np.random.RandomState(3), np.zeros(shape, np.float32)
        for _ in range(4):
            before = pulled(key, shape, store=store)
            gradient = drawn.uniform(-1, 1, shape).astype(np.float32)
            store.push(key, mx.nd.array(gradient))
            left += gradient
            sent = np.where(left >= threshold, threshold, np.where(left <= -threshold, -threshold, 0)).astype(
                "f4"
            )
            left -= sent
            same(pulled(key, shape, store=store), before + sent * workers * RATE)


def a_trainer():
    x = mx.gluon.Parameter("x", shape=(10, 1))
    x.initialize(init="ones")
    trainer = mx.gluon.Trainer([x], "sgd", {"learning_rate": 1.0}, kvstore="dist_sync")
    trainer.step(1, grads=[np.full((10, 1), rank + 1, np.float32)])
    same(x.data().asnumpy(), 1 - TOTAL)
    assert trainer.update_on_kvstore
    trainer.set_learning_rate(0.5)  # MXNet's servers would not be told
    trainer.step(1, grads=[np.full((10, 1), rank + 1, np.float32)])
    same(x.data().asnumpy(), 1 - 1.5 * TOTAL)
    for kvstore, on_store in (("dist_sync", False), ("horovod", None)):
        weight = np.ones((4, 2), np.float32)
        trainer = mx.gluon.Trainer({"w": weight}, "sgd", {"learning_rate": 1.0}, kvstore=kvstore,
                                   update_on_kvstore=on_store)  # fmt: skip
        trainer.step(workers, grads={"w": np.full((4, 2), rank + 1, np.float32)})
        np.testing.assert_allclose(weight, 1 - TOTAL / workers, rtol=1e-6)


def a_module():
    weight = np.full((3, 2), rank + 1, np.float32)
    module = mx.mod.ParameterModule({"fc_weight": weight})
    module.init_optimizer(kvstore="dist_sync", optimizer="sgd", optimizer_params={"learning_rate": 1.0})
    module.update({"fc_weight": np.full((3, 2), rank + 1, np.float32)})
    np.testing.assert_allclose(
        module.get_params()[0]["fc_weight"].asnumpy(), 1 - TOTAL * module._optimizer.rescale_grad
    )


def multipliers_by_name_count():
    store = mx.kv.create("dist_device_sync")
    opt = mx.optimizer.create("sgd", learning_rate=1.0)
    opt.set_lr_mult({"slow": 0.5})
    store.init(["slow", "fast"], [np.zeros(3, np.float32)] * 2)
    if rank == workers - 1:  # one rank's call is enough
        store.set_optimizer(opt)
    store.push(["slow", "fast"], [np.ones(3, np.float32)] * 2)
    same(pulled("slow", 3, store=store), -0.5 * workers)
    same(pulled("fast", 3, store=store), -1.0 * workers)
    assert (store.type, store.rank, store.num_workers) == ("dist_device_sync", rank, workers)
    assert store.is_capable("optimizer")


def states_can_be_saved(path):
    store = mx.kv.create("dist")
    store.init(3, np.zeros(5, np.float32))
    store.set_optimizer(mx.optimizer.create("adam", learning_rate=0.1))
    store.push(3, np.full(5, rank + 1, np.float32))
    store.save_optimizer_states(path, dump_optimizer=True)
    store.push(3, np.full(5, rank + 1, np.float32))
    once, again = pulled(3, 5, store=store), mx.kv.create("dist_sync")
    again.init(3, np.full(5, -0.1, np.float32))
    again.set_optimizer(mx.optimizer.create("adam", learning_rate=0.1))
    again.load_optimizer_states(path)
    again.push(3, np.full(5, rank + 1, np.float32))
    np.testing.assert_allclose(pulled(3, 5, store=again), once, rtol=1e-5)


def sums_are_in_the_order_of_ranks():
    values = [
        np.random.RandomState(r).standard_normal((150, 130)).astype(np.float32) * 10.0**r
        for r in range(workers)
    ]
    total = values[0].copy()
    for value in values[1:]:
        total += value
    for shape in ((150, 130), (10, 13)):
        store = mx.kv.create("dist_sync")
        store.init("w", np.zeros(shape, np.float32))
        store.push("w", values[rank][: shape[0], : shape[1]])
        same(pulled("w", shape, store=store), total[: shape[0], : shape[1]])


first_values_are_those_of_rank_0()
without_optimizer_a_push_replaces()
sums_are_in_the_order_of_ranks()
kv.set_optimizer(mx.optimizer.create("test", rescale_grad=RATE, multi_precision=True))
for dtype in ("float32", "float16"):
    dense_keys(dtype)
    row_sparse_keys(dtype)
several_keys_and_pushpull()
two_bits()
a_trainer()
a_module()
multipliers_by_name_count()
states_can_be_saved(sys.argv[1])
kv.barrier()
kv._barrier()
print("{}", flush=True)
