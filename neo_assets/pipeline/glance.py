"""The lake at a glance: how far a refresh has come, how old its pages are, what is wrong, which runs there were. It is
for programs that look every few seconds, and do not execute the pipeline: files are listed, and only those that have
changed since the last look are read. Nothing is written. What a refresh would fetch, and when, is in `plan`.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import pyarrow as pa

from neo_assets.lake import layout, mark, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline import audit, incidents
from neo_assets.pipeline.incidents import Incident
from neo_assets.pipeline.origins import origin
from neo_assets.pipeline.quarantine import given_up, without
from neo_assets.pipeline.staleness import LONGEST_H
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import pages_of, with_landed
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import QUARANTINE, RAW_PAGE_INDEX

logger = logging.getLogger(__name__)

_RECENT = timedelta(days=1)


class _File(NamedTuple):
    """What is kept of a table's file for a page set."""

    version: str
    origin: str
    facts: Sequence[PageFacts] = ()
    """The pages that it lists, if it is an index."""
    rows: pa.Table | None = None
    """The records in it, if it is a quarantine."""


_NONE = _File("", "")


@dataclass(frozen=True)
class Glance:
    """What the lake shows. Page sets and pages are those that the settings ask for."""

    source: str | None
    """The source of its data, `nasa` or `simulator`; None for an empty lake."""
    pages_stored: int
    pages_fresh: int
    """Those stored so lately, by the time of their files, that a refresh would reuse them."""
    page_sets_done: int
    """Page sets that a refresh would leave as they are: their pages are all there and young enough, and every table was
    made from them.
    """
    oldest_page_at: datetime | None
    """When the page that arrived first did, of those that the indices of page sets list."""
    newest_page_at: datetime | None
    quarantined: int
    """Records in quarantine, without those that were given up."""
    incidents: Sequence[Incident]
    """Those that are open, as the sensor `alerts` found them last."""
    runs: Sequence[audit.Row]
    """The audit's rows of runs of the last day, the latest first. One that is under way may have been killed."""


class Looks:
    """Looks at a lake, one after another. Threads must take turns."""

    def __init__(
        self, lake: Storage, of_a_page_set: Sequence[Table], page_sets: Sequence[str], max_age_hours: float
    ) -> None:
        """
        Args:
            lake: the lake.
            of_a_page_set: every table with one file per page set.
            page_sets: keys of the page sets that the settings ask for.
            max_age_hours: a refresh reuses pages younger than this.
        """
        self._lake = lake
        self._tables = sorted(of_a_page_set, key=lambda table: table.layer)
        self._page_sets = page_sets
        self._pages = {layout.raw_page(number) for key in page_sets for number in pages_of(key)}
        self._max_age = timedelta(hours=min(max_age_hours, LONGEST_H))
        self._files: dict[str, _File] = {}
        self._discards: tuple[list[tuple[str, int]], set[str]] = [], set()
        self._runs: dict[str, tuple[tuple[int, datetime], audit.Row | None]] = {}
        self._current: dict[str, tuple[list[_File], bool]] = {}

    def look(self) -> Glance:
        """Look at the lake now.

        Raises:
            LakeError: the lake cannot be read.
        """
        now = datetime.now(UTC)
        pages = [info for info in self._lake.files(layout.RAW_PAGES) if info.path in self._pages]
        self._read_tables()
        facts = {key: self._file(RAW_PAGE_INDEX, key).facts for key in self._page_sets}
        arrived = [one.arrived_at for found in facts.values() for one in found]
        return Glance(
            source=mark.last_read(self._lake),
            pages_stored=len(pages),
            pages_fresh=sum(self._is_young(info.mtime, now) for info in pages),
            page_sets_done=sum(
                all(self._is_young(one.arrived_at, now) for one in found) and self._is_current(key, found)
                for key, found in facts.items()
            ),
            oldest_page_at=min(arrived, default=None),
            newest_page_at=max(arrived, default=None),
            quarantined=self._quarantined(),
            incidents=incidents.read(self._lake).open,
            runs=self._runs_since(now - _RECENT),
        )

    def _is_young(self, at: datetime, now: datetime) -> bool:
        return timedelta(0) <= now - at < self._max_age

    def _read_tables(self) -> None:
        """Read what has changed of the tables of page sets. Their files are listed once for each layer."""
        keys = with_landed(self._page_sets)
        for _, of_layer in groupby(self._tables, lambda table: table.layer):
            among = list(of_layer)
            versions = self._lake.versions(layout.table_file(table, key) for table in among for key in keys)
            for table in among:
                paths = {key: layout.table_file(table, key) for key in keys}
                for key in [key for key in keys if paths[key] not in versions]:
                    self._files.pop(paths[key], None)
                changed = {
                    key: versions[path]
                    for key, path in paths.items()
                    if path in versions and self._file(table, key).version != versions[path]
                }
                self._files |= {paths[key]: file for key, file in self._read(table, changed)}

    def _read(self, table: Table, versions: Mapping[str, str]) -> Iterator[tuple[str, _File]]:
        """The files of a table with these versions, by page set. A missing or damaged one has no origin."""
        if table not in (RAW_PAGE_INDEX, QUARANTINE):
            origins = tables.read_origins(self._lake, table, list(versions), whole=False) if versions else []
            for (key, version), made_from in zip(versions.items(), origins, strict=True):
                yield key, _File(version, made_from)
            return
        found = tables.read_found(self._lake, table, list(versions)) if versions else {}
        for key, version in versions.items():
            rows = found.get(key, table.schema.empty_table())
            facts = [PageFacts(**row) for row in rows.to_pylist()] if table is RAW_PAGE_INDEX else ()
            yield key, _File(version, tables.made_from(rows), facts, rows if table is QUARANTINE else None)

    def _file(self, table: Table, key: str) -> _File:
        return self._files.get(layout.table_file(table, key), _NONE)

    def _is_current(self, key: str, facts: Sequence[PageFacts]) -> bool:
        """Whether all pages of a page set are there, and every table was made from them."""
        files = [self._file(table, key) for table in self._tables]
        if key not in self._current or self._current[key][0] != files:
            is_current = len(facts) >= len(pages_of(key)) and all(
                file.origin == origin(table, facts) for table, file in zip(self._tables, files, strict=True)
            )
            self._current[key] = files, is_current
        return self._current[key][1]

    def _quarantined(self) -> int:
        """Number of records in quarantine."""
        files = [self._file(QUARANTINE, key) for key in with_landed(self._page_sets)]
        records = [file.rows for file in files if file.rows is not None and file.rows.num_rows]
        if not records:
            return 0
        listed = [(info.path, info.size) for info in self._lake.files(layout.DISCARDED)]
        if listed != self._discards[0]:
            self._discards = listed, given_up(self._lake)
        return sum(without(self._discards[1], rows).num_rows for rows in records)

    def _runs_since(self, since: datetime) -> list[audit.Row]:
        """The audit's rows of runs created since then, the latest first. A damaged one is left out."""
        days = {since.date() + timedelta(days=day) for day in range(2)}
        files = {info.path: info for day in days for info in self._lake.files(layout.audit_of(day))}
        for gone in self._runs.keys() - files.keys():
            del self._runs[gone]
        for path, info in files.items():
            version = (info.size, info.mtime)
            if path not in self._runs or self._runs[path][0] != version:
                self._runs[path] = version, self._run(path)
        known = [row for _, row in self._runs.values() if row and row["queued_at"] >= since]
        return sorted(known, key=lambda row: row["queued_at"], reverse=True)

    def _run(self, path: str) -> audit.Row | None:
        try:
            return audit.read_run(self._lake, path)
        except LakeDamaged as error:
            logger.warning("%s", error)
            return None
