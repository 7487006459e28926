"""The totals as one object: sums over all bodies, those for Earth, and whether they are up to date."""

import pytest

from neo_assets.lake import owner
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.totals import Totals, read_totals
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import ENGINE, gather, total
from neo_assets_tests.sources.neows.examples import approach, neo, page

FIRST, SECOND, THIRD = KEYS = ["00000-00000", "00001-00001", "00002-00002"]


def totals_of(lake: Storage, page_sets: list[str]) -> Totals:
    return read_totals(lake, ENGINE, page_sets)


@pytest.fixture
def filled(lake: Storage) -> Storage:
    """Two of three page sets, with one object in both and approaches to several bodies."""
    owner.claim(lake, "simulator")
    moved = neo("1", approach(day="1900-01-01"), approach(day="1950-01-01", body="Venus"))
    gather(lake, FIRST, [page(moved, neo("2", approach("0.2", day="2200-12-31")))])
    gather(lake, SECOND, [page(moved, neo("3"), number=1, hours=1)])
    total(lake, [FIRST, SECOND])
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


def test_totals_of_page_sets_of_another_size_are_out_of_date(filled: Storage) -> None:
    totals = totals_of(filled, ["00000-00001", "00002-00002"])
    assert (totals.page_sets, totals.page_sets_expected) == (0, 2)
    assert not totals.up_to_date


def test_a_catalogue_without_approaches(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1"))])
    total(lake, [FIRST])
    totals = totals_of(lake, [FIRST])
    assert (totals.near_misses, totals.approaches, totals.years) == (0, 0, 0)
    assert (totals.first_year, totals.last_year) == (None, None)
    assert totals.source == "simulator"
