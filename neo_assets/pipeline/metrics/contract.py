"""What the pipeline and the engines that run SQL agree on: the protocol of engines, what their SQL may read, and their
errors. Each engine is a module of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeAlias

import pyarrow as pa

from neo_assets.lake import tables


class EngineError(Exception):
    """An engine cannot run a query; the message says why, and what to do. A retry does not help."""

    retryable = False


class EngineUnreachable(EngineError):
    """The engine runs elsewhere and does not answer now; a later retry may help."""

    retryable = True


@dataclass(frozen=True)
class Files:
    """Rows of a table with a file for each page set, which an engine may read by itself."""

    schema: pa.Schema
    """The columns wanted; the first one names the NEO."""
    stored: tables.Files
    """Where the files are."""
    without: pa.Table
    """Copies of NEOs to leave out: `page_set` and `neo_id`."""

    def select(self, columns: Sequence[str]) -> Self:
        """The same rows with these columns only; the first one names the NEO."""
        return replace(self, schema=pa.schema([self.schema.field(name) for name in columns]))


Relation: TypeAlias = pa.Table | Files
"""What a name in the SQL may stand for."""


class Engine(Protocol):
    """Runs SQL. Every engine returns the same rows for the same SQL, as far as docs/metrics.md says."""

    def run(self, sql: str, relations: Mapping[str, Relation], parameters: Mapping[str, Any]) -> pa.Table:
        """Run a query and return its rows.

        Args:
            sql: one SELECT, with `$name` for each parameter.
            relations: what the SQL refers to, by name.
            parameters: values of the parameters; they are bound, never written into the SQL.

        Raises:
            EngineError: the engine refuses the query, or runs elsewhere and does not answer.
        """
        ...

    def choose(self, rows: Callable[[], pa.Table], files: Callable[[], Files]) -> Relation:
        """What to give to `run`: rows that this process reads, or the same rows in files, if the engine reads those.

        Raises:
            EngineError: as `run` does.
        """
        ...
