"""Landed objects: all their tables, computed from their stored pages. How files become pages lives in `land`."""

from collections.abc import Iterable

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline.count import count
from neo_assets.pipeline.gather import store
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.origins import FROM_JSON
from neo_assets.pipeline.read import read_pages
from neo_assets.pipeline.staleness import stale
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import NEO_SIGHTINGS, RAW_PAGE_INDEX


def stale_page_sets(lake: Storage, among: Iterable[Table]) -> list[str]:
    """The key of the landed objects if one of these tables does not match their pages; none if nothing ever landed."""
    if not raw_pages.page_numbers(lake, LANDED) and not tables.stored_page_sets(lake, NEO_SIGHTINGS, [LANDED]):
        return []
    return stale(lake, raw_pages.known_facts(lake, [LANDED]), among)


def compute(lake: Storage, metrics: Metrics) -> dict[str, int]:
    """Compute every table of the landed objects from their stored pages.

    Returns:
        Number of rows by table name.

    Raises:
        LakeDamaged: a stored page is damaged; the message names the landed file it came from.
        LakeError: the lake cannot be read or written.
    """
    facts = _facts(lake)
    store(lake, LANDED, facts)
    parsed = read_pages(raw_pages.read_pages(lake, [one.page for one in facts]))
    rows = {table.name: getattr(parsed, table.name) for table in FROM_JSON}
    rows |= {table.name: count(metrics, table, rows) for table in metrics.counts}
    return {name: tables.write_table(lake, metrics.tables[name], of, LANDED).rows for name, of in rows.items()}


def _facts(lake: Storage) -> list[PageFacts]:
    damaged: list[int] = []
    known = raw_pages.known_facts(lake, [LANDED], damaged.append)[LANDED]
    if damaged:
        index = tables.read_found(lake, RAW_PAGE_INDEX, [LANDED]).get(LANDED, RAW_PAGE_INDEX.schema.empty_table())
        files = dict(zip(index["page"].to_pylist(), index["file"].to_pylist(), strict=True))
        raise LakeDamaged(
            f"{lake.location(layout.raw_page(damaged[0]))} is damaged: drop the file it came from "
            f"({files.get(damaged[0]) or 'name unknown'}; it is in the archive) into landing/ again, or "
            "delete this page to give up its objects"
        )
    return known
