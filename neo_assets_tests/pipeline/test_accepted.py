"""Accepted snapshots: what is compared with what, and when a snapshot is accepted without a person."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import layout, owner, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline import accepted, landed_objects
from neo_assets.pipeline.accepted import Standing, accept, accept_by_itself, figures_of, standings
from neo_assets.pipeline.bounds import BOUNDS
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, TOTAL_NEAR_MISSES, YEARLY_APPROACHES
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, page_set_keys
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from, total
from neo_assets_tests.sources.neows.examples import NOON, approach, neo, page

KEYS = page_set_keys(4, 2)
FIRST, SECOND = KEYS
CATALOGUE = Catalogue(80)


@pytest.fixture
def filled(lake: Storage) -> Storage:
    """A lake with four pages."""
    owner.claim(lake, "simulator")
    fetch(lake, CATALOGUE)
    return lake


def fetch(lake: Storage, catalogue: Catalogue, keys: list[str] = KEYS, hours: float = 0) -> None:
    """Gather page sets, and compute the totals."""
    for key in keys:
        gather(lake, key, pages_from(catalogue, key, hours))
    total(lake, KEYS if set(keys) <= set(KEYS) else keys)


def standing(lake: Storage, keys: list[str] = KEYS) -> list[Standing]:
    return standings(lake, METRICS, keys)


def beyond(lake: Storage, keys: list[str] = KEYS) -> set[str]:
    """The names of the bounds that the lake is out of."""
    return {one.bound.name for one in standing(lake, keys) if one.beyond}


def records(lake: Storage) -> list[str]:
    return [info.path for info in lake.files(layout.ACCEPTED)]


@disk_and_s3
def test_the_figures_are_those_of_the_tables(filled: Storage) -> None:
    figures = figures_of(filled, METRICS, KEYS)
    near = tables.read_table(filled, TOTAL_NEAR_MISSES).to_pylist()
    assert figures.near_misses == {row["orbiting_body"]: row["near_misses"] for row in near}
    assert (figures.source, figures.pages, figures.page_sets) == ("simulator", 4, 2)
    assert (figures.neos, figures.rows) == (80, 80)
    assert figures.approaches == tables.read_page_sets(filled, CLOSE_APPROACHES, KEYS).num_rows
    rows = tables.read_page_sets(filled, NEO_RECORDS, KEYS)
    assert figures.nulls == {name: rows[name].null_count for name in NEO_RECORDS.schema.names}
    assert figures.nulls["name_limited"]
    assert (figures.oldest, figures.newest) == (NOON, NOON + timedelta(seconds=3))


def test_an_object_in_two_page_sets_counts_once(lake: Storage) -> None:
    moved = neo("1", approach())
    gather(lake, "00000-00000", [page(moved, neo("2", approach()))])
    gather(lake, "00001-00001", [page(moved, number=1, hours=1)])
    total(lake, keys := ["00000-00000", "00001-00001"])
    figures = figures_of(lake, METRICS, keys)
    assert (figures.neos, figures.near_misses, figures.approaches) == (2, {"Earth": 2}, 2)


def test_landed_objects_are_left_out(filled: Storage) -> None:
    before = figures_of(filled, METRICS, KEYS)
    raw_pages.write_page(filled, page(neo("1", approach()), number=FIRST_LANDED_PAGE))
    assert landed_objects.compute(filled, METRICS)["neo_records"] == 1
    total(filled, KEYS)
    assert figures_of(filled, METRICS, KEYS) == before


@disk_and_s3
def test_the_first_snapshot_is_accepted_and_a_bad_one_never_is(filled: Storage) -> None:
    assert all(one.accepted is None and not one.beyond for one in standing(filled))
    assert accept_by_itself(filled, standing(filled))
    assert beyond(filled) == set()
    for hours in (1, 2, 3):
        fetch(filled, Catalogue(79), hours=hours)
        assert beyond(filled) == {"neos_are_not_lost"}


def test_a_snapshot_is_accepted_once_all_of_its_pages_are_newer(filled: Storage) -> None:
    """A fault that arrives page set by page set is not accepted in steps."""
    assert accept_by_itself(filled, standing(filled))
    assert not accept_by_itself(filled, standing(filled))
    fetch(filled, CATALOGUE, [FIRST], hours=1)
    assert not accept_by_itself(filled, standing(filled))
    fetch(filled, CATALOGUE, [SECOND], hours=1)
    assert accept_by_itself(filled, standing(filled))
    assert len(records(filled)) == 2
    first, second = (json.loads(filled.read(path).to_pybytes()) for path in records(filled))
    assert first["why"] == "all checks passed; the first snapshot of these pages"
    assert second["why"] == "all checks passed"
    assert second["bounds"] == list(BOUNDS)
    assert "@" in second["who"]
    assert second["figures"]["neos"] == 80


def test_a_lake_of_landed_objects_alone_is_not_accepted(lake: Storage) -> None:
    raw_pages.write_page(lake, page(neo("1", approach()), number=FIRST_LANDED_PAGE))
    landed_objects.compute(lake, METRICS)
    total(lake, KEYS)
    assert not accept_by_itself(lake, standing(lake))
    assert records(lake) == []


def test_a_bound_is_accepted_alone_and_later_figures_are_compared_with_those(filled: Storage) -> None:
    accept(filled, standing(filled), "the first")
    fetch(filled, Catalogue(70), hours=1)
    out = beyond(filled)
    assert "neos_are_not_lost" in out
    assert len(out) > 1
    accept(filled, [one for one in standing(filled) if one.bound.name == "neos_are_not_lost"], "NASA withdrew ten")
    assert beyond(filled) == out - {"neos_are_not_lost"}
    fetch(filled, Catalogue(69), hours=2)
    assert "neos_are_not_lost" in beyond(filled)


def test_only_snapshots_of_the_same_pages_are_compared(filled: Storage) -> None:
    accept(filled, standing(filled), "the first")
    assert all(one.accepted is None for one in standing(filled, [FIRST]))
    accept(filled, standing(filled, [FIRST]), "of two pages")
    resized = page_set_keys(4, 1)
    fetch(filled, Catalogue(79), resized)
    assert beyond(filled, resized) == {"neos_are_not_lost"}


def test_a_page_set_that_is_lost_is_noticed(filled: Storage) -> None:
    accept(filled, standing(filled), "the first")
    for table in (NEO_SIGHTINGS, NEAR_MISS_COUNT, YEARLY_APPROACHES):
        filled.delete(layout.table_file(table, SECOND))
    total(filled, KEYS)
    assert "neos_are_not_lost" in beyond(filled)


def test_two_acceptances_at_once_are_both_kept_and_the_later_one_counts(
    filled: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the clock is set back in between."""
    judged = standing(filled)
    accept(filled, judged, "one")
    accept(filled, judged, "another")
    assert len(records(filled)) == 2

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Earlier":
            return cls(2001, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(accepted, "datetime", Earlier)
    accept(filled, standing(filled), "set back")
    monkeypatch.undo()
    assert {one.accepted.why for one in standing(filled) if one.accepted} == {"set back"}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"bounds": []}', b'{"figures": {}, "at": "yesterday"}'])
def test_a_damaged_record_is_named_with_the_way_out(filled: Storage, content: bytes) -> None:
    path = layout.accepted(4, NOON, "0" * 64)
    filled.write(path, content)
    with pytest.raises(LakeDamaged, match=r"is damaged .*: delete it; the snapshot accepted before it then counts"):
        standing(filled)
