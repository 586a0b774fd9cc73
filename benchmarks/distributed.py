import sys
import time

import numpy as np

import mxopt
from mxopt.distributed import world

n = int(float(sys.argv[1])); tr = sys.argv[2]
ranks = world.world()
up = mxopt.get_updater(mxopt.create("adam"), comm=ranks, accumulate=2, transport=None if tr == "windows" else tr)
w = np.ones(n, "f4"); g = np.full(n, 0.5, "f4")
b, e = getattr(up, "micro_batches", (0, 2))
def step():
    for _ in range(b, e): up(0, g, w)
step(); step(); best = 9
for _ in range(7):
    ranks.agree("t"); t = time.perf_counter(); step(); ranks.agree("t"); best = min(best, time.perf_counter() - t)
if ranks.rank == 0: print(tr, ranks.size, n, f"{best*1e3:.1f} ms")
if ranks.size > 1 and tr == "messages":
    # the bare exchanges beside it
    from mpi4py import MPI
    c = MPI.COMM_WORLD; h = n // 2
    rb = np.empty(n, "f4"); wp = w[ranks.rank*h:(ranks.rank+1)*h].copy(); m = mxopt.get_updater(mxopt.create("adam"));gg=g[:h].copy(); m(0, gg, wp); best = 9
    for _ in range(7):
        c.Barrier(); t = time.perf_counter()
        c.Alltoallv([g, [h, h], [0, h], MPI.FLOAT], [rb, [h, h], [0, h], MPI.FLOAT]); t1=time.perf_counter()
        m(0, gg, wp); t2=time.perf_counter(); c.Allgather([wp, MPI.FLOAT], [w, MPI.FLOAT]); c.Barrier(); t3=time.perf_counter()
        if t3-t<best: best=t3-t; parts=(t1-t,t2-t1,t3-t2)
    if ranks.rank == 0: print("bare", f"{best*1e3:.1f} ms", [round(p*1e3,1) for p in parts])
