"""Incidents: what news makes of them, and how they are kept. What is wrong with a lake is tested with the sensor."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyarrow import fs

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.incidents import (
    Failing,
    Incident,
    Kind,
    Over,
    State,
    after,
    in_short,
    read,
    shown_at,
    standing,
    write,
)
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import QUARANTINE, RAW_PAGE_INDEX
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.settings import settings_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
ONE = Incident(Kind.RUN, "page set 00000-00001", "it failed", "there", NOON, "raw_pages", "00000-00001")


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


def test_what_has_grown_is_to_be_told_again_and_began_when_it_did() -> None:
    before = replace(ONE, kind=Kind.QUARANTINE, size=3, told={"log": 1})
    grown = replace(before, size=4, began_at=LATER, told={})
    smaller = replace(before, size=2)
    assert after([before], [replace(grown, size=2)]) == (smaller,)
    assert after([smaller], [replace(grown, size=3)]) == (replace(grown, size=3, began_at=NOON),)
    assert after([before], [grown]) == (replace(grown, began_at=NOON),)


def test_an_index_with_a_page_of_another_page_set_stops_no_alert(lake: Storage) -> None:
    facts = PageFacts(7, NOON, "simulator", "", 1, 20, 40_000, "")
    tables.write_table(lake, RAW_PAGE_INDEX, raw_pages.index([facts]), "00000-00001")
    [stale] = standing(lake, settings_of(pages=2, pages_per_set=2))
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
    assert [one.page_set for one in standing(lake, settings)] == settings.page_sets
    assert listed.count(layout.DISCARDED) == 1


@disk_and_s3
def test_incidents_are_kept_in_the_lake(lake: Storage) -> None:
    assert read(lake) == State()
    told = replace(ONE, over_at=LATER, told={"log": 2, "webhook": 1})
    state = State((ONE, told), {"webhook": Failing(NOON, "example.org is down")})
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


def test_dagsters_ui_is_linked_to_where_its_address_is_known() -> None:
    assert shown_at(settings_of(), "runs/1", "Runs, 1") == "Dagster's UI: Runs, 1"
    assert shown_at(settings_of(dagster_url="https://example.org/ui/"), "runs/1", "Runs, 1") == (
        "https://example.org/ui/runs/1"
    )


def test_a_reason_is_one_line_of_some_length() -> None:
    assert in_short("it\n  failed") == "it failed"
    long = in_short("x" * 1000)
    assert len(long) == 500
    assert long.endswith("x...")
