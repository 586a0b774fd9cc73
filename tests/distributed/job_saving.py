"""A job: train, save, or load and train on; prints digests."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import runs
from job_sharded import SHAPES, digest, gradients, with_rows

import mxopt
from mxopt.distributed import world


def train(updater, weights, case):
    """Take some steps; matrices have row-sparse gradients where the case asks for them."""
    count, shapes = case["count"], case.get("shapes", SHAPES)
    begin, end = getattr(updater, "micro_batches", (0, count))
    for step in range(*case["steps"]):
        for batch in range(begin, end):
            grads = gradients(tuple(map(tuple, shapes)), case.get("dtype", "float32"), 100 * step + batch)
            if case.get("sparse"):
                grads = [with_rows(g, 100 * step + batch) if g.ndim == 2 else g for g in grads]
            updater(list(range(len(weights))), grads, weights)


def main():
    ranks = world.world()
    for case in json.loads(sys.argv[1]):
        opt = mxopt.create(case["name"], **case.get("settings", {}))
        updater = mxopt.get_updater(
            opt,
            comm=ranks,
            accumulate=case["count"],
            transport=case.get("transport"),
            **case.get("options", {}),
        )
        weights = runs.tensors(case.get("shapes", SHAPES), case.get("dtype", "float32"))
        if "load" in case:
            saved = runs.np.load(case["weights"])
            weights = [saved[name].view(case.get("dtype", "float32")) for name in sorted(saved.files)]
            updater.load_states(case["load"], convert=case.get("convert", False))
            if case.get("peek"):  # before any step: the averages are still in the file
                before = digest(weights)
                with updater.average_parameters(list(range(len(weights))), weights):
                    assert digest(weights) != before
                assert digest(weights) == before
        train(updater, weights, case)
        if "save" in case:
            updater.save_states(case["save"], dump_optimizer=case.get("dump", False))
            if ranks.rank == 0:
                runs.np.savez(case["weights"], **{f"{i:02d}": w for i, w in enumerate(weights)})
        blob = updater.get_states()
        found = [digest(weights), len(blob), hash_of(blob), updater.loss_scale, updater.skipped]
        updater.eval(list(range(len(weights))), weights)
        lines = ranks.gather_bytes(json.dumps([*found, digest(weights)]).encode())
        if ranks.rank == 0:
            for line in lines:
                print(line.decode(), flush=True)


def hash_of(blob):
    import hashlib

    return hashlib.sha256(blob).hexdigest()[:16]


if __name__ == "__main__":
    main()
