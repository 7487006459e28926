"""Databases that stay open: other processes see each event at once, and any number of runs is kept."""

import contextlib
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.databases import OpenStorage
from neo_assets.orchestration.instance import open_instance
from neo_assets_tests.integration.harness import PATIENCE_S


@dg.asset
def a_table() -> None:
    """Nothing."""


def materialize(instance: dg.DagsterInstance) -> str:
    return dg.materialize([a_table], instance=instance).run_id


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with open_instance(None, Storage("data/lake")) as instance:
        yield instance


def plain() -> DagsterSqliteStorage:
    """Dagster's own storage on the same databases, as another program opens it."""
    return DagsterSqliteStorage(str(Path("data/dagster").absolute()))


def test_another_program_sees_every_event_while_the_databases_are_open(instance: dg.DagsterInstance) -> None:
    run_id = materialize(instance)
    ours = [record.event_log_entry for record in instance.get_records_for_run(run_id).records]
    other = plain()
    assert [record.event_log_entry for record in other.event_log_storage.get_records_for_run(run_id).records] == ours
    [run] = other.run_storage.get_runs(dg.RunsFilter(run_ids=[run_id]))
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert other.event_log_storage.has_asset_key(dg.AssetKey("a_table"))


@pytest.mark.slow
def test_events_of_many_runs_are_kept(instance: dg.DagsterInstance) -> None:
    runs = [materialize(instance) for _ in range(12)]
    for log in (instance.event_log_storage, plain().event_log_storage):
        counts = {len(log.get_records_for_run(run_id).records) for run_id in runs}
        assert len(counts) == 1
        assert counts != {0}
    files = list(Path("data/dagster/history/runs").glob("*.db"))
    assert len(files) == 12 + 1, "one for each run, and the index"
    for file in files:
        with contextlib.closing(sqlite3.connect(file)) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_a_program_that_watches_a_run_learns_of_each_event_at_once(instance: dg.DagsterInstance) -> None:
    """As the webserver does for the log of a run that another process executes."""
    run_id, seen = str(uuid.uuid4()), threading.Event()
    instance.report_engine_event("before", dg.DagsterRun("job", run_id))
    watching = plain().event_log_storage
    watching.watch(run_id, None, lambda entry, cursor: seen.set() if entry.message == "now" else None)
    try:
        instance.report_engine_event("now", dg.DagsterRun("job", run_id))
        assert seen.wait(PATIENCE_S)
    finally:
        watching.dispose()


def test_a_killed_process_loses_no_event_and_a_power_cut_no_database(instance: dg.DagsterInstance) -> None:
    """https://www.sqlite.org/pragma.html#pragma_synchronous: NORMAL is safe with a write-ahead log."""
    pragmas: dict[str, Any] = {}
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # of SQLite storages only
        for name in ("synchronous", "journal_mode"):
            pragmas[name] = connection.exec_driver_sql(f"PRAGMA {name}").scalar()
    assert pragmas == {"synchronous": 1, "journal_mode": "wal"}


def test_wiping_the_history_leaves_the_databases_usable(instance: dg.DagsterInstance) -> None:
    old = materialize(instance)
    instance.wipe()
    assert instance.get_records_for_run(old).records == []
    assert instance.get_records_for_run(materialize(instance)).records != []


def test_closing_the_instance_closes_every_database() -> None:
    with open_instance(None, Storage("data/lake")) as instance:
        materialize(instance)
    assert not list(Path("data/dagster").rglob("*-wal")), "SQLite deletes the log when the last connection is closed"


def test_disposing_closes_every_database(tmp_path: Path) -> None:
    storage = OpenStorage(str(tmp_path))
    storage.run_storage.get_runs()
    storage.dispose()
    assert not list(tmp_path.rglob("*-wal")), "SQLite deletes the log when the last connection is closed"
    with sqlite3.connect(tmp_path / "history" / "runs.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
