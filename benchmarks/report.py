"""The report: a table as text, everything as JSON, and pictures."""

import json
import platform


def machine():
    """The machine in words."""
    model, cache = platform.machine(), ""
    try:
        with open("/proc/cpuinfo") as file:
            first = file.read().split("\n\n")[0]
        lines = dict(map(str.strip, line.split(":", 1)) for line in first.splitlines() if ":" in line)
        model, cache = lines.get("model name", model), lines.get("cache size", "")
    except OSError:
        pass
    return f"{model}, {platform.system()}" + (f", last cache {cache}" if cache else "")


def spell(seconds):
    """A time with three digits and a unit."""
    factor, unit = (1, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "us")
    return f"{seconds * factor:.3g} {unit}"


def line(row):
    """The lines of one case."""
    own = row.times.get("mxopt")
    if own is None:
        reasons = "; ".join(row.absent.values())
        yield f"{row.case:<38} {row.note or 'absent: ' + reasons}"
        return
    low, high = own.quartiles
    yield f"{row.case:<38} {spell(own.median):>9}  [{spell(low)} .. {spell(high)}]" + (
        f"  {row.note}" if row.note else ""
    )
    for name, times in row.times.items():
        if name == "mxopt":
            continue
        ratio = times.ratio_to(own)
        if name == "limit":
            text = f"{ratio:.2f} of the limit's speed"
        else:
            text = f"{ratio:.2f}x as fast" if ratio < 10 else f"{ratio:.0f}x as fast"
        yield f"    {name:<34} {spell(times.median):>9}  {text}{verdict(row, name)}"
    if "ms" in row.bars:
        yield f"    {'time':<34} {spell(own.median):>9}{verdict(row, 'ms')}"
    for name, reason in row.absent.items():
        yield f"    {name:<34} {'absent':>9}  {reason}"


def verdict(row, name):
    """Whether a bar is reached; empty if there is none."""
    if name not in row.bars:
        return ""
    bar, got = row.bars[name], row.reached(name)
    good = got <= bar if name == "ms" else got >= bar
    want = f"at most {spell(bar / 1e3)}" if name == "ms" else f"at least {bar:.3g}"
    return f"  ({'reached' if good else 'NOT REACHED'}: {want})"


def as_json(rows, head):
    cases = []
    for row in rows:
        cases.append({
            "group": row.group, "case": row.case, "elements": row.elements,
            "note": row.note, "absent": row.absent,
            "seconds": {n: {"median": t.median, "quartiles": t.quartiles, "rounds": len(t.seconds)}
                        for n, t in row.times.items()},
            "speed_against": {n: t.ratio_to(row.times["mxopt"]) for n, t in row.times.items()
                              if n != "mxopt" and "mxopt" in row.times},
            "bars": {n: {"bar": bar, "reached": row.reached(n)} for n, bar in row.bars.items()},
        })  # fmt: skip
    return json.dumps({**head, "cases": cases}, indent=1)


def pictures(rows, folder):
    """Draw what there is to draw; matplotlib is optional."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return ["matplotlib is not installed: no pictures"]
    made = []

    def save(figure, name):
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg")
        pyplot.close(figure)
        made.append(f"{name}.svg")

    def of(*groups):
        return [row for row in rows if row.group in groups and row.times]

    sizes = of("size", "dense")
    sizes = [row for row in sizes if row.case.startswith("adam ")]
    if sizes:
        figure, axes = pyplot.subplots(figsize=(7, 4.5))
        for name in sorted(
            {n for row in sizes for n in row.times}, key=lambda n: (n not in ("mxopt", "limit"), n)
        ):
            points = sorted(
                {row.elements: row.times[name].median * 1e6 for row in sizes if name in row.times}.items()
            )
            style = {"mxopt": "o-", "limit": "k--"}.get(name, ".:")
            axes.loglog(*zip(*points), style, label=name, linewidth=2 if name == "mxopt" else 1)
        axes.set(xlabel="elements", ylabel="microseconds a step", title="Adam, float32: time against size")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
        save(figure, "size")
    family = sorted(of("family"), key=lambda row: row.reached("limit"))
    if family:
        figure, axes = pyplot.subplots(figsize=(7, 0.3 * len(family) + 1))
        axes.barh([row.case.replace(" 30M", "") for row in family], [row.reached("limit") for row in family])
        axes.axvline(1, color="k", linestyle="--")
        axes.axvline(0.85, color="k", linestyle=":")
        axes.set(
            xlabel="share of the streaming limit for its own bytes (dotted: the bar)",
            title="30 million elements",
        )
        save(figure, "family")
    scaling = of("threads")
    if scaling:
        figure, axes = pyplot.subplots(figsize=(7, 4))
        axes.semilogx([r.elements for r in scaling], [r.reached("one thread") for r in scaling], "o-")
        axes.axhline(1, color="k", linestyle=":")
        axes.set(xlabel="elements", ylabel="times as fast as one thread", title="Adam, float32: two threads")
        axes.grid(alpha=0.3)
        save(figure, "threads")
    touched = of("rows")
    if touched:
        figure, axes = pyplot.subplots(figsize=(7, 4))
        axes.loglog(
            [r.elements for r in touched],
            [r.times["mxopt"].median * 1e3 for r in touched],
            "o-",
            label="lazy",
        )
        for row in of("sparse"):
            if "mxopt, dense gradient" in row.times:
                axes.axhline(
                    row.times["mxopt"].median * 1e3, color="C1", label="standard update from 8192 rows"
                )
        axes.set(xlabel="rows touched", ylabel="milliseconds a step", title="Adam, a table of 1,000,000 x 64")
        axes.legend()
        axes.grid(alpha=0.3)
        save(figure, "rows")
    return made
