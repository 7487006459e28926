"""Draws how time and memory grow with the pages, as SVG.

    python chart.py FILE < POINTS.json

It runs in the virtual environment of `make bench`. Measuring belongs to `compare`.
"""

import json
import sys

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes


def draw(axes: Axes, points: list[dict[str, float]], what: str, title: str) -> None:
    """One line for each contender, from the origin."""
    for name in dict.fromkeys(point["contender"] for point in points):
        of = sorted((point["pages"], point[what]) for point in points if point["contender"] == name)
        axes.plot(*zip(*of, strict=True), marker="o", label=str(name).replace("`", ""))
    axes.set(title=title, xlabel="pages of 20 NEOs", xlim=(0, None), ylim=(0, None))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def main() -> None:
    """Draw both charts side by side."""
    points = json.load(sys.stdin)
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "growth", "font.family": "sans-serif"}
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    draw(left, points, "wall_s", "Wall-clock time in seconds")
    draw(right, points, "peak_mb", "Peak memory in MB")
    figure.savefig(sys.argv[1], metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
