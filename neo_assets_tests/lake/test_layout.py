"""Paths in the lake are an interface: other programs read these names."""

import pytest

from neo_assets.lake import layout
from neo_assets_tests.pipeline.by_hand import METRICS

PAGE_SET = "00000-00001"


def test_a_raw_page_has_one_object() -> None:
    assert layout.raw_page(0) == "bronze/raw_pages/page-00000.json.zst"
    assert layout.raw_page(2_091) == "bronze/raw_pages/page-02091.json.zst"


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ("raw_page_index", "bronze/raw_page_index/page_set=00000-00001/data.parquet"),
        ("neo_records", "silver/neo_records/page_set=00000-00001/data.parquet"),
        ("close_approaches", "silver/close_approaches/page_set=00000-00001/data.parquet"),
        ("neo_sightings", "silver/neo_sightings/page_set=00000-00001/data.parquet"),
        ("near_miss_count", "gold/near_miss_count/page_set=00000-00001/data.parquet"),
        ("yearly_approaches", "gold/yearly_approaches/page_set=00000-00001/data.parquet"),
        ("quarantine", "quarantine/page_set=00000-00001/data.parquet"),
    ],
)
def test_a_page_set_has_one_file_of_a_table(table: str, path: str) -> None:
    assert layout.table_file(METRICS.tables[table], PAGE_SET) == path
    assert layout.page_set_of(path, METRICS.tables[table]) == PAGE_SET
    assert (
        layout.page_set_of(
            f"{path.partition('/')[0]}/elsewhere/page_set={PAGE_SET}/data.parquet", METRICS.tables[table]
        )
        is None
    )
    assert layout.page_set_of(path.replace("data", "other"), METRICS.tables[table]) is None


@pytest.mark.parametrize(
    ("table", "directory"),
    [
        ("total_near_misses", "gold"),
        ("total_yearly_approaches", "gold"),
        ("snapshot", "gold"),
        ("catalogue_stats", "bronze"),
        ("heartbeat", "bronze"),
    ],
)
def test_a_table_over_the_whole_lake_has_one_file(table: str, directory: str) -> None:
    assert layout.table_file(METRICS.tables[table]) == f"{directory}/{table}/data.parquet"


@pytest.mark.parametrize(("table", "page_set"), [("neo_records", None), ("total_near_misses", PAGE_SET)])
def test_a_path_that_does_not_exist_is_not_built(table: str, page_set: str | None) -> None:
    with pytest.raises(ValueError, match=f"{table} is (not )?partitioned"):
        layout.table_file(METRICS.tables[table], page_set)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("bronze/raw_pages/page-00042.json.zst", 42),
        ("bronze/raw_pages/page-42.json.zst", None),
        ("bronze/raw_pages/page-x.json.zst", None),
        ("elsewhere/page-00042.json.zst", None),
    ],
)
def test_a_raw_page_is_recognized_by_its_path(path: str, number: int | None) -> None:
    assert layout.raw_page_number(path) == number
