"""Consistency of a snapshot: whether the lake holds a single state of the catalogue, and if not, which pages to fetch
again.

Fetching takes hours, and meanwhile NeoWs's catalogue may grow, be reordered, or renumber objects. This module detects
that from the lake alone. Which copy of an object the totals use is decided in `metrics`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import ceil
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.pipeline.catalogue import belong_to, page_sets_read, state_of_lake, superseded
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import TOTAL_YEARLY_APPROACHES
from neo_assets.pipeline.quarantine import without_discarded
from neo_assets.pipeline.staleness import stale
from neo_assets.pipeline.text import first_few
from neo_assets.schema.columns import Table
from neo_assets.schema.facts import NEOS_PER_PAGE
from neo_assets.schema.page_sets import LANDED, pages_of
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import (
    CATALOGUE_STATS,
    NEO_SIGHTINGS,
    QUARANTINE,
    RAW_PAGE_INDEX,
    SNAPSHOT,
)

Verdict = Literal["consistent", "drifted", "incomplete"]

_READ = (RAW_PAGE_INDEX, NEO_SIGHTINGS, QUARANTINE)

_WHOLE_CATALOGUE_SHARE = 0.8
"""At or above this share of the catalogue's pages, assume that NEO_PAGES is meant to cover all of them."""

_REORDERED_SHARE = 0.05
"""If more than this share of the earlier pages hold superseded copies, assume a reordered catalogue."""


@dataclass(frozen=True)
class Finding:
    """One observation about the snapshot, and the verdict it leads to: `consistent` if it is harmless."""

    verdict: Verdict
    reason: str
    count: int
    detail: str = ""


@dataclass(frozen=True)
class Extent:
    """How much of the catalogue a snapshot covers."""

    pages: int
    """Number of stored Browse pages."""
    catalogue_pages: int
    """Number of pages in the whole catalogue, according to the page fetched last."""
    page_sets: int
    page_sets_expected: int
    neos: int
    """Number of distinct NEOs, landed objects included."""


class Snapshot:
    """The requested page sets as stored in the lake, read once."""

    def __init__(self, lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
        """Read the page index, the sightings and the quarantine of the stored page sets.

        A page set of which one of these files is missing or damaged counts as not computed.
        """
        self._page_sets = page_sets
        stored = page_sets_read(lake, page_sets)
        found = {table.name: tables.read_found(lake, table, stored) for table in _READ}
        readable = [key for key in stored if all(key in parts for parts in found.values())]
        index, self._all_sightings, quarantined = (
            tables.combined(table, {key: found[table.name][key] for key in readable}) for table in _READ
        )
        checked = (NEO_SIGHTINGS, QUARANTINE, *metrics.counts)
        stale = _stale_by_index(lake, checked, readable, index.to_pylist())
        self._not_computed = [key for key in stored if key not in readable or key in stale]
        self._missing = sorted(set(page_sets) - set(stored))
        _, self._state = state_of_lake(lake, page_sets)
        self._all_older = _older_copies(metrics, self._all_sightings)
        # Only Browse pages show the catalogue's state; landed objects are not part of it.
        self.page_sets = len(set(page_sets).intersection(readable))
        self._index = _of(page_sets, index).to_pylist()
        self._quarantined = _of(page_sets, quarantined).num_rows
        self._not_discarded = without_discarded(lake, quarantined).num_rows
        self._sightings = _of(page_sets, self._all_sightings)
        self._older = _older_copies(metrics, self._sightings) if LANDED in readable else self._all_older
        try:
            self._stats = tables.read_table(lake, CATALOGUE_STATS).to_pylist()[0]
        except (LakeLacks, LakeDamaged):  # never fetched, or damaged
            self._stats = None
        self._approaches: int | None
        try:
            totals = tables.read_table(lake, TOTAL_YEARLY_APPROACHES)
            self._approaches = pc.sum(totals["approaches"], min_count=0).as_py()
        except (LakeLacks, LakeDamaged):  # not computed yet, or damaged
            self._approaches = None

    @cached_property
    def findings(self) -> list[Finding]:
        """All findings."""
        return list(self._find())

    @property
    def verdict(self) -> Verdict:
        """The gravest of the findings' verdicts; `consistent` if there are none."""
        return gravest(self.findings)

    @property
    def pages(self) -> int:
        """Number of stored Browse pages."""
        return len(self._index)

    @property
    def catalogue_pages(self) -> int:
        """Number of pages in the whole catalogue, according to the page fetched last."""
        return ceil(self._size / NEOS_PER_PAGE)

    @property
    def neos(self) -> int:
        """Number of distinct NEOs on the stored pages and among the landed objects."""
        return int(self._all_sightings.num_rows - self._all_older.num_rows)

    def pages_to_heal(self, thorough: bool = False) -> list[int]:
        """Numbers of the stored pages to fetch again, so that all pages show the same state of the catalogue.

        Missing pages are not among them: every refresh fetches those.

        Args:
            thorough: include every page that may predate a change of the catalogue, not only those that visibly do.
                Use it if healing without it was not enough: NEOs may have moved onto neighbouring pages.
        """
        short = {row["page"] for row in self._index if row["neos"] != _neos_due(row["page"], self._size)}
        return sorted(short | self._outdated_pages(thorough))

    def _outdated_pages(self, thorough: bool) -> set[int]:
        """Numbers of the pages that predate a change of the catalogue."""
        if self._only_grew:
            return self._landed_at_another_size
        other_size = {row["page"] for row in self._index if row["total_elements"] != self._size}
        if not self._older.num_rows:
            return other_size
        with_older = set(self._older["page"].to_pylist())
        moved_by = _first_seen_again(self._sightings, self._older)
        before = {row["page"] for row in self._index if row["fetched_at"] < moved_by}
        re_ordered = len(with_older) > _REORDERED_SHARE * len(before)
        return other_size | (before if thorough or re_ordered else with_older)

    def table(self) -> pa.Table:
        """The findings as the table `snapshot`; it carries the state of the lake, and its extent as JSON."""
        rows = [vars(finding) for finding in self.findings] or [vars(Finding("consistent", "", 0))]
        extent = Extent(self.pages, self.catalogue_pages, self.page_sets, len(self._page_sets), self.neos)
        found = pa.Table.from_pylist(rows, schema=SNAPSHOT.schema)
        return tables.with_origin(found, self._state, state=self._state, extent=json.dumps(vars(extent)))

    @cached_property
    def _size(self) -> int:
        """NEOs in the catalogue, according to the page fetched last; the age of a landed page is unknown."""
        return self._sizes[-1] if self._sizes else 0

    @cached_property
    def _sizes(self) -> list[int]:
        """NEOs in the catalogue according to each fetched page, oldest first (each landed page if none was fetched)."""
        fetched = [row for row in self._index if row["file"] is None] or self._index
        return [int(row["total_elements"]) for row in sorted(fetched, key=lambda row: row["fetched_at"])]

    @cached_property
    def _landed_at_another_size(self) -> set[int]:
        """Landed pages whose catalogue size differs from that of the fetched pages; empty if no page was fetched."""
        landed = {row["page"] for row in self._index if row["file"] and row["total_elements"] != self._size}
        return landed if any(row["file"] is None for row in self._index) else set()

    @cached_property
    def _only_grew(self) -> bool:
        """Whether the catalogue changed only by growing at its end."""
        return self._sizes == sorted(self._sizes) and not self._older.num_rows

    @cached_property
    def _missing_pages(self) -> set[int]:
        wanted = {page for key in self._page_sets for page in pages_of(key)}
        return wanted - {row["page"] for row in self._index}

    @cached_property
    def _missing_neos(self) -> int:
        """Number of NEOs that the stored pages should hold but do not."""
        due = sum(_neos_due(row["page"], self._size) for row in self._index)
        seen = self._sightings.num_rows - self._older.num_rows
        return max(0, int(due - seen - self._quarantined))

    def _find(self) -> Iterator[Finding]:
        if missing := self._missing:
            yield Finding("incomplete", "page sets missing", len(missing), first_few(missing))
        if self._not_computed:
            keys = self._not_computed
            yield Finding("incomplete", "page sets not computed", len(keys), first_few(keys))
        if self._not_discarded:
            yield Finding("incomplete", "records in quarantine", self._not_discarded, "see `neo quarantine list`")
        if not self._index:
            return
        sizes = [row["total_elements"] for row in self._index]
        requested = len(self._missing_pages) + len(self._index)
        if beyond := pages_beyond(requested, self.catalogue_pages):
            yield Finding("incomplete", "pages beyond NEO_PAGES", beyond, f"set NEO_PAGES={self.catalogue_pages}")
        if len(set(sizes)) > 1:
            verdict: Verdict = "consistent" if self._only_grew and not self._landed_at_another_size else "drifted"
            detail = f"{min(sizes)} to {max(sizes)} NEOs"
            yield Finding(verdict, "catalogue size changed", max(sizes) - min(sizes), detail)
        if self._older.num_rows:
            names = self._older["principal_designation"].to_pylist()
            yield Finding("drifted", "NEOs seen twice", len(names), first_few(names))
        short = [row["page"] for row in self._index if row["neos"] != _neos_due(row["page"], row["total_elements"])]
        if short:
            yield Finding("drifted", "pages with too few or too many NEOs", len(short), first_few(short))
        if self._missing_neos and not missing and not self._not_computed:
            yield Finding("drifted", "NEOs missing", self._missing_neos)
        newest = max(row["clock_at"] or row["fetched_at"] for row in self._index)
        stats_are_newer = self._stats is not None and self._stats["fetched_at"] >= newest
        if self._stats and stats_are_newer and self._stats["near_earth_object_count"] != self._size:
            reported = self._stats["near_earth_object_count"]
            detail = f"{reported} in /stats, {self._size} on the pages"
            yield Finding("drifted", "NEO count differs from /stats", abs(reported - self._size), detail)
        is_whole = requested >= self.catalogue_pages and not missing and not self._not_computed
        if self._stats and stats_are_newer and is_whole:
            reported = self._stats["close_approach_count"]
            if self._approaches is not None and self._approaches != reported:
                # NeoWs does not document which approaches it counts, so a difference alone is harmless.
                detail = f"{reported} in /stats, {self._approaches} in the totals"
                difference = abs(reported - self._approaches)
                yield Finding("consistent", "approach count differs from /stats", difference, detail)


def pages_beyond(requested: int, catalogue_pages: int) -> int:
    """How many pages the catalogue has beyond those requested; 0 unless these are meant to be the whole catalogue."""
    meant_to_be_whole = requested >= _WHOLE_CATALOGUE_SHARE * catalogue_pages
    return max(0, catalogue_pages - requested) if meant_to_be_whole else 0


def gravest(findings: Iterable[Finding]) -> Verdict:
    """The gravest verdict of these findings; `consistent` if there are none."""
    found = {finding.verdict for finding in findings}
    return "incomplete" if "incomplete" in found else "drifted" if "drifted" in found else "consistent"


def _of(page_sets: Sequence[str], rows: pa.Table) -> pa.Table:
    return rows.filter(pc.is_in(rows["page_set"], pa.array(page_sets, pa.string())))


def _stale_by_index(
    lake: Storage, checked: Sequence[Table], page_sets: Sequence[str], index: Sequence[dict[str, Any]]
) -> list[str]:
    """Page sets of which these tables were not made from the pages in their index."""
    facts: dict[str, list[PageFacts]] = {key: [] for key in page_sets}
    for row in index:
        facts[row["page_set"]].append(PageFacts(**{name: row[name] for name in row if name != "page_set"}))
    return stale(lake, facts, checked)


def _older_copies(metrics: Metrics, sightings: pa.Table) -> pa.Table:
    """Superseded copies: the same object was seen again later, in the same page set or in another."""
    is_superseded = belong_to(superseded(metrics, sightings), sightings)
    return sightings.filter(pc.or_(pc.invert(sightings["is_counted"]), is_superseded))


def _first_seen_again(sightings: pa.Table, older: pa.Table) -> datetime:
    """When a NEO was first seen again: by then the catalogue had changed."""
    names, last_seen = older["principal_designation"].combine_chunks(), pc.max(older["fetched_at"])
    again = sightings.filter(
        pc.and_(pc.is_in(sightings["principal_designation"], names), pc.greater(sightings["fetched_at"], last_seen))
    )
    moment: datetime = (pc.min(again["fetched_at"]) if again.num_rows else last_seen).as_py()
    return moment


def _neos_due(page: int, size: int) -> int:
    """Number of NEOs that a page should hold if the catalogue has `size` of them."""
    return min(max(size - NEOS_PER_PAGE * page, 0), NEOS_PER_PAGE)
