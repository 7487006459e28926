"""The graph end to end in this process, through `dagster.materialize`: pages in, totals out."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset, fs

from neo_assets.definitions import build_defs
from neo_assets.lake.storage import Storage
from neo_assets.schema.audit import AUDIT
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import changed, fingerprints
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of

pytestmark = pytest.mark.slow

PAGE_SET, OTHER = "00000-00001", "00002-00003"
ABOVE_THE_TOTALS = ["raw_pages", "neo_records", "orbits", "close_approaches", *(one.name for one in METRICS.counts)]
TOTALS = [total.name for total in METRICS.totals]


class Graph:
    """The graph over two page sets of the embedded simulator, on a lake of its own."""

    def __init__(self, lake: Storage, instance: dg.DagsterInstance, **settings: Any) -> None:
        settings = {"pages": 4, "pages_per_set": 2, "nasa_api_keys": (), "nasa_api_key": None} | settings
        self.defs = build_defs(settings_of(lake=lake.root, **settings))
        self.assets = list(self.defs.resolve_asset_graph().assets_defs)
        self.instance = instance
        self.lake = lake

    def materialize(self, selection: list[str], partition: str | None = None) -> dg.ExecuteInProcessResult:
        result = dg.materialize(
            self.assets,
            selection=selection,
            partition_key=partition,
            instance=self.instance,
        )
        assert result.success
        return result

    def rows(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.ParquetFile(pa.BufferReader(self.lake.read(path))).read().to_pylist()
        return rows


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def graph(lake: Storage, instance: dg.DagsterInstance) -> Graph:
    return Graph(lake, instance)


def approaches(objects: range) -> list[dict[str, Any]]:
    """Close approaches of the simulator's objects at these places, from the API's JSON."""
    catalogue = Catalogue()
    return [one for place in objects for one in catalogue.neo(place)["close_approach_data"]]


def test_one_page_set_and_the_totals_agree_with_the_objects(graph: Graph) -> None:
    graph.materialize(ABOVE_THE_TOTALS, PAGE_SET)
    graph.materialize(TOTALS)

    expected = approaches(range(40))
    near = Counter(a["orbiting_body"] for a in expected if Decimal(a["miss_distance"]["astronomical"]) < Decimal("0.2"))
    years = Counter((int(a["close_approach_date"][:4]), a["orbiting_body"]) for a in expected)
    part = f"page_set={PAGE_SET}/data.parquet"

    assert len(graph.rows(f"silver/neo_records/{part}")) == 40
    assert len(graph.rows(f"silver/close_approaches/{part}")) == len(expected)
    for table in (f"near_miss_count/{part}", "total_near_misses/data.parquet"):
        assert {row["orbiting_body"]: row["near_misses"] for row in graph.rows(f"gold/{table}")} == near
    for table in (f"yearly_approaches/{part}", "total_yearly_approaches/data.parquet"):
        counted = {(row["year"], row["orbiting_body"]): row["approaches"] for row in graph.rows(f"gold/{table}")}
        assert counted == years


def test_the_files_have_exactly_the_columns_of_the_schema(graph: Graph) -> None:
    graph.materialize(ABOVE_THE_TOTALS, PAGE_SET)
    graph.materialize(TOTALS)
    tables = {**METRICS.tables, AUDIT.name: AUDIT}
    for path in [info.path for info in graph.lake.files("") if info.extension == "parquet"]:
        [*_, name] = [part for part in path.split("/")[:-1] if not part.startswith(("page_set=", "date="))]
        stored = pq.ParquetFile(pa.BufferReader(graph.lake.read(path))).schema_arrow.remove_metadata()
        assert stored.equals(tables[name].schema, check_metadata=True), name
    assert len(METRICS.tables["neo_records"].schema) == 17


def test_every_materialization_shows_its_rows_and_its_file(graph: Graph) -> None:
    results = [graph.materialize(ABOVE_THE_TOTALS, PAGE_SET), graph.materialize(TOTALS)]
    events = [event.materialization for result in results for event in result.get_asset_materialization_events()]
    assert {event.asset_key.to_user_string() for event in events} == {*ABOVE_THE_TOTALS, *TOTALS}
    for event in events:
        name = event.asset_key.to_user_string()
        assert event.partition == (None if name in TOTALS else PAGE_SET)
        rows = event.metadata["dagster/row_count"].value
        assert isinstance(rows, int), name
        assert rows > 0, name
        assert str(event.metadata["dagster/uri"].value).startswith(graph.lake.root), name
        links = [str(v.value) for v in event.metadata.values() if isinstance(v, dg.PathMetadataValue)]
        assert len(links) == 1, name
        assert links[0].removeprefix(f"{graph.lake.root}/") in fingerprints(graph.lake), name


@disk_and_s3
def test_materializing_a_set_and_the_totals_writes_nothing_else(graph: Graph) -> None:
    for page_set in (PAGE_SET, OTHER):
        graph.materialize(ABOVE_THE_TOTALS, page_set)
    graph.materialize(TOTALS)

    before = fingerprints(graph.lake)
    graph.materialize(ABOVE_THE_TOTALS, OTHER)
    after = fingerprints(graph.lake)
    touched = changed(before, after)
    assert touched
    assert all(f"page_set={OTHER}/" in file for file in touched)

    graph.materialize(TOTALS)
    assert changed(after, fingerprints(graph.lake)) == {f"gold/{total}/data.parquet" for total in TOTALS}


def test_materializing_again_gives_the_same_bytes(graph: Graph) -> None:
    for _ in range(2):
        graph.materialize(ABOVE_THE_TOTALS, PAGE_SET)
        graph.materialize(TOTALS)
        found = {name: digest for name, (digest, _) in fingerprints(graph.lake).items()}
        graph.first = found = getattr(graph, "first", found)  # type: ignore[attr-defined]
    assert {name: digest for name, (digest, _) in fingerprints(graph.lake).items()} == found


def test_materializing_one_table_leaves_the_others_unchanged(graph: Graph) -> None:
    graph.materialize(ABOVE_THE_TOTALS, PAGE_SET)
    before = fingerprints(graph.lake)
    graph.materialize(["close_approaches"], PAGE_SET)
    assert f"silver/neo_records/page_set={PAGE_SET}/data.parquet" not in changed(before, fingerprints(graph.lake))


def test_a_range_of_page_sets_is_materialized_in_one_run(graph: Graph) -> None:
    """With the tags by which Dagster runs a range, as in `launchRun`."""
    job = graph.defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=graph.instance,
        asset_selection=[dg.AssetKey(name) for name in ABOVE_THE_TOTALS],
        tags={"dagster/asset_partition_range_start": PAGE_SET, "dagster/asset_partition_range_end": OTHER},
    )
    assert result.success
    for page_set in (PAGE_SET, OTHER):
        assert graph.rows(f"gold/near_miss_count/page_set={page_set}/data.parquet")


def read_by_duckdb(lake: Storage, table: str) -> duckdb.DuckDBPyRelation:
    """A table as a user reads it with DuckDB: directly on disk; through pyarrow on S3, as DuckDB would have to download
    its S3 extension.
    """
    if lake.is_local:
        return duckdb.read_parquet(f"{lake.root}/{table}/**/*.parquet", hive_partitioning=True)
    s3 = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], region=os.environ["AWS_REGION"])
    place = f"{lake.root.removeprefix('s3://')}/{table}"
    return duckdb.from_arrow(dataset.dataset(place, filesystem=s3, format="parquet", partitioning="hive"))


@disk_and_s3
def test_duckdb_reads_the_lake_and_recount_of_near_miss_count_to_the_total(graph: Graph) -> None:
    for page_set in (PAGE_SET, OTHER):
        graph.materialize(ABOVE_THE_TOTALS, page_set)
    graph.materialize(TOTALS)
    counts = read_by_duckdb(graph.lake, "gold/near_miss_count")
    by_body = counts.aggregate("orbiting_body, sum(near_misses)::BIGINT AS near_misses").order("ALL").fetchall()
    total = read_by_duckdb(graph.lake, "gold/total_near_misses")
    assert by_body == total.project("orbiting_body, near_misses").order("ALL").fetchall()
    near = read_by_duckdb(graph.lake, "silver/close_approaches").filter("miss_distance_au < 0.2")
    by_page_set = near.aggregate("page_set, count(*)").order("ALL").fetchall()
    assert by_page_set == counts.aggregate("page_set, sum(near_misses)::BIGINT").order("ALL").fetchall()
    assert [page_set for page_set, _ in by_page_set] == [PAGE_SET, OTHER]


def test_a_lake_of_another_source_is_refused_and_left_unchanged(graph: Graph) -> None:
    graph.lake.write("lake.json", b'{"source": "nasa"}')
    with pytest.raises(dg.Failure, match="holds data from nasa, but the source is now simulator; they do not mix"):
        graph.materialize(["raw_pages"], PAGE_SET)
    assert fingerprints(graph.lake).keys() == {"lake.json"}


def test_a_run_works_inside_a_running_event_loop(graph: Graph) -> None:
    """As in a notebook."""

    async def notebook() -> None:
        await asyncio.to_thread(graph.materialize, ["raw_pages"], PAGE_SET)

    asyncio.run(notebook())
    assert "bronze/raw_pages/page-00000.json.zst" in fingerprints(graph.lake)
