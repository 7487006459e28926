"""Bounds: each lets pass what is just inside it, and nothing that is just outside."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_assets.pipeline.bounds import BOUNDS, Figures

ACCEPTED = Figures(
    source="nasa",
    pages=50,
    page_sets=25,
    neos=1000,
    near_misses={"Earth": 500, "Venus": 300, "Juptr": 200},
    approaches=2000,
    rows=1000,
    nulls={"id": 0, "name_limited": 900, "absolute_magnitude_h": 10},
    oldest=datetime(2026, 3, 1, tzinfo=UTC),
    newest=datetime(2026, 3, 2, tzinfo=UTC),
)
BODIES = st.sampled_from(["Earth", "Venus", "Merc", "Juptr"])
NUMBERS = st.integers(0, 10**6)


def beyond(now: Figures, accepted: Figures = ACCEPTED) -> dict[str, dict[str, str]]:
    """The bounds that the figures are out of, with the figures."""
    found = {name: bound.beyond(accepted, now) for name, bound in BOUNDS.items()}
    return {name: figures for name, figures in found.items() if figures}


def near_misses(earth: int, venus: int, **others: int) -> Figures:
    return replace(ACCEPTED, near_misses={"Earth": earth, "Venus": venus} | others)


def nulls(**columns: int) -> Figures:
    return replace(ACCEPTED, nulls=columns)


@pytest.mark.parametrize(
    ("inside", "outside", "says"),
    [
        (
            replace(ACCEPTED, neos=995),
            replace(ACCEPTED, neos=994),
            {"neos_are_not_lost": {"NEOs": "994 instead of 1000"}},
        ),
        (
            nulls(absolute_magnitude_h=60),
            nulls(absolute_magnitude_h=61),
            {"nulls_are_not_more": {"absolute_magnitude_h": "6.10% instead of 1.00%"}},
        ),
        (
            near_misses(505, 300, Juptr=200),
            near_misses(506, 300, Juptr=200),
            {"near_misses_to_earth_are_steady": {"near misses to Earth": "506 instead of 500"}},
        ),
        (
            near_misses(495, 300, Juptr=200),
            near_misses(494, 300, Juptr=200),
            {"near_misses_to_earth_are_steady": {"near misses to Earth": "494 instead of 500"}},
        ),
        (
            near_misses(500, 300, Juptr=190, Merc=10),
            near_misses(500, 300, Juptr=189, Merc=11),
            {
                "shares_of_bodies_are_steady": {
                    "Juptr": "18.90% instead of 20.00%",
                    "Merc": "1.10% instead of 0.00%",
                }
            },
        ),
    ],
)
def test_a_bound_is_kept_just_inside_and_broken_just_outside(
    inside: Figures, outside: Figures, says: dict[str, dict[str, str]]
) -> None:
    assert beyond(inside) == {}
    assert beyond(outside) == says


@given(st.integers(1, 10**6), NUMBERS)
def test_neos_may_be_fewer_by_half_a_percent_and_more_without_limit(was: int, now: int) -> None:
    found = beyond(replace(ACCEPTED, neos=now), replace(ACCEPTED, neos=was))
    assert ("neos_are_not_lost" in found) is (200 * (was - now) > was)


@given(NUMBERS, NUMBERS)
def test_near_misses_to_earth_may_differ_by_a_percent(was: int, now: int) -> None:
    found = beyond(near_misses(now, 0), near_misses(was, 0))
    assert ("near_misses_to_earth_are_steady" in found) is (100 * abs(was - now) > was)


@given(st.dictionaries(BODIES, NUMBERS), st.dictionaries(BODIES, NUMBERS))
def test_shares_may_differ_by_a_point(was: dict[str, int], now: dict[str, int]) -> None:
    then, here = replace(ACCEPTED, near_misses=was), replace(ACCEPTED, near_misses=now)
    before, after = sum(was.values()), sum(now.values()) or 1
    off = {
        body
        for body in was | now
        if before and 100 * abs(now.get(body, 0) * before - was.get(body, 0) * after) > before * after
    }
    assert set(beyond(here, then).get("shares_of_bodies_are_steady", {})) == off


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_nulls_may_be_more_by_five_points_and_fewer_without_limit(was: int, now: int) -> None:
    found = beyond(nulls(designation=now), nulls(designation=was))
    assert ("nulls_are_not_more" in found) is (now - was > 50)


def test_a_column_that_only_one_version_has_is_not_compared() -> None:
    assert beyond(nulls(id=0, added_later=1000)) == {}


def test_a_share_of_nothing_is_not_compared() -> None:
    assert "shares_of_bodies_are_steady" not in beyond(ACCEPTED, replace(ACCEPTED, near_misses={}))
    assert "nulls_are_not_more" not in beyond(replace(ACCEPTED, rows=0))
    assert "nulls_are_not_more" not in beyond(ACCEPTED, replace(ACCEPTED, rows=0, nulls={"name_limited": 0}))


def test_where_there_were_no_near_misses_to_earth_each_is_one_too_many() -> None:
    found = beyond(near_misses(5, 300, Juptr=200), replace(ACCEPTED, near_misses={"Venus": 300, "Juptr": 200}))
    assert found["near_misses_to_earth_are_steady"] == {"near misses to Earth": "5 instead of 0"}


def test_lost_neos_and_nulls_are_errors() -> None:
    assert {name for name, bound in BOUNDS.items() if bound.is_error} == {"neos_are_not_lost", "nulls_are_not_more"}


def test_what_a_bound_allows_is_said() -> None:
    assert [bound.allowed for bound in BOUNDS.values()] == ["0.5 %", "1 %", "1 point", "5 points"]
