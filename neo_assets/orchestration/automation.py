"""Jobs, schedules and sensors: when the graph runs by itself. What it does then lives in `assets` and `pipeline`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import dagster as dg

from neo_assets.lake import raw_pages
from neo_assets.lake.landing_zone import waiting
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline.land import TakenIn, affected_page_sets, take_in
from neo_assets.pipeline.staleness import complete, stale
from neo_assets.schema.page_sets import LANDED, pages_of
from neo_assets.settings import Settings

_TOTALS = dg.AssetSelection.assets("total_near_misses", "total_yearly_approaches", "snapshot")
_STATS = dg.AssetSelection.assets("catalogue_stats")
_LANDED = dg.AssetSelection.assets(LANDED_OBJECTS)
_OF_A_PAGE_SET = dg.AssetSelection.all() - _TOTALS - _STATS - _LANDED

STORED_ONLY: dict[str, Any] = {"ops": {"raw_pages": {"config": {"stored_only": True}}}}
"""Run config that fetches nothing."""

# A file that was changed less than this ago may still be being written.
_SETTLED_S = 10

_MOST_OBSERVATIONS = 1000

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_PAGE_SET_JOB = dg.define_asset_job(
    "page_set", selection=_OF_A_PAGE_SET, description="Fetch, read and count one page set."
)
_RECOMPUTE_JOB = dg.define_asset_job(
    "recompute",
    selection=_OF_A_PAGE_SET,
    config=STORED_ONLY,
    description="Read and count one page set from its stored pages; nothing is fetched.",
)
_LANDED_JOB = dg.define_asset_job(
    "landed", selection=_LANDED, description="Read and count the landed objects from their stored pages."
)
_TOTALS_JOB = dg.define_asset_job(
    "totals", selection=_TOTALS, description="The totals and the verdict, over all page sets in the lake."
)
_STATS_JOB = dg.define_asset_job("stats", selection=_STATS, description="NeoWs's own counts of its whole catalogue.")


@dataclass(frozen=True)
class Automation:
    """What the code location runs, when, and on which occasion."""

    jobs: Sequence[Any]
    schedules: Sequence[dg.ScheduleDefinition]
    sensors: Sequence[dg.SensorDefinition]


def automation(page_sets: dg.StaticPartitionsDefinition, settings: Settings) -> Automation:
    """The jobs, schedules and sensors of the code location.

    - Job `page_set`: everything below the totals, for one page set; job `recompute`: the same from the stored pages.
    - Job `totals`: the two totals and the snapshot's verdict, from the lake alone; job `stats`: NeoWs's own counts.
    - Job `land`: takes in the files of the landing zone; job `landed`: computes the landed objects.
    - Schedule `daily_refresh`: every page set once a day, one run each, as NeoWs renews its data about daily. Off at
      first.
    - Schedule `daily_stats`: NeoWs's own counts, for comparison. Off at first.
    - Sensor `totals_follow_page_sets`: computes the totals when page sets have new counts and none is missing, and at
      noon (UTC).
    - Sensor `landing`: asks for `land` when files wait. On at first: it costs one listing a minute, 0.25 dollars a
      month on S3.
    - Sensors `landed_pages` and `landed_objects`: ask for `recompute` and `landed` where `land` has stored pages.
    """
    follow = dg.AutomationConditionSensorDefinition(
        "totals_follow_page_sets", target=_TOTALS, default_status=dg.DefaultSensorStatus.RUNNING
    )
    return Automation(
        jobs=[_PAGE_SET_JOB, _RECOMPUTE_JOB, _TOTALS_JOB, _STATS_JOB, _land_job(settings), _LANDED_JOB],
        schedules=[_daily_refresh(page_sets), _daily_stats()],
        sensors=[
            follow,
            _landing,
            _landed_sensor("landed_pages", "raw_pages", "recompute", STORED_ONLY),
            _landed_sensor("landed_objects", LANDED_OBJECTS, "landed", None),
        ],
    )


def _daily_refresh(page_sets: dg.StaticPartitionsDefinition) -> dg.ScheduleDefinition:
    @dg.schedule(cron_schedule="0 6 * * *", job=_PAGE_SET_JOB, execution_timezone="UTC")
    def daily_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        """Every page set once a day, one run each."""
        day = context.scheduled_execution_time.date().isoformat()
        for key in page_sets.get_partition_keys():
            # Yesterday's pages are just under a day old and would be reused by their age; those that a failed run of
            # today has fetched need not be fetched again.
            config = {
                "take_again": list(pages_of(key)),
                "not_before": context.scheduled_execution_time.astimezone(UTC).isoformat(),
            }
            run_config = {"ops": {"raw_pages": {"config": config}}}
            yield dg.RunRequest(run_key=f"{day} {key}", partition_key=key, run_config=run_config)

    return daily_refresh


def _daily_stats() -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="daily_stats",
        job=_STATS_JOB,
        cron_schedule="30 11 * * *",
        execution_timezone="UTC",
        description="NeoWs's own counts of its catalogue, half an hour before the totals are compared with them.",
    )


def _land_job(settings: Settings) -> dg.JobDefinition:
    @dg.op(out=dg.Out(dg.Nothing))
    def take_in_files(context: dg.OpExecutionContext, lake: dg.ResourceParam[Storage]) -> None:
        """Store what the files of the landing zone hold, and put them away.

        Before a file is put away, an observation names each page set that it changed. The sensors
        `landed_pages` and `landed_objects` ask for runs by these, so none is lost if this run dies.
        """
        done: list[TakenIn] = []
        with failing_in_one_line():
            for taken in take_in(lake, settings, _SETTLED_S):
                for key in affected_page_sets(settings, taken.pages):
                    context.log_event(_observation(key, taken.file))
                done.append(taken)
        outcomes = {taken.file: taken.outcome(settings) for taken in done}
        for file, outcome in outcomes.items():
            context.log.info("%s: %s", file, outcome)
        context.add_output_metadata({"files": outcomes})

    @dg.job(description="Take in the files of the landing zone.")
    def land() -> None:
        take_in_files()

    return land


def _observation(page_set: str, file: str) -> dg.AssetObservation:
    if page_set == LANDED:
        return dg.AssetObservation(LANDED_OBJECTS, metadata={"landed file": file})
    return dg.AssetObservation("raw_pages", partition=page_set, metadata={"landed file": file})


@dg.sensor("land", name="landing", minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def _landing(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Storage]) -> dg.RunRequest | dg.SkipReason:
    """Asks for `land` when files wait: once an hour for the same files, and never while it runs."""
    files = waiting(lake, _SETTLED_S)
    if not files:
        return dg.SkipReason("no file waits")
    if context.instance.get_runs_count(dg.RunsFilter(job_name="land", statuses=_UNDER_WAY)):
        return dg.SkipReason("the files are being taken in")
    listing = "\n".join(f"{file.name} {file.modified} {file.size}" for file in files)
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    return dg.RunRequest(run_key=f"{hour} {sha256(listing.encode()).hexdigest()}")


def _landed_sensor(name: str, asset: str, job: str, run_config: Mapping[str, Any] | None) -> dg.SensorDefinition:
    """Asks for a job where the job `land` has stored pages of an asset and tables are stale."""

    @dg.sensor(job, name=name, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
    def landed(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Storage]) -> dg.SensorResult | dg.SkipReason:
        since = dg.AssetRecordsFilter(dg.AssetKey(asset), after_storage_id=int(context.cursor or 0))
        records = context.instance.fetch_observations(since, limit=_MOST_OBSERVATIONS, ascending=True).records
        if not records:
            return dg.SkipReason("nothing has landed")
        changed = sorted({record.partition_key or LANDED for record in records})
        cursor = str(records[-1].storage_id)
        requests = [
            dg.RunRequest(
                run_key=f"{key} after event {cursor}",
                partition_key=None if key == LANDED else key,
                run_config=run_config,
            )
            for key in stale(lake, complete(raw_pages.known_facts(lake, changed)))
        ]
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return landed
