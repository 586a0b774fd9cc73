"""Text that is made from the sources, so that it cannot go stale: the contents, the files, the optimizers."""

import html
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: The pages by door; others follow.
ORDER = (
    (
        "Start",
        (
            "quickstart",
            "coming-from-mxnet",
            "legacy-scripts",
            "porting",
            "pytorch",
            "looking",
            "averages",
            "narrow-states",
            "state-files",
            "exact-rows",
            "many-processes",
        ),
    ),
    ("Know", ("gallery", "differences", "numerics", "performance")),
    ("Look up", ("api", "api-extending", "architecture", "contributing")),
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
    named = {name for _, names in ORDER for name in names}
    lines = []
    for title, names in (*ORDER, ("More", tuple(sorted(pages - named)))):
        kept = [name for name in names if name in pages]
        if kept:
            lines += [
                ".. toctree::",
                f"   :caption: {title}",
                "   :hidden:",
                "",
                *(f"   {n}" for n in kept),
                "",
            ]
    return "\n".join(lines)


def optimizer_classes():
    from mxopt.optimizer import opt_registry

    return sorted(opt_registry.values(), key=lambda cls: cls.__name__.lower())


def optimizers_page():
    """A link to the page of each optimizer."""
    names = [f"optimizers/{cls.__name__.lower()}" for cls in optimizer_classes()]
    return (
        "\n".join([".. toctree::", "   :maxdepth: 1", "", *(f"   generated/{name}" for name in names)]) + "\n"
    )


def optimizer_page(cls, drawn):
    """One optimizer: what it is, a run of it, its class, and what the other dialect does, folded away."""
    import mxopt
    import mxopt.v1

    name = cls.__name__.lower()
    told = mxopt.describe(name)
    lines = [cls.__name__, "=" * len(cls.__name__), "", told.summary, "", f"*State:* {told.state}", ""]
    lines += [f".. image:: {drawn}", "   :class: picture", f"   :alt: a run of {name} down a long valley", ""]
    lines += [f".. autoclass:: {cls.__module__}.{cls.__name__}", ""]
    if name in mxopt.list_optimizers(family="later"):
        return "\n".join([*lines, "MXNet does not have it. In `mxopt.v1` it is the same.", ""])
    if name not in mxopt.v1.list_optimizers():
        return "\n".join([*lines, "MXNet 1.9.1 does not have it.", ""])
    if not told.differences and not told.other_formula:
        return "\n".join([*lines, "In MXNet 1.9.1, and so in `mxopt.v1`, it is the same.", ""])
    rows = "".join(
        f"<tr><td><code>{parameter}</code></td><td>{_html(values['2.x'])}</td><td>{_html(values['1.x'])}</td></tr>"
        for parameter, values in told.differences.items()
    )
    table = f"<table><tr><th>argument</th><th>2.x</th><th>1.x</th></tr>{rows}</table>" if rows else ""
    formula = f"<pre>{html.escape(told.other_formula)}</pre>" if told.other_formula else ""
    folded = f"<details><summary>In MXNet 1.9.1, and so in mxopt.v1</summary>{table}{formula}</details>"
    return "\n".join([*lines, ".. raw:: html", "", *(f"   {line}" for line in folded.splitlines()), ""])


def _html(value):
    return html.escape(value if value == "absent" else repr(value))


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
    import averages  # beside this file
    import gallery  # it steps every optimizer

    pages = {
        "contents.txt": contents_page(),
        "files.txt": files_page(),
        "optimizers.txt": optimizers_page(),
        "nd.txt": arrays_page(),
        "cli.txt": command_line_page(),
        "gallery.txt": gallery.table(),
        "dialects.txt": gallery.dialects(),
        "paths.svg": gallery.picture(),
        "schedules.svg": gallery.schedules(),
        "averages.svg": averages.picture(),
        "rows.svg": gallery.rows(),
    }
    for cls in optimizer_classes():
        name = cls.__name__.lower()
        pages[f"optimizers/{name}.svg"] = gallery.picture([name])
        pages[f"optimizers/{name}.rst"] = optimizer_page(cls, f"{name}.svg")
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
