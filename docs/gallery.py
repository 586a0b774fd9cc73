"""The gallery, made from the registries: a table of optimizers, pictures of their paths and of schedules."""

import functools

import numpy as np

import mxopt
import mxopt.v1
from mxopt import lr_scheduler

#: f(x, y) = x**2 / 20 + y**2 / 2, a valley ten times as long as wide.
START, CURVATURE = (-8.0, 2.0), np.array([0.1, 1.0])
STEPS = 60
RATES = 10 ** np.linspace(-3, 3, 25)
PANEL, COLUMNS = (220, 130), 4


def path(name, rate):
    """The places that an optimizer visits from `START`."""
    mxopt.random.seed(0)
    updater = mxopt.get_updater(mxopt.create(name, learning_rate=float(rate)))
    weight = np.array([START])
    places = [weight[0].copy()]
    for _ in range(STEPS):
        updater(0, weight * CURVATURE, weight)
        places.append(weight[0].copy())
    return np.array(places)


@functools.cache
def best_path(name):
    """The path that ends lowest, of those at the `RATES`."""
    paths = [(rate, path(name, rate)) for rate in RATES]

    def height(entry):
        if not np.isfinite(entry[1]).all() or np.abs(entry[1]).max() >= 12:
            return np.inf
        return (entry[1][-1] ** 2 * CURVATURE).sum()

    return min(paths, key=height)


def at(place):
    """Where a place of the valley is in its panel."""
    return 110 + 11 * place[0], 75 - 11 * place[1]


def panel(name, left, top):
    rate, places = best_path(name)
    x, y = at((0, 0))
    lines = [f'<g transform="translate({left} {top})">']
    for level in (0.1, 0.5, 1.5, 3.0, 5.0):
        radii = 11 * np.sqrt(2 * level / CURVATURE)
        lines.append(f'<ellipse cx="{x}" cy="{y}" rx="{radii[0]:.1f}" ry="{radii[1]:.1f}" class="level"/>')
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in map(at, places))
    lines.append(f'<polyline points="{points}" class="path"/>')
    px, py = at(places[-1])
    lines.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" class="end"/>')
    lines.append(f'<text x="6" y="14">{name}, {rate:.2g}</text></g>')
    return "\n".join(lines)


def picture(names=None):
    """The picture of some optimizers, as SVG; of all by default, MXNet's own first."""
    names = names or [name for family in FAMILIES for name in mxopt.list_optimizers(family=family)]
    columns = min(COLUMNS, len(names))
    return svg([functools.partial(panel, name) for name in names], columns)


def svg(panels, columns):
    """A picture of panels, each made by a function of its left and top."""
    width, height = PANEL[0] * columns, PANEL[1] * -(-len(panels) // columns)
    panels = [make(i % columns * PANEL[0], i // columns * PANEL[1]) for i, make in enumerate(panels)]
    style = (
        "text{font:12px sans-serif;fill:#222}.level{fill:none;stroke:#bbb}"
        ".path{fill:none;stroke:#1f5fa8;stroke-width:1.3}.end{fill:#c0392b}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([head, f"<style>{style}</style>", background, *panels, "</svg>\n"])


#: a schedule of each class that is ours, 100 updates long
SCHEDULES = (
    lr_scheduler.FactorScheduler(20, 0.5, base_lr=1.0),
    lr_scheduler.MultiFactorScheduler([30, 70], 0.4, base_lr=1.0),
    lr_scheduler.PolyScheduler(100, base_lr=1.0),
    lr_scheduler.CosineScheduler(100, base_lr=1.0, warmup_steps=10),
    lr_scheduler.WarmupStableDecayScheduler(100, 30, base_lr=1.0, warmup_steps=10),
    lr_scheduler.InverseSquareRootScheduler(base_lr=1.0, warmup_steps=10),
    lr_scheduler.OneCycleScheduler(100, base_lr=1.0),
    lr_scheduler.CosineRestartsScheduler(14, 2, base_lr=1.0, restart_factor=0.7),
)


def curve(scheduler, left, top):
    """The panel of a schedule."""
    rates = mxopt.viz.rates(scheduler, 100)
    points = " ".join(f"{8 + 2 * n:.1f},{118 - 92 * rate:.1f}" for n, rate in enumerate(rates, 1))
    lines = [f'<g transform="translate({left} {top})">', '<path d="M 8 22 V 118 H 212" class="level"/>']
    lines.append(f'<polyline points="{points}" class="path"/>')
    lines.append(f'<text x="10" y="14">{type(scheduler).__name__.removesuffix("Scheduler")}</text></g>')
    return "\n".join(lines)


def schedules():
    """The picture of all schedules, as SVG."""
    assert {type(scheduler) for scheduler in SCHEDULES} == {*lr_scheduler.OWN} - {lr_scheduler.LRScheduler}
    return svg([functools.partial(curve, scheduler) for scheduler in SCHEDULES], COLUMNS)


def rows_losses():
    """The mean squared error of a table over 400 steps, by the kind of update."""
    rng = np.random.default_rng(0)
    target = rng.standard_normal((200, 8)).astype(np.float32)
    draws = [np.unique((200 * rng.random(3) ** 3).astype(np.int64)) for _ in range(400)]
    found = {}
    for name, lazy in (("standard", False), ("exact", "exact"), ("lazy", True)):
        updater = mxopt.get_updater(mxopt.create("sgd", learning_rate=0.06, momentum=0.95, lazy_update=lazy))
        weight, losses = np.zeros_like(target), []
        for rows in draws:
            updater.catch_up(0, rows)  # before they are read
            grad = mxopt.RowSparseArray(weight[rows] - target[rows], rows, weight.shape)
            updater(0, grad, weight)
            updater.flush()  # for the picture alone: it shows all rows
            losses.append(float(np.square(weight - target).mean()))
        found[name] = losses
    return found


def rows():
    """The picture of `rows_losses`, as SVG."""
    losses = rows_losses()
    assert losses["standard"] == losses["exact"]

    def panel(name, left, top):
        lines = [f'<g transform="translate({left} {top})">', '<path d="M 8 22 V 118 H 212" class="level"/>']
        points = " ".join(f"{8 + n / 2:.1f},{118 - 92 * min(x, 1.1):.1f}" for n, x in enumerate(losses[name]))
        lines.append(f'<polyline points="{points}" class="path"/>')
        lines.append(f'<text x="60" y="14">{name}: {losses[name][-1]:.3f} at the end</text></g>')
        return "\n".join(lines)

    return svg([functools.partial(panel, name) for name in losses], 3)


#: what each family is called on the page
FAMILIES = {"mxnet": "MXNet's own", "later": "Published since"}


def table():
    """A table for each family, as reStructuredText."""
    return "\n".join(f".. rubric:: {title}\n\n{_table(family)}" for family, title in FAMILIES.items())


def _table(family):
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 13 36 15 12 10 14",
        "",
        "   * - Name",
        "     - What it is",
        "     - State",
        "     - ``lazy_update``",
        "     - exact rows",
        "     - In 1.9",
    ]
    old = mxopt.v1.list_optimizers()
    for name in mxopt.list_optimizers(family=family):
        told = mxopt.describe(name)
        link = f":doc:`{name} </generated/optimizers/{name}>`"
        lines += [
            f"   * - {link}",
            f"     - {told.summary}",
            f"     - {', '.join(told.states) or 'none'}",
            f"     - {'yes' if told.lazy else 'no'}",
            f"     - {'yes' if told.exact else 'no'}",
            f"     - {_in_old(told) if name in old else 'not there'}",
        ]
    return "\n".join(lines) + "\n"


def _in_old(told):
    parts = [
        part for part, differs in (("defaults", told.differences), ("formula", told.other_formula)) if differs
    ]
    return f"other {' and '.join(parts)}" if parts else "the same"


def dialects():
    """The parameters whose defaults differ between the dialects, as a reStructuredText table."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - Optimizer", "     - Parameter"]
    lines += ["     - 2.x", "     - 1.9"]
    for name in mxopt.list_optimizers():
        first = name
        for parameter, values in mxopt.describe(name).differences.items():
            told = [
                value if value == "absent" else f"``{value!r}``" for value in (values["2.x"], values["1.x"])
            ]
            lines += [
                f"   * - {first}".rstrip(),
                f"     - ``{parameter}``",
                *(f"     - {value}" for value in told),
            ]
            first = ""
    return "\n".join(lines) + "\n"
