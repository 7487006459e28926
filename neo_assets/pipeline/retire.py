"""Page sets that the settings no longer ask for. Files with the same pages as those in use are deleted once these are
complete; until then they stay, so that the tables can be read. Raw pages always stay.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neo_assets.lake import layout, raw_pages
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.staleness import current
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import is_page_set_key, pages_of


@dataclass(frozen=True)
class LeftOver:
    """The files of one page set that the settings no longer ask for."""

    page_set: str
    files: tuple[str, ...]
    """Their paths in the lake."""
    bytes: int
    overlaps: bool
    """Whether a page set in use holds some of the same pages, so that the tables hold them twice."""


def left_over(lake: Storage, page_sets: Sequence[str], among: Sequence[Table]) -> list[LeftOver]:
    """What these tables hold of page sets other than these, by page set."""
    found: dict[str, list[tuple[str, int]]] = {}
    for table in among:
        for info in lake.files(layout.table_root(table)):
            key = layout.page_set_of(info.path, table)
            if key is not None and is_page_set_key(key) and key not in page_sets:
                found.setdefault(key, []).append((info.path, info.size))
    in_use = {page for key in page_sets for page in pages_of(key)}
    return [
        LeftOver(
            key,
            files=tuple(path for path, _ in files),
            bytes=sum(size for _, size in files),
            overlaps=not in_use.isdisjoint(pages_of(key)),
        )
        for key, files in sorted(found.items())
    ]


def retire(lake: Storage, page_sets: Sequence[str], among: Sequence[Table]) -> list[LeftOver]:
    """Delete the files of page sets that hold pages of these, if these are complete.

    A call that is killed can be repeated.

    Returns:
        What was deleted; nothing if a table of the page sets in use is missing or stale.
    """
    found = [one for one in left_over(lake, page_sets, among) if one.overlaps]
    if not found or not are_complete(lake, page_sets, among):
        return []
    delete(lake, found)
    return found


def delete(lake: Storage, found: Iterable[LeftOver]) -> None:
    """Delete what is left over, unless another process was faster."""
    for one in found:
        for path in one.files:
            with contextlib.suppress(FileNotFoundError):
                lake.delete(path)


def are_complete(lake: Storage, page_sets: Sequence[str], among: Sequence[Table]) -> bool:
    """Whether every page of these page sets is stored, and each of these tables was made from exactly these pages."""
    return current(lake, raw_pages.known_facts(lake, page_sets), among) == set(page_sets)
