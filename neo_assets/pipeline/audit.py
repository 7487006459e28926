"""The audit: a file in the lake for each run, written when the run begins and again when it ends. So it survives a
pruned Dagster storage and a killed run, and processes never write the same file. What Dagster knows of a run is turned
into rows in `orchestration.audit`.
"""

import bisect
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.schema.audit import AUDIT, FAILED, RUN

_CLOCKS_DIFFER = timedelta(minutes=1)
"""How far the clock that dates the lake's files may be behind this machine's."""

Row = Mapping[str, Any]
"""A row of the audit, by column."""


def account() -> str:
    """Account and machine of this process: `user@machine`."""
    return f"{psutil.Process().username()}@{socket.gethostname()}"


def write(lake: Storage, run_id: str, queued_at: datetime, rows: Sequence[Row]) -> None:
    """Write what is known of a run, replacing what was known before.

    Args:
        lake: the lake.
        run_id: Dagster's id of the run.
        queued_at: when the run was created; the UTC date is part of the file's path.
        rows: one for the run, and one for each of its materializations and checks.

    Raises:
        LakeError: it cannot be written.
    """
    audited = pa.Table.from_pylist([{**row} for row in rows], schema=AUDIT.schema)
    tables.write_file(lake, AUDIT, audited, layout.audit(queued_at.date(), run_id))


def read(lake: Storage, runs: int, only_failed: bool = False, job: str | None = None) -> pa.Table:
    """The latest runs with all that they did, in the order in which they were created.

    Args:
        lake: the lake.
        runs: the most runs to read.
        only_failed: leave out runs in which nothing failed, and rows of what did not fail.
        job: leave out runs of other jobs.

    Raises:
        LakeError: a file cannot be read.
    """
    found: list[pa.Table] = []  # in the order in which they were created
    for files in _by_day(lake):
        for rows in lake.each(lambda path: _read(lake, path), _worth_reading(files, found, runs)):
            if rows is None or job not in (None, rows["job"][0].as_py()):
                continue
            if not only_failed or FAILED in rows["status"].to_pylist():
                bisect.insort(found, rows, key=_queued_at)
        if len(found) >= runs:
            break
    known = [AUDIT.schema.empty_table(), *found[-runs:]]
    rows = pa.concat_tables(known, promote_options="default")  # an earlier version may have had fewer columns
    if only_failed:
        rows = rows.filter(pc.or_(pc.equal(rows["status"], FAILED), pc.equal(rows["kind"], RUN)))
    return rows


def read_run(lake: Storage, path: str) -> Row | None:
    """The row of the run that a file of the audit is about; None if the file was deleted meanwhile.

    Raises:
        LakeError: the file cannot be read.
    """
    rows = _read(lake, path)
    return next((row for row in rows.to_pylist() if row["kind"] == RUN), None) if rows else None


def _worth_reading(files: Sequence[fs.FileInfo], found: Sequence[pa.Table], runs: int) -> Iterator[str]:
    """The paths of a day's files, those written last first, until so many runs are found that no file left can hold a
    later one: it was written after the run was created.
    """
    for info in sorted(files, key=lambda info: info.mtime, reverse=True):
        if len(found) >= runs and info.mtime < _queued_at(found[-runs]) - _CLOCKS_DIFFER:
            return
        yield info.path


def _read(lake: Storage, path: str) -> pa.Table | None:
    """The rows of a file; None if it was deleted meanwhile."""
    try:
        content = lake.read(path)
    except FileNotFoundError:
        return None
    try:
        return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
    except (pa.ArrowException, OSError) as error:
        raise LakeDamaged(
            f"{lake.location(path)} is damaged ({error}): delete it; only the record of that run is lost"
        ) from None


def _by_day(lake: Storage) -> list[list[fs.FileInfo]]:
    """All files of the audit, the latest day first."""
    days: dict[str, list[fs.FileInfo]] = {}
    for info in lake.files(layout.AUDIT):
        days.setdefault(info.path.rpartition("/")[0], []).append(info)
    return [days[day] for day in sorted(days, reverse=True)]


def _queued_at(rows: pa.Table) -> datetime:
    at: datetime = rows["queued_at"][0].as_py()
    return at
