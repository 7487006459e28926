"""The objects that landed: the one set of pages that is no partition, its pages, and every table of theirs.

How files become its pages is known in `landing`.
"""

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.orchestration.assets.gold import count
from neo_assets.orchestration.assets.silver import read_pages
from neo_assets.orchestration.io_managers import StoredPages
from neo_assets.pipeline.staleness import outdated, page_index
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    RAW_PAGE_INDEX,
    YEARLY_APPROACHES,
)
from neo_assets.settings import MAX_PAGES

FIRST_NUMBER = MAX_PAGES
"""Objects that landed lie in pages of their own, numbered from here on: above all Browse pages."""


def compute_outdated(lake: Storage) -> bool:
    """Compute the tables where they are not those of the stored pages; says whether they were not.

    Raises:
        LakeError: as `compute`.
    """
    facts = _facts(lake)
    counted = facts or tables.stored_page_sets(lake, NEO_SIGHTINGS, [LANDED])
    if not counted or not outdated(lake, {LANDED: facts}):
        return False
    _compute(lake, facts)
    return True


def compute(lake: Storage) -> None:
    """Make every table anew from the stored pages.

    Raises:
        LakeDamaged: a stored page is not what was stored.
        LakeError: the lake cannot be read or written.
    """
    _compute(lake, _facts(lake))


def _facts(lake: Storage) -> list[PageFacts]:
    numbers = [number for number in raw_pages.stored_numbers(lake) if number >= FIRST_NUMBER]
    damaged: list[int] = []
    known = raw_pages.known_facts(lake, {LANDED: numbers}, damaged.append)[LANDED]
    if damaged:
        index = tables.read_found(lake, RAW_PAGE_INDEX, [LANDED]).get(LANDED, RAW_PAGE_INDEX.schema.empty_table())
        came_in = dict(zip(index["page"].to_pylist(), index["file"].to_pylist(), strict=True))
        raise LakeDamaged(
            f"{lake.location(layout.raw_page(damaged[0]))} is damaged: drop the file that it came in "
            f"({came_in.get(damaged[0]) or 'its name is not known'}), which is in the archive, into landing/ again; or "
            "delete this page, and its objects are no longer counted"
        )
    return known


def _compute(lake: Storage, facts: list[PageFacts]) -> None:
    parsed = read_pages(lake, LANDED, StoredPages(lake, [one.page for one in facts]))
    tables.write_table(lake, RAW_PAGE_INDEX, page_index(facts), LANDED)
    tables.write_table(lake, NEO_RECORDS, parsed.neo_records, LANDED)
    tables.write_table(lake, CLOSE_APPROACHES, parsed.close_approaches, LANDED)
    for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES):
        tables.write_table(lake, table, count(table, parsed.close_approaches), LANDED)
