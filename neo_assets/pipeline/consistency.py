"""Consistency of a snapshot: whether the lake holds one state of the catalogue, and which pages to fetch again if not.

NeoWs's catalogue grows, is re-ordered, and objects are renumbered while pages are fetched for hours; what that leaves
behind is found here, from the lake alone. Which copy of an object counts in the totals is decided in `metrics`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import ceil
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.pipeline.count import superseded
from neo_assets.pipeline.metrics.engine import Engine
from neo_assets.pipeline.staleness import stale
from neo_assets.pipeline.text import some
from neo_assets.schema.page_sets import pages_of, with_landed
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import (
    CATALOGUE_STATS,
    NEAR_MISS_COUNT,
    NEO_SIGHTINGS,
    NEOS_PER_PAGE,
    QUARANTINE,
    RAW_PAGE_INDEX,
    SNAPSHOT,
    TOTAL_YEARLY_APPROACHES,
    YEARLY_APPROACHES,
)

Verdict = Literal["consistent", "drifted", "incomplete"]

_COUNTED = (NEO_SIGHTINGS, QUARANTINE, NEAR_MISS_COUNT, YEARLY_APPROACHES)

_MEANT_AS_WHOLE = 0.8
"""Who asks for this share of the catalogue's pages means them all; who asks for less has chosen so."""

_A_FEW = 0.05
"""Older copies on a larger share of the earlier pages mean that the catalogue was re-ordered, not that some NEOs
moved.
"""


@dataclass(frozen=True)
class Finding:
    """Something that was found; a reason not to call the snapshot consistent, unless its own verdict is just that."""

    verdict: Verdict
    reason: str
    count: int
    detail: str = ""


class Snapshot:
    """What the lake holds of the page sets asked for, read once."""

    def __init__(self, lake: Storage, engine: Engine, page_sets: Sequence[str]) -> None:
        """Reads the page index, the sightings and the quarantine of the page sets that are stored."""
        self._page_sets = page_sets
        stored = tables.stored_page_sets(lake, NEO_SIGHTINGS, with_landed(page_sets))
        index = tables.read_page_sets(lake, RAW_PAGE_INDEX, stored)
        self._stale = _stale_by_index(lake, stored, index.to_pylist())
        self._all_quarantined = tables.read_page_sets(lake, QUARANTINE, stored)
        # The catalogue's state shows in Browse pages; landed objects have no place in it.
        self._stored = [key for key in page_sets if key in stored]
        self._index = _of(page_sets, index).to_pylist()
        self._quarantined = _of(page_sets, self._all_quarantined).num_rows
        self._sightings = tables.read_page_sets(lake, NEO_SIGHTINGS, self._stored)
        self._older = _older_copies(engine, self._sightings)
        try:
            self._stats = tables.read_table(lake, CATALOGUE_STATS).to_pylist()[0]
        except (LakeLacks, LakeDamaged):  # never asked for, or not to be had
            self._stats = None
        self._approaches: int | None
        try:
            totals = tables.read_table(lake, TOTAL_YEARLY_APPROACHES)
            self._approaches = pc.sum(totals["approaches"], min_count=0).as_py()
        except (LakeLacks, LakeDamaged):  # not totalled yet
            self._approaches = None

    @cached_property
    def findings(self) -> list[Finding]:
        """Everything that was found."""
        return list(self._find())

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of all findings."""
        found = {finding.verdict for finding in self.findings}
        return "incomplete" if "incomplete" in found else "drifted" if "drifted" in found else "consistent"

    @property
    def pages(self) -> int:
        """Browse pages that are there."""
        return len(self._index)

    @property
    def catalogue_pages(self) -> int:
        """Pages of the whole catalogue, by the page that was fetched last."""
        return ceil(self._size / NEOS_PER_PAGE)

    @property
    def neos(self) -> int:
        """Distinct NEOs."""
        return int(self._sightings.num_rows - self._older.num_rows)

    def pages_to_heal(self, thorough: bool = False) -> list[int]:
        """Pages to take again so that all fit together.

        Args:
            thorough: all pages that may be from before the catalogue moved, and not just those that show it. For when
                taking those again was not enough, as the NEOs that they pushed aside stand on the pages next to them.
        """
        short = {row["page"] for row in self._index if row["neos"] != _neos_due(row["page"], self._size)}
        return sorted(self._missing_pages | short | self._outdated_pages(thorough))

    def _outdated_pages(self, thorough: bool) -> set[int]:
        """Pages from before the catalogue moved."""
        if self._only_grew:
            return self._landed_of_another_size
        other_size = {row["page"] for row in self._index if row["total_elements"] != self._size}
        if not self._older.num_rows:
            return other_size
        with_older = set(self._older["page"].to_pylist())
        moved_by = _first_seen_again(self._sightings, self._older)
        before = {row["page"] for row in self._index if row["fetched_at"] < moved_by}
        re_ordered = len(with_older) > _A_FEW * len(before)
        return other_size | (before if thorough or re_ordered else with_older)

    def table(self) -> pa.Table:
        """The findings as the table `snapshot`."""
        rows = [vars(finding) for finding in self.findings] or [vars(Finding("consistent", "", 0))]
        return pa.Table.from_pylist(rows, schema=SNAPSHOT.schema)

    @cached_property
    def _size(self) -> int:
        """NEOs in the catalogue, by the page that was fetched last: how old those are that landed nobody knows."""
        return self._sizes[-1] if self._sizes else 0

    @cached_property
    def _sizes(self) -> list[int]:
        """NEOs in the catalogue by each page that was fetched, or where none was by each that landed, as they came."""
        fetched = [row for row in self._index if row["file"] is None] or self._index
        return [int(row["total_elements"]) for row in sorted(fetched, key=lambda row: row["fetched_at"])]

    @cached_property
    def _landed_of_another_size(self) -> set[int]:
        """Pages that landed beside others that were fetched, from a catalogue of another size."""
        landed = {row["page"] for row in self._index if row["file"] and row["total_elements"] != self._size}
        return landed if any(row["file"] is None for row in self._index) else set()

    @cached_property
    def _only_grew(self) -> bool:
        """Whether nothing but growth at the catalogue's end happened while it was fetched."""
        return self._sizes == sorted(self._sizes) and not self._older.num_rows

    @cached_property
    def _missing_pages(self) -> set[int]:
        wanted = {page for key in self._page_sets for page in pages_of(key)}
        return wanted - {row["page"] for row in self._index}

    @cached_property
    def _missing_neos(self) -> int:
        """NEOs that these pages should hold and that were not seen on any of them."""
        due = sum(_neos_due(row["page"], self._size) for row in self._index)
        return max(0, int(due - self.neos - self._quarantined))

    def _find(self) -> Iterator[Finding]:
        if missing := sorted(set(self._page_sets) - set(self._stored)):
            yield Finding("incomplete", "page sets missing", len(missing), some(missing))
        if self._stale:
            yield Finding("incomplete", "page sets not computed", len(self._stale), some(self._stale))
        if quarantined := self._all_quarantined.num_rows:
            yield Finding("incomplete", "records in quarantine", quarantined, "see `neo quarantine list`")
        if not self._index:
            return
        sizes = [row["total_elements"] for row in self._index]
        asked_for = len(self._missing_pages) + len(self._index)
        if _MEANT_AS_WHOLE * self.catalogue_pages <= asked_for < self.catalogue_pages:
            beyond = self.catalogue_pages - asked_for
            yield Finding("incomplete", "pages beyond NEO_PAGES", beyond, f"set NEO_PAGES={self.catalogue_pages}")
        if len(set(sizes)) > 1:
            verdict: Verdict = "consistent" if self._only_grew and not self._landed_of_another_size else "drifted"
            detail = f"{min(sizes)} to {max(sizes)} NEOs"
            yield Finding(verdict, "catalogue size moved", max(sizes) - min(sizes), detail)
        if self._older.num_rows:
            names = self._older["principal_designation"].to_pylist()
            yield Finding("drifted", "NEOs seen twice", len(names), some(names))
        short = [row["page"] for row in self._index if row["neos"] != _neos_due(row["page"], row["total_elements"])]
        if short:
            yield Finding("drifted", "pages with fewer or more NEOs", len(short), some(short))
        if self._missing_neos and not missing:
            yield Finding("drifted", "NEOs not seen", self._missing_neos)
        newest = max(row["fetched_at"] for row in self._index)
        asked_since = self._stats is not None and self._stats["fetched_at"] >= newest
        if self._stats and asked_since and self._stats["near_earth_object_count"] != self._size:
            said = self._stats["near_earth_object_count"]
            yield Finding(
                "drifted", "/stats differs", abs(said - self._size), f"{said} NEOs there, {self._size} by the pages"
            )
        if self._stats and asked_since and asked_for >= self.catalogue_pages:
            said = self._stats["close_approach_count"]
            if self._approaches not in (
                None,
                said,
            ):  # nobody says what exactly NeoWs counts there, so this alone is no reason
                detail = f"{said} approaches there, {self._approaches} in the totals"
                yield Finding(
                    "consistent", "/stats counts other approaches", abs(said - (self._approaches or 0)), detail
                )


def _of(page_sets: Sequence[str], rows: pa.Table) -> pa.Table:
    return rows.filter(pc.is_in(rows["page_set"], pa.array(page_sets, pa.string())))


def _stale_by_index(lake: Storage, page_sets: Sequence[str], index: Sequence[dict[str, Any]]) -> list[str]:
    """Page sets whose counts are not those of the pages in their index."""
    facts: dict[str, list[PageFacts]] = {key: [] for key in page_sets}
    for row in index:
        facts[row["page_set"]].append(PageFacts(**{name: row[name] for name in row if name != "page_set"}))
    return stale(lake, facts, _COUNTED)


def _older_copies(engine: Engine, sightings: pa.Table) -> pa.Table:
    """Sightings that do not count, as a later copy of the object was seen, in the same page set or in another."""
    left_out = superseded(engine, sightings)
    keys = pc.binary_join_element_wise(sightings["page_set"], sightings["neo_id"], " ")
    lost = pc.binary_join_element_wise(left_out["page_set"], left_out["neo_id"], " ")
    return sightings.filter(pc.or_(pc.invert(sightings["is_counted"]), pc.is_in(keys, lost.combine_chunks())))


def _first_seen_again(sightings: pa.Table, older: pa.Table) -> datetime:
    """When the first of the NEOs that had been seen before was seen again: the catalogue had moved by then."""
    names, last_seen = older["principal_designation"].combine_chunks(), pc.max(older["fetched_at"])
    again = sightings.filter(
        pc.and_(pc.is_in(sightings["principal_designation"], names), pc.greater(sightings["fetched_at"], last_seen))
    )
    moment: datetime = (pc.min(again["fetched_at"]) if again.num_rows else last_seen).as_py()
    return moment


def _neos_due(page: int, size: int) -> int:
    """NEOs on a page of a catalogue of so many."""
    return min(max(size - NEOS_PER_PAGE * page, 0), NEOS_PER_PAGE)
