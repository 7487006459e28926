"""Dagster's state: one for each lake, opened by one process at a time, and refused in one line if it is unusable."""

import contextlib
import errno
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration import state
from neo_assets.orchestration.failures import StateUnusable
from neo_assets.orchestration.instance import lake_resource, open_instance
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.integration.harness import CHECKOUT
from neo_assets_tests.settings import settings_of

IDLE_S = 900.0
RUN = dg.DagsterRun("page_set", "12345678-1234-1234-1234-123456789012")


@pytest.fixture(params=["dagster.yaml", "none"])
def here(request: pytest.FixtureRequest) -> Path:
    """The working directory, with the checkout's `dagster.yaml` or without one."""
    if request.param != "none":
        shutil.copy(CHECKOUT / "dagster.yaml", ".")
    return Path.cwd()


def keep_a_run(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO_LAKE", lake)
    with open_instance(None, Storage(lake)) as instance:
        instance.add_run(RUN)


def has_the_run(lake: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("NEO_LAKE", lake)
    with open_instance(None, Storage(lake)) as instance:
        return instance.get_run_by_id(RUN.run_id) is not None


@pytest.mark.slow
def test_each_lake_has_its_own_history(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_a_run("data/lake", monkeypatch)
    others = ["data/other", "elsewhere/other", str(here / "data" / "other lake"), "s3://bucket/lake"]
    for other in others:
        assert not has_the_run(other, monkeypatch)
        keep_a_run(other, monkeypatch)
        assert has_the_run(other, monkeypatch)
    assert has_the_run(str(here / "data" / "lake"), monkeypatch)
    assert (here / "data" / "dagster" / "history" / "runs.db").exists()  # where earlier versions kept it
    assert len(list((here / "data").glob("dagster-*"))) == len(others)


def test_a_dagster_home_is_refused_for_a_second_lake(tmp_path: Path) -> None:
    for _ in range(2):
        open_instance(tmp_path, Storage("data/lake")).dispose()
    with pytest.raises(StateUnusable, match=r"is that of the lake .*data/lake, but NEO_LAKE is .*data/other"):
        open_instance(tmp_path, Storage("data/other"))


@pytest.mark.slow
def test_a_run_on_the_history_of_another_lake_fails(tmp_path: Path) -> None:
    @dg.op
    def use(lake: dg.ResourceParam[Storage]) -> None:
        pass

    def job(lake: str) -> dg.JobDefinition:
        @dg.job(resource_defs={"lake": lake_resource(Storage(lake), NeoWs(settings_of()), IDLE_S)})
        def job() -> None:
            use()

        return job

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert job("data/lake").execute_in_process(instance=instance).success
        with pytest.raises(dg.DagsterResourceFunctionError) as refused:
            job("data/other").execute_in_process(instance=instance)
    assert isinstance(refused.value.__cause__, StateUnusable)


ROUNDS = 4
OPEN = "import sys; from neo_assets.orchestration.instance import *; from neo_assets.lake.storage import Storage\n"


@pytest.mark.slow
@pytest.mark.parametrize("home", [True, False])
def test_processes_that_open_a_new_state_at_once_do_not_corrupt_it(tmp_path: Path, home: bool) -> None:
    """They wait for a signal, so that none is done before another starts."""
    script = OPEN + (
        f"for number in range({ROUNDS}):\n"
        "    sys.stdin.readline()\n"
        f"    home = Path('home', str(number)).absolute() if {home} else None\n"
        f"    open_instance(home, Storage('lakes/0' if {home} else f'lakes/{{number}}')).dispose()\n"
        "    print('opened', flush=True)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        for _ in range(3)
    ]
    for _ in range(ROUNDS):
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "opened\n"
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    databases = list(tmp_path.rglob("*.db"))
    assert len(databases) == 3 * ROUNDS
    for file in databases:
        with contextlib.closing(sqlite3.connect(file)) as database:
            assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,), "one head"


@pytest.mark.parametrize("home", [True, False])
def test_a_state_that_another_process_keeps_locked_is_not_waited_for_without_end(
    tmp_path: Path, home: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_LOCKED_S", 0.1)
    directory = tmp_path if home else Path("data/dagster")
    with state.one_at_a_time(directory), pytest.raises(StateUnusable, match="another process keeps it locked"):
        open_instance(tmp_path if home else None, Storage("data/lake"))


def corrupt(home: Path, statement: str) -> None:
    with sqlite3.connect(home / "history" / "runs.db") as database:
        database.execute(statement)
    database.close()


@pytest.mark.parametrize("statement", ["INSERT INTO alembic_version VALUES ('5771160a95ad')", "DROP TABLE runs"])
def test_a_corrupt_state_is_reported_with_the_way_out(tmp_path: Path, statement: str) -> None:
    lake = Storage("data/lake")
    open_instance(tmp_path, lake).dispose()
    corrupt(tmp_path, statement)
    with pytest.raises(StateUnusable, match=r"is corrupt .*: move that directory away"):
        open_instance(tmp_path, lake)


def test_a_file_that_is_no_database_is_called_corrupt(tmp_path: Path) -> None:
    lake = Storage("data/lake")
    open_instance(tmp_path, lake).dispose()
    (tmp_path / "history" / "runs.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StateUnusable, match="is corrupt"):
        open_instance(tmp_path, lake)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "free some disk space"),
        (OSError(errno.EACCES, "Permission denied"), "check its permissions"),
    ],
)
def test_only_a_full_disk_is_called_full(error: OSError, remedy: str) -> None:
    assert remedy in str(state.unusable(Path("data/dagster"), error))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("storage: [\n", "while parsing"),
        ("nonsense: 1\n", "nonsense"),
        ("storage:\n  sqlite:\n    base_dir:\n      env: NEVER_SET\n", "NEVER_SET"),
        ("storage:\n  custom:\n    module: no.such.module\n    class: Storage\n", "no"),
    ],
)
def test_a_dagster_yaml_that_is_not_valid_is_named(text: str, message: str) -> None:
    Path("dagster.yaml").write_text(text)
    with pytest.raises(StateUnusable, match=r"dagster\.yaml cannot be used: ") as refused:
        open_instance(None, Storage("data/lake"))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
