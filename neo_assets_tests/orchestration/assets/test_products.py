"""The products as assets: what they show, and that nothing is made again if nothing changed."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from neo_assets.lake.storage import Storage
from neo_assets.products import index
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.orchestration.assets.graph import Graph, failure, metadata
from neo_assets_tests.pipeline.by_hand import gather
from neo_assets_tests.postgres_server import PASSWORD, PostgresServer
from neo_assets_tests.products.by_hand import FIRST, fill
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows.examples import approach, neo, page


@pytest.fixture
def graph(lake: Storage) -> Graph:
    return Graph(lake, settings_of(lake=lake.root, pages=2, pages_per_set=1))


@disk_and_s3
def test_it_shows_rows_bytes_and_the_snapshot(graph: Graph, lake: Storage) -> None:
    fill(lake)
    shown = metadata(graph.run("neo_database"))["neo_database", None]
    made = index.read(lake)
    assert (shown["rows of neos"], shown["rows of close_approaches"], shown["rows of total_near_misses"]) == (4, 6, 2)
    assert shown["bytes of neo.duckdb"] == made["neo.duckdb"].bytes
    assert shown["sha256"] == made["neo.duckdb"].sha256
    assert shown["dagster/uri"] == f"{lake.root}/products/neo.duckdb"
    assert shown["made"] == "neos.parquet, close_approaches.parquet, neo.duckdb"
    [row] = shown["snapshot"].records
    assert row.data["is_simulated"] is True
    again = metadata(graph.run("neo_database"))["neo_database", None]
    assert again["made"] == "nothing: all is up to date"
    assert index.read(lake) == made


def test_what_is_published_is_shown_without_the_password(lake: Storage, postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    settings = settings_of(lake=lake.root, pages=2, pages_per_set=1, postgres_url=SecretStr(url))
    graph = Graph(fill(lake), settings)
    shown = metadata(graph.run("published"))["published", None]
    assert (shown["rows of neos"], shown["rows of close_approaches"], shown["rows of total_near_misses"]) == (4, 6, 2)
    assert (shown["made"], shown["schema"], shown["role of readers"]) == ("all tables", "neo", "neo_reader")
    assert shown["database"] == url.partition("@")[2]
    assert PASSWORD not in str(shown)
    assert metadata(graph.run("published"))["published", None]["made"] == "nothing: all is up to date"


def test_publishing_to_a_server_that_is_not_there_fails_in_one_line(lake: Storage) -> None:
    settings = settings_of(
        lake=lake.root, pages=2, pages_per_set=1, postgres_url=SecretStr("postgresql://127.0.0.1:9/x")
    )
    said = failure(Graph(fill(lake), settings).run("published"))
    assert said.startswith("PostgreSQL at 127.0.0.1:9/x: ")
    assert "\n" not in said


def test_it_fails_in_one_line_without_totals(graph: Graph) -> None:
    assert failure(graph.run("neo_database")).endswith("run `neo run`, or materialize total_near_misses")


@disk_and_s3
def test_the_calendar_shows_what_is_new_and_what_comes_next(graph: Graph, lake: Storage) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}"
    gather(lake, FIRST, [page(neo("1", approach("0.01", "1495978.7", day)), neo("2"))])
    shown = metadata(graph.run("upcoming"))["upcoming", None]
    assert [shown[name] for name in ("dagster/row_count", "new", "revised", "cancelled")] == [1, 1, 0, 0]
    assert shown["next approach"] == f"{day}T00:00Z 1 XY"
    assert shown["calendar"] == shown["dagster/uri"] == f"{lake.root}/products/upcoming.ics"
    assert shown["table"] == f"{lake.root}/products/upcoming.csv"
    [row] = shown["first rows"].records
    assert row.data["source"] == "simulator"
    gather(lake, FIRST, [page(neo("1"), neo("2"), hours=1)])
    shown = metadata(graph.run("upcoming"))["upcoming", None]
    assert [shown[name] for name in ("dagster/row_count", "new", "revised", "cancelled")] == [0, 0, 0, 1]
    assert shown["next approach"] == "none"


def test_the_calendar_of_an_empty_lake_fails_in_one_line(graph: Graph) -> None:
    assert failure(graph.run("upcoming")).endswith("holds no NEOs yet: run `neo run`")


@disk_and_s3
def test_the_report_shows_its_verdict_and_size(graph: Graph, lake: Storage) -> None:
    fill(lake)
    shown = metadata(graph.run("neo_database,report"))["report", None]
    made = index.read(lake)
    assert (shown["dagster/row_count"], shown["verdict"]) == (4, "drifted")
    assert shown["charts"] == made["report.html"].rows >= 8
    assert shown["page"] == shown["dagster/uri"] == f"{lake.root}/products/report.html"
    assert shown["table"] == f"{lake.root}/products/report.csv"
    assert shown["bytes of report.html"] == made["report.html"].bytes
    assert shown["sha256"] == made["report.html"].sha256
    assert shown["made"] == "report.html, report.csv"
    again = metadata(graph.run("neo_database,report"))["report", None]
    assert again["made"] == "nothing: all is up to date"


def test_the_report_needs_a_database(graph: Graph) -> None:
    assert failure(graph.run("report")).endswith("has no database yet: run `neo report`, or materialize neo_database")
