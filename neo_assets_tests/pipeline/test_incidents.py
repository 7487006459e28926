"""Incidents: what news makes of them, and how they are kept. What is wrong with a lake is tested with the sensor."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyarrow import fs

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.heartbeat import append
from neo_assets.pipeline.incidents import (
    Failing,
    Incident,
    Kind,
    Over,
    State,
    after,
    in_short,
    read,
    standing,
    write,
)
from neo_assets.schema.heartbeat import NOT_ASKED, OUT_OF_ORDER, Heartbeat
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import QUARANTINE, RAW_PAGE_INDEX
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.settings import settings_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
ONE = Incident(Kind.RUN, "page set 00000-00001", "it failed", NOON, "raw_pages", "00000-00001")


def over(incident: Incident, *assets: str) -> Over:
    return Over(incident.kind, incident.what, LATER, frozenset(assets) or None)


def test_an_incident_that_goes_on_stays_as_it_was() -> None:
    again = replace(ONE, began_at=LATER, reason="it failed again")
    assert after([ONE], [again]) == (ONE,)


def test_an_incident_is_over_when_the_same_thing_is_well() -> None:
    another = replace(ONE, what="page set 00002-00003")
    assert after([ONE, another], [over(ONE)]) == (replace(ONE, over_at=LATER), another)
    assert after([], [over(ONE)]) == ()


def test_what_fails_anew_is_another_incident() -> None:
    anew = replace(ONE, began_at=LATER)
    assert after([ONE], [over(ONE), anew]) == (replace(ONE, over_at=LATER), anew)


def test_an_incident_is_over_only_if_its_asset_was_made() -> None:
    assert after([ONE], [over(ONE, "near_miss_count")]) == (ONE,)
    assert after([ONE], [over(ONE, "raw_pages", "near_miss_count")]) == (replace(ONE, over_at=LATER),)
    of_no_asset = replace(ONE, asset=None)
    assert after([of_no_asset], [over(ONE, "near_miss_count")])[0].over_at == LATER


def test_news_from_before_an_incident_does_not_end_it() -> None:
    assert after([replace(ONE, began_at=LATER + timedelta(seconds=1))], [over(ONE)])[0].over_at is None


def test_what_has_grown_is_to_be_reported_again_and_began_when_it_did() -> None:
    before = replace(ONE, kind=Kind.QUARANTINE, size=3, reported={"log": 1})
    grown = replace(before, size=4, began_at=LATER, reported={})
    smaller = replace(before, size=2)
    assert after([before], [replace(grown, size=2)]) == (smaller,)
    assert after([smaller], [replace(grown, size=3)]) == (replace(grown, size=3, began_at=NOON),)
    assert after([before], [grown]) == (replace(grown, began_at=NOON),)


def test_an_index_with_a_page_of_another_page_set_stops_no_alert(lake: Storage) -> None:
    facts = PageFacts(7, NOON, "simulator", "", 1, 20, 40_000, "")
    tables.write_table(lake, RAW_PAGE_INDEX, raw_pages.index([facts]), "00000-00001")
    [stale] = standing(lake, settings_of(pages=2, pages_per_set=2))
    assert isinstance(stale, Incident)
    assert (stale.kind, stale.page_set) == (Kind.STALE, None)


def test_discarded_records_are_looked_up_once_however_many_page_sets_have_records(
    lake: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"page": 0, "index": 0, "reason": "no id", "record": "{}"}
    rows = pa.Table.from_pylist([record], schema=QUARANTINE.schema)
    settings = settings_of(pages=3, pages_per_set=1)
    for key in settings.page_sets:
        tables.write_table(lake, QUARANTINE, rows, key)
    listed: list[str] = []
    files = lake.files

    def counted(directory: str) -> list[fs.FileInfo]:
        listed.append(directory)
        return files(directory)

    monkeypatch.setattr(lake, "files", counted)
    assert [one.what for one in standing(lake, settings)] == [f"page set {key}" for key in settings.page_sets]
    assert listed.count(layout.DISCARDED) == 1


def test_without_heartbeats_for_a_day_nothing_is_said_of_neows(lake: Storage) -> None:
    now = datetime.now(UTC)
    failed = Heartbeat(now - timedelta(hours=25), OUT_OF_ORDER, "answered 503")
    append(lake, failed)
    [over] = standing(lake, settings_of())
    assert isinstance(over, Over)
    assert (over.kind, over.what) == (Kind.NEOWS, "the last heartbeat")
    assert over.because == f"no heartbeat since {failed.at:%Y-%m-%d %H:%M} UTC"
    append(lake, replace(failed, at=now - timedelta(hours=23), status=NOT_ASKED))
    [goes_on] = standing(lake, settings_of())
    assert isinstance(goes_on, Incident)
    assert (goes_on.kind, goes_on.what, goes_on.began_at) == (Kind.NEOWS, over.what, failed.at)


@disk_and_s3
def test_incidents_are_kept_in_the_lake(lake: Storage) -> None:
    assert read(lake) == State()
    reported = replace(ONE, over_at=LATER, reported={"log": 2, "webhook": 1})
    state = State((ONE, reported), {"webhook": Failing(NOON, "example.org is down")})
    write(lake, state)
    assert read(lake) == state
    assert state.open == [ONE]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"incidents": [{}]}', b'{"incidents": [{"kind": "no kind"}]}'])
def test_a_damaged_file_counts_as_none_and_is_named(
    lake: Storage, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    lake.write(layout.INCIDENTS, content)
    assert read(lake) == State()
    assert f"{lake.location(layout.INCIDENTS)} is damaged (" in caplog.text


def test_a_reason_is_one_line_of_some_length() -> None:
    assert in_short("it\n  failed") == "it failed"
    long = in_short("x" * 1000)
    assert len(long) == 500
    assert long.endswith("x...")
