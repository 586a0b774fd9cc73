"""A job that trains and saves forever, until one of its ranks fails in the requested way."""

import os
import signal
import sys
import threading
import time

import numpy as np

import mxopt
from mxopt.distributed import world

path, how, victim, delay = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
ranks = world.world()
print(f"[{os.getpid()}]", flush=True)
updater = mxopt.get_updater(mxopt.create("adam"), comm=ranks, transport="messages" if victim % 2 else None)
store = mxopt.kv.create("dist_sync")
weights = [np.ones(70_000, np.float32), np.ones((30, 4), np.float32)]
grads = [np.full_like(weight, 1 + ranks.rank) for weight in weights]
store.init("w", weights[1])
updater([0, 1], grads, weights)
updater.save_states(path)
begin = time.monotonic()
if ranks.rank == victim and how == "kill":
    # at any moment, also within an exchange or a write
    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
while True:
    late = ranks.rank == victim and time.monotonic() - begin > delay
    if late and how == "raise":
        raise ArithmeticError("the loss is nan")
    if late and how == "exit":
        sys.exit(3)
    if late and how == "end":
        break
    if late and how == "shape":
        grads[0] = grads[0][:-1]
    if late and how == "rate":
        updater.optimizer.set_learning_rate(0.5)
    if late and how == "order":
        store.barrier()
    updater([0, 1], grads, weights)
    store.push("w", grads[1])
    store.pull("w", out=weights[1])
    updater.save_states(path)
