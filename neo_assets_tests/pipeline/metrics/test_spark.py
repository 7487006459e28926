"""The Spark engine, on Sail: the same results as DuckDB to the byte; what is read by the cluster; what goes wrong."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import pyarrow as pa
import pytest

from neo_assets.lake import tables
from neo_assets.lake.layout import table_file
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.catalogue import Catalogue
from neo_assets.pipeline.count import compute, over_catalogue, total
from neo_assets.pipeline.metrics.contract import EngineError, EngineUnreachable, Files
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, NEWEST_PAGE_AT, Metric
from neo_assets.pipeline.metrics.spark import Spark
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS
from neo_assets.settings import SettingsError
from neo_assets.sources.simulator.catalogue import Catalogue as Simulated
from neo_assets_tests.integration.harness import free_port
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from
from neo_assets_tests.pipeline.metrics.test_metrics import NOW, each, stored
from neo_assets_tests.s3_server import S3Server, counting
from neo_assets_tests.sail import serving_sail
from neo_assets_tests.settings import settings_of

PAGE_SETS = page_set_keys(6, 2)
COLUMNS = ["neo_id", "orbiting_body", "miss_distance_au"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of three page sets; NEOs that were inserted before the second was fetched shifted some of the first."""
    root = tmp_path_factory.mktemp("a lake with 100% of its name")
    lake, catalogue = Storage(str(root)), Simulated(120)
    for page_set, found in zip(PAGE_SETS, (catalogue, catalogue.inserted(3), catalogue.inserted(3)), strict=True):
        gather(lake, page_set, pages_from(found, page_set, hours=PAGE_SETS.index(page_set)))
    return root


@pytest.fixture(scope="module")
def on_duckdb(made: Path) -> list[bytes]:
    """The Parquet of every total of that lake."""
    return files_of(Storage(str(made)), METRICS)


@each
def test_each_metric_is_the_same_as_on_duckdb(sail: Metrics, metric: Metric) -> None:
    more = {NEWEST_PAGE_AT: NOW} if metric.of_a_snapshot else {}
    assert compute(sail, metric, stored(), **more).equals(compute(METRICS, metric, stored(), **more))


def test_files_that_the_cluster_reads_by_itself_give_the_same_parquet(
    sail: Metrics, made: Path, on_duckdb: list[bytes]
) -> None:
    lake = Storage(str(made))
    catalogue = Catalogue(lake, sail, PAGE_SETS)
    assert catalogue.with_superseded == PAGE_SETS[:1]
    assert isinstance(catalogue.relation(CLOSE_APPROACHES, COLUMNS), Files)
    assert files_of(lake, sail) == on_duckdb
    without_copies = PAGE_SETS[1:]
    assert files_of(lake, sail, without_copies) == files_of(lake, METRICS, without_copies)


def files_of(lake: Storage, metrics: Metrics, page_sets: Sequence[str] = PAGE_SETS) -> list[bytes]:
    """The Parquet of every total."""
    totals = [(metric.total, total(metrics, lake, metric, page_sets)) for metric in metrics.adding_up]
    over_all = over_catalogue(metrics, lake, metrics.over_catalogue, page_sets)
    totals += [(one.total, rows) for one, rows in zip(metrics.over_catalogue, over_all, strict=True)]
    return [tables.parquet(lake, table, rows).to_pybytes() for table, rows in totals]


def test_what_the_cluster_cannot_read_is_sent(
    sail: Metrics, made: Path, tmp_path: Path, on_duckdb: list[bytes]
) -> None:
    """It takes brackets in a path for a pattern, so it finds no such file."""
    root = tmp_path / "lake [1]"
    shutil.copytree(made, root)
    lake = Storage(str(root))
    assert isinstance(Catalogue(lake, sail, PAGE_SETS).relation(CLOSE_APPROACHES, COLUMNS), pa.Table)
    assert files_of(lake, sail) == on_duckdb


def test_a_lake_on_s3_is_read_by_the_cluster_itself(
    made: Path, s3: S3Server, on_duckdb: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Storage(s3.new_lake())
    for file in made.rglob("*.parquet"):
        lake.write(str(file.relative_to(made)), file.read_bytes())
    with counting(s3) as wire, monkeypatch.context() as for_sail:
        # The lake's clients are open by now, so only Sail's requests take the wire.
        for_sail.setenv("AWS_ENDPOINT_URL", wire.url)
        for_sail.setenv("AWS_ALLOW_HTTP", "true")  # for a server without TLS
        with serving_sail() as address:
            sail = Metrics(Spark(address))
            assert files_of(lake, sail) == on_duckdb
        read = {unquote(request.removeprefix("GET ")) for request in wire.requests if request.startswith("GET ")}
    large = {table_file(table, key) for table in (CLOSE_APPROACHES, NEO_RECORDS, ORBITS) for key in PAGE_SETS}
    assert read == large


def test_other_files_at_the_same_path_are_not_taken_for_the_lakes(sail: Metrics, made: Path) -> None:
    lake = Storage(str(made))
    files = tables.files(lake, CLOSE_APPROACHES, PAGE_SETS)
    schema = pa.schema([CLOSE_APPROACHES.schema.field(name) for name in COLUMNS])
    without = pa.table({"page_set": pa.array([], pa.string()), "neo_id": pa.array([], pa.string())})
    rows = schema.empty_table()
    fewer = tables.Files(files.locations, files.rows + 1, files.made_from)
    assert sail.choose(lambda: rows, lambda: Files(schema, fewer, without)) is rows
    gone = tables.Files({**files.locations, "x": str(made / "nowhere.parquet")}, files.rows + 1, files.made_from)
    assert sail.choose(lambda: rows, lambda: Files(schema, gone, without)) is rows
    assert sail.choose(lambda: rows, lambda: Files(schema, files, without)) is not rows


def test_queries_at_the_same_time_do_not_see_each_others_tables(sail: Metrics) -> None:
    metric = sail.of_table[NEAR_MISS_COUNT.name]
    approaches = stored()[CLOSE_APPROACHES.name]
    parts = [{CLOSE_APPROACHES.name: approaches.slice(0, 50 * number)} for number in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda part: compute(sail, metric, part), parts))
    assert found == [compute(METRICS, metric, part) for part in parts]


def test_a_query_that_the_cluster_refuses_is_one_line(sail: Metrics) -> None:
    with pytest.raises(EngineError, match=r"the cluster at sc://127\.0\.0\.1:\d+ refuses a query: .*nowhere") as caught:
        sail.run("SELECT * FROM nowhere", {}, {})
    assert "\n" not in str(caught.value)
    assert not caught.value.retryable


def test_a_cluster_that_does_not_answer_is_one_line_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neo_assets.pipeline.metrics.spark._RETRIES", 1)  # the pauses take a second
    port = free_port()
    with pytest.raises(EngineUnreachable, match=rf"sc://127\.0\.0\.1:{port} does not answer.*SPARK_REMOTE") as caught:
        Spark(f"sc://127.0.0.1:{port}/;x-key=secret").run("SELECT 1", {}, {})
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.retryable


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_a_cluster_of_another_major_version_is_one_line_with_the_client_to_install() -> None:
    from pyspark.sql.connect.proto import base_pb2 as pb2
    from pyspark.sql.connect.proto import base_pb2_grpc as services

    class OfSpark3(services.SparkConnectServiceServicer):  # type: ignore[misc]  # generated code has no types
        def AnalyzePlan(self, request: Any, context: Any) -> Any:
            version = pb2.AnalyzePlanResponse.SparkVersion(version="3.5.8")
            return pb2.AnalyzePlanResponse(session_id=request.session_id, spark_version=version)

    server = grpc.server(ThreadPoolExecutor(1))
    services.add_SparkConnectServiceServicer_to_server(OfSpark3(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(EngineError, match=r"runs Spark 3\.5\.8, .*`pip install 'pyspark-client==3\.\*'`") as caught:
            Spark(f"sc://127.0.0.1:{port}").run("SELECT 1", {}, {})
    finally:
        server.stop(None).wait()
    assert "\n" not in str(caught.value)


def test_spark_without_an_address_is_refused_when_the_settings_are_used() -> None:
    with pytest.raises(SettingsError, match=r"NEO_ENGINE=spark is set but SPARK_REMOTE is not: set it to .*sc://"):
        Metrics.of(settings_of(engine="spark"))


def test_a_missing_client_is_refused_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"not installed: run `\.venv/bin/pip install -e '\.\[spark\]'`"):
        Metrics.of(settings_of(engine="spark", spark_remote="sc://127.0.0.1:15002"))
