"""Origins: a digest of everything a table was made from, its recipe and its input. Each file carries its digest
(`made_from` in its metadata), so the lake alone shows whether a table is current. Comparing digests lives in
`staleness`.

The recipe is derived, never numbered by hand: the columns, the SQL and the parser's version. Editing an `.sql` file
makes every table computed with it stale.
"""

from collections.abc import Iterable, Sequence

from neo_assets.lake.tables import digest
from neo_assets.schema.columns import Table
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    RAW_PAGE_INDEX,
)
from neo_assets.sources.neows import parse

FROM_JSON = (NEO_RECORDS, ORBITS, CLOSE_APPROACHES, NEO_SIGHTINGS, QUARANTINE)
"""The tables that the parser makes from the pages of a page set, in the order in which they are computed."""

FROM_PAGES = (RAW_PAGE_INDEX, *FROM_JSON)
"""The tables of a page set that are not metrics."""


def origin(table: Table, facts: Sequence[PageFacts]) -> str:
    """Origin of a page set's table made from these pages, which are in page order."""
    if table is RAW_PAGE_INDEX:  # the MD5s show whether it lists the objects that are stored
        return digest([_recipe(table), *map(_arrival, facts), *(page.md5 for page in facts)])
    if table is NEO_SIGHTINGS:
        return digest([_recipe(table), *map(_arrival, facts)])
    if table.reads:
        return origin_of_count(table, [origin(read, facts) for read in table.reads])
    return digest([_recipe(table), *map(_content, facts)])


def origin_of_count(table: Table, reads: Iterable[str]) -> str:
    """Origin of a table of counts made from tables of these origins."""
    return digest([_recipe(table), *reads])


def origin_of_total(total: Table, page_sets: Iterable[str], parts: Iterable[str], superseded: str) -> str:
    """Origin of a total.

    Args:
        total: the total.
        page_sets: the page sets that it covers.
        parts: combined origins of the tables of the page sets that it was made from, and what else went into it.
        superseded: what decided which copies of NEOs are superseded.
    """
    return digest([_recipe(total), *page_sets, *parts, superseded])


def _recipe(table: Table) -> str:
    """Digest of everything that determines a table except its input."""
    columns = map(str, table.columns)
    if table is RAW_PAGE_INDEX:
        return digest(columns)
    return digest([*(table.recipe or [f"parser {parse.VERSION}"]), *columns])


def _content(page: PageFacts) -> str:
    return f"{page.page} {page.sha256}"


def _arrival(page: PageFacts) -> str:
    return f"{_content(page)} {page.fetched_at.isoformat()}"
