"""The picture of averages against the last weights, made by running what it shows."""

import numpy as np

import mxopt

STEPS, BATCH, SIZE = 10_000, 4, 20
#: What is drawn: the decay of the averages, or None for the weights themselves.
DECAYS = {None: "last weights", 0.99: "ema=0.99", 0.999: "ema=0.999"}
COLORS = ("#888", "#009e73", "#1f5fa8")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 300, 56, 16, 262


def losses(seed=1):
    """For each of `DECAYS`, (step, how far the loss is above its minimum), means over stretches."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(SIZE)
    weight = np.zeros(SIZE)
    updaters = [
        mxopt.get_updater(mxopt.create("sgd", learning_rate=0.02), ema=decay)
        for decay in DECAYS
        if decay is not None
    ]
    weights = [weight.copy() for _ in updaters]
    found = {decay: [] for decay in DECAYS}
    for _ in range(STEPS):
        data = rng.standard_normal((BATCH, SIZE))
        error = data @ (weights[0] - truth) + rng.standard_normal(BATCH)
        for updater, one in zip(updaters, weights):
            updater(0, data.T @ error / BATCH, one)
        found[None].append(((weights[0] - truth) ** 2).sum() / 2)
        for decay, updater, one in zip([d for d in DECAYS if d is not None], updaters, weights):
            with updater.average_parameters(0, one):
                found[decay].append(((one - truth) ** 2).sum() / 2)
    edges = np.unique(np.geomspace(1, STEPS, 70).astype(int))
    return {
        decay: [((a + b) / 2, float(np.mean(values[a - 1 : b - 1]))) for a, b in zip(edges, edges[1:])]
        for decay, values in found.items()
    }


def picture():
    """The picture, as SVG: both axes are logarithmic."""
    curves = losses()
    heights = [value for points in curves.values() for _, value in points]
    low, high = np.floor(np.log10(min(heights))), np.ceil(np.log10(max(heights)))

    def at(step, value):
        x = LEFT + (WIDTH - LEFT - 110) * np.log10(step) / np.log10(STEPS)
        return x, BOTTOM - (BOTTOM - TOP) * (np.log10(value) - low) / (high - low)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<style>text{font:12px sans-serif;fill:#222}.axis{stroke:#bbb}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for power in range(int(low), int(high) + 1):
        (x, y), (end, _) = at(1, 10.0**power), at(STEPS, 1)
        lines.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{end:.1f}" y2="{y:.1f}" class="axis"/>')
        lines.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for power in range(5):
        x, _ = at(10**power, 1)
        lines.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{10**power:,}</text>')
    lines.append(f'<text x="{LEFT}" y="{HEIGHT - 4}">steps; the loss above its minimum</text>')
    for (decay, points), color in zip(curves.items(), COLORS):
        path = " ".join("{:.1f},{:.1f}".format(*at(*point)) for point in points)
        x, y = at(*points[-1])
        lines.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        lines.append(f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" style="fill:{color}">{DECAYS[decay]}</text>')
    return "\n".join([*lines, "</svg>\n"])
