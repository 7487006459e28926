"""Page sets: their keys and the Browse pages behind each key. Nothing here fetches, reads or computes a page set."""

import re
from collections.abc import Collection, Iterable

KEY = "page_set"
"""Partition name in Hive-style paths: `page_set=00000-00001`."""

MAX_PAGES = 100_000
"""Browse page numbers are below this limit, because a page set's key has five digits for each."""

LANDED = "landed"
"""Key of the set of landed objects, the only page set that is not a partition. Tables and totals include it."""

FIRST_LANDED_PAGE = MAX_PAGES
"""Number of the first page of landed objects, which have pages of their own."""


def page_set_key(first: int, last: int) -> str:
    """Key of the set of Browse pages `first` to `last`, inclusive: `00000-00001`."""
    return f"{first:05d}-{last:05d}"


def page_set_keys(pages: int, pages_per_set: int) -> list[str]:
    """Keys of the page sets for pages `0 .. pages-1`, `pages_per_set` pages each; the last set may be shorter."""
    starts = range(0, pages, pages_per_set)
    return [page_set_key(first, min(first + pages_per_set, pages) - 1) for first in starts]


def is_page_set_key(text: str) -> bool:
    """Whether a text is the key of a set of Browse pages, of whatever size."""
    return re.fullmatch(r"[0-9]{5}-[0-9]{5}", text) is not None


def with_landed(keys: Iterable[str]) -> list[str]:
    """The given page sets and the landed objects: everything that a total covers."""
    return [*keys, LANDED]


def pages_of(key: str) -> range:
    """Numbers of the Browse pages in the set with this key; empty for the landed objects, whose pages are not fixed."""
    if key == LANDED:
        return range(0)
    first, last = key.split("-")
    return range(int(first), int(last) + 1)


def page_sets_of(numbers: Collection[int], keys: Iterable[str]) -> list[str]:
    """Those of the page sets that contain one of these pages, and the landed objects if a page is one of theirs."""
    of_pages = [key for key in keys if not set(numbers).isdisjoint(pages_of(key))]
    return with_landed(of_pages) if any(number >= FIRST_LANDED_PAGE for number in numbers) else of_pages


def name_of(page_set: str) -> str:
    """A page set's name for people."""
    return "landed objects" if page_set == LANDED else f"page set {page_set}"
