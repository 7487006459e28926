"""Which page sets are current, judged from the lake's files only, not from Dagster's history. What an origin covers is
defined in `origins`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from neo_assets.lake import raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.origins import OF_A_PAGE_SET, origin
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import PageFacts

logger = logging.getLogger(__name__)


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


def stale(lake: Storage, facts: Mapping[str, Sequence[PageFacts]], among: Iterable[Table] = OF_A_PAGE_SET) -> list[str]:
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


def current(lake: Storage, facts: Mapping[str, Sequence[PageFacts]]) -> set[str]:
    """Page sets whose pages are all given, and whose tables were made from exactly these pages."""
    whole = complete(facts)
    return whole.keys() - set(stale(lake, whole))
