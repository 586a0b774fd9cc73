"""Files of every released version stay readable."""

import mxnet_files
import pytest
import released

import mxopt

PATHS = sorted(released.FOLDER.rglob("*.states"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_of_a_release_reads_as_it_was_meant(path):
    name, _, dump = path.stem.partition("-")
    expected = released.made(name)
    kind = type(expected.optimizer).__name__.lower()
    updater = mxopt.get_updater(mxopt.create("test" if dump else kind, **({} if dump else arguments(name))))
    updater.load_states(path)
    mxnet_files.assert_same(updater.states, expected.states)
    assert updater.optimizer._index_update_count == expected.optimizer._index_update_count
    assert updater.optimizer.num_update == expected.optimizer.num_update
    assert type(updater.optimizer) is type(expected.optimizer)
    for attribute in updater.optimizer.progress:
        assert getattr(updater.optimizer, attribute) == getattr(expected.optimizer, attribute)
    if dump:
        got, wanted = updater.optimizer.__getstate__(), expected.optimizer.__getstate__()
        for state in (got, wanted):
            scheduler = state["lr_scheduler"]
            state["lr_scheduler"] = (type(scheduler), scheduler and vars(scheduler))
        assert got == wanted


def arguments(name):
    return {"masters": {"momentum": 0.5, "multi_precision": True}}.get(name, {})


def test_every_release_left_all_its_files():
    assert {path.parent.name for path in PATHS} >= {"0.1.0"}
    for version in {path.parent for path in PATHS}:
        assert len(list(version.glob("*.states"))) >= 8
