"""A catalogue that changes during fetching: every drift is found, and healing fetches the right pages again."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_assets.lake import tables
from neo_assets.lake.raw_pages import known_facts, read_facts, write_page
from neo_assets.lake.storage import LakeUnreachable, Storage
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.gather import store
from neo_assets.schema.page_sets import page_set_keys, pages_of
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import CATALOGUE_STATS, TOTAL_YEARLY_APPROACHES
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import Lakes, disk_and_s3
from neo_assets_tests.pipeline.by_hand import ENGINE, body_of
from neo_assets_tests.pipeline.by_hand import compute as compute_tables

SETS = page_set_keys(6, 2)
CATALOGUE = Catalogue(neos=120)
START = datetime(2026, 3, 1, tzinfo=UTC)


def fetch(
    lake: Storage, pages: Sequence[int], catalogue: Catalogue, at: datetime, landed_file: str | None = None
) -> None:
    """Store pages of a catalogue, fetched a second apart."""
    for seconds, number in enumerate(pages):
        body, neos = body_of(catalogue, number)
        arrived = at + timedelta(seconds=seconds)
        size = catalogue.near_earth_object_count
        write_page(lake, Page(number, body, arrived, "simulator", neos, size), landed_file)


def compute(lake: Storage, keys: Sequence[str] = SETS) -> Snapshot:
    """Compute the tables of page sets from the stored pages."""
    for key in keys:
        store(lake, key, known_facts(lake, [key])[key])
        compute_tables(lake, key)
    return Snapshot(lake, ENGINE, SETS)


def reasons(snapshot: Snapshot) -> dict[str, int]:
    return {finding.reason: finding.count for finding in snapshot.findings}


def test_pages_of_one_catalogue_are_consistent(lake: Storage) -> None:
    fetch(lake, range(6), CATALOGUE, START)
    snapshot = compute(lake)
    assert (snapshot.verdict, snapshot.findings, snapshot.pages_to_heal()) == ("consistent", [], [])
    assert snapshot.neos == 120
    assert snapshot.table().to_pylist() == [{"verdict": "consistent", "reason": "", "count": 0, "detail": ""}]


def test_an_empty_lake_is_incomplete_but_needs_no_healing(lake: Storage) -> None:
    snapshot = Snapshot(lake, ENGINE, SETS)
    assert (snapshot.verdict, snapshot.pages_to_heal()) == ("incomplete", [])
    assert reasons(snapshot) == {"page sets missing": 3}


def test_a_missing_page_set_makes_it_incomplete(lake: Storage) -> None:
    fetch(lake, range(4), CATALOGUE, START)
    snapshot = compute(lake, SETS[:2])
    assert reasons(snapshot) == {"page sets missing": 1}
    assert (snapshot.verdict, snapshot.pages_to_heal()) == ("incomplete", [])


def test_pages_newer_than_their_tables_are_found(lake: Storage) -> None:
    fetch(lake, range(6), CATALOGUE, START)
    compute(lake)
    fetch(lake, [0], CATALOGUE.reordered(5), START + timedelta(hours=1))
    store(lake, SETS[0], [facts for number in pages_of(SETS[0]) if (facts := read_facts(lake, number))])
    assert reasons(Snapshot(lake, ENGINE, SETS)) == {"page sets not computed": 1}


def test_growth_beyond_the_pages_asked_for_makes_it_incomplete(lake: Storage) -> None:
    fetch(lake, range(6), CATALOGUE.grown(1), START)
    snapshot = compute(lake)
    assert reasons(snapshot) == {"pages beyond NEO_PAGES": 1}
    assert "NEO_PAGES=7" in snapshot.findings[0].detail


@pytest.mark.parametrize(("size", "beyond"), [(2000, {"pages beyond NEO_PAGES": 20}), (2001, {})])
def test_from_four_fifths_of_the_catalogue_on_the_whole_is_meant(
    lake: Storage, size: int, beyond: dict[str, int]
) -> None:
    """80 pages are asked for, of a catalogue of 100 pages, or of 101."""
    fetch(lake, range(2), Catalogue(neos=size), START)
    compute(lake, SETS[:1])
    assert reasons(Snapshot(lake, ENGINE, page_set_keys(80, 2))) == {"page sets missing": 39} | beyond


def test_a_small_part_of_the_catalogue_is_consistent_too(lake: Storage) -> None:
    fetch(lake, range(6), Catalogue(neos=1000), START)
    assert compute(lake).verdict == "consistent"


@disk_and_s3
def test_growth_at_the_end_is_harmless_and_healing_fetches_the_last_page(lake: Storage) -> None:
    fetch(lake, range(6), Catalogue(neos=110), START)
    fetch(lake, [0], Catalogue(neos=110).grown(7), START + timedelta(hours=1))
    assert compute(lake).pages_to_heal() == [5]
    fetch(lake, [5], Catalogue(neos=110).grown(7), START + timedelta(hours=2))
    snapshot = compute(lake)
    assert (snapshot.verdict, snapshot.pages_to_heal()) == ("consistent", [])
    assert reasons(snapshot) == {"catalogue size changed": 7}


def test_a_catalogue_that_shrank_is_suspect(lake: Storage) -> None:
    fetch(lake, range(3), Catalogue(neos=120), START)
    fetch(lake, range(3, 6), Catalogue(neos=119), START + timedelta(hours=1))
    snapshot = compute(lake)
    assert (snapshot.verdict, snapshot.pages_to_heal()) == ("drifted", [0, 1, 2])


def test_a_page_landed_from_an_older_catalogue_is_to_be_healed(lake: Storage) -> None:
    older = Catalogue(neos=100)
    fetch(lake, [0, 2], older.grown(10), START)
    fetch(lake, [1, 3, 4, 5], older.grown(20), START + timedelta(hours=1))
    assert compute(lake).verdict == "consistent", "the catalogue only grew at its end"
    fetch(lake, [1], older, START + timedelta(hours=2), "old.json")
    snapshot = compute(lake)
    assert (snapshot.catalogue_pages, snapshot.verdict, snapshot.pages_to_heal()) == (6, "drifted", [1])


def test_if_all_pages_landed_the_last_one_gives_the_catalogue_size(lake: Storage) -> None:
    fetch(lake, range(6), CATALOGUE, START, "all.json")
    snapshot = compute(lake)
    assert (snapshot.catalogue_pages, snapshot.verdict) == (6, "consistent")


def test_a_reordered_catalogue_shows_as_neos_seen_twice_and_neos_missing(lake: Storage) -> None:
    fetch(lake, range(3), CATALOGUE, START)
    fetch(lake, range(3, 6), CATALOGUE.reordered(5), START + timedelta(hours=1))
    snapshot = compute(lake)
    found = reasons(snapshot)
    assert snapshot.verdict == "drifted"
    assert found["NEOs seen twice"] == found["NEOs missing"] > 0
    assert set(snapshot.pages_to_heal()) <= {0, 1, 2}


def test_neos_seen_twice_within_a_page_set_are_found_too(lake: Storage) -> None:
    fetch(lake, [0], CATALOGUE, START)
    fetch(lake, range(1, 6), CATALOGUE.inserted(3), START + timedelta(hours=1))
    assert reasons(compute(lake))["NEOs seen twice"] == 3


def test_the_catalogue_size_is_compared_with_stats(lake: Storage) -> None:
    fetch(lake, range(6), CATALOGUE, START)
    stats = {"fetched_at": START + timedelta(hours=1), "near_earth_object_count": 123, "close_approach_count": 1}
    tables.write_table(lake, CATALOGUE_STATS, pa.Table.from_pylist([stats], schema=CATALOGUE_STATS.schema))
    assert reasons(compute(lake)) == {"NEO count differs from /stats": 3}


@pytest.mark.parametrize(
    ("sets", "found"), [(SETS[:2], {"page sets missing"}), (SETS, {"approach count differs from /stats"})]
)
def test_approaches_are_compared_with_stats_once_all_pages_are_there(
    lake: Storage, sets: list[str], found: set[str]
) -> None:
    fetch(lake, range(2 * len(sets)), CATALOGUE, START)
    stats = {"fetched_at": START + timedelta(hours=1), "near_earth_object_count": 120, "close_approach_count": 1}
    tables.write_table(lake, CATALOGUE_STATS, pa.Table.from_pylist([stats], schema=CATALOGUE_STATS.schema))
    tables.write_table(lake, TOTAL_YEARLY_APPROACHES, TOTAL_YEARLY_APPROACHES.schema.empty_table())
    assert reasons(compute(lake, sets)).keys() == found


def test_a_lake_that_does_not_answer_gives_no_verdict(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(lake, range(6), CATALOGUE, START)
    compute(lake)
    read = Storage.read

    def silent(self: Storage, path: str) -> pa.Buffer:
        if "catalogue_stats" in path:
            raise LakeUnreachable("no answer")
        return read(self, path)

    monkeypatch.setattr(Storage, "read", silent)
    with pytest.raises(LakeUnreachable):
        Snapshot(lake, ENGINE, SETS)


_DRIFTS = st.sampled_from(
    [
        lambda catalogue: catalogue.reordered(3),
        lambda catalogue: catalogue.inserted(7),
        lambda catalogue: catalogue.numbered(0.4),
        lambda catalogue: catalogue.inserted(7).reordered(2).numbered(0.2),
    ]
)


@pytest.mark.slow
def test_healing_until_no_page_is_left_gives_a_consistent_snapshot(lakes: Lakes) -> None:
    @settings(max_examples=lakes.examples(12))
    @given(moment=st.integers(1, 5), drift=_DRIFTS)
    def it_does(moment: int, drift: Callable[[Catalogue], Catalogue]) -> None:
        lake = lakes.new()
        moved = drift(CATALOGUE)
        fetch(lake, range(moment), CATALOGUE, START)
        fetch(lake, range(moment, 6), moved, START + timedelta(hours=1))
        snapshot = compute(lake)
        for hour in (2, 3, 4):
            pages = snapshot.pages_to_heal()
            fetch(lake, pages, moved, START + timedelta(hours=hour))
            snapshot = compute(lake, [key for key in SETS if not set(pages).isdisjoint(pages_of(key))])
        assert snapshot.verdict == "consistent" or reasons(snapshot).keys() == {"pages beyond NEO_PAGES"}
        expected = [neo["id"] for page in range(6) for neo in moved.page(page)["near_earth_objects"]]
        assert snapshot.neos == len(expected)

    it_does()
