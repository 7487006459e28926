"""The audit's files: which runs are read, and in which order."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline import audit
from neo_assets.schema.audit import AUDIT
from neo_assets_tests.conftest import disk_and_s3

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def write(lake: Storage, run_id: str, at: datetime, *statuses: str) -> None:
    """A run with this status, and a materialization for each further one."""
    kinds = ("run", *("materialization" for _ in statuses[1:]))
    row = {"run_id": run_id, "job": "page_set", "launched_by": "neo run", "account": "a@b", "queued_at": at}
    rows = [row | {"kind": kind, "status": status} for kind, status in zip(kinds, statuses, strict=True)]
    audit.write(lake, run_id, at, rows)


def runs(lake: Storage, last: int, only_failed: bool = False) -> list[str]:
    return list(dict.fromkeys(audit.read(lake, last, only_failed)["run_id"].to_pylist()))


@disk_and_s3
def test_the_latest_runs_are_read_over_several_days(lake: Storage) -> None:
    for days, run_id in enumerate("badc"):
        write(lake, run_id, NOON + timedelta(days=days), "success")
    write(lake, "e", NOON + timedelta(days=3, hours=-1), "success")
    assert runs(lake, 100) == ["b", "a", "d", "e", "c"]
    assert runs(lake, 2) == ["e", "c"]
    assert runs(lake, 4) == ["a", "d", "e", "c"]


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
