"""Page sets are current if their pages are young enough and every table was made from exactly these pages."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.gather import store
from neo_assets.pipeline.staleness import age, current, is_too_old, oldest_page, reusable_pages, too_old_after
from neo_assets.schema.pages import Page, PageFacts
from neo_assets.schema.tables import TABLES
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, compute, gather
from neo_assets_tests.sources.neows.examples import approach, body, neo

PAGE_SET = "00000-00001"
DAY_H = 24
EACH_TABLE = pytest.mark.parametrize("table", [table.name for table in TABLES.values() if table.partitioned])


def pages(*, hours_old: float = 1, approaches: int = 1) -> list[Page]:
    at = datetime.now(UTC) - timedelta(hours=hours_old)
    entries = [approach()] * approaches
    return [Page(i, body(neo(str(i), *entries), number=i), at, "simulator", 1, 40_000) for i in range(2)]


def file_of(table: str) -> str:
    return layout.table_file(TABLES[table], PAGE_SET)


def done(lake: Storage, max_age_hours: float = DAY_H) -> bool:
    return current(lake, reusable_pages(lake, [PAGE_SET], max_age_hours), METRICS.of_a_page_set) == {PAGE_SET}


def test_a_set_is_done_once_gathered(lake: Storage) -> None:
    assert not done(lake)
    gather(lake, PAGE_SET, pages())
    assert done(lake)


def test_a_lake_that_was_moved_is_still_current(disk_lake: Storage, tmp_path: Path) -> None:
    gather(disk_lake, PAGE_SET, pages())
    Path(disk_lake.root).rename(tmp_path / "moved")
    assert done(Storage(str(tmp_path / "moved")))


def test_a_set_with_a_missing_page_is_not_done(lake: Storage) -> None:
    gather(lake, PAGE_SET, pages())
    lake.delete(layout.raw_page(1))
    assert not done(lake)


@pytest.mark.parametrize(("max_age_hours", "expected"), [(0, False), (0.5, False), (2, True), (1e12, True)])
def test_a_set_is_done_while_its_pages_are_young_enough(lake: Storage, max_age_hours: float, expected: bool) -> None:
    gather(lake, PAGE_SET, pages(hours_old=1))
    assert done(lake, max_age_hours) is expected
    assert len(reusable_pages(lake, [PAGE_SET], max_age_hours)[PAGE_SET]) == (2 if expected else 0)


@pytest.mark.parametrize("max_age_hours", [0, DAY_H])
def test_a_page_from_the_future_has_no_age_and_is_not_reused(lake: Storage, max_age_hours: float) -> None:
    """Its clock was ahead, so nobody knows how old it is."""
    gather(lake, PAGE_SET, pages(hours_old=-2))
    assert reusable_pages(lake, [PAGE_SET], max_age_hours) == {PAGE_SET: []}
    assert not done(lake, max_age_hours)


@EACH_TABLE
def test_every_table_must_exist_and_be_whole(lake: Storage, table: str) -> None:
    gather(lake, PAGE_SET, pages())
    file = file_of(table)
    whole = lake.read(file)
    lake.write(file, whole[:-10])
    assert not done(lake)
    lake.delete(file)
    assert not done(lake)
    lake.write(file, whole)
    assert done(lake)


@EACH_TABLE
def test_a_flipped_byte_in_a_table_is_noticed_on_disk(disk_lake: Storage, table: str) -> None:
    at = datetime.now(UTC)
    entries = [neo("1", approach()), "not an object, so the quarantine has a row"]
    gather(disk_lake, PAGE_SET, [Page(i, body(*entries, number=i), at, "simulator", 2, 40_000) for i in range(2)])
    assert done(disk_lake)
    file = file_of(table)
    whole = disk_lake.read(file).to_pybytes()
    first = pq.ParquetFile(pa.BufferReader(whole)).metadata.row_group(0).column(0)
    disk_lake.write(file, damaged(whole, first.file_offset + first.total_compressed_size - 1))
    assert not done(disk_lake)


@EACH_TABLE
def test_a_table_made_from_other_pages_is_stale(lake: Storage, table: str) -> None:
    gather(lake, PAGE_SET, pages(approaches=2))
    stale = lake.read(file_of(table))
    gather(lake, PAGE_SET, pages())
    assert done(lake)
    lake.write(file_of(table), stale)
    assert not done(lake)


@pytest.mark.parametrize("approaches", [1, 2], ids=["same content", "other content"])
@disk_and_s3
def test_pages_fetched_again_make_their_tables_stale(lake: Storage, approaches: int) -> None:
    gather(lake, PAGE_SET, pages(hours_old=2))
    facts = [raw_pages.write_page(lake, page) for page in pages(hours_old=1, approaches=approaches)]
    assert not done(lake)
    compute(lake, PAGE_SET)
    assert not done(lake), "the index still lists the earlier pages"
    store(lake, PAGE_SET, facts)
    assert done(lake)


@disk_and_s3
def test_an_index_with_other_md5s_is_written_again(lake: Storage) -> None:
    """As in a copied bucket whose ETags differ: with a stale index, every run would read every page."""
    gather(lake, PAGE_SET, pages())
    facts = [facts for number in range(2) if (facts := raw_pages.read_facts(lake, number))]
    others = [dataclasses.replace(one, md5="another") for one in facts]
    store(lake, PAGE_SET, others)
    assert not done(lake)


def test_a_table_without_an_origin_is_stale(lake: Storage) -> None:
    gather(lake, PAGE_SET, pages())
    rows = tables.read_table(lake, TABLES["neo_records"], PAGE_SET).replace_schema_metadata()
    tables.write_table(lake, TABLES["neo_records"], rows, PAGE_SET)
    assert not done(lake)


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("at", [100, -1], ids=["in the body", "in the facts"])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_damaged_page_is_not_reused(lake: Storage, at: int, indexed: bool) -> None:
    gather(lake, PAGE_SET, pages())
    file = layout.raw_page(1)
    lake.write(file, damaged(lake.read(file).to_pybytes(), at))
    if not indexed:
        lake.delete(file_of("raw_page_index"))
    assert [facts.page for facts in reusable_pages(lake, [PAGE_SET], DAY_H)[PAGE_SET]] == [0]
    assert not done(lake)


def test_the_oldest_page_is_the_one_that_arrived_first_by_the_clock_of_its_time(lake: Storage) -> None:
    """If the clock was set back, a page is dated later than it arrived."""
    assert oldest_page(lake, [PAGE_SET]) is None
    first, second = pages(hours_old=1)
    arrived = first.fetched_at - timedelta(days=3)
    gather(lake, PAGE_SET, [first, dataclasses.replace(second, clock_at=arrived)])
    oldest = oldest_page(lake, [PAGE_SET, "00002-00003"])
    assert oldest is not None
    assert (oldest.page, oldest.arrived_at) == (1, arrived)
    assert timedelta(days=3) < age(oldest) < timedelta(days=3, hours=2)


def test_the_age_from_which_pages_are_too_old_follows_from_the_setting() -> None:
    assert [too_old_after(hours) for hours in (0, 24, 1.5)] == [timedelta(hours=hours) for hours in (24, 48, 25.5)]
    assert too_old_after(1e300) > timedelta(days=36_525)


@pytest.mark.parametrize(("hours", "too_old"), [(47.9, False), (48.1, True), (-1, False)])
def test_a_page_is_too_old_a_day_after_it_was_due(hours: float, too_old: bool) -> None:
    facts = PageFacts(0, datetime.now(UTC) - timedelta(hours=hours), "simulator", "", 1, 20, 40_000, "")
    assert is_too_old(facts, 24) is too_old
