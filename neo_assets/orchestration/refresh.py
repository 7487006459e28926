"""The schedule `daily_refresh`: when it requests a page set, from the lake, the request budget and earlier runs. Other
schedules and sensors live in `automation`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.bronze import RECOMPUTE
from neo_assets.orchestration.runs import ENDED, UNDER_WAY, page_set_of
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.refresh import DAY_STARTS, Due, due, oldest_first, start_of_day
from neo_assets.pipeline.text import named, quantity
from neo_assets.schema.page_sets import pages_of
from neo_assets.sources.neows.source import NeoWs

PAGE_SET = "page_set"
"""Name of the job that fetches and computes one page set."""

_TRIES_A_DAY = 3
"""Runs of a page set after which it is left for the next day."""

_TICK_S = 3600.0  # an hour, as in the cron schedule below

_LONGEST_WAIT_S = 600.0
"""No run is requested that would first wait longer than this for the request budget. The requests of the tick before
are available again within seconds, as the budget's hour is a little longer than the hour between two ticks.
"""


def daily_refresh(page_sets: dg.StaticPartitionsDefinition, metrics: Metrics) -> dg.ScheduleDefinition:
    """The schedule. It requests the job `PAGE_SET`, which fetches and computes one page set."""
    keys = page_sets.get_partition_keys()

    @dg.schedule(
        cron_schedule="0 * * * *",
        job_name=PAGE_SET,
        execution_timezone="UTC",
        description=f"Fetches every page again once a day, from {DAY_STARTS:%H:%M} UTC on, and computes all tables, in "
        "one run for each page set. Every hour, it requests as many page sets as the request budget can pay for, "
        "oldest first.",
    )
    def daily_refresh(
        context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Storage], neows: dg.ResourceParam[NeoWs]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        day = start_of_day(context.scheduled_execution_time)
        runs = _Runs.of(context.instance, day)
        to_do = due(lake, keys, metrics.of_a_page_set, day)
        under_way = [one for one in to_do if one.page_set in runs.under_way]
        given_up = [one for one in to_do if one not in under_way and runs.ended[one.page_set] >= _TRIES_A_DAY]
        waiting = [one for one in to_do if one not in under_way and one not in given_up]
        promised = _requests(under_way)
        allowed = neows.affordable(promised + _requests(waiting), _TICK_S, _LONGEST_WAIT_S) - promised
        chosen = oldest_first(waiting, runs.ended, allowed)
        if runs.last_failed:  # there may be an outage: one run an hour shows whether it is over
            chosen = [] if under_way else chosen[:1]
        if chosen:
            return [_request(one.page_set, day, runs.ended[one.page_set] + 1) for one in chosen]
        reasons = [
            f"{quantity(len(under_way), 'page set')} under way" if under_way else "",
            f"{named('page set', [one.page_set for one in given_up])} left for tomorrow after {_TRIES_A_DAY} runs"
            if given_up
            else "",
            f"{quantity(len(waiting), 'page set')} waiting: the request budget allows {max(allowed, 0):,} more now "
            "(NEO_PAGES_PER_SET sets how many a page set needs)"
            if waiting and allowed < _requests(waiting)
            else "",
        ]
        return dg.SkipReason("; ".join(filter(None, reasons)) or "every page set has been refreshed today")

    return daily_refresh


def _request(page_set: str, day: datetime, attempt: int) -> dg.RunRequest:
    # By their age alone, yesterday's pages would be reused: they may be just under a day old. Pages that an earlier
    # attempt fetched today are not fetched again.
    config = {"take_again": list(pages_of(page_set)), "not_before": day.isoformat()}
    return dg.RunRequest(
        run_key=f"{day:%Y-%m-%d} {page_set} attempt {attempt}",
        partition_key=page_set,
        run_config={"ops": {"raw_pages": {"config": config}}},
    )


def _requests(page_sets: Sequence[Due]) -> int:
    return sum(one.requests for one in page_sets)


@dataclass(frozen=True)
class _Runs:
    """Runs that fetch page sets, whoever launched them. Dagster compares the run keys of a schedule within one tick
    only, so they alone would not prevent a second run.
    """

    under_way: set[str]
    """Page sets with a run that has not ended."""
    ended: Counter[str]
    """Number of runs that have ended, by page set."""
    last_failed: bool
    """Whether the run that ended last failed."""

    @classmethod
    def of(cls, instance: dg.DagsterInstance, day: datetime) -> "_Runs":
        """The runs of a day that have ended, and all that have not."""
        under_way = instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))
        records = instance.get_run_records(dg.RunsFilter(statuses=ENDED, created_after=day))
        records = sorted(records, key=lambda record: record.end_time or 0.0)
        ended = [record.dagster_run for record in records if _page_set(record.dagster_run)]
        return cls(
            under_way=set(map(_page_set, under_way)),
            ended=Counter(map(_page_set, ended)),
            last_failed=bool(ended) and ended[-1].status is dg.DagsterRunStatus.FAILURE,
        )


def _page_set(run: dg.DagsterRun) -> str:
    """The page set that a run fetches; empty if it fetches none, or several."""
    return "" if run.job_name == RECOMPUTE else page_set_of(run) or ""
