"""What is done, told from the lake alone: which page sets are up to date with their pages. Dagster's history is not
asked.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from neo_assets.lake import raw_pages, tables
from neo_assets.lake.raw_pages import PageFacts
from neo_assets.lake.storage import LakeError, LakeUnreachable, Storage
from neo_assets.partitions import pages_of
from neo_assets.schema import (
    CLOSE_APPROACHES,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    YEARLY_APPROACHES,
)

logger = logging.getLogger(__name__)

_FROM_CONTENT = (NEO_RECORDS, CLOSE_APPROACHES, QUARANTINE, NEAR_MISS_COUNT, YEARLY_APPROACHES)

_READING = 1
"""To be raised when `neows.parse` or the SQL give other values from the same pages: every table is made anew then."""

_MADE_BY = tables.digest([str(_READING), *(str(table.schema) for table in (*_FROM_CONTENT, NEO_SIGHTINGS))])


def content_origin(facts: Iterable[PageFacts]) -> str:
    """Origin of a table made from the bodies of these pages."""
    return tables.digest([_MADE_BY, *(f"{page.page} {page.sha256}" for page in facts)])


def arrival_origin(facts: Iterable[PageFacts]) -> str:
    """Origin of a table made from the bodies of these pages and the times they came."""
    return tables.digest([_MADE_BY, *(f"{page.page} {page.sha256} {page.fetched_at.isoformat()}" for page in facts)])


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


def is_made_from(lake: Storage, page_set: str, facts: Iterable[PageFacts]) -> bool:
    """Whether every table of the set was made from just these pages."""
    facts = list(facts)
    made_from = dict.fromkeys(_FROM_CONTENT, content_origin(facts)) | {NEO_SIGHTINGS: arrival_origin(facts)}
    try:
        origins = lake.each(lambda table: tables.read_origin(lake, table, page_set), made_from)
        return list(origins) == list(made_from.values())
    except LakeUnreachable:
        raise
    except LakeError:
        return False


def is_done(lake: Storage, page_set: str, reusable: Sequence[PageFacts]) -> bool:
    """Whether every page of the set is among those that need not be asked for again, and its tables were made from
    just these.
    """
    return len(reusable) == len(pages_of(page_set)) and is_made_from(lake, page_set, reusable)
