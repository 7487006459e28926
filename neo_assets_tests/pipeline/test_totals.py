"""The totals as one object: sums over all bodies, those for Earth, and whether they are up to date."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from neo_assets.lake import layout, owner, tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.metrics.registry import (
    NEAR_MISS_COUNT,
    TOTAL_NEAR_MISSES,
    TOTAL_YEARLY_APPROACHES,
    YEARLY_APPROACHES,
)
from neo_assets.pipeline.totals import Totals, are_stale, read_totals
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import CATALOGUE_STATS, NEO_SIGHTINGS, QUARANTINE, RAW_PAGE_INDEX, SNAPSHOT
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather, total
from neo_assets_tests.sources.neows.examples import NOON, approach, neo, page

FIRST, SECOND, THIRD = KEYS = ["00000-00000", "00001-00001", "00002-00002"]


def totals_of(lake: Storage, page_sets: list[str]) -> Totals:
    return read_totals(lake, METRICS, page_sets)


@pytest.fixture
def filled(lake: Storage) -> Storage:
    """Two of three page sets, with one object in both and approaches to several bodies."""
    owner.claim(lake, "simulator")
    moved = neo("1", approach(day="1900-01-01"), approach(day="1950-01-01", body="Venus"))
    gather(lake, FIRST, [page(moved, neo("2", approach("0.2", day="2200-12-31")))])
    gather(lake, SECOND, [page(moved, neo("3"), number=1, hours=1)])
    total(lake, KEYS)
    return lake


def test_the_totals(filled: Storage) -> None:
    totals = totals_of(filled, KEYS)
    assert (totals.source, totals.lake) == ("simulator", filled.root)
    assert (totals.pages, totals.page_sets, totals.page_sets_expected) == (2, 2, 3)
    assert totals.neos == 3
    assert (totals.near_misses, totals.near_misses_earth) == (2, 1)
    assert (totals.approaches, totals.approaches_earth) == (3, 2)
    assert (totals.years, totals.first_year, totals.last_year) == (3, 1900, 2200)


@disk_and_s3
def test_totals_are_up_to_date_until_a_set_is_counted_again(filled: Storage) -> None:
    assert totals_of(filled, KEYS).up_to_date
    gather(filled, THIRD, [page(neo("4", approach()), number=2)])
    assert not totals_of(filled, KEYS).up_to_date
    total(filled, KEYS)
    assert totals_of(filled, KEYS).up_to_date
    gather(filled, FIRST, [page(neo("5", approach()))])
    assert not totals_of(filled, KEYS).up_to_date


def test_outdated_totals_are_never_called_consistent(lake: Storage) -> None:
    gather(lake, FIRST, [page(*(neo(str(number)) for number in range(20)))])
    total(lake, [FIRST])
    assert totals_of(lake, [FIRST]).verdict == "consistent"
    gather(lake, SECOND, [page(*(neo(str(number)) for number in range(20, 40)), number=1, hours=1)])
    totals = totals_of(lake, [FIRST, SECOND])
    assert (totals.verdict, totals.reasons) == ("incomplete", ["totals are out of date"])


def test_missing_totals_are_an_error_that_names_the_command(lake: Storage) -> None:
    with pytest.raises(
        LakeError, match=r"total_near_misses/data\.parquet is missing: run `neo run`, or materialize total_near"
    ):
        totals_of(lake, KEYS)


@pytest.mark.parametrize("page_sets", [["00000-00001", "00002-00002"], [FIRST]])
def test_figures_are_of_one_state_after_a_change_of_the_page_sets(filled: Storage, page_sets: list[str]) -> None:
    before = totals_of(filled, KEYS)
    totals = totals_of(filled, page_sets)
    assert not totals.up_to_date
    assert (totals.verdict, totals.reasons[0]) == ("incomplete", "totals are out of date")
    assert replace(totals, up_to_date=True, verdict=before.verdict, reasons=before.reasons) == before


@pytest.mark.parametrize("table", [TOTAL_NEAR_MISSES, TOTAL_YEARLY_APPROACHES, SNAPSHOT])
def test_totals_of_two_states_are_an_error(filled: Storage, table: Table) -> None:
    """A run that is killed between two totals leaves them so."""
    older = tables.read_table(filled, table)
    gather(filled, THIRD, [page(neo("4", approach()), number=2)])
    total(filled, KEYS)
    tables.write_table(filled, table, older)
    with pytest.raises(LakeError, match="not of the same state of the lake: run `neo run`"):
        totals_of(filled, KEYS)


@pytest.mark.parametrize("table", [NEAR_MISS_COUNT, YEARLY_APPROACHES, NEO_SIGHTINGS, QUARANTINE, RAW_PAGE_INDEX])
@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"no Parquet")])
def test_a_lost_or_damaged_file_of_a_page_set_leaves_the_totals_readable(
    filled: Storage, table: Table, damage: Callable[[Path], object]
) -> None:
    before = totals_of(filled, KEYS)
    damage(Path(filled.location(layout.table_file(table, FIRST))))
    totals = totals_of(filled, KEYS)
    assert (totals.neos, totals.near_misses) == (before.neos, before.near_misses)
    assert not totals.up_to_date
    snapshot = Snapshot(filled, METRICS, KEYS)
    assert snapshot.verdict == "incomplete"
    assert FIRST in " ".join(finding.detail for finding in snapshot.findings)
    if layout.table_file(table, FIRST) not in {info.path for info in filled.files("")}:
        total(filled, KEYS)  # as the daemon does every day
        assert totals_of(filled, KEYS).verdict == "incomplete"


def test_a_catalogue_without_approaches(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1"))])
    total(lake, [FIRST])
    totals = totals_of(lake, [FIRST])
    assert (totals.near_misses, totals.approaches, totals.years) == (0, 0, 0)
    assert (totals.first_year, totals.last_year) == (None, None)
    assert totals.source == "simulator"


def test_a_page_set_without_counts_is_missing_from_the_totals(filled: Storage) -> None:
    for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES):
        filled.delete(layout.table_file(table, FIRST))
    total(filled, KEYS)
    found = totals_of(filled, KEYS)
    assert (found.up_to_date, found.verdict) == (True, "incomplete")
    assert {
        "page sets missing from total_near_misses: 1",
        "page sets missing from total_yearly_approaches: 1",
    } <= set(found.reasons)


def test_nothing_is_stale_without_counts(lake: Storage) -> None:
    assert not are_stale(lake, METRICS, KEYS)


@pytest.mark.parametrize("table", [TOTAL_NEAR_MISSES, TOTAL_YEARLY_APPROACHES, SNAPSHOT])
@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"no Parquet")])
def test_a_lost_or_damaged_total_is_stale(filled: Storage, table: Table, damage: Callable[[Path], object]) -> None:
    assert not are_stale(filled, METRICS, KEYS)
    damage(Path(filled.location(layout.table_file(table))))
    assert are_stale(filled, METRICS, KEYS)


def test_totals_are_stale_though_only_one_of_them_has_counts(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", approach()))])
    lake.delete(layout.table_file(YEARLY_APPROACHES, FIRST))
    assert are_stale(lake, METRICS, KEYS)


@pytest.mark.parametrize("table", [TOTAL_NEAR_MISSES, TOTAL_YEARLY_APPROACHES])
def test_a_total_computed_otherwise_is_stale(filled: Storage, table: Table) -> None:
    """As a former version would have, with other SQL."""
    rows = tables.read_table(filled, table)
    facts = {name: tables.fact(rows, name) for name in ("state", "page_sets_missing")}
    tables.write_table(filled, table, tables.with_origin(rows, "another", **facts))
    assert are_stale(filled, METRICS, KEYS)


def test_a_snapshot_of_another_extent_is_stale(filled: Storage) -> None:
    rows = tables.read_table(filled, SNAPSHOT)
    state = tables.fact(rows, "state")
    tables.write_table(filled, SNAPSHOT, tables.with_origin(rows, state, state=state, extent="{}"))
    assert are_stale(filled, METRICS, KEYS)


def test_a_snapshot_with_other_findings_is_stale(filled: Storage) -> None:
    stats = {"fetched_at": NOON + timedelta(hours=9), "near_earth_object_count": 7, "close_approach_count": 1}
    tables.write_table(filled, CATALOGUE_STATS, pa.Table.from_pylist([stats], schema=CATALOGUE_STATS.schema))
    assert are_stale(filled, METRICS, KEYS)


def test_totals_are_stale_after_a_page_set_without_counts_was_read_again(filled: Storage) -> None:
    """Neither a count nor a finding differs, but the state of the lake does."""

    def read_third(hours: float) -> None:
        gather(filled, THIRD, [page(neo("4"), number=2, hours=hours)])
        for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES):
            filled.delete(layout.table_file(table, THIRD))

    read_third(hours=2)
    total(filled, KEYS)
    assert not are_stale(filled, METRICS, KEYS)
    read_third(hours=3)
    assert are_stale(filled, METRICS, KEYS)
