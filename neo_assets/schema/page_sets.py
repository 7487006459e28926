"""Page sets: their keys and the Browse pages behind each key. What is done with a page set does not belong here."""

KEY = "page_set"
"""Name of the partition in hive-style paths."""

LANDED = "landed"
"""Key of the one set that is no partition: objects that were dropped into the landing zone. Totals include it."""


def page_set_key(first: int, last: int) -> str:
    """Key of the set of Browse pages `first` to `last`, both included: `00000-00001`."""
    return f"{first:05d}-{last:05d}"


def page_set_keys(pages: int, pages_per_set: int) -> list[str]:
    """Keys of the pages `0 .. pages-1` cut into sets of `pages_per_set`; the last set may be shorter."""
    starts = range(0, pages, pages_per_set)
    return [page_set_key(first, min(first + pages_per_set, pages) - 1) for first in starts]


def pages_of(key: str) -> range:
    """Numbers of the Browse pages in the set with this key."""
    first, last = key.split("-")
    return range(int(first), int(last) + 1)
