"""Databases that stay open: other processes see each step start and end, any number of runs is kept, and what is stored
is what Dagster's own storage stores.
"""

import contextlib
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, DagsterEventType
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy.exc import OperationalError

from neo_assets.lake.storage import Storage
from neo_assets.orchestration import databases
from neo_assets.orchestration.databases import Events, OpenStorage
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


PARTS = dg.StaticPartitionsDefinition(["one", "two"])


@dg.multi_asset(specs=[dg.AssetSpec("first", partitions_def=PARTS), dg.AssetSpec("second", partitions_def=PARTS)])
def two_tables(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    context.log.info("on the way")
    yield dg.MaterializeResult("first", metadata={"rows": 1})
    yield dg.MaterializeResult("second", tags={"a": "tag"})


@dg.multi_asset_check(specs=[dg.AssetCheckSpec("is_good", asset="first"), dg.AssetCheckSpec("is_bad", asset="first")])
def checks() -> Iterator[dg.AssetCheckResult]:
    yield dg.AssetCheckResult(asset_key="first", check_name="is_good", passed=True)
    yield dg.AssetCheckResult(asset_key="first", check_name="is_bad", passed=False)


def stored_by(instance: dg.DagsterInstance, directory: Path) -> dict[str, list[tuple[object, ...]]]:
    """What the databases hold after two runs, without ids, times and other figures that differ between two runs."""
    runs = [
        dg.materialize([two_tables, checks], instance=instance, partition_key="one"),
        dg.materialize([two_tables, checks], instance=instance, partition_key="two"),
    ]
    instance.dispose()
    event = "dagster_event_type, step_key, asset_key, partition"
    check = "asset_key, check_name, partition, execution_status, materialization_event_storage_id, run_id"
    queries = {
        "index": [f"SELECT {event} FROM event_logs ORDER BY id", f"SELECT {check} FROM asset_check_executions"],
        **{run.run_id: [f"SELECT {event} FROM event_logs ORDER BY id"] for run in runs},
    }
    names = {run.run_id: f"run {number}" for number, run in enumerate(runs)}
    stored = {}
    for file, selects in queries.items():
        with contextlib.closing(sqlite3.connect(directory / "history" / "runs" / f"{file}.db")) as database:
            rows = [row for select in selects for row in database.execute(select)]
        stored[names.get(file, file)] = [tuple(names.get(value, value) for value in row) for row in rows]
    with contextlib.closing(sqlite3.connect(directory / "history" / "runs" / "index.db")) as database:
        select = "SELECT asset_key, last_run_id, last_materialization IS NOT NULL FROM asset_keys ORDER BY asset_key"
        stored["assets"] = [(key, names[run], made) for key, run, made in database.execute(select)]
        stored["tags"] = list(database.execute("SELECT event_id, asset_key, key FROM asset_event_tags"))
    return stored


@pytest.mark.slow
def test_what_is_stored_is_what_dagsters_own_storage_stores(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = stored_by(dg.DagsterInstance.local_temp(str(tmp_path / "theirs")), tmp_path / "theirs")
    ours = stored_by(open_instance(None, Storage("data/lake")), Path("data/dagster"))
    assert ours == theirs


def steps_of(run_id: str, log: Any) -> list[tuple[object, ...]]:
    """Step and type of each event of a run."""
    entries = [record.event_log_entry for record in log.get_records_for_run(run_id).records]
    return [(entry.step_key, entry.dagster_event_type and entry.dagster_event_type.value) for entry in entries]


def test_another_program_sees_a_step_that_runs_and_all_events_of_those_that_have_ended(
    instance: dg.DagsterInstance,
) -> None:
    """So a killed process loses none of them."""
    seen: list[tuple[object, ...]] = []

    @dg.op(ins={"start": dg.In(dg.Nothing)})
    def look(context: dg.OpExecutionContext) -> None:
        seen.extend(steps_of(context.run_id, plain().event_log_storage))

    @dg.op(out=dg.Out(dg.Nothing))
    def make() -> Iterator[dg.AssetMaterialization]:
        yield dg.AssetMaterialization("made")

    @dg.job
    def job() -> None:
        look(make())

    run = job.execute_in_process(instance=instance)
    stored = steps_of(run.run_id, instance.event_log_storage)
    assert seen == stored[: len(seen)]
    assert {("make", "ASSET_MATERIALIZATION"), ("make", "STEP_SUCCESS"), ("look", "STEP_START")} <= set(seen)


def test_a_program_that_is_killed_while_it_stores_events_has_them_in_the_index_first(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the index, Dagster tells which page sets are materialized; by the run's log, which steps have ended."""

    class Killed(BaseException):
        pass

    def killed(events: Events) -> None:
        if any(event.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION for event, _ in events._waiting):
            raise Killed
        store(events)

    store = Events._store_in_runs
    monkeypatch.setattr(Events, "_store_in_runs", killed)
    with pytest.raises(Killed):
        materialize(instance)
    assert plain().event_log_storage.has_asset_key(dg.AssetKey("a_table"))


def test_events_that_wait_are_there_for_a_query_of_the_same_program(instance: dg.DagsterInstance) -> None:
    @dg.op(out=dg.Out(dg.Nothing))
    def make(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        for number in range(300):
            yield dg.AssetMaterialization("made", partition=str(number))
            if number % 100 == 0:
                assert context.instance.get_materialized_partitions(dg.AssetKey("made")) == {
                    str(one) for one in range(number + 1)
                }

    @dg.job
    def job() -> None:
        make()

    assert job.execute_in_process(instance=instance).success
    assert len(instance.get_materialized_partitions(dg.AssetKey("made"))) == 300


def planned(run_id: str) -> dg.EventLogEntry:
    """An event that waits for others."""
    kind = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    of_table = AssetMaterializationPlannedData(dg.AssetKey("a_table"))
    event = DagsterEvent(kind.value, "job", event_specific_data=of_table)
    return dg.EventLogEntry(None, 20, "", run_id, 0.0, dagster_event=event)


def test_an_event_without_a_run_waits_for_none(instance: dg.DagsterInstance) -> None:
    """Nothing follows what a person or a script reports, and the script may end at once."""
    instance.report_runless_asset_event(dg.AssetMaterialization("reported"))
    assert plain().event_log_storage.has_asset_key(dg.AssetKey("reported"))


def test_a_verdict_without_a_run_does_not_replace_an_earlier_one(instance: dg.DagsterInstance) -> None:
    asset = dg.AssetKey("a_table")
    for passed in (True, False):
        verdict = dg.AssetCheckEvaluation(asset_key=asset, check_name="is_good", passed=passed, metadata={})
        instance.report_runless_asset_event(verdict)
    history = plain().event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(asset, "is_good"), limit=9)
    assert [one.status.value for one in history] == ["FAILED", "SUCCEEDED"]


@pytest.mark.parametrize("shard", ["index", "a_run"])
def test_events_that_a_locked_database_does_not_take_are_stored_later(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, shard: str
) -> None:
    monkeypatch.setattr(databases, "SQLITE_BUSY_TIMEOUT_SECONDS", 0)
    log = instance.event_log_storage
    log.store_event(planned("a_run"))
    assert len(log.get_records_for_run("a_run").records) == 1
    log.dispose()  # so that databases are opened anew, without a time to wait
    with contextlib.closing(sqlite3.connect(f"data/dagster/history/runs/{shard}.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        log.store_event(planned("a_run"))
        with pytest.raises(OperationalError, match="locked"):
            log.get_records_for_run("a_run")
        log.dispose()  # raises nothing, which would hide the error that was reported
    log.store_event(planned("a_run"))
    assert len(log.get_records_for_run("a_run").records) == 3
    with contextlib.closing(sqlite3.connect("data/dagster/history/runs/index.db")) as index:
        assert index.execute("SELECT count(*) FROM event_logs").fetchone() == (3,)


def test_an_event_that_cannot_be_stored_does_not_keep_others_from_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = instance.event_log_storage
    with monkeypatch.context() as failing:
        failing.setattr(log, "_store_asset_event", lambda *_: 1 / 0)
        log.store_event(planned("a_run"))
        with pytest.raises(ZeroDivisionError):
            log.get_records_for_run("a_run")
    log.store_event(planned("another"))
    assert len(log.get_records_for_run("another").records) == 1


def test_events_that_wait_are_wiped_with_the_others(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.store_event(planned("a_run"))
    instance.wipe()
    assert instance.get_records_for_run("a_run").records == []


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
