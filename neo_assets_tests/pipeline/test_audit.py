"""The audit's files: which runs are read, and in which order."""

import dataclasses
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline import audit
from neo_assets.schema.audit import AUDIT
from neo_assets_tests.conftest import disk_and_s3

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def write(lake: Storage, run_id: str, at: datetime, *statuses: str, job: str = "page_set") -> None:
    """A run with this status, and a materialization for each further one."""
    kinds = ("run", *("materialization" for _ in statuses[1:]))
    row = {"run_id": run_id, "job": job, "launched_by": "neo run", "account": "a@b", "queued_at": at}
    rows = [row | {"kind": kind, "status": status} for kind, status in zip(kinds, statuses, strict=True)]
    audit.write(lake, run_id, at, rows)


def ended(lake: Storage, run_id: str, at: datetime) -> None:
    """Date the file of a run (on disk) as if it was written when the run ended."""
    [path] = Path(lake.root).rglob(f"{run_id}.parquet")
    os.utime(path, (at.timestamp(), at.timestamp()))


def runs(lake: Storage, last: int, only_failed: bool = False, job: str | None = None) -> list[str]:
    return list(dict.fromkeys(audit.read(lake, last, only_failed, job)["run_id"].to_pylist()))


@disk_and_s3
def test_the_latest_runs_are_read_over_several_days(lake: Storage) -> None:
    for days, run_id in enumerate("badc"):
        write(lake, run_id, NOON + timedelta(days=days), "success")
    write(lake, "e", NOON + timedelta(days=3, hours=-1), "success")
    assert runs(lake, 100) == ["b", "a", "d", "e", "c"]
    assert runs(lake, 2) == ["e", "c"]
    assert runs(lake, 4) == ["a", "d", "e", "c"]


def test_a_run_that_took_long_comes_where_it_was_created(lake: Storage) -> None:
    """Its file is the newest, and yet another run is the latest."""
    for run_id, begun_h, ended_h in (("long", 0, 9), ("earlier", -1, 0), ("later", 7, 8), ("latest", 8, 8)):
        write(lake, run_id, NOON + timedelta(hours=begun_h), "success")
        ended(lake, run_id, NOON + timedelta(hours=ended_h))
    assert [runs(lake, last) for last in (1, 3)] == [["latest"], ["long", "later", "latest"]]


def test_files_of_earlier_runs_are_not_read(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    for hours in range(9):
        write(lake, f"{hours}", NOON + timedelta(hours=hours), "success")
        ended(lake, f"{hours}", NOON + timedelta(hours=hours, minutes=5))
    read, paths = lake.read, list[str]()

    def noted(path: str) -> pa.Buffer:
        paths.append(path)
        return read(path)

    monkeypatch.setattr(lake, "read", noted)
    assert runs(lake, 2) == ["7", "8"]
    assert len(paths) == 2


def test_runs_of_one_job_are_read(lake: Storage) -> None:
    for hours, job in enumerate(["page_set", "totals", "page_set", "totals"]):
        write(lake, f"{hours}", NOON + timedelta(hours=hours), "success", job=job)
    assert runs(lake, 5, job="totals") == ["1", "3"]
    assert runs(lake, 1, job="page_set") == ["2"]
    assert runs(lake, 1, job="stats") == []


def test_a_file_that_vanishes_while_it_is_read_is_left_out(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lake, "a", NOON, "success")
    write(lake, "b", NOON, "success")
    files = lake.files

    def stale(directory: str) -> list[fs.FileInfo]:
        found = files(directory)
        lake.delete(found[0].path)
        return found

    monkeypatch.setattr(lake, "files", stale)
    assert runs(lake, 5) == ["b"]


def test_of_failed_runs_the_latest_are_read_however_many_went_well_since(lake: Storage) -> None:
    for hours, status in enumerate(["failed", "success", "failed", "success", "success"]):
        write(lake, f"{hours}", NOON + timedelta(hours=hours), status)
    assert runs(lake, 1, only_failed=True) == ["2"]
    assert runs(lake, 5, only_failed=True) == ["0", "2"]


def test_a_run_in_which_something_failed_is_read_with_what_failed_only(lake: Storage) -> None:
    write(lake, "a", NOON, "success", "success", "failed", "success")
    rows = audit.read(lake, 5, only_failed=True).to_pylist()
    assert [(row["kind"], row["status"]) for row in rows] == [("run", "success"), ("materialization", "failed")]


def test_what_is_known_later_replaces_what_was_known_before(lake: Storage) -> None:
    write(lake, "a", NOON, "processing", "queued")
    write(lake, "a", NOON, "success", "success")
    assert audit.read(lake, 5)["status"].to_pylist() == ["success", "success"]


def test_a_file_of_an_earlier_version_is_read_too(lake: Storage) -> None:
    without_some = dataclasses.replace(
        AUDIT, columns=tuple(one for one in AUDIT.columns if one.name not in ("account", "bytes"))
    )
    write(lake, "older", NOON, "success")
    [file] = lake.files(layout.AUDIT)
    older = audit.read(lake, 1).select(without_some.schema.names).cast(without_some.schema)
    tables.write_file(lake, without_some, older, file.path)
    write(lake, "later", NOON + timedelta(hours=1), "success")
    rows = audit.read(lake, 5)
    assert rows.column_names == AUDIT.schema.names
    assert rows["account"].to_pylist() == [None, "a@b"]


def test_a_damaged_file_is_named(lake: Storage) -> None:
    lake.write("audit/date=2026-03-01/a.parquet", b"")
    with pytest.raises(LakeDamaged, match=r"date=2026-03-01/a\.parquet is damaged"):
        audit.read(lake, 1)
