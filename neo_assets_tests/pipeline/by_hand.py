"""The graph's steps for a page set, without Dagster: from a catalogue to every table. No assertions here."""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache

from neo_assets.lake import raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.count import count, sum_up
from neo_assets.pipeline.gather import store
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.read import read_pages
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import Page, PageFacts
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    SNAPSHOT,
    TOTALS,
    YEARLY_APPROACHES,
)
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.sources.neows.examples import NOON

ENGINE = DuckDB()


def pages_from(catalogue: Catalogue, page_set: str, hours: float = 0) -> list[Page]:
    """The pages of a set, taken from a catalogue a second apart, starting `hours` after noon."""
    size = catalogue.near_earth_object_count
    found = []
    for number in pages_of(page_set):
        body, neos = body_of(catalogue, number)
        at = NOON + timedelta(hours=hours, seconds=number)
        found.append(Page(number, body, at, "simulator", neos, size))
    return found


@lru_cache(200)
def body_of(catalogue: Catalogue, number: int) -> tuple[bytes, int]:
    """A page's body, and how many objects are in it; many tests use the same few pages."""
    content = catalogue.page(number)
    return to_json(content), len(content["near_earth_objects"])


def gather(lake: Storage, page_set: str, pages: Iterable[Page]) -> list[PageFacts]:
    """Store the pages of a set and compute all its tables."""
    gathered = store(lake, page_set, pages)
    compute(lake, page_set)
    return list(gathered.pages)


def compute(lake: Storage, page_set: str) -> None:
    """Compute the tables of a set from its stored pages."""
    parsed = read_pages(raw_pages.read_pages(lake, pages_of(page_set)))
    tables.write_table(lake, NEO_SIGHTINGS, parsed.neo_sightings, page_set)
    tables.write_table(lake, QUARANTINE, parsed.quarantine, page_set)
    tables.write_table(lake, NEO_RECORDS, parsed.neo_records, page_set)
    tables.write_table(lake, CLOSE_APPROACHES, parsed.close_approaches, page_set)
    for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES):
        rows = count(ENGINE, table, tables.read_table(lake, CLOSE_APPROACHES, page_set))
        tables.write_table(lake, table, rows, page_set)


def total(lake: Storage, page_sets: list[str]) -> None:
    """Compute the totals over those of the page sets that are stored, and the snapshot."""
    for table, partial in TOTALS.items():
        tables.write_table(lake, table, sum_up(ENGINE, lake, table, partial, page_sets))
    tables.write_table(lake, SNAPSHOT, Snapshot(lake, ENGINE, page_sets).table())
