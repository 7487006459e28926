"""Approaches are recognized after a new orbit has moved them, and never change places."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_assets.products.revisions import MOST_MOVED, paired
from neo_assets_tests.sources.neows.examples import NOON

DAYS = st.lists(st.integers(0, 40), max_size=5).map(sorted)
"""Days, so near each other that there are many ways to pair them."""


def moments(days: Iterable[float]) -> list[datetime]:
    return [NOON + timedelta(days=day) for day in days]


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        ([], [], {}),
        ([0], [], {}),
        ([], [0], {}),
        ([0], [0.01], {0: 0}),
        ([0], [-9], {0: 0}),
        ([0], [10], {0: 0}),
        ([0], [10.01], {}),
        ([0], [-3, 2], {0: 1}),
        ([0, 8], [1], {0: 0}),
        ([0, 100], [100, 200], {1: 0}),
        ([0, 5], [4, 9], {0: 0, 1: 1}),
        ([5, 6], [0, 5.9], {0: 0, 1: 1}),
        ([0, 0], [0, 0], {0: 0, 1: 1}),
        ([0, 3], [3], {1: 0}),
    ],
)
def test_pairs_are_those_that_move_least_in_the_order_of_time(
    before: list[float], after: list[float], pairs: dict[int, int]
) -> None:
    assert paired(moments(before), moments(after)) == pairs


@given(before=DAYS, after=DAYS)
def test_no_two_change_places_and_none_goes_too_far(before: list[int], after: list[int]) -> None:
    pairs = paired(moments(before), moments(after))
    assert list(pairs) == sorted(pairs)
    assert list(pairs.values()) == sorted(set(pairs.values()))
    assert all(abs(before[i] - after[j]) <= MOST_MOVED.days for i, j in pairs.items())


@given(before=DAYS, after=DAYS)
def test_none_is_left_alone_beside_one_within_reach(before: list[int], after: list[int]) -> None:
    pairs = paired(moments(before), moments(after))
    for i in set(range(len(before))) - set(pairs):
        for j in set(range(len(after))) - set(pairs.values()):
            between = any((i < one) != (j < other) for one, other in pairs.items())
            assert between or abs(before[i] - after[j]) >= MOST_MOVED.days


@given(days=DAYS)
def test_what_has_not_moved_is_the_same(days: list[int]) -> None:
    assert paired(moments(days), moments(days)) == {i: i for i in range(len(days))}
