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
from neo_assets.pipeline import landed_objects
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.gather import store
from neo_assets.pipeline.metrics.registry import TOTAL_YEARLY_APPROACHES
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, page_set_keys, pages_of
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import CATALOGUE_STATS
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import Lakes, disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, body_of
from neo_assets_tests.pipeline.by_hand import compute as compute_tables
from neo_assets_tests.sources.neows.examples import body, neo

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
    return Snapshot(lake, METRICS, SETS)


def reasons(snapshot: Snapshot) -> dict[str, int]:
    return {finding.reason: finding.count for finding in snapshot.findings}


def test_pages_of_one_catalogue_are_consistent(lake: Storage) -> None:
    fetch(lake, range(6), CATALOGUE, START)
    snapshot = compute(lake)
    assert (snapshot.verdict, snapshot.findings, snapshot.pages_to_heal()) == ("consistent", [], [])
    assert snapshot.neos == 120
    assert snapshot.table().to_pylist() == [{"verdict": "consistent", "reason": "", "count": 0, "detail": ""}]


def test_an_empty_lake_is_incomplete_but_needs_no_healing(lake: Storage) -> None:
    snapshot = Snapshot(lake, METRICS, SETS)
    assert (snapshot.verdict, snapshot.catalogue_pages, snapshot.pages_to_heal()) == ("incomplete", 0, [])
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
    assert reasons(Snapshot(lake, METRICS, SETS)) == {"page sets not computed": 1}


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
    assert reasons(Snapshot(lake, METRICS, page_set_keys(80, 2))) == {"page sets missing": 39} | beyond


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
    assert [finding.detail for finding in snapshot.findings] == ["110 to 117 NEOs"]


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


def test_landed_pages_of_a_catalogue_that_grew_are_consistent_if_no_page_was_fetched(lake: Storage) -> None:
    older = Catalogue(neos=100)
    fetch(lake, range(3), older, START, "older.json")
    fetch(lake, range(3, 6), older.grown(20), START + timedelta(hours=1), "newer.json")
    snapshot = compute(lake)
    assert (snapshot.verdict, snapshot.pages_to_heal()) == ("consistent", [])
    assert reasons(snapshot) == {"catalogue size changed": 20}


@pytest.mark.parametrize(("before", "healed"), [(20, [0]), (19, [*range(19)])])
def test_if_more_than_a_twentieth_of_the_earlier_pages_hold_older_copies_all_are_healed(
    lake: Storage, before: int, healed: list[int]
) -> None:
    """One page does: that is a twentieth of 20 pages, but more of 19."""
    keys = page_set_keys(before + 1, before + 1)
    pages = [[neo(str(20 * number + place)) for place in range(20)] for number in range(before)]
    pages.append([neo("0"), *(neo(str(1000 + place)) for place in range(19))])
    for number, neos in enumerate(pages):
        arrived = START + timedelta(seconds=number)
        write_page(lake, Page(number, body(*neos), arrived, "simulator", 20, 20 * len(pages)))
    store(lake, keys[0], known_facts(lake, keys)[keys[0]])
    compute_tables(lake, keys[0])
    snapshot = Snapshot(lake, METRICS, keys)
    assert reasons(snapshot) == {"NEOs seen twice": 1, "NEOs missing": 1}
    assert snapshot.pages_to_heal() == healed
    assert snapshot.pages_to_heal(thorough=True) == [*range(before)]


def test_a_page_beyond_the_catalogue_is_empty_as_it_should_be(lake: Storage) -> None:
    fetch(lake, range(6), Catalogue(neos=90), START)
    snapshot = compute(lake)
    assert (snapshot.catalogue_pages, snapshot.verdict, snapshot.pages_to_heal()) == (5, "consistent", [])


@pytest.mark.parametrize(("neos", "also"), [(19, {"NEOs missing": 1}), (21, {})])
def test_a_page_with_too_few_or_too_many_neos_is_found(lake: Storage, neos: int, also: dict[str, int]) -> None:
    write_page(lake, Page(0, body(*(neo(str(number)) for number in range(neos))), START, "simulator", neos, 20))
    [key] = page_set_keys(1, 1)
    store(lake, key, known_facts(lake, [key])[key])
    compute_tables(lake, key)
    snapshot = Snapshot(lake, METRICS, [key])
    assert reasons(snapshot) == {"pages with too few or too many NEOs": 1} | also
    assert snapshot.pages_to_heal() == [0]


def test_a_landed_copy_of_a_neo_is_no_drift(lake: Storage) -> None:
    fetch(lake, range(6), CATALOGUE, START)
    content, neos = body_of(CATALOGUE, 0)
    landed = Page(FIRST_LANDED_PAGE, content, START + timedelta(hours=1), "simulator", neos, 120)
    write_page(lake, landed, "again.ndjson")
    landed_objects.compute(lake, METRICS)
    snapshot = compute(lake)
    assert (snapshot.verdict, snapshot.findings, snapshot.neos) == ("consistent", [], 120)


def test_a_record_in_quarantine_is_not_missing_too(lake: Storage) -> None:
    neos = [neo(str(number)) for number in range(19)]
    write_page(lake, Page(0, body(*neos, neo("19", name=...)), START, "simulator", 20, 20))
    [key] = page_set_keys(1, 1)
    store(lake, key, known_facts(lake, [key])[key])
    compute_tables(lake, key)
    assert reasons(Snapshot(lake, METRICS, [key])) == {"records in quarantine": 1}


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


def test_pages_before_the_first_neo_that_is_seen_again_may_be_outdated(lake: Storage) -> None:
    """The NEOs of pages 0 and 1 are seen again on pages 3 and 4; by page 3, the catalogue had changed."""
    [key] = page_set_keys(5, 5)
    for number, first in enumerate(["0", "1", "2", "0", "1"]):
        neos = [neo(first), *(neo(str(100 + 20 * number + place)) for place in range(19))]
        write_page(lake, Page(number, body(*neos), START + timedelta(seconds=number), "simulator", 20, 100))
    store(lake, key, known_facts(lake, [key])[key])
    compute_tables(lake, key)
    assert Snapshot(lake, METRICS, [key]).pages_to_heal(thorough=True) == [0, 1, 2]


@pytest.mark.parametrize(("later_s", "found"), [(0, {"NEO count differs from /stats": 3}), (-0.1, {})])
def test_the_catalogue_size_is_compared_with_stats_unless_they_are_older(
    lake: Storage, later_s: float, found: dict[str, int]
) -> None:
    fetch(lake, range(6), CATALOGUE, START)
    newest = START + timedelta(seconds=5)
    stats = {
        "fetched_at": newest + timedelta(seconds=later_s),
        "near_earth_object_count": 123,
        "close_approach_count": 1,
    }
    tables.write_table(lake, CATALOGUE_STATS, pa.Table.from_pylist([stats], schema=CATALOGUE_STATS.schema))
    assert reasons(compute(lake)) == found


@pytest.mark.parametrize(
    ("sets", "reported", "found"),
    [
        (SETS[:2], 5, {"page sets missing": 1}),
        (SETS, 5, {"approach count differs from /stats": 2}),
        (SETS, 3, {}),
    ],
)
def test_approaches_are_compared_with_stats_once_all_pages_are_there(
    lake: Storage, sets: list[str], reported: int, found: dict[str, int]
) -> None:
    fetch(lake, range(2 * len(sets)), CATALOGUE, START)
    stats = {"fetched_at": START + timedelta(hours=1), "near_earth_object_count": 120, "close_approach_count": reported}
    tables.write_table(lake, CATALOGUE_STATS, pa.Table.from_pylist([stats], schema=CATALOGUE_STATS.schema))
    years = [
        {"year": 2000, "orbiting_body": place, "approaches": number} for place, number in (("Earth", 1), ("Moon", 2))
    ]
    total = pa.Table.from_pylist(years, schema=TOTAL_YEARLY_APPROACHES.schema)
    tables.write_table(lake, TOTAL_YEARLY_APPROACHES, total)
    assert reasons(compute(lake, sets)) == found


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
        Snapshot(lake, METRICS, SETS)


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
