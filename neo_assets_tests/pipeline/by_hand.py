"""The graph's steps for a page set, without Dagster: from a catalogue to every table. No assertions here."""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache

from neo_assets.lake import raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.count import count
from neo_assets.pipeline.count import total as total_of
from neo_assets.pipeline.gather import store
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.origins import FROM_JSON
from neo_assets.pipeline.read import read_pages
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import Page, PageFacts
from neo_assets.schema.tables import SNAPSHOT
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.sources.neows.examples import NOON

METRICS = Metrics(DuckDB())


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
    stored = {table.name: getattr(parsed, table.name) for table in FROM_JSON}
    stored |= {table.name: count(METRICS, table, stored) for table in METRICS.counts}
    for name, rows in stored.items():
        tables.write_table(lake, METRICS.tables[name], rows, page_set)


def total(lake: Storage, page_sets: list[str]) -> None:
    """Compute the totals over those of the page sets that are stored, and the snapshot."""
    for metric in METRICS.adding_up:
        tables.write_table(lake, metric.total, total_of(METRICS, lake, metric, page_sets))
    tables.write_table(lake, SNAPSHOT, Snapshot(lake, METRICS, page_sets).table())
