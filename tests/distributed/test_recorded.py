"""``dist_sync`` over two ranks, beside what real MXNet 1.9.1 did in its own, with a scheduler and a server.

``tests/oracle/test_dist_sync.py`` repeats those runs live.
"""

import numpy as np
import pytest
from jobs import HERE, job

#: GroupAdaGrad adds the squares of a row in an order of its own, as docs/numerics says.
IN_ANOTHER_ORDER = "rows of groups"


@pytest.mark.parametrize("keys", ["int", "str", "compressed"])
def test_two_workers_end_in_mxnets_bits(keys, tmp_path):
    assert job(2, HERE / "dist_sync.py", "mxopt.v1", keys, tmp_path / "out.npz").lines() == [{}] * 2
    with np.load(tmp_path / "out.npz") as ours, np.load(HERE / "recorded" / f"{keys}.npz") as mxnets:
        assert sorted(ours.files) == sorted(mxnets.files)
        differ = {}
        for name in ours.files:
            assert ours[name].dtype == mxnets[name].dtype
            if name.startswith(IN_ANOTHER_ORDER):
                np.testing.assert_array_max_ulp(ours[name], mxnets[name], maxulp=2)
            elif ours[name].tobytes() != mxnets[name].tobytes():
                differ.setdefault(name.partition("/")[0], []).append(
                    float(np.abs(ours[name].astype(float) - mxnets[name]).max())
                )
        assert not differ
