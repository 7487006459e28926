"""Jobs, schedules and sensors: when the graph runs by itself. What it does then lives in `assets`."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from neo_assets.lake.landing_zone import waiting
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import NotComputed, told_to_dagster
from neo_assets.pipeline.land import Landing
from neo_assets.schema.page_sets import pages_of
from neo_assets.settings import Settings

TOTALS = dg.AssetSelection.assets("total_near_misses", "total_yearly_approaches", "snapshot")
STATS = dg.AssetSelection.assets("catalogue_stats")

JobNamed = Callable[[str], dg.JobDefinition]
"""Gives a job of the code location, with its resources."""

# A file that was changed less than this ago may still be written.
_SETTLED_S = 10

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

# Dagster's account of each step goes to its instance, where the UI shows it, and not to the terminal.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def automation(page_sets: dg.StaticPartitionsDefinition, settings: Settings, job_named: JobNamed) -> dict[str, Any]:
    """The `jobs`, `schedules` and `sensors` of the code location.

    - job `page_set`: everything above the totals, for one page set; job `recompute`: the same from the stored pages.
    - job `totals`: the two totals and the snapshot's verdict, from the lake alone; job `stats`: what NeoWs says of
      itself.
    - job `land`: takes in what lies in the landing zone, and counts it by way of `recompute` and `totals`.
    - schedule `daily_refresh`: every page set once a day, one run each, as NeoWs renews its data about daily. Off at
      first.
    - schedule `daily_stats`: what NeoWs says of itself, for comparison. Off at first.
    - sensor `totals_follow_page_sets`: computes the totals again when page sets were counted anew and none is missing,
      and at noon (UTC).
    - sensor `landing`: looks into the landing zone every minute and asks for `land` where a file waits. On at first, as
      it costs one listing a minute, 0.25 dollars a month on S3.
    """
    page_set = dg.define_asset_job(
        "page_set",
        selection=dg.AssetSelection.all() - TOTALS - STATS,
        description="Pages in, counts out, for one page set.",
    )
    recompute = dg.define_asset_job(
        "recompute",
        selection=dg.AssetSelection.groups("silver", "gold") - TOTALS,
        description="Stored pages in, counts out, for one page set; nothing is fetched.",
    )
    stats = dg.define_asset_job("stats", selection=STATS, description="What NeoWs says of its whole catalogue.")
    totals = dg.define_asset_job(
        "totals", selection=TOTALS, description="The totals and the verdict over all page sets that are there."
    )

    @dg.schedule(cron_schedule="0 6 * * *", job=page_set, execution_timezone="UTC")
    def daily_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        """Every page set once a day, one run each."""
        day = context.scheduled_execution_time.date().isoformat()
        for key in page_sets.get_partition_keys():
            # Yesterday's pages are just under a day old, so their age alone would have them reused; those of a run that
            # failed today are not taken again.
            config = {
                "take_again": list(pages_of(key)),
                "not_before": context.scheduled_execution_time.astimezone(UTC).isoformat(),
            }
            anew = {"ops": {"raw_pages": {"config": config}}}
            yield dg.RunRequest(run_key=f"{day} {key}", partition_key=key, run_config=anew)

    daily_stats = dg.ScheduleDefinition(
        name="daily_stats",
        job=stats,
        cron_schedule="30 11 * * *",
        execution_timezone="UTC",
        description="What NeoWs says of its whole catalogue, half an hour before the totals of noon compare with it.",
    )

    follow = dg.AutomationConditionSensorDefinition(
        "totals_follow_page_sets", target=TOTALS, default_status=dg.DefaultSensorStatus.RUNNING
    )
    return {
        "jobs": [page_set, recompute, totals, stats, _land(settings, job_named)],
        "schedules": [daily_refresh, daily_stats],
        "sensors": [follow, _landing],
    }


def _land(settings: Settings, job_named: JobNamed) -> dg.JobDefinition:
    @dg.op(out=dg.Out(dg.Nothing))
    def take_in(context: dg.OpExecutionContext, lake: dg.ResourceParam[Storage]) -> None:
        """Files of the landing zone in, counts out; each page set and the totals in a run of their own."""

        def execute(job: str, page_set: str | None) -> None:
            job_named(job).execute_in_process(QUIET, context.instance, page_set)

        with told_to_dagster():
            report = Landing(lake, settings, context.instance, execute).take_in(_SETTLED_S)
            for line in report.lines:
                context.log.info(line)
            context.add_output_metadata({"files": report.files, "computed": report.counted})
            if report.failed:
                raise NotComputed(f"could not be computed: {', '.join(report.failed)}")

    @dg.job(description="What lies in the landing zone in, counts out.")
    def land() -> None:
        take_in()

    return land


@dg.sensor("land", name="landing", minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def _landing(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Storage]) -> dg.RunRequest | dg.SkipReason:
    """Asks for `land` where files wait, once an hour for the same files, and not while it is under way."""
    files = waiting(lake, _SETTLED_S)
    if not files:
        return dg.SkipReason("no file waits")
    if context.instance.get_runs_count(dg.RunsFilter(job_name="land", statuses=_UNDER_WAY)):
        return dg.SkipReason("the files are being taken in")
    listing = "\n".join(f"{file.name} {file.modified} {file.size}" for file in files)
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    return dg.RunRequest(run_key=f"{hour} {hashlib.sha256(listing.encode()).hexdigest()}")
