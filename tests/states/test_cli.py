"""The command line, by its output and its exit status."""

import json
import os
import subprocess
import sys

import mxnet_files
import numpy as np
import pytest
import safetensors.numpy
from processes import environment, printed

import mxopt
from mxopt.cli import main
from mxopt.states import mxnet


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two files of ours, one of MXNet, one of nobody, and a damaged one."""
    scheduler = mxopt.lr_scheduler.FactorScheduler(3, 0.5, base_lr=0.01)
    names = {0: "fc_weight", 1: "fc_bias"}
    optimizer = mxopt.create("adam", param_idx2name=names, learning_rate=0.01, lr_scheduler=scheduler)
    updater = mxopt.get_updater(optimizer)
    weights = [np.ones((2, 3), "f4"), np.ones(4, "f4")]
    for name in ("one", "two"):
        updater([0, 1], [np.ones_like(weight) for weight in weights], weights)
        updater.save_states(tmp_path / f"{name}.states", dump_optimizer=True)
    updater.save_states(tmp_path / "bare.states")
    (tmp_path / "mxnet.states").write_bytes(mxnet_files.data("1.9.1-adam-dump-sched"))
    (tmp_path / "cut.states").write_bytes((tmp_path / "one.states").read_bytes()[:-1])
    safetensors.numpy.save_file({"w": np.ones((2, 2), "f4")}, tmp_path / "other.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments, status=0):
    assert main([str(argument) for argument in arguments]) == status
    return capsys.readouterr()


def test_info(folder, capsys):
    text = run(capsys, "info", "two.states").out
    for line in ("optimizer: adam", "dialect: 2.x", "num_update: 2", "  class: FactorScheduler", "arrays: 4"):
        assert line in text.splitlines()
    said = json.loads(run(capsys, "info", "--json", "mxnet.states").out)
    assert said["optimizer"] == "mxnet.optimizer.optimizer.Adam"
    assert said["num_update"] == 5
    assert said["hyper-parameters"]["lr"] == 0.02
    assert said["scheduler"]["count"] == 4
    said = json.loads(run(capsys, "info", "--json", "other.safetensors").out)
    assert said["kind"] == "safetensors, not of mxopt"


def test_ls(folder, capsys):
    assert run(capsys, "ls", "one.states").out.splitlines() == [
        "array                  dtype    shape  size",
        "states/fc_weight/mean  float32  2x3    24 B",
        "states/fc_weight/var   float32  2x3    24 B",
        "states/fc_bias/mean    float32  4      16 B",
        "states/fc_bias/var     float32  4      16 B",
    ]
    (array,) = json.loads(run(capsys, "ls", "--json", "other.safetensors").out)
    assert array["shape"] == [2, 2]


@pytest.mark.parametrize("name", mxnet_files.NAMES)
def test_ls_of_every_file_of_mxnet(name, capsys):
    found = json.loads(
        run(capsys, "ls", "--json", mxnet_files.FOLDER / mxnet_files.MANIFEST[name]["file"]).out
    )
    expected = []

    def collect(node, path):
        if "array" in node:
            expected.append((f"states/{path}", node["dtype"], node["shape"], node["stype"]))
        for i, part in enumerate(node.get("tuple", ())):
            collect(part, f"{path}/{i}")

    for key, node in mxnet_files.MANIFEST[name]["states"]:
        collect(node, key.partition(":")[2])
    assert [(a["name"], a["dtype"], a["shape"], a["stype"]) for a in found] == expected


def test_check(folder, capsys):
    text = run(capsys, "check", "one.states", "mxnet.states", "other.safetensors").out.splitlines()
    assert text[0] == "one.states: ok (all checksums match)"
    assert all("ok, as far as can be seen" in line for line in text[1:])
    assert "cut.states: DAMAGED: " in run(capsys, "check", "one.states", "cut.states", status=1).out
    results = json.loads(run(capsys, "check", "--json", "one.states", "cut.states", status=1).out)
    assert [bool(result["damage"]) for result in results] == [False, True]


def test_check_sees_every_flipped_byte(folder, capsys):
    path = folder / "one.states"
    data = bytearray(path.read_bytes())
    for position in range(0, len(data), 13):
        data[position] ^= 0x20
        path.write_bytes(data)
        run(capsys, "check", path, status=1)
        data[position] ^= 0x20


def test_check_goes_through_all_files(folder, capsys):
    os.mkdir("folder")
    said = run(capsys, "check", "cut.states", "missing.states", "folder", "one.states", status=2)
    assert [line.partition(": ")[0] for line in said.out.splitlines()] == ["cut.states", "one.states"]
    assert said.err.splitlines() == [
        "mxopt: missing.states: No such file or directory",
        "mxopt: folder: Is a directory",
    ]


def test_diff(folder, capsys):
    assert run(capsys, "diff", "one.states", "one.states").out == "one.states and one.states: no difference\n"
    text = run(capsys, "diff", "one.states", "two.states", status=1).out
    assert "counts/num_update   1 | 2" in text
    assert "6 of 6 elements, by at most" in text
    rows = json.loads(run(capsys, "diff", "--json", "one.states", "bare.states", status=1).out)
    assert {"name": "optimizer/attributes/beta1", "difference": "only in one.states"} in rows


@pytest.mark.parametrize("to", ["mxnet-1.x", "mxnet-2.x"])
def test_convert_there_and_back(folder, capsys, to):
    run(capsys, "convert", "one.states", "there.states", "--to", to)
    assert mxnet.read((folder / "there.states").read_bytes()).optimizer.name == "Adam"
    run(capsys, "convert", "there.states", "back.states", "--dialect", "2.x")
    before, after = mxopt.get_updater(mxopt.create("sgd")), mxopt.get_updater(mxopt.create("sgd"))
    before.load_states("one.states")
    after.load_states("back.states")
    mxnet_files.assert_same(after.states, before.states)
    assert after.optimizer.lr_scheduler.base_lr == before.optimizer.lr_scheduler.base_lr
    assert after.optimizer._index_update_count == before.optimizer._index_update_count


def test_convert_of_a_file_of_mxnet_is_the_same_file(folder, capsys):
    run(capsys, "convert", "mxnet.states", "ours.states")
    run(capsys, "convert", "ours.states", "again.states", "--to", "mxnet-1.x")
    run(capsys, "diff", "mxnet.states", "again.states")


def test_convert_of_bare_states_needs_to_be_told(folder, capsys):
    source = mxnet_files.FOLDER / "1.9.1-sgd-mom.states"
    assert "pass --optimizer" in run(capsys, "convert", source, "out.states", status=1).err
    run(
        capsys,
        "convert",
        source,
        "out.states",
        "--optimizer",
        "sgd",
        "--set",
        "momentum=0.9",
        "--num-update",
        "7",
    )
    updater = mxopt.get_updater(mxopt.create("sgd", momentum=0.9))
    updater.load_states("out.states")
    assert updater.optimizer._index_update_count == {0: 7, 1: 7}


def test_convert_is_told_which_mxnet_wrote_a_file(folder, capsys):
    source = mxnet_files.FOLDER / "2.0.0b1-sgd-mom-fp16-mp.states"
    arguments = [
        "--optimizer",
        "sgd",
        "--set",
        "momentum=0.9",
        "--set",
        "multi_precision=True",
        "--num-update",
        "5",
    ]
    error = run(capsys, "convert", source, "out.states", "--to", "mxnet-1.x", *arguments).err
    assert error.startswith("mxopt: the file does not say which array of the state of index 0")
    assert error.count("\n") == 1
    run(
        capsys,
        "convert",
        source,
        "out.states",
        "--force",
        "--to",
        "mxnet-1.x",
        "--from",
        "mxnet-2.x",
        *arguments,
    )
    expected = mxnet_files.Expected("2.0.0b1-sgd-mom-fp16-mp").states
    got = mxnet.read((folder / "out.states").read_bytes()).states
    mxnet_files.assert_same(got, {key: state[::-1] for key, state in expected.items()})


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["info", "cut.states"], 1, "cut.states: "),
        (["info", "cut.states"], 1, "the file was cut"),
        (["ls", "cut.states"], 1, "the file was cut"),
        (["diff", "one.states", "cut.states"], 1, "the file was cut"),
        (["convert", "cut.states", "out.states"], 1, "the file was cut"),
        (["convert", "other.safetensors", "out.states"], 1, "cannot be converted"),
        (["info", "missing.states"], 2, "No such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_goes_wrong_is_one_line(folder, capsys, arguments, status, words):
    error = run(capsys, *arguments, status=status).err
    assert words in error
    assert error.startswith("mxopt: ")
    assert error.count("\n") == 1
    assert not (folder / "out.states").exists()


def test_a_large_file_answers_from_its_header(folder, capsys):
    size = 10 << 30
    text = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with open("large.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)  # a hole: no disk is taken
    assert "10.74 GB" in run(capsys, "ls", "large.safetensors").out


def test_json_has_no_numbers_that_json_lacks(folder, capsys):
    optimizer = mxopt.create("adam", clip_gradient=1.0)
    optimizer.rescale_grad = float("inf")
    mxopt.get_updater(optimizer).save_states("inf.states", dump_optimizer=True)
    text = run(capsys, "info", "--json", "inf.states").out
    assert json.loads(text, parse_constant=pytest.fail)["hyper-parameters"]["rescale_grad"] == "inf"


@pytest.mark.parametrize("to", ["mxnet-1.x", "mxnet-2.x"])
def test_diff_of_a_file_and_its_conversion(folder, capsys, to):
    run(capsys, "convert", "one.states", "there.states", "--to", to)
    assert "no difference" in run(capsys, "diff", "one.states", "there.states").out
    assert "no difference" in run(capsys, "diff", "there.states", "one.states").out
    text = run(capsys, "diff", "two.states", "there.states", status=1).out
    assert "counts/num_update" in text
    assert "states/0/mean" in text


@pytest.mark.parametrize("name", [name for name in mxnet_files.NAMES if "dump" in name])
def test_diff_of_every_dumped_file_of_mxnet_and_its_conversion(name, folder, capsys):
    source = mxnet_files.FOLDER / mxnet_files.MANIFEST[name]["file"]
    run(capsys, "convert", source, "ours.states")
    assert "no difference" in run(capsys, "diff", source, "ours.states").out


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("1.9.1-sgd-mom", ["--optimizer", "sgd", "--set", "momentum=0.9"]),
        ("1.9.1-rmsprop-centered", ["--optimizer", "rmsprop", "--set", "centered=True", "--dialect", "1.x"]),
        (
            "2.0.0b1-nag-fp16-mp",
            ["--optimizer", "nag", "--set", "momentum=0.9", "--set", "multi_precision=True"],
        ),
        ("1.9.1-sgd-plain-fp16-mp", ["--optimizer", "sgd", "--set", "multi_precision=True"]),
    ],
)
def test_diff_of_bare_states_of_mxnet_and_their_conversion(name, arguments, folder, capsys):
    source = mxnet_files.FOLDER / mxnet_files.MANIFEST[name]["file"]
    run(capsys, "convert", source, "ours.states", *arguments)
    assert run(capsys, "diff", source, "ours.states").out.endswith("no difference\n")
    assert run(capsys, "diff", "ours.states", source).out.endswith("no difference\n")


def test_convert_says_what_to_pass(folder, capsys):
    def refused(name, *arguments):
        source = mxnet_files.FOLDER / mxnet_files.MANIFEST[name]["file"]
        return run(capsys, "convert", source, "ours.states", *arguments, status=1).err

    source = mxnet_files.FOLDER / mxnet_files.MANIFEST["1.9.1-sgd-mom"]["file"]
    assert "; pass --set momentum=VALUE, with which" in refused("1.9.1-sgd-mom", "--optimizer", "sgd")
    assert "; pass --set centered=True, with which" in refused(
        "1.9.1-rmsprop-centered", "--optimizer", "rmsprop"
    )
    assert "did you mean 'sgd'?" in refused("1.9.1-sgd-mom", "--optimizer", "sgdd")
    arguments = ["--optimizer", "sgd", "--set", "momentum=0.9"]
    assert "pass --num-update\n" in run(capsys, "convert", source, "ours.states", *arguments).err
    arguments += ["--num-update", "7", "--force"]
    assert run(capsys, "convert", source, "ours.states", *arguments).err == ""


def test_diff_names_the_file_that_is_damaged(folder, capsys):
    for pair in (("cut.states", "two.states"), ("two.states", "cut.states")):
        assert run(capsys, "diff", *pair, status=1).err.startswith("mxopt: cut.states: ")


def test_what_a_file_holds_does_not_steer_the_terminal(folder, capsys):
    updater = mxopt.get_updater(mxopt.create("adam"))
    updater("a\x1b[31m\nb", np.ones(2, "f4"), np.ones(2, "f4"))
    updater.save_states("evil.states", dump_optimizer=True)
    updater.optimizer.note = "c\x1b[0m"
    updater.save_states("evil-mxnet.states", dump_optimizer=True, format="mxnet-2.x")
    for name in ("evil.states", "evil-mxnet.states"):
        for command in (["info", name], ["ls", name], ["check", name], ["diff", "one.states", name]):
            main(command)
            text = "".join(capsys.readouterr())
            assert all(c.isprintable() or c == "\n" for c in text), command
    assert "states/a\\x1b[31m\\nb/mean" in run(capsys, "ls", "evil.states").out


def test_convert_leaves_what_is_there(folder, capsys):
    before = (folder / "two.states").read_bytes()
    error = run(capsys, "convert", "one.states", "two.states", status=2).err
    assert "two.states: " in error
    assert "--force" in error
    assert (folder / "two.states").read_bytes() == before
    run(capsys, "convert", "one.states", "two.states", "--force")
    assert (folder / "two.states").read_bytes() != before


def test_ls_with_statistics(folder, capsys):
    values = np.array([[3, np.nan], [-4, 0]], "f4")
    safetensors.numpy.save_file({"w": values}, "some.safetensors")
    header, row = run(capsys, "ls", "--stats", "some.safetensors").out.splitlines()
    assert header.split() == ["array", "dtype", "shape", "size", "min", "max", "norm", "nan"]
    assert row.split()[-4:] == ["-4", "3", "5", "1"]
    for name in ("one.states", "mxnet.states"):
        assert all(
            line.split()[-1] == "0" for line in run(capsys, "ls", "--stats", name).out.splitlines()[1:]
        )


def test_ls_keeps_its_columns_where_the_terminal_is_narrow(folder, capsys, monkeypatch):
    name = "a_network_of_many_layers/stage_3/unit_17/convolution_2_weight"
    safetensors.numpy.save_file({name: np.ones((2, 2), "f4"), "b": np.ones(1000, "f8")}, "long.safetensors")
    monkeypatch.delenv("COLUMNS", raising=False)
    assert name in run(capsys, "ls", "long.safetensors").out
    monkeypatch.setenv("COLUMNS", "60")
    lines = run(capsys, "ls", "long.safetensors").out.splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert len({len(line) for line in lines}) == 1  # the sizes end below one another
    assert any("convolution_2_weight" in line for line in lines)


def test_ls_in_a_narrow_terminal_keeps_names_apart(folder, capsys, monkeypatch):
    names = [f"a_network_of_many_layers/stage_{n}/unit_17/convolution_2_weight" for n in range(2)]
    safetensors.numpy.save_file({name: np.ones((2, 2), "f4") for name in names}, "long.safetensors")
    monkeypatch.setenv("COLUMNS", "60")
    for options in ([], ["--stats"]):
        text = run(capsys, "ls", *options, "long.safetensors").out
        assert all(len(line) <= 60 for line in text.splitlines())
        assert all(name in text.replace("\n", "") for name in names)
        titles, *rows = [line for line in text.splitlines() if line.startswith("  ")]
        assert len(rows) == 2
        assert all(len(row) == len(titles) for row in rows)  # the last columns end below one another


def test_list_says_when_nothing_has_such_a_name(capsys):
    assert "no optimizer is called like 'zz*'" in run(capsys, "list", "zz*", status=1).err


def test_alone_it_helps(capsys):
    assert "convert" in run(capsys).out


def test_standard_input_and_output(folder):
    data = (folder / "one.states").read_bytes()

    def through(*arguments, given):
        process = mxopt_process(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return *process.communicate(given, timeout=60), process.returncode

    assert b"optimizer: adam" in through("info", "-", given=data)[0]
    assert through("check", "-", given=data)[0] == b"-: ok (all checksums match)\n"
    converted, _, status = through("convert", "-", "-", "--to", "mxnet-2.x", given=data)
    assert status == 0
    assert mxnet.read(converted).optimizer.name == "Adam"
    out, error, status = through("info", "-", given=data[:100])
    assert (out, status) == (b"", 1)
    assert error.startswith(b"mxopt: standard input: ")


def test_arguments_may_be_fractions(folder, capsys):
    source = mxnet_files.FOLDER / "1.9.1-sgd-mom.states"
    arguments = ["--optimizer", "sgd", "--set", "momentum=0.9", "--num-update", "7"]
    run(capsys, "convert", source, "out.states", *arguments, "--set", "rescale_grad=1/64")
    error = run(
        capsys, "convert", source, "b.states", *arguments, "--set", "rescale_grad=often", status=2
    ).err
    assert "rescale_grad must be a number, got 'often'" in error


@pytest.mark.parametrize("name", [mxnet_files.NAMES[0], mxnet_files.NAMES[-1], "ours"])
def test_no_traceback_on_any_cut_file(name, folder, capsys):
    path = (
        folder / "one.states" if name == "ours" else mxnet_files.FOLDER / mxnet_files.MANIFEST[name]["file"]
    )
    data = path.read_bytes()
    for length in range(0, len(data), max(1, len(data) // 25)):
        (folder / "x.states").write_bytes(data[:length])
        for command in (["info", "x.states"], ["ls", "x.states"], ["diff", "x.states", "one.states"],
                        ["convert", "x.states", "y.states"]):  # fmt: skip
            assert main(command) in (1, 2)
            error = capsys.readouterr().err
            assert error.startswith("mxopt: x.states: ")
            assert error.count("\n") == 1
            assert "a fault of mxopt" not in error


def test_a_fault_of_our_own_is_a_line(folder, capsys, monkeypatch):
    monkeypatch.setattr("mxopt.cli.summary", lambda file: 1 / 0)
    assert "a fault of mxopt's own" in run(capsys, "info", "one.states", status=2).err
    monkeypatch.setenv("MXOPT_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["info", "one.states"])


def mxopt_process(*arguments, **options):
    command = [sys.executable, "-m", "mxopt", *arguments]
    return subprocess.Popen(command, **{"stderr": subprocess.PIPE, "env": environment(), **options})


def test_names_that_the_terminal_cannot_show_are_escaped(folder):
    updater = mxopt.get_updater(mxopt.create("sgd", momentum=0.9))
    updater("名前", np.ones(2, "f4"), np.ones(2, "f4"))
    updater.save_states("names.states")
    ascii_only = environment(PYTHONIOENCODING="ascii")
    done = mxopt_process("ls", "names.states", stdout=subprocess.PIPE, env=ascii_only)
    output, error = done.communicate(timeout=60)
    assert b"states/\\u540d\\u524d/mom" in output
    assert (done.returncode, error) == (0, b"")


def test_a_reader_who_goes_away_is_no_error(folder):
    with mxopt_process("ls", "one.states", stdout=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_pipe_is_refused_rather_than_waited_for(folder, capsys):
    os.mkfifo("pipe")
    for command in ("info", "ls", "check"):
        assert "regular files" in run(capsys, command, "pipe", status=2).err


def test_list_and_describe(capsys):
    lines = run(capsys, "list", "la*").out.splitlines()
    assert [line.split()[0] for line in lines] == ["lamb", "lans", "laprop", "lars"]
    assert all("LA" in line.partition(" ")[2].upper() for line in lines)
    assert json.loads(run(capsys, "list", "--json", "--dialect", "1.x", "la*").out) == [
        "lamb",
        "laprop",
        "lars",
    ]
    assert "Adam(learning_rate=0.001" in run(capsys, "describe", "adam").out
    said = json.loads(run(capsys, "describe", "--json", "Adam").out)
    assert said["cls"] == "mxopt.optimizer.adam.Adam"
    assert "did you mean 'adam'" in run(capsys, "describe", "adm", status=2).err


def test_python_m_mxopt():
    assert printed("-m", "mxopt", "--version") == f"mxopt {mxopt.__version__}\n"


def test_averages_and_loss_scales_are_shown_and_kept(folder, capsys):
    updater = mxopt.get_updater(mxopt.create("adam"), ema=0.9, loss_scale="dynamic")
    weights = [np.ones((2, 3), "f4"), np.ones(4, "f4")]
    for factor in (1, np.inf, 1):
        updater([0, 1], [np.full_like(weight, factor) for weight in weights], weights)
    updater.save_states("joined.states")
    lines = run(capsys, "info", "joined.states").out.splitlines()
    assert {"loss scale: dynamic, now 32768, 1 skipped", "averages: ema=0.9"} <= {*lines}
    run(capsys, "convert", "joined.states", "again.states")
    assert run(capsys, "diff", "joined.states", "again.states").out.endswith("no difference\n")
    other = mxopt.get_updater(mxopt.create("adam"), ema=0.9, loss_scale="dynamic")
    other.load_states("again.states")
    assert (other.loss_scale, other._averages.steps) == (2.0**15, {0: 2, 1: 2})
    told = run(capsys, "convert", "joined.states", "there.states", "--to", "mxnet-2.x").err
    for left_out in ("loss_scale", "ema"):
        assert f"mxnet-2.x has no place for {left_out}" in told
