"""What a shell completes: by Python's completer, in a real terminal, and in IPython."""

import os
import re
import rlcompleter
import select
import subprocess
import sys
import time
import warnings

import pytest
from processes import environment, printed

import mxopt
import mxopt.v1


def completed(text, **names):
    completer = rlcompleter.Completer(names)
    found = []
    while (match := completer.complete(text, len(found))) is not None:
        found.append(match.rstrip("( )"))
    return found


@pytest.mark.parametrize("package", [mxopt, mxopt.v1], ids=["2.x", "1.x"])
def test_names_of_the_package(package):
    found = completed("mx.", mx=package)
    wanted = {
        "optimizer",
        "lr_scheduler",
        "nd",
        "gluon",
        "kv",
        "create",
        "get_updater",
        "Adam",
        "Updater",
        "cpu",
    }
    assert {f"mx.{name}" for name in wanted} <= set(found)
    assert not {"mx.checks", "mx.curves", "mx.namespace", "mx.lazy", "mx.kernels", "mx.mxopt"} & set(found)


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        ("mx.opt", "mx.optimizer"),
        ("mx.glu", "mx.gluon"),
        ("mx.optimizer.Ad", "mx.optimizer.AdamW"),
        ("mx.nd.ze", "mx.nd.zeros"),
        ("mx.gluon.Tr", "mx.gluon.Trainer"),
        ("mx.lr_scheduler.Co", "mx.lr_scheduler.CosineScheduler"),
        ("updater.sa", "updater.save_states"),
        ("updater.optimizer.learning", "updater.optimizer.learning_rate"),
    ],
)
def test_a_word_that_was_begun(start, wanted):
    updater = mxopt.get_updater(mxopt.create("adam"))
    assert wanted in completed(start, mx=mxopt, updater=updater)


def test_every_name_that_is_listed_is_there():
    code = "import mxopt, mxopt.v1\nfor m in (mxopt, mxopt.v1):\n for n in dir(m): getattr(m, n)\nprint('ok')"
    assert printed("-c", code) == "ok\n"


def test_what_is_absent_is_no_attribute():
    for place in (mxopt, mxopt.nd, mxopt.gluon, mxopt.optimizer):
        with pytest.raises(AttributeError):
            place.no_such_name  # noqa: B018
        assert not hasattr(place, "no_such_name")


def test_a_part_whose_library_is_not_installed():
    code = """
import sys
sys.modules["torch"] = None  # as where it is not installed
import mxopt as mx
print(hasattr(mx, "torch"))
try:
    mx.torch
except AttributeError as error:
    print(error)
"""
    line = "mxopt.torch needs torch, which is not installed; pip install torch"
    assert printed("-c", code).splitlines() == ["False", line]


pty = pytest.importorskip("pty", reason="terminals are those of Unix")


#: What moves the cursor or colours (ECMA-48), and shows nothing. Without colours, Python 3.13 inserts what is
#: typed character by character, each after an ESC [ 1 @.
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>]")


class Terminal:
    """An interactive Python in a terminal of its own."""

    def __init__(self, *arguments, **variables):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(
                TERM="xterm", PYTHONSTARTUP="", HOME="/nonexistent", PYTHON_HISTORY=os.devnull, **variables
            ),
            close_fds=True,
        )
        os.close(slave)
        self.seen = ""

    def wait_for(self, pattern, seconds=120):
        """Read until a pattern is on the screen, and drop everything up to its end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            plain = CONTROL.sub("", self.seen)
            found = re.search(pattern, plain)
            if found:
                self.seen = plain[found.end() :]
                return found
            ready, _, _ = select.select([self.master], [], [], 0.5)
            if ready:
                try:
                    data = os.read(self.master, 65536)
                except OSError:  # it has ended
                    break
                self.seen += data.decode("utf-8", "replace")
        raise AssertionError(f"{pattern!r} did not come; the screen: {self.seen[-600:]!r}")

    def type(self, text):
        os.write(self.master, text.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.mark.parametrize("colours", [{}, {"NO_COLOR": "1"}], ids=["colours", "no-colours"])
def test_tab_in_a_terminal(colours):
    pytest.importorskip("readline", reason="this Python was built without readline")
    with Terminal("-q", "-i", **colours) as terminal:
        terminal.wait_for(">>> ")
        terminal.type("import mxopt as mx; print('re' + 'ady')\n")
        terminal.wait_for(r"[\r\n]ready\r?\n")
        terminal.wait_for(">>> ")
        terminal.type("mx.optimi\t")
        terminal.wait_for(r"mx\.optimizer")
        terminal.type("\x15")  # clear the line
        terminal.type("mx.gluon.Trai\t")
        terminal.wait_for(r"mx\.gluon\.Trainer")
        terminal.type("\x15mx.lr_s\t\t")
        terminal.wait_for(r"lr_scheduler")


def test_ipython():
    core = pytest.importorskip("IPython.core.interactiveshell", reason="needs IPython: tox -e interop")
    shell = core.InteractiveShell.instance()
    shell.user_ns["mx"] = mxopt
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # IPython calls its own interface provisional
        found = [completion.text for completion in shell.Completer.completions("mx.opt", 6)]
    assert any(each.endswith("optimizer") for each in found)
