"""A small complete lake, ways to corrupt its stored tables, and the names of the checks that notice. No assertions."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from neo_assets.lake import layout, owner, tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Check, Verdict
from neo_assets.orchestration.checks.page_set import of_a_page_set
from neo_assets.orchestration.checks.read import Read
from neo_assets.orchestration.checks.totals import Stored, of_totals
from neo_assets.pipeline.accepted import accept, standings
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, YEARLY_APPROACHES
from neo_assets.pipeline.read import read_pages
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import StoredPage
from neo_assets.schema.tables import CATALOGUE_STATS, NEO_SIGHTINGS
from neo_assets.sources.neows.parse import Parsed
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from, total
from neo_assets_tests.sources.neows.examples import NOON

PAGE_SETS = page_set_keys(3, 2)
FIRST, SECOND = PAGE_SETS

Change = Callable[[pa.Table], pa.Table]

COUNTED = Metrics(DuckDB(), [METRICS.of_table[table.name] for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES)])
"""The metrics that are counted again with pyarrow. With more, each fault would be noticed by more checks of a kind."""


def made(place: Path, catalogue: Catalogue) -> Storage:
    """A lake with everything from the first pages of a catalogue."""
    lake = Storage(str(place / "lake"))
    owner.claim(lake, "simulator")
    for key in PAGE_SETS:
        gather(lake, key, pages_from(catalogue, key))
    stats = (NOON, catalogue.near_earth_object_count, catalogue.close_approach_count)
    row = dict(zip(CATALOGUE_STATS.schema.names, stats, strict=True))
    tables.write_table(lake, CATALOGUE_STATS, pa.Table.from_pylist([row], schema=CATALOGUE_STATS.schema))
    total(lake, PAGE_SETS)
    accept(lake, standings(lake, METRICS, PAGE_SETS), "it is right")
    return lake


@dataclass
class Corrupted:
    """A lake of one's own to corrupt."""

    lake: Storage

    def change(self, table: Table, change: Change, page_set: str | None = FIRST) -> None:
        """Replace a table's rows, as a careless program might: its origin stays, and its schema may change."""
        rows = tables.read_table(self.lake, table, page_set)
        sink = pa.BufferOutputStream()
        pq.write_table(change(rows).replace_schema_metadata(rows.schema.metadata), sink)
        self.lake.write(layout.table_file(table, page_set), sink.getvalue())

    def delete(self, table: Table, page_set: str) -> None:
        """Delete a table's file of a page set."""
        self.lake.delete(layout.table_file(table, page_set))

    def copy(self, table: Table, source: str, target: str) -> None:
        """Overwrite a table's file of a page set with that of another."""
        self.lake.write(layout.table_file(table, target), self.lake.read(layout.table_file(table, source)))

    def noticed(self, severity: dg.AssetCheckSeverity | None = None) -> set[str]:
        """The names of the checks that fail, over the stored page sets and the totals."""
        return {name for name, (level, _) in self.verdicts().items() if severity in (None, level)}

    def verdicts(self) -> dict[str, tuple[dg.AssetCheckSeverity, dict[str, Any]]]:
        """Severity and figures of the checks that fail, by name."""
        return {check.key.name: (check.severity, figures) for check, (passed, figures) in self.judged() if not passed}

    def judged(self) -> Iterator[tuple[Check, Verdict]]:
        """Every check of the stored page sets and the totals, with its verdict."""
        for key in tables.stored_page_sets(self.lake, NEO_SIGHTINGS, PAGE_SETS):
            read = Read(self.lake, key)
            yield from ((check, check.verdict(read, key)) for check in of_a_page_set(COUNTED))
        stored = Stored(self.lake, COUNTED, PAGE_SETS, 1e300)  # the pages have fixed times
        yield from ((check, check.verdict(stored, check.asset)) for check in of_totals(COUNTED))


def copied(lake: Storage, place: Path) -> Corrupted:
    """A copy of a lake on disk."""
    shutil.copytree(lake.root, place / "copy")
    return Corrupted(Storage(str(place / "copy")))


def with_column(name: str, change: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> Change:
    """A change of one column, whose type may change too."""

    def changed(rows: pa.Table) -> pa.Table:
        values, place = change(rows[name]), rows.schema.get_field_index(name)
        return rows.set_column(place, rows.schema.field(place).with_type(values.type), values)

    return changed


def exchanged(one: str, other: str) -> Change:
    """Two columns with each other's values."""

    def changed(rows: pa.Table) -> pa.Table:
        here, there = rows[one], rows[other]
        return with_column(other, lambda _: here)(with_column(one, lambda _: there)(rows))

    return changed


def first_row(**values: Any) -> Change:
    """Other values in the first row."""

    def changed(rows: pa.Table) -> pa.Table:
        head = [rows.slice(0, 1).to_pylist()[0] | values]
        return pa.concat_tables([pa.Table.from_pylist(head, schema=rows.schema), rows.slice(1)])

    return changed


def repeated(rows: pa.Table) -> pa.Table:
    """The first row twice."""
    return pa.concat_tables([rows, rows.slice(0, 1)])


def without_the_first(rows: pa.Table) -> pa.Table:
    """All rows but the first."""
    return rows.slice(1)


def read_without_venus(pages: Iterable[StoredPage]) -> Parsed:
    """What a parser gives that forgets a body."""
    parsed = read_pages(pages)
    kept = parsed.close_approaches.filter(pc.not_equal(parsed.close_approaches["orbiting_body"], "Venus"))
    return replace(parsed, close_approaches=kept)
