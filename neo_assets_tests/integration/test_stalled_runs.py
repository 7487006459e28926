"""Runs that hang: `neo run` ends, and Dagster's daemon repeats a run once."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from neo_assets.orchestration.instance import open_instance
from neo_assets_tests.integration.harness import KEY, PATIENCE_S, Faulty, Place, Started, no_answer, place, serving

pytestmark = pytest.mark.slow

SETTINGS = {"NEO_MAX_IDLE_MINUTES": 0.1, "NASA_API_KEYS": KEY, "NEO_PAGES": 2}
NO_PROGRESS = "no progress for 0.1 minutes"
STATUS = dg.DagsterRunStatus


def audit(at: Place) -> list[dict[str, Any]]:
    """The runs in the audit, the latest first."""
    rows = map(json.loads, at.neo("audit", "--json").out.splitlines())
    return [row for row in rows if row["kind"] == "run"]


def test_neo_run_ends_without_progress_and_continues_later(here: Place) -> None:
    server = Faulty({1: lambda: no_answer})
    with serving(server) as url:
        settings = SETTINGS | {"NEOWS_BASE_URL": url}
        ended = here.neo("run", **settings)
        assert ended.code == 1
        assert ended.err.count(NO_PROGRESS) == 1
        assert "Traceback" not in ended.err
        [run] = audit(here)
        assert run["status"] == "failed"
        assert run["error"].startswith(NO_PROGRESS)
        server.mend()
        assert here.neo("run", **settings).code == 0
        assert server.asked == [1]


@dataclass
class Daemon:
    """A running `dagster-daemon`, and the NeoWs that its runs ask."""

    place: Place
    server: Faulty
    process: Started

    def launch(self) -> None:
        """Launch a run of the only page set."""
        tags = json.dumps({"dagster/partition": "00000-00001"})
        ended = self.place.run("dagster", "job", "launch", "-w", "workspace.yaml", "-j", "page_set", "--tags", tags)
        assert ended.code == 0, ended.err

    def runs(self) -> list[dg.DagsterRun]:
        """All runs, the oldest first. Like each command and sensor, this ends those that hang whole."""
        with open_instance(self.place.path, self.place.storage) as instance:
            return list(instance.get_runs(ascending=True))

    def wait_for(self, what: Callable[[list[dg.DagsterRun]], object]) -> list[dg.DagsterRun]:
        """Wait until something is true of all runs."""
        deadline = time.monotonic() + PATIENCE_S
        while not what(runs := self.runs()):
            assert time.monotonic() < deadline, runs
            time.sleep(0.25)
        return runs


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon with the checkout's `dagster.yaml`, and a NeoWs that never answers."""
    at = place(tmp_path / "here", "dagster.yaml", "workspace.yaml", **SETTINGS)
    monkeypatch.chdir(at.path)  # its state is there
    server = Faulty()
    server.break_down(lambda: no_answer)
    with serving(server) as url:
        at.settings |= {"NEOWS_BASE_URL": url, "DAGSTER_HOME": at.path}
        process = at.start("dagster-daemon", "run", "-w", "workspace.yaml")
        yield Daemon(at, server, process)
        process.kill()


def test_the_daemon_repeats_a_run_without_progress_once_and_then_leaves_it_failed(daemon: Daemon) -> None:
    daemon.launch()
    # Dagster stores this tag in a transaction of its own, after the status.
    first, second = daemon.wait_for(
        lambda runs: [run.tags.get("dagster/will_retry") for run in runs] == ["true", "false"]
    )
    assert second.parent_run_id == first.run_id
    assert [run.status for run in (first, second)] == [STATUS.FAILURE] * 2
    assert [run["error"][: len(NO_PROGRESS)] for run in audit(daemon.place)] == [NO_PROGRESS] * 2


def test_the_daemon_ends_a_run_whose_whole_process_hangs_and_repeats_it(daemon: Daemon) -> None:
    daemon.launch()
    daemon.wait_for(lambda _: daemon.server.asked)
    time.sleep(1)  # until it waits: stopped while it writes an event, it would keep Dagster's database locked
    [run] = daemon.runs()
    process = psutil.Process(int(run.tags[".dagster/neo_assets/process"].split()[0]))
    process.suspend()
    daemon.server.mend()
    first, second = daemon.wait_for(lambda runs: runs[-1].status is STATUS.SUCCESS)
    assert first.status is STATUS.FAILURE
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert second.parent_run_id == first.run_id
