"""Page sets: their keys and the Browse pages behind each key. What is done with a page set does not belong here."""

from collections.abc import Iterable

KEY = "page_set"
"""Name of the partition in hive-style paths."""

MAX_PAGES = 100_000
"""Browse pages are numbered below this, as a page set's key has five digits for a page."""

LANDED = "landed"
"""Key of the set of landed objects: the only set that is no partition. Tables and totals treat it like the others."""

FIRST_LANDED_PAGE = MAX_PAGES
"""Landed objects are stored in pages of their own, numbered from here on."""


def page_set_key(first: int, last: int) -> str:
    """Key of the set of Browse pages `first` to `last`, both included: `00000-00001`."""
    return f"{first:05d}-{last:05d}"


def page_set_keys(pages: int, pages_per_set: int) -> list[str]:
    """Keys of the pages `0 .. pages-1` cut into sets of `pages_per_set`; the last set may be shorter."""
    starts = range(0, pages, pages_per_set)
    return [page_set_key(first, min(first + pages_per_set, pages) - 1) for first in starts]


def with_landed(keys: Iterable[str]) -> list[str]:
    """These page sets and the landed objects: all that a total covers."""
    return [*keys, LANDED]


def pages_of(key: str) -> range:
    """Numbers of the Browse pages in the set with this key; none for the landed objects, which may be any number."""
    if key == LANDED:
        return range(0)
    first, last = key.split("-")
    return range(int(first), int(last) + 1)
