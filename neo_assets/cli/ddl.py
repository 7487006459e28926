"""`neo ddl`: the statements that make the lake's tables known to a query engine. They live in `products.ddl`."""

import re

import click

from neo_assets.settings import Settings

_ENGINES = ("trino", "athena", "spark", "duckdb")  # as in `products.ddl`, which takes longer to import


@click.command()
@click.argument("engine", metavar="ENGINE", type=click.Choice(_ENGINES))
@click.option("--schema", default="neo", show_default=True, help="The schema (database) that the tables are to be in.")
def ddl(engine: str, schema: str) -> None:
    """Print the SQL that makes the lake's tables known to an engine.

    ENGINE is trino, athena, spark or duckdb. Nothing is copied: it reads the lake's Parquet files where they are.
    Columns are described by comments, with units. A statement replaces what the schema had by the name of a table.

    \b
    Examples:
      neo ddl duckdb | duckdb my.duckdb
      neo ddl spark > neo.sql && spark-sql -f neo.sql
      neo ddl trino > neo.sql && trino --catalog hive -f neo.sql
      neo ddl athena --schema asteroids

    Tables of page sets have the partition page_set, a string such as 00000-00001. Views of DuckDB find new page sets by
    themselves; the other engines do when the last statement of each table is run again. Athena takes one statement at a
    time, and reads S3 only.

    An engine sees what page sets hold, where an object that moved to another page is in two of them until it is fetched
    again. The tables total_... count each NEO once, as do all tables of `neo tables`.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", schema):
        raise click.UsageError(f"--schema {schema} is not allowed: give lower-case letters, digits and _")
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.products.ddl import ddl as statements

    settings = Settings.load()
    for statement in statements(engine, Storage(settings.lake), Metrics.of(settings), schema):
        click.echo(f"{statement};\n")
