"""The checks judged anew: what fails in the lake as it is now, with page set and severity; what is left out."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.page_set import of_a_page_set
from neo_assets.orchestration.checks.totals import of_catalogue, of_totals
from neo_assets.orchestration.verdicts import Judged, failing, judge
from neo_assets.pipeline.count import bring_up_to_date
from neo_assets.schema.tables import CATALOGUE_STATS, CLOSE_APPROACHES, NEO_RECORDS
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.orchestration.checks.corrupting import FIRST, PAGE_SETS, Corrupted, copied, made, with_column
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    lake = made(tmp_path_factory.mktemp("right"), Catalogue(45))
    bring_up_to_date(METRICS, lake, PAGE_SETS)
    return lake


@pytest.fixture
def corrupted(right: Storage, tmp_path: Path) -> Corrupted:
    return copied(right, tmp_path)


def judged(lake: Storage) -> list[Judged]:
    return list(judge(lake, METRICS, settings_of(lake=lake.root, pages=3, pages_per_set=2)))


def test_every_check_is_judged_but_the_age_of_pages(right: Storage) -> None:
    found = judged(right)
    of_page_sets, others = of_a_page_set(METRICS), [*of_totals(METRICS), *of_catalogue(METRICS)]
    wanted: list[tuple[str, str | None]] = [
        (f"{one.asset} {one.key.name}", key) for key in PAGE_SETS for one in of_page_sets
    ]
    wanted += [(f"{one.asset} {one.key.name}", None) for one in others if one.key.name != "no_page_is_too_old"]
    assert [(one.check, one.page_set) for one in found] == [*wanted, ("neo_database database_is_whole", None)]


def test_nothing_but_the_missing_database_fails_in_a_lake_that_is_right(right: Storage) -> None:
    assert failing(judged(right), errors=True).keys() == {"neo_database database_is_whole"}
    assert failing(judged(right), errors=False) == {}


def test_an_error_names_its_check_its_page_set_and_its_figures(corrupted: Corrupted) -> None:
    corrupted.change(CLOSE_APPROACHES, with_column("miss_distance_km", lambda values: pc.multiply(values, 2)))
    [failure] = failing(judged(corrupted.lake), errors=True)["close_approaches units_and_times_agree"]
    assert (failure.page_set, failure.passed) == (FIRST, False)
    assert failure.figures


def test_a_table_that_is_damaged_is_an_error(corrupted: Corrupted) -> None:
    corrupted.lake.write(f"silver/{NEO_RECORDS.name}/page_set={FIRST}/data.parquet", b"damaged")
    assert "neo_records rows_fit_the_schema" in failing(judged(corrupted.lake), errors=True)


def test_neowss_own_counts_may_be_missing_but_not_damaged(corrupted: Corrupted) -> None:
    path = f"bronze/{CATALOGUE_STATS.name}/data.parquet"
    corrupted.lake.delete(path)
    assert not [one for one in judged(corrupted.lake) if one.check.startswith(CATALOGUE_STATS.name)]
    corrupted.lake.write(path, b"damaged")
    assert "catalogue_stats rows_fit_the_schema" in failing(judged(corrupted.lake), errors=True)


def test_a_warning_is_no_error(corrupted: Corrupted) -> None:
    flag = "is_potentially_hazardous_asteroid"
    corrupted.change(
        NEO_RECORDS, with_column(flag, lambda values: pa.chunked_array([pc.invert(values).combine_chunks()]))
    )
    assert "neo_records hazard_follows_from_moid_and_h" in failing(judged(corrupted.lake), errors=False)
