"""Approaches as people read them."""

import pytest

from neo_assets.products.spreadsheet import as_csv
from neo_assets.products.upcoming import Approach, as_rows
from neo_assets_tests.sources.neows.examples import NOON


def one(km: float = 384_400, low: float | None = 100, high: float | None = 223.6) -> Approach:
    known = (NOON, "1", "1 XY", "1 XY", km / 149_597_870, km, 12.5, 22.1, low, high, False, None, NOON)
    return Approach(*known)


@pytest.mark.parametrize(
    ("km", "shown"), [(384_400, "1.0"), (7_479_893.5, "19.5"), (266_000, "0.69"), (7_000, "0.018"), (380_000, "0.99")]
)
def test_lunar_distances_have_as_many_digits_as_people_need(km: float, shown: str) -> None:
    assert one(km).lunar_distances == shown


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (100, 223.6, "100-224"),
        (1212.4, 2711, "1,212-2,711"),
        (3.25, 7.26, "3.2-7.3"),
        (5, 11.2, "5.0-11"),
        (None, None, ""),
    ],
)
def test_diameters_have_as_many_digits_as_their_estimate_deserves(
    low: float | None, high: float | None, shown: str
) -> None:
    assert one(low=low, high=high).diameter_m == shown


def test_no_approaches_are_a_header_in_csv() -> None:
    assert as_csv(as_rows([], "nasa")).count(b"\n") == 1
