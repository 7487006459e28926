"""Landed objects: all their tables, computed from their stored pages. How files become pages lives in `land`."""

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline.count import count
from neo_assets.pipeline.gather import store
from neo_assets.pipeline.metrics.engine import Engine
from neo_assets.pipeline.read import read_pages
from neo_assets.pipeline.staleness import stale
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    RAW_PAGE_INDEX,
    YEARLY_APPROACHES,
)


def stale_page_sets(lake: Storage) -> list[str]:
    """The key of the landed objects if their tables do not match their pages; nothing while none has ever landed."""
    if not raw_pages.page_numbers(lake, LANDED) and not tables.stored_page_sets(lake, NEO_SIGHTINGS, [LANDED]):
        return []
    return stale(lake, raw_pages.known_facts(lake, [LANDED]))


def compute(lake: Storage, engine: Engine) -> dict[str, int]:
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
    rows = {
        NEO_SIGHTINGS: parsed.neo_sightings,
        QUARANTINE: parsed.quarantine,
        NEO_RECORDS: parsed.neo_records,
        CLOSE_APPROACHES: parsed.close_approaches,
    } | {table: count(engine, table, parsed.close_approaches) for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES)}
    return {table.name: tables.write_table(lake, table, of, LANDED).rows for table, of in rows.items()}


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
