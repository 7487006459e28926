"""What is done, told from the lake alone: which page sets are up to date with their pages. Dagster's history is not
asked.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from neo_assets.lake import raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    RAW_PAGE_INDEX,
    YEARLY_APPROACHES,
    Table,
)

logger = logging.getLogger(__name__)

_TABLES = (RAW_PAGE_INDEX, NEO_RECORDS, CLOSE_APPROACHES, NEO_SIGHTINGS, QUARANTINE, NEAR_MISS_COUNT, YEARLY_APPROACHES)

_READING = 1
"""To be raised when `neows.parse` or the SQL give other values from the same pages: every table is made anew then."""

_MADE_BY = tables.digest([str(_READING), *(str(table.schema) for table in _TABLES)])


def content_origin(facts: Iterable[PageFacts]) -> str:
    """Origin of a table made from the bodies of these pages."""
    return tables.digest([_MADE_BY, *(f"{page.page} {page.sha256}" for page in facts)])


def arrival_origin(facts: Iterable[PageFacts]) -> str:
    """Origin of a table made from the bodies of these pages and the times they came."""
    return tables.digest([_MADE_BY, *(f"{page.page} {page.sha256} {page.fetched_at.isoformat()}" for page in facts)])


def index_origin(facts: Sequence[PageFacts]) -> str:
    """Origin of the index of these pages, by which it is told too whether the stored objects are those it knows."""
    return tables.digest([arrival_origin(facts), *(page.md5 for page in facts)])


_ORIGINS = {RAW_PAGE_INDEX.name: index_origin, NEO_SIGHTINGS.name: arrival_origin}
"""What the origin of a table is told by, if not by content alone."""


def reusable_pages(lake: Storage, page_set: str, max_age_hours: float) -> list[PageFacts]:
    """The set's stored pages that need not be asked for again: young enough, and whole."""

    def say(page: int) -> None:
        logger.warning("page %d is damaged in the lake and is fetched again", page)

    return reusable_by_page_set(lake, [page_set], max_age_hours, say)[page_set]


def reusable_by_page_set(
    lake: Storage,
    page_sets: Iterable[str],
    max_age_hours: float,
    on_damaged: Callable[[int], object] = lambda page: None,
) -> dict[str, list[PageFacts]]:
    """The same of several page sets, looked at together; `on_damaged` is told of pages that are not what was stored."""
    now = datetime.now(UTC)
    known = raw_pages.known_facts(lake, {key: pages_of(key) for key in page_sets}, on_damaged)
    return {
        key: [one for one in facts if (now - one.fetched_at).total_seconds() < 3600 * max_age_hours]
        for key, facts in known.items()
    }


def page_index(facts: Iterable[PageFacts]) -> pa.Table:
    """The rows of `raw_page_index` for these pages, saying which those are."""
    in_order = sorted(facts, key=lambda one: one.page)
    return tables.with_origin(raw_pages.index(in_order), index_origin(in_order))


def outdated(lake: Storage, facts: Mapping[str, Sequence[PageFacts]], among: Iterable[Table] = _TABLES) -> list[str]:
    """Page sets of which a table is missing, damaged, or not made from just these pages.

    Args:
        lake: the lake.
        facts: the pages of each page set, in their order.
        among: the tables that are looked at.
    """
    found = set[str]()
    for table in among:
        origin = _ORIGINS.get(table.name, content_origin)
        made_from = zip(facts, tables.read_origins(lake, table, list(facts)), strict=True)
        found |= {key for key, stored in made_from if stored != origin(facts[key])}
    return [key for key in facts if key in found]


def whole(facts: Mapping[str, Sequence[PageFacts]]) -> dict[str, Sequence[PageFacts]]:
    """Page sets all of whose pages are among these, with their pages."""
    return {key: pages for key, pages in facts.items() if len(pages) == len(pages_of(key))}


def up_to_date(lake: Storage, facts: Mapping[str, Sequence[PageFacts]]) -> set[str]:
    """Page sets all of whose pages are among these, and whose tables were made from just them."""
    complete = whole(facts)
    return complete.keys() - set(outdated(lake, complete))
