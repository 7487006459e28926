"""The metrics' SQL run by DuckDB, in memory: no database file, so nothing to lock between page sets."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import pyarrow as pa


def run_sql(name: str, relations: Mapping[str, pa.Table], **parameters: Any) -> pa.Table:
    """Run `metrics/{name}.sql` over Arrow tables.

    Args:
        name: the SQL file, without its ending.
        relations: what the SQL calls its tables.
        parameters: values for its `$parameters`; they are bound, never written into the text.
    """
    sql = resources.files("neo_assets.pipeline.metrics").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    with _database().cursor() as connection:
        for relation, data in relations.items():
            connection.register(relation, data)
        return connection.sql(sql, params=parameters or None).to_arrow_table()


@cache
def _database() -> Any:
    """One empty database in memory for the process: opening one takes longer than most queries."""
    import duckdb  # not above: it takes a while, and whoever only looks at the graph needs none

    return duckdb.connect()
