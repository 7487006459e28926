"""The bars of the yearly chart on the page: where they stand and how high they are. They are drawn by `page/page.html`,
which places words beside them that do not shrink with the chart. The report's charts are drawn by Vega-Lite, which
would take the server a second and 80 MB.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

_MOST_NUMBERS, _MOST_YEARS = 5, 8
"""Ticks on an axis at most, as there is room for on a phone."""


@dataclass(frozen=True)
class Bars:
    """Bars, one for each year, each one unit wide and as many units high as it counts; y goes down from 0."""

    past: str
    """The outline of the past ones."""
    predicted: str
    """The outline of the predicted ones on top of past ones of the same year, which are drawn over it."""
    width: int
    height: int
    numbers: Sequence[tuple[int, float]]
    """Ticks: each number, and its way down from the top in percent."""
    years: Sequence[tuple[int, float]]
    """Ticks: each year, and its way from the left in percent."""
    now: float | None
    """How far from the left the past ends, in percent; nothing if that is in no year of these."""


def bars(rows: Sequence[Mapping[str, Any]], past_until: datetime | None) -> Bars:
    """The bars of rows, at least one, with `year`, `past_approaches` and `predicted_approaches`.

    Args:
        rows: the rows, in the order of years.
        past_until: when the past ends; nothing if that is not known.
    """
    first, last = rows[0]["year"], rows[-1]["year"]
    width = last - first + 1
    past, predicted = ({row["year"]: row[f"{name}_approaches"] for row in rows} for name in ("past", "predicted"))
    stacked = {year: number and number + past[year] for year, number in predicted.items()}
    most = max(*past.values(), *stacked.values())
    step, every = _step(most, _MOST_NUMBERS), _step(width, _MOST_YEARS)
    height = step * -(-most // step)
    now = None
    if past_until and first <= past_until.year <= last:
        now = _percent(past_until.year - first + past_until.timetuple().tm_yday / 366, width)
    return Bars(
        past=_outline(past.get(year, 0) for year in range(first, last + 1)),
        predicted=_outline(stacked.get(year, 0) for year in range(first, last + 1)),
        width=width,
        height=height,
        numbers=[(number, _percent(height - number, height)) for number in range(0, height + 1, step)],
        years=[(year, _percent(year - first + 0.5, width)) for year in range(first + -first % every, last + 1, every)],
        now=now,
    )


def _outline(heights: Iterable[int]) -> str:
    return f"M0 0{''.join(f'V{-height}h1' for height in heights)}V0z"


def _percent(part: float, whole: int) -> float:
    return round(100 * part / whole, 2)


def _step(whole: int, most: int) -> int:
    """The smallest of 1, 2, 5, 10, 20 and so on that is in the whole at most so many times."""
    steps = (int(digit * 10**power) for power in count() for digit in (1, 2, 5))
    return next(step for step in steps if whole <= step * most)
