"""The protocol of the engine that runs a metric's SQL, and the engines to choose from. Each engine is a module of its
own; the SQL and its parameters live in `registry`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa

from neo_assets.pipeline.metrics.duckdb import DuckDB


class Engine(Protocol):
    """Runs SQL over Arrow tables. Every engine returns the same rows for the same SQL."""

    def run(self, sql: str, relations: Mapping[str, pa.Table], parameters: Mapping[str, Any]) -> pa.Table:
        """Run a query and return its rows.

        Args:
            sql: one SELECT, with `$name` for each parameter.
            relations: the tables that the SQL refers to, by name.
            parameters: values of the parameters; they are bound, never written into the SQL.
        """
        ...


ENGINES: Mapping[str, type[Engine]] = {"duckdb": DuckDB}
"""Engines by their name in NEO_ENGINE."""
