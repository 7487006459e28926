"""What is done, told from the lake alone: which page sets are up to date with their pages. Dagster's history is not
asked.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from neo_assets.lake import raw_pages, tables
from neo_assets.lake.raw_pages import PageFacts
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.partitions import pages_of
from neo_assets.schema import (
    CLOSE_APPROACHES,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    YEARLY_APPROACHES,
)

_FROM_CONTENT = (NEO_RECORDS, CLOSE_APPROACHES, QUARANTINE, NEAR_MISS_COUNT, YEARLY_APPROACHES)


def content_origin(facts: Iterable[PageFacts]) -> str:
    """Origin of a table made from the bodies of these pages."""
    return tables.digest(f"{page.page} {page.sha256}" for page in facts)


def arrival_origin(facts: Iterable[PageFacts]) -> str:
    """Origin of a table made from the bodies of these pages and the times they came."""
    return tables.digest(f"{page.page} {page.sha256} {page.fetched_at.isoformat()}" for page in facts)


def reusable_pages(lake: Storage, page_set: str, max_age_hours: float) -> list[PageFacts]:
    """The set's stored pages that are young enough not to be asked for again."""
    since = datetime.now(UTC) - timedelta(hours=max_age_hours)
    stored = (raw_pages.read_facts(lake, number) for number in pages_of(page_set))
    return [facts for facts in stored if facts and facts.fetched_at > since]


def is_done(lake: Storage, page_set: str, max_age_hours: float) -> bool:
    """Whether every page of the set is there and young enough, and every table of the set was made from just these
    pages.
    """
    facts = reusable_pages(lake, page_set, max_age_hours)
    if len(facts) < len(pages_of(page_set)):
        return False
    try:
        return tables.read_origin(lake, NEO_SIGHTINGS, page_set) == arrival_origin(facts) and all(
            tables.read_origin(lake, table, page_set) == content_origin(facts) for table in _FROM_CONTENT
        )
    except LakeError:
        return False
