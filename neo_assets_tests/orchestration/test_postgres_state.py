"""Dagster's state in PostgreSQL: chosen in `dagster.yaml`, of one lake, patient with a server that restarts, and
refused in one line if it cannot be used.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import StateUnusable
from neo_assets.orchestration.instance import open_instance, tags_of_this_process
from neo_assets_tests.integration.harness import CHECKOUT, Ended, dagster_yaml_for_postgres, nobody_at
from neo_assets_tests.postgres_server import PASSWORD, PostgresServer, programs_or_skip, run, serving_postgres

Neo = Callable[..., Ended]
LAKE = "data/lake"
STATE = "neo_assets.orchestration.postgres_state"
RUN = dg.DagsterRun("page_set", "12345678-1234-1234-1234-123456789012")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory has a `dagster.yaml` that keeps the state in PostgreSQL, if that is there soon."""
    Path("dagster.yaml").write_text(dagster_yaml_for_postgres())


@pytest.fixture
def url(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    url = postgres_server.new_database()
    monkeypatch.setenv("NEO_POSTGRES_URL", url)
    return url


def test_a_run_of_the_whole_graph_is_recorded_there_and_nowhere_else(neo: Neo, url: str) -> None:
    ended = neo("run", NEO_PAGES=1, NEO_PAGES_PER_SET=1)
    assert ended.code == 0, ended.err
    jobs = dict(run(url, "SELECT pipeline_name, status FROM runs"))
    assert jobs["page_set"] == jobs["totals"] == "SUCCESS"
    [[steps]] = run(url, "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'STEP_SUCCESS'")
    assert steps > 5
    assert not Path("data/dagster/history").exists()
    assert neo("audit").out.count("success") == len(run(url, "SELECT id FROM runs"))
    refused = neo("run", NEO_PAGES=1, NEO_PAGES_PER_SET=1, NEO_LAKE="data/other")
    assert refused.code == 1
    assert f"{LAKE}, but NEO_LAKE is {Path('data/other').absolute()}: set NEO_POSTGRES_URL to a database" in refused.err


def test_the_lines_are_off_by_default(neo: Neo, url: str) -> None:
    """Whoever only publishes tables keeps the history where it is."""
    Path("dagster.yaml").write_text((CHECKOUT / "dagster.yaml").read_text())
    open_instance(None, Storage(LAKE)).dispose()
    assert run(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_dagsters_own_options_name_another_database(url: str, postgres_server: PostgresServer) -> None:
    other = postgres_server.new_database()
    text = dagster_yaml_for_postgres().replace("config: {}", f"config: {{postgres_url: '{other}'}}")
    Path("dagster.yaml").write_text(text)
    open_instance(None, Storage(LAKE)).dispose()
    assert run(other, "SELECT count(*) FROM runs") == [(0,)]


@pytest.mark.parametrize("case", ["nobody", "password", "database", "rights"])
def test_what_cannot_be_used_is_one_line(
    case: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{STATE}._OPENING_S", 0)
    with nobody_at() as nobody:
        url = {
            "nobody": f"postgresql://admin:{PASSWORD}@{nobody}/neo",
            "password": postgres_server.url(password="wrong-secret"),
            "database": postgres_server.url("none"),
            "rights": "",
        }[case]
        if case == "rights":
            url = postgres_server.new_database()
            run(postgres_server.url(), f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
            run(url, "REVOKE CREATE ON SCHEMA public FROM public")
            url = url.replace("admin:", "guest:")
        monkeypatch.setenv("NEO_POSTGRES_URL", url)
        with pytest.raises(
            StateUnusable, match=r"cannot be read or written .*: check that PostgreSQL runs there"
        ) as refused:
            open_instance(None, Storage(LAKE))
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_database_that_is_not_named_is_asked_for() -> None:
    with pytest.raises(StateUnusable, match="NEO_POSTGRES_URL is not set"):
        open_instance(None, Storage(LAKE))


def test_a_missing_package_is_named_with_what_installs_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_postgres", None)
    monkeypatch.delitem(sys.modules, STATE, raising=False)
    with pytest.raises(StateUnusable, match=r"run `\.venv/bin/pip install -e '\.\[postgres\]'`"):
        open_instance(None, Storage(LAKE))


def test_a_run_whose_process_is_gone_is_ended(url: str) -> None:
    with open_instance(None, Storage(LAKE)) as instance:
        tags = tags_of_this_process(RUN.run_id, 900.0) | {".dagster/neo_assets/process": "1 5"}
        instance.add_run(RUN.with_status(dg.DagsterRunStatus.STARTED).with_tags(tags))
    open_instance(None, Storage(LAKE)).dispose()
    assert run(url, "SELECT status FROM runs") == [("FAILURE",)]
    [[message]] = run(url, "SELECT event FROM event_logs WHERE dagster_event_type = 'PIPELINE_FAILURE'")
    assert "no longer exists" in message


@pytest.mark.slow
def test_events_wait_for_a_server_that_restarts_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_postgres(programs_or_skip()) as server:
        monkeypatch.setenv("NEO_POSTGRES_URL", server.url())
        with open_instance(None, Storage(LAKE)) as instance:
            instance.add_run(RUN)
            server.kill()
            back = threading.Timer(1, server.start)
            back.start()
            instance.report_engine_event("said during the outage", RUN)
            instance.add_run_tags(RUN.run_id, {"tagged": "after it"})
            back.join()
            assert [event.message for event in instance.all_logs(RUN.run_id)] == ["said during the outage"]
            run_now = instance.get_run_by_id(RUN.run_id)
            assert run_now
            assert run_now.tags["tagged"] == "after it"
    monkeypatch.setattr(f"{STATE}._OUTAGE_S", 1)
    with serving_postgres(programs_or_skip()) as server:
        monkeypatch.setenv("NEO_POSTGRES_URL", server.url())
        with open_instance(None, Storage(LAKE)) as instance:
            instance.add_run(RUN)
            server.kill()
            for _ in range(2):  # the second time at once
                with pytest.raises(StateUnusable, match="check that PostgreSQL runs there"):
                    instance.report_engine_event("said to nobody", RUN)


@pytest.mark.slow
def test_processes_that_open_a_new_database_at_once_find_it_whole(url: str) -> None:
    script = (
        "import sys; from neo_assets.orchestration.instance import *; from neo_assets.lake.storage import Storage\n"
        "print('ready', flush=True); sys.stdin.readline(); open_instance(None, Storage('data/lake')).dispose()"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert run(url, "SELECT count(*) FROM alembic_version") == [(1,)], "one head"
