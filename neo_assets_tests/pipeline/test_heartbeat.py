"""The table `heartbeat`: each heartbeat adds a row, and what the last rows say."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.heartbeat import append, catalogue_pages, last_conclusive
from neo_assets.schema.heartbeat import NOT_ASKED, OUT_OF_ORDER, OVER_LIMIT, Heartbeat
from neo_assets.schema.heartbeat_table import HEARTBEAT
from neo_assets_tests.conftest import disk_and_s3

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WHOLE = Heartbeat(NOON, "ok", None, "nasa", 1.5, 0.25, 41_840, 41_840, 1_000_000)
OUTAGE = Heartbeat(NOON + timedelta(minutes=15), OUT_OF_ORDER, "answered 503")
NOTHING = Heartbeat(NOON + timedelta(minutes=30), NOT_ASKED, "the request budget is used up")


@disk_and_s3
def test_each_heartbeat_is_a_row_behind_the_others(lake: Storage) -> None:
    for number, beat in enumerate((WHOLE, OUTAGE, NOTHING), 1):
        assert append(lake, beat).num_rows == number
    stored = tables.read_table(lake, HEARTBEAT)
    assert [Heartbeat(**row) for row in stored.to_pylist()] == [WHOLE, OUTAGE, NOTHING]
    assert [info.path for info in lake.files("bronze")] == ["bronze/heartbeat/data.parquet"]


def test_a_damaged_table_is_begun_anew(lake: Storage, caplog: pytest.LogCaptureFixture) -> None:
    lake.write(layout.table_file(HEARTBEAT), b"no Parquet")
    assert append(lake, WHOLE).num_rows == 1
    assert "heartbeat/data.parquet is damaged" in caplog.text


def test_a_row_of_an_earlier_version_is_kept(lake: Storage) -> None:
    append(lake, WHOLE)
    stored = tables.read_table(lake, HEARTBEAT).drop_columns("source")
    older = dataclasses.replace(HEARTBEAT, columns=tuple(one for one in HEARTBEAT.columns if one.name != "source"))
    tables.write_table(lake, older, stored)
    append(lake, OUTAGE)
    rows = tables.read_table(lake, HEARTBEAT).to_pylist()
    assert [Heartbeat(**row) for row in rows] == [dataclasses.replace(WHOLE, source=None), OUTAGE]


def test_what_the_last_heartbeats_say(lake: Storage) -> None:
    assert (last_conclusive(lake), catalogue_pages(lake)) == (None, None)
    append(lake, NOTHING)
    assert (last_conclusive(lake), catalogue_pages(lake)) == (None, None)
    for beat, pages in ((WHOLE, 2_092), (dataclasses.replace(WHOLE, total_elements=41_841), 2_093), (OUTAGE, 2_093)):
        append(lake, beat)
        assert (last_conclusive(lake), catalogue_pages(lake)) == (beat, pages)
    for beat in (NOTHING, dataclasses.replace(NOTHING, status=OVER_LIMIT, detail="answered 429")):
        append(lake, beat)
        assert (last_conclusive(lake), catalogue_pages(lake)) == (OUTAGE, 2_093), "nothing was learnt"
