"""Origins: a digest of everything a table was made from, its recipe and its input. Each file carries its digest
(`made_from` in its metadata), so the lake alone shows whether a table is current. Comparing digests lives in
`staleness`.

The recipe is derived, never numbered by hand: the columns, the SQL and the parser's version. Editing an `.sql` file
makes every table computed with it stale.
"""

from collections.abc import Iterable, Sequence

from neo_assets.lake.tables import digest
from neo_assets.pipeline.metrics import registry
from neo_assets.schema.columns import Table
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
from neo_assets.sources.neows import parse

OF_A_PAGE_SET = (
    RAW_PAGE_INDEX,
    NEO_RECORDS,
    CLOSE_APPROACHES,
    NEO_SIGHTINGS,
    QUARANTINE,
    NEAR_MISS_COUNT,
    YEARLY_APPROACHES,
)
"""The tables with one file per page set, in the order in which they are computed."""

_COUNTS = (NEAR_MISS_COUNT, YEARLY_APPROACHES)


def origin(table: Table, facts: Sequence[PageFacts]) -> str:
    """Origin of a page set's table made from these pages, which are in page order."""
    if table is RAW_PAGE_INDEX:  # the MD5s show whether it lists the objects that are stored
        return digest([_recipe(table), *map(_arrival, facts), *(page.md5 for page in facts)])
    if table is NEO_SIGHTINGS:
        return digest([_recipe(table), *map(_arrival, facts)])
    if table in _COUNTS:
        return origin_of_count(table, origin(CLOSE_APPROACHES, facts))
    return digest([_recipe(table), *map(_content, facts)])


def origin_of_count(table: Table, close_approaches: str) -> str:
    """Origin of a table of counts made from close approaches of this origin."""
    return digest([_recipe(table), close_approaches])


def origin_of_total(total: Table, page_sets: Iterable[str], counts: str, sightings: str) -> str:
    """Origin of a total.

    Args:
        total: the total.
        page_sets: the page sets that it covers.
        counts: combined origin of their counts.
        sightings: combined origin of their `neo_sightings`.
    """
    return digest([_recipe(total), *page_sets, counts, sightings])


def _recipe(table: Table) -> str:
    """Digest of everything that determines a table except its input."""
    columns = map(str, table.columns)
    if table is RAW_PAGE_INDEX:
        return digest(columns)
    if table in (NEO_RECORDS, CLOSE_APPROACHES, NEO_SIGHTINGS, QUARANTINE):
        return digest([f"parser {parse.VERSION}", *columns])
    if table in _COUNTS:
        return digest([*registry.recipe(table.name), *columns])
    return digest([*registry.recipe(registry.SUPERSEDED), *registry.recipe(table.name), *columns])


def _content(page: PageFacts) -> str:
    return f"{page.page} {page.sha256}"


def _arrival(page: PageFacts) -> str:
    return f"{_content(page)} {page.fetched_at.isoformat()}"
