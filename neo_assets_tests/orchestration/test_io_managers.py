"""IO managers: metadata of each page set, values read back, and what the lake holds when a run dies."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.orchestration.io_managers import ParquetIOManager, RawPagesIOManager
from neo_assets.pipeline.gather import WRITERS
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, TOTAL_NEAR_MISSES
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import Page, PageFacts, StoredPage
from neo_assets.schema.tables import NEO_RECORDS, RAW_PAGE_INDEX
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.orchestration.assets.graph import FIRST, SECOND, failure, metadata
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.sources.neows.examples import neo, page

SETS = dg.StaticPartitionsDefinition(page_set_keys(4, 2))
ROWS = pa.Table.from_pylist([{"orbiting_body": "Earth", "near_misses": 3}], schema=NEAR_MISS_COUNT.schema)


def run(lake: Storage, *assets: dg.AssetsDefinition, select: str = "*", **options: Any) -> dg.ExecuteInProcessResult:
    """Materialize assets that use our IO managers."""
    managers = {"parquet_io": ParquetIOManager(lake, METRICS.tables), "raw_pages_io": RawPagesIOManager(lake)}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            assets, selection=select, resources=managers, instance=instance, raise_on_error=False, **options
        )


@dg.asset(partitions_def=SETS, io_manager_key="parquet_io")
def near_miss_count(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
    return dict.fromkeys(context.partition_keys, ROWS)


@dg.asset(io_manager_key="parquet_io")
def total_near_misses() -> pa.Table:
    return ROWS


@disk_and_s3
def test_a_table_of_a_page_set_is_written_and_described(lake: Storage) -> None:
    shown = metadata(run(lake, near_miss_count, partition_key=FIRST))["near_miss_count", FIRST]
    location = f"{lake.root}/gold/near_miss_count/page_set={FIRST}/data.parquet"
    assert tables.read_table(lake, NEAR_MISS_COUNT, FIRST).equals(ROWS)
    assert shown["dagster/row_count"] == 1
    assert shown["dagster/uri"] == shown["file"] == location
    assert shown["bytes"] == lake.read(layout.table_file(NEAR_MISS_COUNT, FIRST)).size


def test_each_set_of_a_range_has_a_file_and_metadata_of_its_own(lake: Storage) -> None:
    tags = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": SECOND}
    shown = metadata(run(lake, near_miss_count, tags=tags))
    assert set(shown) == {("near_miss_count", FIRST), ("near_miss_count", SECOND)}
    for (_, key), values in shown.items():
        assert values["dagster/uri"] == f"{lake.root}/gold/near_miss_count/page_set={key}/data.parquet"


def test_a_table_without_page_sets_is_written_whole(lake: Storage) -> None:
    shown = metadata(run(lake, total_near_misses))["total_near_misses", None]
    assert shown["dagster/uri"] == f"{lake.root}/gold/total_near_misses/data.parquet"
    assert tables.read_table(lake, TOTAL_NEAR_MISSES).equals(ROWS)


def test_tables_are_read_by_page_set(lake: Storage) -> None:
    read: dict[str, pa.Table] = {}

    @dg.asset(partitions_def=SETS)
    def user(near_miss_count: Mapping[str, pa.Table]) -> None:
        read.update(near_miss_count)

    for key in (FIRST, SECOND):
        tables.write_table(lake, NEAR_MISS_COUNT, ROWS, key)
    tags = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": SECOND}
    assert run(lake, near_miss_count, user, select="user", tags=tags).success
    assert set(read) == {FIRST, SECOND}
    assert all(rows.equals(ROWS) for rows in read.values())


def test_a_missing_table_is_an_error_that_names_the_command(lake: Storage) -> None:
    @dg.asset(partitions_def=SETS)
    def user(near_miss_count: dict) -> None:  # type: ignore[type-arg]
        raise AssertionError("the table does not exist")

    message = failure(run(lake, near_miss_count, user, select="user", partition_key=FIRST))
    assert f"run `neo run`, or materialize near_miss_count for page set {FIRST}" in message


def test_a_step_need_not_look_up_every_table(lake: Storage) -> None:
    @dg.asset(partitions_def=SETS, ins={"near_miss_count": dg.AssetIn(dagster_type=dg.Any)})
    def user(near_miss_count: Mapping[str, pa.Table]) -> None:
        assert list(near_miss_count) == [FIRST]

    assert run(lake, near_miss_count, user, select="user", partition_key=FIRST).success


def test_rows_of_another_schema_are_not_written(lake: Storage) -> None:
    @dg.asset(partitions_def=SETS, io_manager_key="parquet_io")
    def neo_records() -> dict[str, pa.Table]:
        return {FIRST: ROWS}

    result = run(lake, neo_records, partition_key=FIRST)
    assert not result.success
    assert tables.stored_page_sets(lake, NEO_RECORDS, [FIRST]) == []


# --- raw pages


def deliver(lake: Storage, *pages: Page | PageFacts, dies: bool = False) -> dg.ExecuteInProcessResult:
    """Materialize a `raw_pages` that yields these pages one by one, and may die after the last."""

    def arriving() -> Iterator[Page | PageFacts]:
        for number, one in enumerate(pages):
            fetched = [earlier.number for earlier in pages[:number] if isinstance(earlier, Page)]
            assert all(raw_pages.read_facts(lake, earlier) for earlier in fetched[:-WRITERS]), (
                "all but the latest few are stored before the next arrives"
            )
            yield one
        if dies:
            raise RuntimeError("the power is gone")

    @dg.asset(partitions_def=SETS, io_manager_key="raw_pages_io", name="raw_pages", dagster_type=dg.Any)
    def asset() -> dict[str, Any]:
        return {FIRST: arriving()}

    return run(lake, asset, partition_key=FIRST)


def test_pages_are_stored_as_they_arrive(lake: Storage) -> None:
    pages = [page(neo(str(number)), number=number) for number in range(3 * WRITERS)]
    assert deliver(lake, *pages).success
    assert raw_pages.stored_numbers(lake) == list(range(len(pages)))


def test_a_run_that_dies_keeps_the_pages_that_arrived(lake: Storage) -> None:
    pages = [page(neo(str(number)), number=number) for number in range(3)]
    assert not deliver(lake, *pages, dies=True).success
    assert raw_pages.stored_numbers(lake) == [0, 1, 2]
    assert tables.stored_page_sets(lake, RAW_PAGE_INDEX, [FIRST]) == []


def test_a_lake_that_cannot_be_written_is_reported_also_if_pages_are_missing(
    lake: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise LakeError("the disk is full")

    monkeypatch.setattr(Storage, "write", full)
    assert "the disk is full" in failure(deliver(lake, page(neo("1"), number=0), dies=True))


def test_the_index_lists_reused_and_fetched_pages_in_order(lake: Storage) -> None:
    reused = raw_pages.write_page(lake, page(neo("1"), number=1))
    result = deliver(lake, reused, page(neo("0"), neo("2"), number=0))
    assert tables.read_table(lake, RAW_PAGE_INDEX, FIRST)["page"].to_pylist() == [0, 1]
    shown = metadata(result)["raw_pages", FIRST]
    assert (shown["dagster/row_count"], shown["pages fetched"], shown["pages reused"]) == (3, 1, 1)


class Reader:
    """A graph of `raw_pages`, which stores the pages it is given, and a step that reads them."""

    def __init__(self, lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lake, self.arriving = lake, list[Page | PageFacts]()
        self.from_lake: list[int] = []
        """Numbers of the pages that the step read from the lake, in its latest run."""
        self.before_reading: Callable[[], object] = lambda: None
        self.managers = {"parquet_io": ParquetIOManager(lake, METRICS.tables), "raw_pages_io": RawPagesIOManager(lake)}
        read_page = raw_pages.read_page

        def noted(storage: Storage, number: int) -> StoredPage:
            self.from_lake.append(number)
            return read_page(storage, number)

        monkeypatch.setattr(raw_pages, "read_page", noted)

    def run(self, select: str = "*", retries: int = 0) -> list[StoredPage]:
        """The pages that the step gets. With `retries`, it fails that often after the first page."""
        got, left = list[StoredPage](), iter(range(retries))
        self.from_lake.clear()

        @dg.asset(partitions_def=SETS, io_manager_key="raw_pages_io", name="raw_pages", dagster_type=dg.Any)
        def asset() -> dict[str, Any]:
            return {FIRST: (one for one in self.arriving)}

        @dg.asset(
            partitions_def=SETS,
            ins={"raw_pages": dg.AssetIn(input_manager_key="raw_pages_io", dagster_type=dg.Any)},
            retry_policy=dg.RetryPolicy(retries),
        )
        def user(raw_pages: Mapping[str, Iterator[StoredPage]]) -> None:
            self.before_reading()
            got[:] = [next(raw_pages[FIRST])]
            if next(left, None) is not None:
                raise OSError("try again")
            got.extend(raw_pages[FIRST])

        with dg.DagsterInstance.ephemeral() as instance:
            assert dg.materialize(
                [asset, user], selection=select, resources=self.managers, instance=instance, partition_key=FIRST
            ).success
        return got


@pytest.fixture
def reader(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Reader:
    return Reader(lake, monkeypatch)


@disk_and_s3
def test_pages_stored_in_a_run_are_handed_on_from_memory(reader: Reader) -> None:
    reused = raw_pages.write_page(reader.lake, page(neo("1"), number=1))
    reader.arriving = [reused, page(neo("0"), number=0)]
    got = reader.run()
    assert reader.from_lake == [1]
    assert got == [raw_pages.read_page(reader.lake, number) for number in (0, 1)]


@pytest.mark.parametrize("select", ["user", "*"])
def test_a_later_run_reads_the_lake(reader: Reader, select: str) -> None:
    reader.arriving = [page(neo(str(number)), number=number) for number in (0, 1)]
    reader.run()
    later = page(neo("2"), neo("3"), number=0)
    reader.arriving = [raw_pages.write_page(reader.lake, later), raw_pages.read_page(reader.lake, 1).facts]
    assert reader.run(select)[0].body.to_pybytes() == later.body
    assert sorted(reader.from_lake) == [0, 1]


def test_a_page_replaced_in_the_meantime_keeps_its_own_facts(reader: Reader) -> None:
    """A concurrent run may replace a page between the steps: the tables' origins must name what was read."""
    fetched = page(neo("0"), number=0)
    reader.arriving = [fetched, page(neo("1"), number=1)]
    reader.before_reading = lambda: raw_pages.write_page(reader.lake, page(neo("2"), number=0))
    got = reader.run()
    assert [one.facts.sha256 for one in got] == [hashlib.sha256(one.body).hexdigest() for one in got]
    assert got[0].body.to_pybytes() == fetched.body


def test_a_retried_step_gets_all_pages(reader: Reader) -> None:
    reader.arriving = [page(neo(str(number)), number=number) for number in (0, 1)]
    got = reader.run(retries=2)
    assert got == [raw_pages.read_page(reader.lake, number) for number in (0, 1)]


def test_pages_beyond_a_limit_are_not_kept_in_memory(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [page(neo(str(number)), number=number) for number in (0, 1)]
    monkeypatch.setattr("neo_assets.orchestration.io_managers._KEPT_BYTES", len(pages[0].body))
    reader.arriving = [*pages]
    assert [one.body.to_pybytes() for one in reader.run()] == [one.body for one in pages]
    assert reader.from_lake == [1]
