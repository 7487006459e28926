"""Lakes of any size without NeoWs: copies of one simulated page set, as other NEOs. What is measured is elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.count import count
from neo_assets.pipeline.gather import store
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.origins import FROM_JSON, origin
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import SIMULATOR, Page, PageFacts
from neo_assets.schema.tables import RAW_PAGE_INDEX
from neo_assets.sources.neows.parse import Parsed, parse
from neo_assets.sources.simulator.catalogue import PAGE_SIZE, Catalogue, to_json

PAGES_PER_SET = 50
NAMES = {"id", "neo_id", "neo_reference_id", "principal_designation"}
"""Columns that tell NEOs apart."""
_METRICS = Metrics(DuckDB())


@dataclass(frozen=True)
class PageSet:
    """The pages of one page set, and its tables."""

    pages: Sequence[Page]
    parsed: Parsed

    @classmethod
    def simulated(cls, catalogue_pages: int) -> Self:
        """The simulator's first pages, which say that the catalogue has so many pages."""
        catalogue, now, neos = Catalogue(), datetime.now(UTC), catalogue_pages * PAGE_SIZE
        bodies = (to_json(catalogue.page(number)) for number in range(PAGES_PER_SET))
        pages = [Page(number, body, now, SIMULATOR, PAGE_SIZE, neos) for number, body in enumerate(bodies)]
        return cls(pages, parse(pages))

    @property
    def approaches(self) -> int:
        """Number of close approaches."""
        return int(self.parsed.close_approaches.num_rows)

    def write(self, lake: Storage, page_set: str) -> None:
        """Store a copy: its pages, their index, and all tables. In the pages, ids stay as they were."""
        copies = (replace(page, number=number) for number, page in zip(pages_of(page_set), self.pages, strict=True))
        self._write_tables(lake, page_set, store(lake, page_set, copies).pages)

    def write_without_pages(self, lake: Storage, page_set: str) -> None:
        """Store a copy without its pages."""
        facts = [replace(one, page=number) for number, one in zip(pages_of(page_set), self._facts, strict=True)]
        rows = tables.with_origin(raw_pages.index(facts), origin(RAW_PAGE_INDEX, facts))
        tables.write_table(lake, RAW_PAGE_INDEX, rows, page_set)
        self._write_tables(lake, page_set, facts)

    def _write_tables(self, lake: Storage, page_set: str, facts: Sequence[PageFacts]) -> None:
        for table in FROM_JSON:
            rows = _under_other_ids(getattr(self.parsed, table.name), page_set)
            tables.write_table(lake, table, tables.with_origin(rows, origin(table, facts)), page_set)
        for table, rows in self._counts.items():
            tables.write_table(lake, table, tables.with_origin(rows, origin(table, facts)), page_set)

    @cached_property
    def _facts(self) -> list[PageFacts]:
        return [
            PageFacts(
                page=page.number,
                fetched_at=page.fetched_at,
                source=page.source,
                sha256=sha256(page.body).hexdigest(),
                bytes=len(page.body),
                neos=page.neos,
                total_elements=page.total_elements,
                md5="",
            )
            for page in self.pages
        ]

    @cached_property
    def _counts(self) -> dict[Table, pa.Table]:
        stored = {table.name: getattr(self.parsed, table.name) for table in FROM_JSON}
        return {table: count(_METRICS, table, stored) for table in _METRICS.counts}


def _under_other_ids(rows: pa.Table, page_set: str) -> pa.Table:
    """The same rows of other NEOs, on the pages of a page set."""
    for index, field in enumerate(rows.schema):
        if field.name in NAMES:
            rows = rows.set_column(index, field, pc.binary_join_element_wise(rows[index], page_set, "-"))
        elif field.name == "page":
            rows = rows.set_column(index, field, pc.add(rows[index], pa.scalar(pages_of(page_set)[0], field.type)))
    return rows
