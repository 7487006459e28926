"""Which page sets are current and which page is the oldest, judged from the lake's files only, not from Dagster's
history. What an origin covers is defined in `origins`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from neo_assets.lake import raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.origins import origin
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import RAW_PAGE_INDEX

logger = logging.getLogger(__name__)

_LATE = timedelta(days=1)
"""A page that was due for a refresh this long ago is too old: a daily refresh has left it out."""

LONGEST_H = 24 * 36_525
"""A century; higher values of NEO_RAW_MAX_AGE_HOURS mean the same, and Python's `timedelta` cannot hold them all."""


def reusable_pages(
    lake: Storage,
    page_sets: Iterable[str],
    max_age_hours: float,
    on_damaged: Callable[[int], object] = lambda page: None,
) -> dict[str, list[PageFacts]]:
    """Stored pages of each set that need not be fetched again: undamaged, and younger than `max_age_hours`.

    A page from the future was stored while the clock was ahead: its age is unknown, so it is not among them.
    `on_damaged` is called with the number of each damaged page.
    """
    now = datetime.now(UTC)
    known = raw_pages.known_facts(lake, page_sets, on_damaged)
    return {
        key: [one for one in facts if 0 <= (now - one.arrived_at).total_seconds() < 3600 * max_age_hours]
        for key, facts in known.items()
    }


def stale(lake: Storage, facts: Mapping[str, Sequence[PageFacts]], among: Iterable[Table]) -> list[str]:
    """Page sets with a stale table: missing, damaged, made from other pages or by another recipe.

    Args:
        lake: the lake.
        facts: the pages of each page set, in page order.
        among: the tables to check.
    """
    found = set[str]()
    for table in among:
        stored = zip(facts, tables.read_origins(lake, table, list(facts)), strict=True)
        found |= {key for key, made_from in stored if made_from != origin(table, facts[key])}
    return [key for key in facts if key in found]


def complete(facts: Mapping[str, Sequence[PageFacts]]) -> dict[str, Sequence[PageFacts]]:
    """Only the page sets whose pages are all given, with their pages."""
    return {key: pages for key, pages in facts.items() if len(pages) >= len(pages_of(key))}


def current(lake: Storage, facts: Mapping[str, Sequence[PageFacts]], among: Iterable[Table]) -> set[str]:
    """Page sets whose pages are all given, and of which these tables were made from exactly these pages."""
    whole = complete(facts)
    return whole.keys() - set(stale(lake, whole, among))


def age(page: PageFacts) -> timedelta:
    """Time since a page arrived; negative if it arrived while the clock was ahead."""
    return datetime.now(UTC) - page.arrived_at


def too_old_after(max_age_hours: float) -> timedelta:
    """The age from which a page is too old, if pages younger than `max_age_hours` are reused."""
    return timedelta(hours=min(max_age_hours, LONGEST_H)) + _LATE


def is_too_old(page: PageFacts, max_age_hours: float) -> bool:
    """Whether a page was due for a refresh so long ago that something is wrong."""
    return age(page) >= too_old_after(max_age_hours)


def oldest_page(lake: Storage, page_sets: Sequence[str]) -> PageFacts | None:
    """The page that arrived first, of those that the indices of these page sets list; None if there are none.

    Raises:
        LakeUnreachable: the lake does not answer.
    """
    indices = tables.read_found(lake, RAW_PAGE_INDEX, page_sets).values()
    pages = (PageFacts(**row) for index in indices for row in index.to_pylist())
    return min(pages, key=lambda one: one.arrived_at, default=None)
