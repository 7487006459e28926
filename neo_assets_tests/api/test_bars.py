"""The bars of the yearly chart: their outlines, ticks and where the past ends."""

from datetime import datetime
from typing import Any

import pytest

from neo_assets.api.bars import bars


def rows(**numbers: tuple[int, int]) -> list[dict[str, Any]]:
    """Rows of years such as `y2026=(past, predicted)`."""
    return [
        {"year": int(year[1:]), "past_approaches": past, "predicted_approaches": predicted}
        for year, (past, predicted) in numbers.items()
    ]


def test_each_year_has_a_bar_and_a_year_without_rows_none() -> None:
    drawn = bars(rows(y2024=(3, 0), y2026=(2, 5), y2027=(0, 4)), datetime(2026, 7, 1))
    assert drawn.width == 4
    assert drawn.past == "M0 0V-3h1V0h1V-2h1V0h1V0z"
    assert drawn.predicted == "M0 0V0h1V0h1V-7h1V-4h1V0z"


def test_the_past_ends_within_its_year() -> None:
    counted = rows(y2025=(1, 0), y2026=(1, 1))
    assert bars(counted, datetime(2026, 7, 1)).now == pytest.approx(75, abs=0.2)
    assert bars(counted, datetime(2030, 1, 1)).now is None
    assert bars(counted, None).now is None


@pytest.mark.parametrize(
    ("most", "numbers"),
    [
        (1, [0, 1]),
        (5, [0, 1, 2, 3, 4, 5]),
        (7, [0, 2, 4, 6, 8]),
        (936, [0, 200, 400, 600, 800, 1000]),
        (2_001, [0, 500, 1000, 1500, 2000, 2500]),
    ],
)
def test_numbers_at_the_axis_are_round_and_reach_above_the_highest_bar(most: int, numbers: list[int]) -> None:
    drawn = bars(rows(y2026=(most, 0)), None)
    assert [number for number, _ in drawn.numbers] == numbers
    assert drawn.height == numbers[-1]
    assert (drawn.numbers[0][1], drawn.numbers[-1][1]) == (100, 0)


def test_years_at_the_axis_are_round() -> None:
    assert [year for year, _ in bars(rows(y1899=(1, 0), y2201=(0, 1)), None).years] == list(range(1900, 2201, 50))
    assert bars(rows(y2026=(1, 0)), None).years == [(2026, 50)]
