"""The runs under way, as a program that only watches sees them: nothing is created, whatever the state is in."""

import shutil
import sqlite3
from pathlib import Path

import dagster as dg
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.instance import open_instance
from neo_assets.orchestration.under_way import UnderWay
from neo_assets_tests.integration.harness import CHECKOUT

STATUS = dg.DagsterRunStatus
LAKE = Storage("data/lake")


def add_runs(home: Path | None, *statuses: dg.DagsterRunStatus, lake: Storage = LAKE) -> None:
    """Add runs with these statuses, each of a page set."""
    keys = [f"0000{number}-0000{number}" for number in range(len(statuses))]
    runs = [
        dg.DagsterRun("page_set", f"run {number}", status=status, tags={"dagster/partition": keys[number]})
        for number, status in enumerate(statuses)
    ]
    with open_instance(home, lake) as instance:
        for run in runs:
            instance.add_run(run)


def files(place: Path) -> set[Path]:
    """All files, but for those in which SQLite coordinates readers."""
    return {path for path in place.rglob("*") if not path.name.endswith(("-shm", "-wal"))}


@pytest.mark.parametrize("how", ["dagster.yaml", "none", "home"])
def test_it_sees_the_runs_that_have_not_ended(how: str, tmp_path: Path) -> None:
    if how == "dagster.yaml":
        shutil.copy(CHECKOUT / "dagster.yaml", ".")
    home = tmp_path / "home" if how == "home" else None
    before = files(Path.cwd()) | files(tmp_path)
    watch = UnderWay(home, LAKE)
    assert watch() is None
    assert files(Path.cwd()) | files(tmp_path) == before, "nothing is made by looking"

    add_runs(home, STATUS.SUCCESS, STATUS.STARTED, STATUS.FAILURE, STATUS.NOT_STARTED, STATUS.CANCELED)
    before = files(Path.cwd()) | files(tmp_path)
    found = watch()
    assert found is not None
    assert [(run.id, run.job, run.page_set, run.status) for run in found] == [
        ("run 3", "page_set", "00003-00003", "queued"),
        ("run 1", "page_set", "00001-00001", "processing"),
    ]
    assert found[0].started_at is None
    assert files(Path.cwd()) | files(tmp_path) == before


def test_the_runs_of_another_lake_are_not_shown(tmp_path: Path) -> None:
    add_runs(tmp_path, STATUS.NOT_STARTED, lake=Storage("data/other"))
    assert UnderWay(tmp_path, LAKE)() is None


def test_a_database_that_cannot_be_read_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add_runs(tmp_path, STATUS.NOT_STARTED)
    database = tmp_path / "history" / "runs.db"
    whole = database.read_bytes()
    watch = UnderWay(tmp_path, LAKE)
    database.write_bytes(b"not a database" * 1000)
    assert [watch(), watch()] == [None, None]
    assert caplog.text.count("cannot be read") == 1
    database.write_bytes(whole)
    assert watch() is not None, "it is looked at again"


def test_it_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    add_runs(tmp_path, STATUS.NOT_STARTED)
    with sqlite3.connect(tmp_path / "history" / "runs.db") as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert len(UnderWay(tmp_path, LAKE)() or []) == 1


@pytest.mark.parametrize("text", ["storage: [", "storage: {custom: {module: no.such, class: Storage, config: {}}}"])
def test_a_wrong_dagster_yaml_is_no_end(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "dagster.yaml").write_text(text)
    assert UnderWay(tmp_path, LAKE)() is None
    assert "cannot be read" in caplog.text
