"""Metrics run by DuckDB, in memory: without a database file, page sets have no lock to fight over."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pyarrow as pa


class DuckDB:
    """The default engine. See `engine.Engine` for its contract."""

    def run(self, sql: str, relations: Mapping[str, pa.Table], parameters: Mapping[str, Any]) -> pa.Table:
        """The rows that a query gives."""
        with _database().cursor() as connection:
            for name, rows in relations.items():
                connection.register(name, rows)
            return connection.sql(sql, params=dict(parameters) or None).to_arrow_table()


@cache
def _database() -> Any:
    """One empty in-memory database for the process: opening one takes longer than most queries."""
    import duckdb  # imported late: it takes a while, and whoever only looks at the graph does not need it

    return duckdb.connect()
