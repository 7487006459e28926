"""The DuckDB engine. It runs in memory: there is no database file, so no lock for page sets to contend for."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pyarrow as pa

from neo_assets.pipeline.metrics.contract import EngineError, Files, Relation
from neo_assets.pipeline.text import one_line


class DuckDB:
    """The default engine. See `contract.Engine` for its contract."""

    def run(self, sql: str, relations: Mapping[str, Relation], parameters: Mapping[str, Any]) -> pa.Table:
        """Run a query and return its rows."""
        import duckdb  # imported late: slow to import, and not needed to load the graph

        with _database().cursor() as connection:
            for name, rows in relations.items():
                connection.register(name, rows)
            try:
                return connection.sql(sql, params=dict(parameters) or None).to_arrow_table()
            except duckdb.Error as error:
                raise EngineError(one_line(str(error))) from error

    def choose(self, rows: Callable[[], pa.Table], files: Callable[[], Files]) -> Relation:
        """Always the rows: they are in this process."""
        return rows()


@cache
def _database() -> Any:
    """The process's only, empty in-memory database: opening one takes longer than most queries."""
    import duckdb

    # On a page set, a second thread costs a tenth more CPU time than it saves.
    return duckdb.connect(config={"threads": 1})
