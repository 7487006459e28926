"""What Dagster's records say of a run and its events: whether it has ended, its page set, times; and the tags and keys
that runs of several kinds are requested with. What follows from them is decided in the modules beside this one.
"""

from datetime import UTC, datetime

import dagster as dg

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of a run that has not ended."""

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

BEFORE_OTHERS = {"dagster/priority": "1"}
"""Tags of a run that is not to wait in the queue behind the runs of a refresh."""

_PARTITION = "dagster/partition"
_FIRST, _LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def page_set_of(run: dg.DagsterRun) -> str | None:
    """The page set that a run is for; None if it is for none, or for a range."""
    return run.tags.get(_PARTITION)


def page_sets_of(run: dg.DagsterRun, all_keys: list[str]) -> list[str]:
    """The page sets that a run is for, of all that there are; none if it is not for page sets."""
    if key := page_set_of(run):
        return [key]
    first, last = run.tags.get(_FIRST), run.tags.get(_LAST)
    return [key for key in all_keys if first and last and first <= key <= last]


def time_of(entry: dg.EventLogEntry) -> datetime:
    """When an event happened."""
    return datetime.fromtimestamp(entry.timestamp, UTC)


def this_hour() -> str:
    """Part of a run key, which Dagster never runs twice: what fails is requested again after an hour."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H")
