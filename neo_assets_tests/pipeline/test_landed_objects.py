"""The landed objects' tables: computed again if they were not made from the stored pages."""

from pathlib import Path

import pytest

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline import landed_objects
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import NEO_RECORDS
from neo_assets_tests.cli.landing import Zone, counted, lines, neos, totals
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS

pytestmark = pytest.mark.slow


@pytest.fixture
def zone(lake: Storage, tmp_path: Path) -> Zone:
    """A lake into which 450 objects have landed."""
    zone = Zone(lake, tmp_path)
    zone.drop("a.ndjson", lines(*neos(0, 450)))
    zone.land()
    return zone


def files(lake: Storage) -> dict[str, bytes]:
    paths = [layout.table_file(table, LANDED) for table in METRICS.tables.values() if table.partitioned]
    return {path: lake.read(path).to_pybytes() for path in paths}


def damage(lake: Storage, number: int) -> None:
    whole = lake.read(path := layout.raw_page(number)).to_pybytes()
    lake.write(path, whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])


def test_a_lake_without_landed_objects_has_nothing_to_compute(lake: Storage) -> None:
    assert not landed_objects.stale_page_sets(lake, METRICS.of_a_page_set)
    assert lake.files("") == []


def test_tables_are_up_to_date_after_landing(zone: Zone) -> None:
    assert not landed_objects.stale_page_sets(zone.lake, METRICS.of_a_page_set)


@pytest.mark.parametrize("table", ["neo_records", "near_miss_count", "neo_sightings"])
def test_a_lost_table_is_computed_again_with_the_same_bytes(zone: Zone, table: str) -> None:
    before = files(zone.lake)
    zone.lake.delete(layout.table_file(METRICS.tables[table], LANDED))
    assert landed_objects.stale_page_sets(zone.lake, METRICS.of_a_page_set)
    landed_objects.compute(zone.lake, METRICS)
    assert not landed_objects.stale_page_sets(zone.lake, METRICS.of_a_page_set)
    assert files(zone.lake) == before


def test_landing_computes_a_lost_table_though_no_file_waits(zone: Zone) -> None:
    zone.lake.delete(layout.table_file(NEO_RECORDS, LANDED))
    assert zone.land().lines == ["landed objects: computed"], "the totals do not read that table"
    assert totals(zone) == counted(neos(0, 450))
    assert zone.land().lines == []


def test_counts_of_other_pages_make_the_snapshot_incomplete(zone: Zone) -> None:
    rows = tables.read_table(zone.lake, NEAR_MISS_COUNT, LANDED)
    tables.write_table(zone.lake, NEAR_MISS_COUNT, tables.with_origin(rows, "other pages"), LANDED)
    found = {finding.reason: finding.detail for finding in Snapshot(zone.lake, METRICS, zone.keys).findings}
    assert found["page sets not computed"] == LANDED
    landed_objects.compute(zone.lake, METRICS)
    assert "page sets not computed" not in {one.reason for one in Snapshot(zone.lake, METRICS, zone.keys).findings}


@disk_and_s3
def test_a_damaged_page_is_reported_and_repaired_by_dropping_its_file_again(zone: Zone) -> None:
    damage(zone.lake, raw_pages.stored_numbers(zone.lake)[1])
    with pytest.raises(LakeDamaged, match=r"is damaged: drop the file it came from \(a.ndjson; it is in the archive"):
        landed_objects.compute(zone.lake, METRICS)
    assert list(zone.land().landing.failed) == [LANDED]
    zone.drop("a.ndjson", lines(*neos(0, 450)))
    assert zone.land().landing.failed == {}
    assert totals(zone) == counted(neos(0, 450))


def test_objects_whose_pages_were_deleted_leave_the_totals(zone: Zone) -> None:
    for number in raw_pages.stored_numbers(zone.lake):
        zone.lake.delete(layout.raw_page(number))
    assert zone.land().lines == ["landed objects: computed", "totals: computed"]
    assert totals(zone) == (0, 0, 0, 0)
    assert zone.land().lines == []
