"""Text that is made from the sources, so that it cannot go stale: the contents, the files, the optimizers."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: The order of the pages; others follow.
ORDER = (
    *(
        "quickstart",
        "coming-from-mxnet",
        "legacy-scripts",
        "state-files",
        "many-processes",
        "gallery",
        "numerics",
        "differences",
    ),
    *("api", "architecture", "contributing"),
)


def first_sentence(path):
    """What a file says of itself: the first sentence of its docstring or of its first comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        found = re.match(r'\s*"""(.*?)"""', text, re.DOTALL)
    elif path.suffix == ".h":
        found = re.match(r"\s*/\*(.*?)\*/", text, re.DOTALL)
    else:
        found = re.match(r"((?:#.*\n)+)", text)
    words = re.sub(r"^\s*[#*] ?", "", found[1] if found else "", flags=re.MULTILINE)
    paragraph = " ".join(words.strip().split("\n\n")[0].split())
    ends = [stop.end() for stop in re.finditer(r"\.(?= |$)", paragraph)]
    # not within ``literal text``
    return paragraph[: next((end for end in ends if paragraph[:end].count("``") % 2 == 0), None)]


def described_files():
    """Pairs of a file of the package and its sentence."""
    for path in sorted((ROOT / "mxopt").rglob("*")):
        if (
            path.suffix in (".py", ".pyx", ".pxi", ".h")
            and path.stat().st_size
            and path.name != "_version.py"
        ):
            yield path.relative_to(ROOT).as_posix(), first_sentence(path)


def files_page():
    lines = [".. list-table::", "   :widths: 40 60", ""]
    for name, sentence in described_files():
        lines += [f"   * - ``{name}``", f"     - {sentence}"]
    return "\n".join(lines) + "\n"


def contents_page():
    pages = {path.stem for path in (ROOT / "docs").iterdir() if path.suffix in (".rst", ".md")} - {"index"}
    ordered = [name for name in ORDER if name in pages] + sorted(pages - set(ORDER))
    return "\n".join([".. toctree::", "   :maxdepth: 2", "", *(f"   {name}" for name in ordered)]) + "\n"


def optimizers_page():
    from mxopt.optimizer import opt_registry

    lines = []
    for cls in sorted(opt_registry.values(), key=lambda cls: cls.__name__.lower()):
        lines += [f".. autoclass:: {cls.__module__}.{cls.__name__}", ""]
    return "\n".join(lines)


def arrays_page():
    """The functions of ``mx.nd``, with the first sentence of those that have one."""
    from mxopt import nd

    lines = [".. list-table::", "   :widths: 30 70", ""]
    for name in sorted(nd.__all__, key=str.lower):
        value = getattr(nd, name)
        if callable(value) and not isinstance(value, type):
            paragraph = " ".join((value.__doc__ or "").strip().partition("\n\n")[0].split())
            lines += [f"   * - ``{name}``", f"     - {paragraph}"]
    return "\n".join(lines) + "\n"


def command_line_page():
    """What each command says of itself."""
    import argparse

    from mxopt.cli import _parser

    parser, lines = _parser(), []
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in sorted(commands.choices.items()):
        command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
        lines += [f"**mxopt {name}**", "", ".. code-block:: text", ""]
        lines += [f"   {line}".rstrip() for line in command.format_help().splitlines()] + [""]
    return "\n".join(lines)


def write(folder):
    """Write the texts where they have changed."""
    folder.mkdir(exist_ok=True)
    import gallery  # beside this file; it steps every optimizer

    pages = {
        "contents.txt": contents_page(),
        "files.txt": files_page(),
        "optimizers.txt": optimizers_page(),
        "nd.txt": arrays_page(),
        "cli.txt": command_line_page(),
        "gallery.txt": gallery.table(),
        "dialects.txt": gallery.dialects(),
        "paths.svg": gallery.picture(),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
