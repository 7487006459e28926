"""The catalogue as a whole: the rows of all page sets and landed objects, with each NEO once, by the copy fetched last.
Counting them lives in `count`.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.metrics.contract import Files, Relation
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import with_landed
from neo_assets.schema.tables import NEO_SIGHTINGS, RAW_PAGE_INDEX

_SUPERSEDED = Path(__file__).with_name("superseded.sql").read_text(encoding="utf-8")


def superseded(metrics: Metrics, neo_sightings: pa.Table) -> pa.Table:
    """Copies that are left out because another page set holds a later one; columns `page_set` and `neo_id`."""
    return metrics.run(_SUPERSEDED, {NEO_SIGHTINGS.name: neo_sightings}, {})


def origin_of_superseded(neo_sightings: str) -> str:
    """Digest of what decides which copies are superseded, from the combined origin of the sightings."""
    return tables.digest([_SUPERSEDED, neo_sightings])


def state_of_lake(lake: Storage, page_sets: Sequence[str]) -> tuple[list[str], str]:
    """Those of the page sets that were read, landed objects included, and a digest of what was read.

    The totals and the snapshot carry the digest, so that figures of two states are never shown as one.
    """
    seen = page_sets_read(lake, page_sets)
    return seen, _state(seen, tables.combined_origin(lake, NEO_SIGHTINGS, seen))


def page_sets_read(lake: Storage, page_sets: Sequence[str]) -> list[str]:
    """Those of the page sets that were read, and the landed objects if there are any."""
    return tables.stored_page_sets(lake, NEO_SIGHTINGS, with_landed(page_sets))


def _state(page_sets: Sequence[str], sightings: str) -> str:
    return tables.digest([*page_sets, sightings])


def belong_to(copies: pa.Table, rows: pa.Table) -> pa.ChunkedArray:
    """Whether each row belongs to one of these copies of NEOs.

    Args:
        copies: copies, as `superseded` returns them.
        rows: rows that name the NEO in their first column, and their page set in `page_set`.
    """
    return pc.is_in(_copy(rows, rows.schema.names[0]), _copy(copies, "neo_id").combine_chunks())


def _copy(rows: pa.Table, neo_id: str) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["page_set"], rows[neo_id], "/")


class Catalogue:
    """The NEOs of some page sets, each once."""

    def __init__(self, lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
        """
        Args:
            lake: the lake.
            metrics: finds superseded copies of NEOs.
            page_sets: the page sets, which are stored.
        """
        self._lake, self._metrics = lake, metrics
        self.page_sets = page_sets

    @classmethod
    def whole(cls, lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> Self:
        """The NEOs of those of the page sets that were read, and of the landed objects."""
        return cls(lake, metrics, page_sets_read(lake, page_sets))

    def rows(
        self, table: Table, columns: Sequence[str] | None = None, page_sets: Sequence[str] | None = None
    ) -> pa.Table:
        """The rows of a table that names a NEO in its first column, such as `close_approaches`, in the order of pages.

        Args:
            table: the table.
            columns: the columns to read; all if omitted.
            page_sets: only these page sets; all if omitted.

        Returns:
            The columns, with an origin that is made of those of the page sets.

        Raises:
            LakeError: a page set lacks the table, or a file is damaged.
        """
        wanted = list(columns or table.schema.names)
        read = list(dict.fromkeys([table.schema.names[0], *wanted]))
        keys = self.page_sets if page_sets is None else page_sets
        rows = tables.read_page_sets(self._lake, table, keys, read)
        if self._superseded.num_rows:
            rows = rows.filter(pc.invert(belong_to(self._superseded, rows)))
        return rows.select(wanted)

    def relation(self, table: Table, columns: Sequence[str], page_sets: Sequence[str] | None = None) -> Relation:
        """The rows of a table for the engine's SQL: those of `rows`, or the files that hold them, if it reads those.

        Args:
            table: the table.
            columns: the columns; the first one names the NEO.
            page_sets: only these page sets; all if omitted.

        Raises:
            LakeError: a page set lacks the table, or a file is damaged.
            EngineError: the engine does not answer.
        """
        keys = self.page_sets if page_sets is None else page_sets
        schema = pa.schema([table.schema.field(name) for name in columns])
        return self._metrics.choose(
            lambda: self.rows(table, columns, keys),
            lambda: Files(schema, tables.files(self._lake, table, keys), self._superseded),
        )

    @cached_property
    def arrived(self) -> tuple[datetime | None, datetime | None]:
        """When the oldest page and the newest one arrived, by NASA's clock if it said so; None without pages."""
        index = tables.read_page_sets(self._lake, RAW_PAGE_INDEX, self.page_sets, ("page", "fetched_at", "clock_at"))
        ends = pc.min_max(pc.coalesce(index["clock_at"], index["fetched_at"]))
        return ends["min"].as_py(), ends["max"].as_py()

    @cached_property
    def sightings(self) -> pa.Table:
        """The rows of `neo_sightings`, of all copies."""
        return tables.read_page_sets(self._lake, NEO_SIGHTINGS, self.page_sets)

    @property
    def state(self) -> str:
        """The state of the lake, as `state_of_lake` gives it."""
        return _state(self.page_sets, tables.made_from(self.sightings))

    @property
    def with_superseded(self) -> list[str]:
        """The page sets that hold superseded copies."""
        return sorted(set(self._superseded["page_set"].to_pylist()))

    @cached_property
    def _superseded(self) -> pa.Table:
        return superseded(self._metrics, self.sightings)
