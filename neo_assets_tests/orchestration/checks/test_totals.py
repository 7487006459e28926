"""The checks of the totals and of the snapshot at their edges: an empty lake, figures, copies of one object. What they
notice is tested in `test_fault_matrix`.
"""

import dagster as dg
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.orchestration.checks.totals import Stored, accept_if_right, of_totals
from neo_assets.schema.tables import CATALOGUE_STATS, QUARANTINE, RAW_PAGE_INDEX, SNAPSHOT
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.orchestration.checks.corrupting import (
    FIRST,
    PAGE_SETS,
    SECOND,
    Corrupted,
    first_row,
    made,
)
from neo_assets_tests.pipeline.by_hand import METRICS, gather, total
from neo_assets_tests.sources.neows.examples import approach, neo, page


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A lake without fault; do not change it."""
    return made(tmp_path_factory.mktemp("right"), Catalogue(45))


def verdict(lake: Storage, name: str, max_age_hours: float = 1e300, asset: str = SNAPSHOT.name) -> Verdict:
    [check] = (one for one in of_totals(METRICS) if (one.key.name, one.asset) == (name, asset))
    found: Verdict = Stored(lake, METRICS, PAGE_SETS, max_age_hours).verdict(check)
    return found


def test_a_lake_of_nothing_lacks_nothing(lake: Storage) -> None:
    assert verdict(lake, "no_page_set_is_missing") == (True, {"page sets stored": 0})
    assert verdict(lake, "no_page_set_is_left_over") == (True, {})
    assert verdict(lake, "no_page_is_too_old") == (True, {"pages": "none is stored yet"})


def test_the_figures_of_a_lake_without_fault(right: Storage) -> None:
    assert verdict(right, "no_page_set_is_missing") == (True, {"page sets requested": 2})
    assert verdict(right, "no_page_set_is_left_over") == (True, {})
    assert verdict(right, "snapshot_is_consistent") == (True, {})
    assert verdict(right, "every_page_set_is_counted", asset="total_near_misses") == (
        True,
        {"page sets missing": 0, "namely": "none"},
    )


def test_a_table_without_any_page_set_lacks_them_all(lake_of: Corrupted) -> None:
    for key in PAGE_SETS:
        lake_of.delete(QUARANTINE, key)
    assert verdict(lake_of.lake, "no_page_set_is_missing") == (
        False,
        {"page sets requested": 2, f"missing from {QUARANTINE.name}": f"{FIRST}, {SECOND}"},
    )


def test_page_sets_that_are_not_counted_or_left_over_are_named(lake_of: Corrupted) -> None:
    counts = METRICS.of_table["near_miss_count"].counts
    assert counts
    lake_of.copy(counts, FIRST, "00100-00101")
    lake_of.delete(counts, SECOND)
    assert verdict(lake_of.lake, "every_page_set_is_counted", asset="total_near_misses") == (
        False,
        {"page sets missing": 1, "namely": SECOND},
    )
    assert verdict(lake_of.lake, "no_page_set_is_left_over") == (
        False,
        {f"left over in {counts.name}": "00100-00101", "way out": "`neo prune`"},
    )


@pytest.mark.parametrize(("max_age_hours", "said"), [(0, "24 hours"), (6.5, "30.5 hours")])
def test_pages_are_too_old_a_day_after_they_were_due(right: Storage, max_age_hours: float, said: str) -> None:
    passed, figures = verdict(right, "no_page_is_too_old", max_age_hours)
    assert not passed
    assert figures["oldest page"] == 0
    assert figures["too old after"] == said
    assert isinstance(figures["fetched"], dg.TimestampMetadataValue)


def test_a_snapshot_that_is_not_consistent_says_why_and_one_reason_is_enough(lake_of: Corrupted) -> None:
    lake_of.change(RAW_PAGE_INDEX, first_row(total_elements=46))
    lake_of.delete(RAW_PAGE_INDEX, SECOND)
    total(lake_of.lake, PAGE_SETS)
    said = {"page sets not computed": f"1 ({SECOND})", "catalogue size changed": "1 (45 to 46 NEOs)"}
    assert verdict(lake_of.lake, "snapshot_is_consistent") == (False, said)
    lake_of.change(SNAPSHOT, first_row(verdict="consistent", detail=""), None)
    assert verdict(lake_of.lake, "snapshot_is_consistent") == (False, said | {"page sets not computed": "1"})


def test_neows_own_counts_do_not_matter_for_a_snapshot_to_be_accepted(lake_of: Corrupted) -> None:
    for info in lake_of.lake.files("accepted"):
        lake_of.lake.delete(info.path)
    lake_of.change(CATALOGUE_STATS, first_row(near_earth_object_count=-1), None)
    assert accept_if_right(Stored(lake_of.lake, METRICS, PAGE_SETS, 1e300), of_totals(METRICS))


@pytest.mark.parametrize(
    ("former", "later"),
    [
        (neo("54428000", approach(), name="(2022 AC30)"), neo("2660000", approach(), name="660000 (2022 AC30)")),
        (neo("54428000", approach(), name="(2022 AC30)"), neo("54428000", approach(), name="(2021 XY9)")),
    ],
    ids=["numbered", "renamed"],
)
def test_a_former_copy_is_known_by_its_id_or_by_its_designation(
    lake: Storage, former: dict[str, object], later: dict[str, object]
) -> None:
    gather(lake, FIRST, [page(former, neo("1")), page(number=1)])
    gather(lake, SECOND, [page(later, number=2, hours=2)])
    total(lake, PAGE_SETS)
    stored = Stored(lake, METRICS, PAGE_SETS, 1e300)
    assert {key: ids.to_pylist() for key, ids in stored.older_copies.items()} == {FIRST: ["54428000"]}
    assert verdict(lake, "each_neo_counts_once", asset="total_yearly_approaches") == (
        True,
        {
            "computed from the current counts": True,
            "in the total": 1,
            "in the page sets": 2,
            "of superseded copies": 1,
        },
    )
