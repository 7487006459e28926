"""What a daily refresh starts: page sets that are not of the day, the oldest first, none of them skipped."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT
from neo_assets.pipeline.refresh import Due, due, oldest_first, start_of_day
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.sources.neows.examples import neo, page

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SINCE = NOON - timedelta(hours=6)
KEY, OTHER = "00000-00001", "00002-00003"
NEVER = datetime.min.replace(tzinfo=UTC)


def store(lake: Storage, *arrived: datetime) -> None:
    """Store the pages of the first page set, and compute its tables."""
    pages = [page(neo(str(number)), number=number) for number in (0, 1)]
    gather(lake, KEY, [dataclasses.replace(one, fetched_at=at) for one, at in zip(pages, arrived, strict=True)])


@pytest.mark.parametrize(
    ("now", "start"),
    [("01T06:00", "01"), ("02T05:59", "01"), ("02T06:00", "02"), ("02T23:00", "02"), ("03T03:00", "02")],
)
def test_a_day_begins_at_six(now: str, start: str) -> None:
    moment = datetime.fromisoformat(f"2026-03-{now}:00+00:00")
    elsewhere = moment.astimezone(tz=None)
    assert {start_of_day(one).isoformat() for one in (moment, elsewhere)} == {f"2026-03-{start}T06:00:00+00:00"}


def test_page_sets_with_missing_or_earlier_pages_are_due(lake: Storage) -> None:
    assert due(lake, [KEY, OTHER], METRICS.of_a_page_set, SINCE) == [Due(KEY, 2, NEVER), Due(OTHER, 2, NEVER)]
    yesterday = NOON - timedelta(days=1)
    store(lake, yesterday, NOON)
    assert due(lake, [KEY, OTHER], METRICS.of_a_page_set, SINCE) == [Due(KEY, 1, yesterday), Due(OTHER, 2, NEVER)]
    store(lake, SINCE, NOON)
    assert due(lake, [KEY], METRICS.of_a_page_set, SINCE) == []


def test_a_page_set_whose_tables_are_not_current_is_due_without_a_request(lake: Storage) -> None:
    store(lake, SINCE, NOON)
    lake.delete(layout.table_file(NEAR_MISS_COUNT, KEY))
    assert due(lake, [KEY], METRICS.of_a_page_set, SINCE) == [Due(KEY, 0, SINCE)]


def test_the_age_of_a_page_from_the_future_is_unknown(lake: Storage) -> None:
    future = datetime.now(UTC) + timedelta(days=2)
    store(lake, SINCE, future)
    assert due(lake, [KEY], METRICS.of_a_page_set, SINCE) == [Due(KEY, 1, SINCE)]


def test_the_oldest_come_first_as_many_as_can_be_paid_for() -> None:
    due_ = [Due("a", 2, NOON), Due("b", 3, SINCE), Due("c", 0, SINCE), Due("d", 1, NEVER)]
    chosen = [[one.page_set for one in oldest_first(due_, {"d": 1}, requests)] for requests in (-1, 0, 3, 4, 5, 6, 99)]
    assert chosen == [
        [],
        [],
        ["b", "c"],
        ["b", "c"],
        ["b", "c", "a"],
        ["b", "c", "a", "d"],
        ["b", "c", "a", "d"],
    ], "`d` was tried before, and `c`, which needs no request, waits for `b`"
