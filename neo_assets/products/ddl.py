"""The statements that make the lake's tables known to a query engine: Trino, Athena, Spark, DuckDB. Which tables there
are is defined in `schema` and by the metrics; running the statements is the business of the engine.

Column comments say what a column means, and its unit. `page_set` is a string: engines that guess types must not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from neo_assets.lake import layout, mark
from neo_assets.lake.storage import LakeError, LakeLacks, Storage
from neo_assets.lake.tables import every_page_set
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.products import comments
from neo_assets.products.comments import literal, of_column
from neo_assets.schema.columns import Column, Table

PAGE_SET = Column("page_set", pa.string(), "The page set, such as 00000-00001, or landed: the partition.")
"""The column that query engines read from the names of directories."""

_HIVE = {"string": "STRING", "double": "DOUBLE", "bool": "BOOLEAN", "date32[day]": "DATE", "int32": "INT"}


def ddl(engine: str, lake: Storage, metrics: Metrics, schema: str) -> Iterator[str]:
    """The statements for an engine, without semicolons. Tables of which the lake has no file are left out.

    A statement replaces what the schema knew by the table's name. In Trino, Athena and Spark the tables are external:
    dropping one leaves its files.

    Args:
        engine: a name in `ENGINES`.
        lake: the lake.
        metrics: the metrics of the lake.
        schema: the schema, or database, that the tables are to be in.

    Raises:
        LakeLacks: there are no tables yet.
        LakeError: the lake cannot be read, or the engine cannot read where it is.
    """
    tables = [table for table in metrics.tables.values() if _is_stored(lake, table)]
    if not tables:
        raise LakeLacks(f"there are no tables in {lake.root} yet: run `neo run`")
    if engine == "athena" and lake.is_local:
        raise LakeError(f"Athena reads S3 only, and the lake is {lake.root}: set NEO_LAKE to s3://bucket/prefix")
    about = comments.mark(mark.last_read(lake))
    yield from ENGINES[engine](lake, tables, schema, about)


def _trino(lake: Storage, tables: list[Table], schema: str, about: str) -> Iterator[str]:
    """For the Hive connector; the catalog is that of the session."""
    yield f'CREATE SCHEMA IF NOT EXISTS "{schema}"'
    for table in tables:
        name = f'"{schema}"."{table.name}"'
        columns = _list(
            f'"{one.name}" {_trino_type(one)} COMMENT {literal(of_column(one.description, one.unit))}'
            for one in _columns(table)
        )
        properties = [f"external_location = {literal(_directory(lake, table))}", "format = 'PARQUET'"]
        if table.partitioned:
            properties.append(f"partitioned_by = ARRAY['{PAGE_SET.name}']")
        yield f"DROP TABLE IF EXISTS {name}"
        yield (
            f"CREATE TABLE {name} ({columns})\nCOMMENT {literal(about + table.description)}\nWITH ({_list(properties)})"
        )
        if table.partitioned:
            yield (
                "CALL system.sync_partition_metadata("
                f"schema_name => '{schema}', table_name => '{table.name}', mode => 'FULL')"
            )


def _athena(lake: Storage, tables: list[Table], schema: str, about: str) -> Iterator[str]:
    yield f"CREATE DATABASE IF NOT EXISTS `{schema}`"
    for table in tables:
        name, comment = f"`{schema}`.`{table.name}`", _escaped(about + table.description)
        partitioned = f"PARTITIONED BY ({_hive_column(PAGE_SET)})\n" if table.partitioned else ""
        yield f"DROP TABLE IF EXISTS {name}"
        yield (
            f"CREATE EXTERNAL TABLE {name} ({_list(map(_hive_column, table.columns))})\nCOMMENT {comment}\n"
            f"{partitioned}STORED AS PARQUET\nLOCATION {_escaped(_directory(lake, table))}"
        )
        if table.partitioned:
            yield f"MSCK REPAIR TABLE {name}"


def _spark(lake: Storage, tables: list[Table], schema: str, about: str) -> Iterator[str]:
    yield f"CREATE DATABASE IF NOT EXISTS `{schema}`"
    for table in tables:
        name, comment = f"`{schema}`.`{table.name}`", _escaped(about + table.description)
        # Hadoop's own name for S3; only Amazon's Spark knows s3:// too.
        place = _directory(lake, table).replace("s3://", "s3a://", 1)
        columns = _list(_hive_column(one, has_zoneless_times=True) for one in _columns(table))
        partitioned = f"PARTITIONED BY (`{PAGE_SET.name}`)\n" if table.partitioned else ""
        yield f"DROP TABLE IF EXISTS {name}"
        yield (
            f"CREATE TABLE {name} ({columns})\nUSING parquet\n{partitioned}LOCATION {_escaped(place)}\n"
            f"COMMENT {comment}"
        )
        if table.partitioned:
            yield f"MSCK REPAIR TABLE {name}"


def _duckdb(lake: Storage, tables: list[Table], schema: str, about: str) -> Iterator[str]:
    """Views, as DuckDB has no external tables. They find new page sets by themselves."""
    if not lake.is_local:
        for extension in ("httpfs", "aws"):
            yield f"INSTALL {extension}"
            yield f"LOAD {extension}"
        # A server that is not Amazon's also needs ENDPOINT here, and often URL_STYLE 'path'.
        yield f"CREATE OR REPLACE SECRET neo (TYPE s3, PROVIDER credential_chain, SCOPE {literal(lake.root)})"
    yield f'CREATE SCHEMA IF NOT EXISTS "{schema}"'
    for table in tables:
        name = f'"{schema}"."{table.name}"'
        files = lake.location(layout.table_file(table, "*" if table.partitioned else None))
        # Without this, a directory of the lake's own path that looks like a=b would be a column too.
        hive = f"hive_partitioning = {str(table.partitioned).lower()}"
        if table.partitioned:
            hive += f", hive_types = {{'{PAGE_SET.name}': VARCHAR}}"
        names = _list(f'"{one.name}"' for one in _columns(table))
        yield f"CREATE OR REPLACE VIEW {name} AS SELECT {names}\nFROM read_parquet({literal(files)}, {hive})"
        yield f"COMMENT ON VIEW {name} IS {literal(about + table.description)}"
        for one in _columns(table):
            yield f'COMMENT ON COLUMN {name}."{one.name}" IS {literal(of_column(one.description, one.unit))}'


ENGINES: Mapping[str, Callable[[Storage, list[Table], str, str], Iterator[str]]] = {
    "trino": _trino,
    "athena": _athena,
    "spark": _spark,
    "duckdb": _duckdb,
}
"""The engines by name."""


def _is_stored(lake: Storage, table: Table) -> bool:
    if table.partitioned:
        return bool(every_page_set(lake, table))
    path = layout.table_file(table)
    return path in lake.versions([path])


def _columns(table: Table) -> tuple[Column, ...]:
    """The columns as query engines show them: the partition comes last."""
    return (*table.columns, PAGE_SET) if table.partitioned else table.columns


def _directory(lake: Storage, table: Table) -> str:
    """The location of a table, as a URL with a slash at the end, which Athena asks for."""
    place = lake.location(layout.table_root(table))
    return f"{Path(place).absolute().as_uri() if lake.is_local else place}/"


def _list(items: Iterable[str]) -> str:
    return "\n    " + ",\n    ".join(items) + "\n"


def _trino_type(column: Column) -> str:
    """Times are in UTC and have milliseconds: the Hive connector takes no other precision unless it is configured."""
    kind = str(column.type)
    if pa.types.is_timestamp(column.type):
        return "timestamp(3)"
    return {"string": "varchar", "bool": "boolean", "date32[day]": "date", "int32": "integer", "int64": "bigint"}.get(
        kind, kind
    )


def _hive_column(column: Column, *, has_zoneless_times: bool = False) -> str:
    kind = _HIVE.get(str(column.type), "BIGINT")
    if pa.types.is_timestamp(column.type):
        kind = "TIMESTAMP_NTZ" if has_zoneless_times and not column.type.tz else "TIMESTAMP"
    return f"`{column.name}` {kind} COMMENT {_escaped(of_column(column.description, column.unit))}"


def _escaped(text: str) -> str:
    """A string as Hive and Spark write it, to whom two quotation marks are the end of one string and a second one."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
