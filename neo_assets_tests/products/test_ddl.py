"""The statements of `neo ddl` make the lake's tables known: DuckDB runs its own; a parser reads those of Trino, Athena
and Spark, and Sail runs Spark's where it is installed.
"""

import importlib.util
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeError, LakeLacks, Storage
from neo_assets.products.ddl import ENGINES, ddl
from neo_assets.schema.columns import Table
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.products.by_hand import KEYS, contents, fill

LONGEST_COMMENT = 255
"""Of a column, in Hive's metastore and in AWS Glue."""


@pytest.fixture
def filled(lake: Storage) -> Storage:
    contents(fill(lake))  # computes the metrics of the whole catalogue too
    return lake


def statements(engine: str, lake: Storage, schema: str = "neo") -> list[str]:
    return list(ddl(engine, lake, METRICS, schema))


def stored(lake: Storage) -> dict[str, tuple[Table, int]]:
    """Every table that the lake has, and its number of rows, read without any statement."""
    found = {}
    for name, table in METRICS.tables.items():
        if table.partitioned:
            parts = tables.read_found(lake, table, tables.every_page_set(lake, table)).values()
            if parts:
                found[name] = table, sum(part.num_rows for part in parts)
        elif lake.info(f"{table.layer}/{name}/data.parquet").is_file:
            found[name] = table, tables.read_table(lake, table).num_rows
    return found


def test_duckdb_finds_every_row(filled: Storage) -> None:
    known = stored(filled)
    assert {"neo_records", "close_approaches", "quarantine", "total_near_misses", "snapshot"} < known.keys()
    with duckdb.connect() as connection:
        for statement in statements("duckdb", filled):
            connection.execute(statement)
        for name, (table, rows) in known.items():
            assert connection.execute(f"SELECT count(*) FROM neo.{name}").fetchall() == [(rows,)]
            columns = connection.execute(
                "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = $name ORDER BY column_index",
                {"name": name},
            ).fetchall()
            assert [name for name, _ in columns][: len(table.columns)] == table.schema.names
            for (_, comment), column in zip(columns, table.columns, strict=False):
                assert comment.startswith(column.description)
                assert comment.endswith(f" Unit: {column.unit}." if column.unit else column.description)
        [(comment,)] = connection.execute(
            "SELECT comment FROM duckdb_views() WHERE view_name = 'neo_records'"
        ).fetchall()
        assert comment == "Simulated data: the objects are made up. One row per near-Earth object."
        sets = connection.execute("SELECT page_set, count(*) FROM neo.neo_records GROUP BY 1 ORDER BY 1").fetchall()
        assert sets == [(KEYS[0], 2), (KEYS[1], 3)]
        assert connection.execute("SELECT DISTINCT typeof(page_set) FROM neo.neo_records").fetchall() == [("VARCHAR",)]


def test_duckdb_can_run_the_statements_again(filled: Storage) -> None:
    with duckdb.connect() as connection:
        for _ in range(2):
            connection.execute(";\n".join(statements("duckdb", filled, "other")))
        assert connection.execute("SELECT count(*) FROM other.neo_records").fetchall() == [(5,)]


def test_no_directory_above_the_lake_becomes_a_column(tmp_path: Path) -> None:
    lake = fill(Storage(str(tmp_path / "owner=me's" / "lake")))
    with duckdb.connect() as connection:
        connection.execute(";\n".join(statements("duckdb", lake)))
        columns = connection.execute("DESCRIBE neo.neo_records").fetchall()
    assert "owner" not in [name for name, *_ in columns]
    for engine in ("trino", "spark"):
        assert any("owner%3Dme%27s" in statement for statement in statements(engine, lake))


TYPES = {
    "string": {"VARCHAR", "TEXT"},
    "double": {"DOUBLE"},
    "bool": {"BOOLEAN"},
    "date32[day]": {"DATE"},
    "int32": {"INT"},
    "int64": {"BIGINT"},
    "timestamp[ms, tz=UTC]": {"TIMESTAMP", "TIMESTAMPTZ"},  # TIMESTAMPTZ is what Spark's TIMESTAMP means
    "timestamp[us, tz=UTC]": {"TIMESTAMP", "TIMESTAMPTZ"},
    "timestamp[ms]": {"TIMESTAMP", "TIMESTAMPNTZ"},
}
"""What a parser calls the types of each engine, by Arrow type."""


def parsed(engine: str, lake: Storage) -> Iterator[exp.Expr]:
    """Each statement, as a parser of the engine's dialect understands it."""
    for statement in statements(engine, lake):
        yield sqlglot.parse_one(statement, dialect=engine, error_level=sqlglot.ErrorLevel.RAISE)


@pytest.mark.parametrize(
    ("engine", "lake_kind"),
    [
        ("trino", "disk"),
        ("spark", "disk"),
        *(pytest.param(engine, "s3", marks=pytest.mark.s3) for engine in ("trino", "athena", "spark")),
    ],
    indirect=["lake_kind"],
)
def test_a_parser_of_the_engine_finds_tables_columns_partitions_and_locations(
    engine: str, filled: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "sqlglot")  # it warns of statements that are no SQL, such as MSCK
    known = stored(filled)
    created: dict[str, exp.Create] = {}
    repaired = []
    for one in parsed(engine, filled):
        if isinstance(one, exp.Create) and one.kind == "TABLE":
            created[one.this.this.name] = one
            assert one.this.this.db == "neo"
        elif isinstance(one, exp.Command):
            [name] = [name for name in known if re.search(rf"[`']{name}[`']", one.sql())]
            repaired.append(name)
    assert created.keys() == known.keys()
    assert repaired == [name for name, (table, _) in known.items() if table.partitioned]
    for name, (table, _) in known.items():
        columns = {column.name: column for column in created[name].find_all(exp.ColumnDef) if column.kind is not None}
        assert list(columns) == [*table.schema.names, *(["page_set"] if table.partitioned else [])]
        for column in table.columns:
            assert columns[column.name].kind.this.name in TYPES[str(column.type)], (name, column.name)
            comment = columns[column.name].find(exp.CommentColumnConstraint).this.name
            assert comment.startswith(column.description)
            assert column.unit in comment
            assert len(comment) <= LONGEST_COMMENT
        if table.partitioned:
            assert columns["page_set"].kind.this.name in TYPES["string"]
        partitions = created[name].find(exp.PartitionedByProperty)
        assert bool(partitions) == table.partitioned
        [comment] = [one.this.name for one in created[name].find_all(exp.SchemaCommentProperty)]
        assert comment == f"Simulated data: the objects are made up. {table.description}"
        place = filled.location(f"{table.layer}/{name}/" if table.layer else f"{name}/")
        if filled.is_local:
            place = f"file://{place}"
        elif engine == "spark":
            place = place.replace("s3://", "s3a://")
        assert place in {one.name for one in created[name].find_all(exp.Literal)}


@pytest.mark.parametrize("lake_kind", [pytest.param("s3", marks=pytest.mark.s3)], indirect=True)
def test_duckdb_reads_s3_by_its_own_names(filled: Storage) -> None:
    found = statements("duckdb", filled)
    assert found[:4] == ["INSTALL httpfs", "LOAD httpfs", "INSTALL aws", "LOAD aws"]
    assert any(f"'{filled.root}/silver/neo_records/page_set=*/data.parquet'" in one for one in found)
    for one in found:
        duckdb.extract_statements(one)  # raises where the syntax is wrong


def test_athena_asks_for_s3_in_one_line(filled: Storage) -> None:
    with pytest.raises(
        LakeError, match=r"^Athena reads S3 only, and the lake is .*: set NEO_LAKE to s3://bucket/prefix$"
    ):
        statements("athena", filled)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_lake_says_what_to_run(lake: Storage, engine: str) -> None:
    with pytest.raises(LakeLacks, match=r"there are no tables in .* yet: run `neo run`"):
        statements(engine, lake)


def test_data_of_nasa_are_not_called_simulated(disk_lake: Storage) -> None:
    fill(disk_lake, "nasa")
    for engine in ("trino", "spark", "duckdb"):
        assert not any("Simulated" in statement for statement in statements(engine, disk_lake))


@pytest.mark.skipif(not importlib.util.find_spec("pysail"), reason="Sail is not installed")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_sail_runs_those_of_spark(filled: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sail finds partitions by itself, and does not know the statement that makes Spark find them."""
    # Without it, as in the processes of pytest-xdist, PySpark takes itself to be in its own doctests.
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    session: Any = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").getOrCreate()
    try:
        for statement in statements("spark", filled):
            if not statement.startswith("MSCK"):
                session.sql(statement)
        for name, (_, rows) in stored(filled).items():
            assert session.sql(f"SELECT * FROM neo.{name}").count() == rows
        [found] = session.sql(f"SELECT count(*) FROM neo.neo_records WHERE page_set = '{KEYS[0]}'").collect()
        assert found[0] == 2
    finally:
        session.stop()
        server.stop()
