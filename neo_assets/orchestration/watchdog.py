"""The watchdog of a run: ends it, and the process that executes it, if it makes no progress. What is progress while
pages are fetched is decided in `sources.neows.progress`; each of the run's own events, such as a step that ends, is
progress too.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

import dagster as dg
from sqlalchemy.exc import DBAPIError

from neo_assets.orchestration.failures import StateUnusable
from neo_assets.sources.neows.progress import Progress

logger = logging.getLogger(__name__)

_MAX_RUNTIME = "dagster/max_runtime_seconds"
"""Tag with the longest time that a run may take, in seconds, which Dagster's run monitoring enforces; a tag
`dagster/max_runtime` wins over it (https://docs.dagster.io/deployment/execution/run-monitoring).
"""

_LOOKS = 30
"""How often to look within the longest idle time."""

_LOOKS_BETWEEN_TAGS = 6

_DEADLINE = ".dagster/neo_assets/deadline"
"""Tag with the time by which a run must have moved this tag on, else its whole process hangs (`time.monotonic`, which
all processes of a machine share). The UI hides it.
"""

_DEADLINE_SHARE, _MAX_RUNTIME_SHARE = 1.4, 2.0
"""What the two tags allow, in longest idle times: the watchdog acts first if it can, then the next process that looks
for hung runs on this machine, and Dagster's run monitoring last.
"""

_GRACE_S = 60.0
"""Time to record how a run ended, before its process ends."""


def limits(longest_idle_s: float, runs_for_s: float = 0.0, waits_s: float = 0.0) -> dict[str, str]:
    """Tags of a run with the limits that others hold it to, from its last progress on.

    Args:
        longest_idle_s: how long it may go without progress.
        runs_for_s: for how long it has run.
        waits_s: for how long it will wait.
    """
    deadline = time.monotonic() + waits_s + longest_idle_s * _DEADLINE_SHARE
    return {
        _DEADLINE: f"{deadline:.0f}",
        _MAX_RUNTIME: f"{runs_for_s + waits_s + longest_idle_s * _MAX_RUNTIME_SHARE:.0f}",
    }


def hangs(run: dg.DagsterRun) -> bool:
    """Whether the whole process of a run hangs, which was executed on this machine since it was started."""
    return time.monotonic() > float(run.tags.get(_DEADLINE, "inf"))


@contextlib.contextmanager
def watched(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    progress: Progress,
    longest_idle_s: float,
    record: Callable[[], object],
) -> Iterator[None]:
    """Watch a run while it lasts.

    If it makes no progress, it is marked as failed, and the process ends: what hangs, such as a thread that reads from
    a dead disk, could not be ended otherwise. A killed process loses nothing that is stored.

    The watchdog cannot notice if the whole process hangs. So while the run makes progress, the limits that others hold
    it to are moved on.

    Args:
        instance: where the run is recorded.
        run: the run, which has just begun.
        progress: what the run has done; its events are noted there.
        longest_idle_s: how long it may go without progress.
        record: records how it ended, after it has been marked as failed.
    """
    over = threading.Event()
    instance.add_event_listener(run.run_id, lambda entry: progress.done() if entry.is_dagster_event else None)
    progress.done()

    def watch() -> None:
        started_at, look_s = time.time(), longest_idle_s / _LOOKS
        seen = tagged = progress.at
        idle = looks = 0
        while not over.wait(look_s):
            looks += 1
            # Counted, not measured: a process that was suspended, as by Ctrl-Z, has not been idle.
            before, seen = seen, progress.at
            idle = 0 if seen != before or seen > time.monotonic() else idle + 1
            if idle >= _LOOKS:
                _end(instance, run, longest_idle_s, record)
                break
            if looks % _LOOKS_BETWEEN_TAGS == 0 and seen != tagged:
                waits_s = max(0.0, seen - time.monotonic())
                with contextlib.suppress(DBAPIError, StateUnusable):  # the next look tries again
                    instance.add_run_tags(run.run_id, limits(longest_idle_s, time.time() - started_at, waits_s))
                    tagged = seen

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, idle_s: float, record: Callable[[], object]) -> None:
    """Mark a run as failed, and end this process."""
    last_resort = threading.Timer(_GRACE_S, _leave)  # recording may hang on what the run hangs on
    last_resort.daemon = True
    last_resort.start()
    message = (
        f"no progress for {idle_s / 60:g} minutes (NEO_MAX_IDLE_MINUTES), so the run and its process are ended: check "
        "the network, the disk and the lake; the same command continues from what is stored"
    )
    try:
        logger.error("%s", message)
        instance.report_run_failed(run, message)
        record()
    finally:
        _leave()


def _leave() -> None:
    os._exit(1)
