"""The watchdog: a run without progress is ended, with its process; one that makes progress, or waits, never is."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from neo_assets.orchestration import watchdog
from neo_assets.orchestration.watchdog import hangs, limits, watched
from neo_assets.sources.neows.progress import Progress
from neo_assets_tests.integration.harness import PATIENCE_S

IDLE_S = 0.3
LONG_IDLE_S = 3.0  # a busy machine may take a second to store an event
MAX_RUNTIME = "dagster/max_runtime_seconds"


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set where the process would end; only the watchdog's thread does."""
    left = threading.Event()
    monkeypatch.setattr(watchdog, "_leave", left.set)
    return left


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """On disk: threads that share Dagster's databases in memory find tables locked."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    run = dg.DagsterRun("page_set", status=dg.DagsterRunStatus.STARTED, tags=limits(IDLE_S))
    return instance.add_run(run)


def stored(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found


def nothing() -> None:
    """Record nothing."""


def test_a_run_without_progress_is_failed_recorded_and_ended(
    instance: dg.DagsterInstance, run: dg.DagsterRun, left: threading.Event
) -> None:
    recorded: list[dg.DagsterRunStatus] = []
    with watched(instance, run, Progress(), IDLE_S, lambda: recorded.append(stored(instance, run).status)):
        assert left.wait(PATIENCE_S)
    assert recorded == [dg.DagsterRunStatus.FAILURE]
    [failure] = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert failure.dagster_event
    assert "no progress for 0.005 minutes (NEO_MAX_IDLE_MINUTES)" in str(failure.dagster_event.message)


def test_a_process_whose_run_cannot_be_recorded_ends_too(
    instance: dg.DagsterInstance, run: dg.DagsterRun, left: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_GRACE_S", 0.1)
    hanging = threading.Event()
    with watched(instance, run, Progress(), IDLE_S, hanging.wait):
        assert left.wait(PATIENCE_S)
        hanging.set()


@pytest.mark.parametrize("kind", ["page", "event", "wait"])
def test_progress_keeps_a_run_alive(
    instance: dg.DagsterInstance, run: dg.DagsterRun, left: threading.Event, kind: str
) -> None:
    progress = Progress()
    act: Callable[[], object] = progress.done if kind == "page" else lambda: instance.report_engine_event("", run)
    with watched(instance, run, progress, LONG_IDLE_S, nothing):
        if kind == "wait":
            with progress.waiting(600):
                assert not left.wait(LONG_IDLE_S * 1.5)
        else:
            end = time.monotonic() + LONG_IDLE_S * 1.5
            while time.monotonic() < end:
                act()
                assert not left.wait(LONG_IDLE_S / 30)
    assert stored(instance, run).status is dg.DagsterRunStatus.STARTED


def test_a_log_message_is_no_progress(instance: dg.DagsterInstance, run: dg.DagsterRun, left: threading.Event) -> None:
    entry = dg.EventLogEntry(None, 20, "trying again", run.run_id, time.time())
    with watched(instance, run, Progress(), IDLE_S, nothing):
        end = time.monotonic() + PATIENCE_S
        while not left.wait(IDLE_S / 10):
            instance.handle_new_event(entry)
            assert time.monotonic() < end


def test_the_outer_limit_moves_on_with_progress_and_allows_for_waits(
    instance: dg.DagsterInstance, run: dg.DagsterRun, left: threading.Event
) -> None:
    """Dagster's run monitoring counts from the start of the run."""
    progress = Progress()
    assert float(stored(instance, run).tags[MAX_RUNTIME]) < 600
    with watched(instance, run, progress, IDLE_S, nothing), progress.waiting(600):
        end = time.monotonic() + PATIENCE_S
        while float(stored(instance, run).tags[MAX_RUNTIME]) < 590:
            assert time.monotonic() < end
            time.sleep(IDLE_S / 10)
        time.sleep(IDLE_S * 2)
        assert not hangs(stored(instance, run))
    assert not left.is_set()


def test_a_run_that_does_not_move_its_deadline_on_hangs(run: dg.DagsterRun) -> None:
    assert not hangs(run.with_tags(limits(900)))
    assert not hangs(run.with_tags(limits(-900, waits_s=3600)))
    assert hangs(run.with_tags(limits(-900)))


def test_the_watchdog_ends_with_its_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    with watched(instance, run, Progress(), 900, nothing):
        assert "watchdog" in {thread.name for thread in threading.enumerate()}
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}
