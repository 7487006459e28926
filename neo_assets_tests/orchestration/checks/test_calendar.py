"""The check of the calendar passes on what was made, and fails on whatever differs from the tables."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.calendar import calendar_shows_the_approaches
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.products.calendar import write_upcoming
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.sources.neows.examples import approach, neo, page

FIRST, SECOND = "00000-00000", "00001-00001"
ICS, CSV = "products/upcoming.ics", "products/upcoming.csv"


def near(days: int, au: str = "0.01") -> dict[str, Any]:
    return approach(au, "1495978.7", f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}")


@pytest.fixture
def made(lake: Storage) -> Storage:
    """A lake with its calendar: two events, one that is cancelled, and none for an approach beyond 0.05 au."""
    kept = neo("2", near(20), near(90), near(30, au="0.06"))
    for hours, other in enumerate((neo("1", near(9)), neo("1"))):
        gather(lake, FIRST, [page(kept, other, hours=hours)])
        write_upcoming(lake, METRICS, [FIRST], datetime.now(UTC))
    return lake


def verdict(lake: Storage, *page_sets: str) -> Verdict:
    return calendar_shows_the_approaches(lake, METRICS, page_sets or [FIRST])


def events(data: bytes) -> list[bytes]:
    return [b"BEGIN:VEVENT" + one for one in data.split(b"BEGIN:VEVENT")[1:]]


@disk_and_s3
def test_it_passes_on_what_was_made(made: Storage) -> None:
    assert verdict(made) == (True, {"events": 2, "cancelled": 1})


FAULTS: dict[str, tuple[str, Callable[[bytes], bytes], set[str]]] = {
    "an event is lost": (ICS, lambda data: data.replace(events(data)[1], b""), {"missing"}),
    "an event is cancelled": (ICS, lambda data: data.replace(b"STATUS:CONFIRMED", b"STATUS:CANCELLED", 1), {"missing"}),
    "a cancelled event is shown": (ICS, lambda data: data.replace(b"CANCELLED", b"CONFIRMED"), {"not in the tables"}),
    "an event is at another time": (
        ICS,
        lambda data: data.replace(events(data)[1], events(data)[1].replace(b"T000000Z", b"T000100Z", 1)),
        {"missing", "not in the tables"},
    ),
    "an event is there twice": (
        ICS,
        lambda data: data.replace(events(data)[1], events(data)[1] * 2),
        {"cannot be read"},
    ),
    "the calendar is damaged": (ICS, lambda data: data[:300], {"cannot be read"}),
    "a row is lost": (CSV, lambda data: data[: data.rstrip().rindex(b"\n")], {"upcoming.csv"}),
}


@pytest.mark.parametrize(("path", "fault", "shown"), FAULTS.values(), ids=FAULTS)
def test_it_fails_on_a_fault(made: Storage, path: str, fault: Callable[[bytes], bytes], shown: set[str]) -> None:
    data = made.read(path).to_pybytes()
    assert fault(data) != data
    made.write(path, fault(data))
    passed, figures = verdict(made)
    assert not passed
    assert figures.keys() == shown


@pytest.mark.parametrize("path", [ICS, CSV, "products/index.json"])
def test_it_fails_if_a_file_is_missing(made: Storage, path: str) -> None:
    made.delete(path)
    assert verdict(made) == (False, {"cannot be read": "a file is missing"})


def test_page_sets_that_changed_since_are_not_compared(made: Storage) -> None:
    gather(made, FIRST, [page(neo("1", near(9)), hours=3)])
    passed, figures = verdict(made)
    assert passed
    assert figures.keys() == {"not checked"}


def test_events_of_page_sets_that_are_missing_are_not_compared(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", near(9)))])
    gather(lake, SECOND, [page(neo("2", near(20)), number=1)])
    write_upcoming(lake, METRICS, [FIRST, SECOND], datetime.now(UTC))
    lake.delete(f"silver/neo_sightings/page_set={SECOND}/data.parquet")
    write_upcoming(lake, METRICS, [FIRST, SECOND], datetime.now(UTC))
    assert verdict(lake, FIRST, SECOND) == (True, {"events": 1, "cancelled": 0})
