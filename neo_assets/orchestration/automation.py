"""Jobs, schedules and sensors: what runs, and when. The steps themselves live in `assets` and `pipeline`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import dagster as dg

from neo_assets.lake import raw_pages
from neo_assets.lake.landing_zone import waiting
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.alerts import alerts
from neo_assets.orchestration.assets.bronze import RECOMPUTE
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.assets.products import PRODUCTS
from neo_assets.orchestration.audit import record
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.refresh import PAGE_SET, daily_refresh
from neo_assets.orchestration.requests import requests_automation
from neo_assets.orchestration.runs import BEFORE_OTHERS, UNDER_WAY, this_hour
from neo_assets.pipeline.land import TakenIn, affected_page_sets, take_in
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.staleness import complete, stale
from neo_assets.pipeline.text import first_few
from neo_assets.schema.columns import Table
from neo_assets.schema.heartbeat_table import HEARTBEAT
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import SNAPSHOT
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import HEARTBEAT_REQUESTS, NeoWs

_STATS = dg.AssetSelection.assets("catalogue_stats")
_LANDED = dg.AssetSelection.assets(LANDED_OBJECTS)
_HEARTBEAT = dg.AssetSelection.assets(HEARTBEAT.name)

_SETTLED_S = 10
"""Files changed within this many seconds may still be incomplete, so they are left for the next run."""

_MOST_OBSERVATIONS = 1000

_HEARTBEATS_A_DAY = 96
_SHARE_FOR_HEARTBEATS = 0.1
"""Of the requests that the budget allows in a day. DEMO_KEY's 50 would not last for the heartbeats alone."""

_LANDED_JOB = dg.define_asset_job(
    "landed", selection=_LANDED, description="Compute all tables of the landed objects from their stored pages."
)
_STATS_JOB = dg.define_asset_job(
    "stats", selection=_STATS, description="Fetch NeoWs's own counts of its catalogue (`/stats`)."
)
_ONE_HEARTBEAT = "one_heartbeat"  # the asset has the name `heartbeat`, and Dagster allows it once
_HEARTBEAT_JOB = dg.define_asset_job(
    _ONE_HEARTBEAT, selection=_HEARTBEAT, description="Look whether NeoWs is in order, and how large its catalogue is."
)


@dataclass(frozen=True)
class Recompute:
    """How a page set is computed from its stored pages."""

    job: str
    asset: str
    """The asset that holds its pages."""
    partition_key: str | None


def recompute_of(page_set: str) -> Recompute:
    """How to compute a page set, or the landed objects, from their stored pages."""
    if page_set == LANDED:
        return Recompute("landed", LANDED_OBJECTS, None)
    return Recompute(RECOMPUTE, "raw_pages", page_set)


@dataclass(frozen=True)
class Automation:
    """The jobs of the code location, and the schedules and sensors that start them."""

    jobs: Sequence[Any]
    schedules: Sequence[dg.ScheduleDefinition]
    sensors: Sequence[dg.SensorDefinition]


def automation(page_sets: dg.StaticPartitionsDefinition, settings: Settings, metrics: Metrics) -> Automation:
    """The jobs, schedules and sensors of the code location.

    - Job `page_set`: everything upstream of the totals, for one page set; job `recompute`: the same from stored pages.
    - Job `totals`: the totals and the snapshot's verdict, from the lake alone; job `stats`: NeoWs's own counts.
    - Job `products`: the metrics of the whole catalogue, and the files that people take away, from the lake alone.
    - Job `one_heartbeat`: looks whether NeoWs is in order.
    - Job `land`: takes in files from the landing zone; job `landed`: computes the landed objects' tables.
    - Schedule `daily_refresh`: refreshes every page set once a day, one run each, as NeoWs updates its data about
      daily. Every hour, it requests as many as the request budget can pay for, oldest first. Off by default.
    - Schedule `daily_stats`: fetches NeoWs's own counts for comparison. Off by default.
    - Schedule `heartbeat`: requests `one_heartbeat` every 15 minutes, unless that takes more than a tenth of the
      request budget. Off by default.
    - Sensor `totals_follow_page_sets`: computes the totals when page sets have new counts and none is missing, when
      landed objects have new ones, and at noon (UTC).
    - Sensor `products_follow_totals`: makes the products again when totals have changed, and at 12:15 (UTC).
    - Sensor `landing`: requests `land` when files wait. On by default: one listing a minute costs about 0.25 dollars a
      month on S3.
    - Sensor `alerts`: reports what failed, and when that is over. It requests nothing. On by default.
    - Sensor `ended_runs`: records runs in the audit that were ended from outside. On by default.
    - Sensor `requests`: requests `requested_report` for each report that a client of the API has ordered. On by
      default, as is the schedule `report_collection`, which requests `collect_reports`: looking costs nothing.
    - Sensors `landed_pages` and `landed_objects`: request `recompute` and `landed` after `land` has stored pages.
    """
    totals = dg.AssetSelection.assets(*_totals(metrics))
    over_catalogue = dg.AssetSelection.assets(*(metric.total.name for metric in metrics.over_catalogue))
    products = dg.AssetSelection.groups(PRODUCTS) | over_catalogue
    of_a_page_set = dg.AssetSelection.all() - totals - _STATS - _LANDED - _HEARTBEAT - products
    ordered = requests_automation(settings)
    follow = dg.AutomationConditionSensorDefinition(
        "totals_follow_page_sets",
        target=totals,
        description="Computes the totals when page sets have new counts and none is missing, when landed objects have "
        "new ones, and daily at 12:00 UTC; the verdict on the snapshot also when NeoWs's own counts are new.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    products_follow = dg.AutomationConditionSensorDefinition(
        "products_follow_totals",
        target=products,
        description="Computes the metrics of the whole catalogue and makes the products again when a total or the "
        "verdict on the snapshot is new, and daily at 12:15 UTC. Files that are up to date are left as they are.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    return Automation(
        jobs=[
            dg.define_asset_job(
                PAGE_SET, selection=of_a_page_set, description="Gather one page set and compute all its tables."
            ),
            dg.define_asset_job(
                RECOMPUTE,
                selection=of_a_page_set,
                description="Compute all tables of one page set from its stored pages. Nothing is fetched.",
            ),
            dg.define_asset_job(
                "totals",
                selection=totals,
                description="Compute the totals and the verdict on the snapshot, over all page sets in the lake.",
            ),
            dg.define_asset_job(
                PRODUCTS,
                selection=products,
                description="Compute the metrics of the whole catalogue, then make the database and the files beside "
                "it, where they are not up to date.",
            ),
            _STATS_JOB,
            _HEARTBEAT_JOB,
            _land_job(settings),
            _LANDED_JOB,
            *ordered.jobs,
        ],
        schedules=[daily_refresh(page_sets, metrics), _daily_stats(), _heartbeat, *ordered.schedules],
        sensors=[
            follow,
            products_follow,
            _landing,
            _landed_sensor("landed_pages", settings.page_sets, metrics.of_a_page_set),
            _landed_sensor("landed_objects", [LANDED], metrics.of_a_page_set),
            alerts(settings, _totals(metrics)),
            _ended_runs,
            *ordered.sensors,
        ],
    )


def _totals(metrics: Metrics) -> list[str]:
    """The assets that are made from all page sets, which have a freshness policy each."""
    return [*(total.name for total in metrics.totals), SNAPSHOT.name]


@dg.run_failure_sensor(
    name="ended_runs",
    description="Records in the audit that a run was ended from outside, because its whole process hung or died.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def _ended_runs(context: dg.RunFailureSensorContext, lake: dg.ResourceParam[Storage]) -> None:
    if context.failure_event.event_specific_data is None:  # otherwise the run's own process has recorded it
        record(lake, context.instance, context.dagster_run)


def _daily_stats() -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="daily_stats",
        job=_STATS_JOB,
        cron_schedule="30 11 * * *",
        execution_timezone="UTC",
        description="Fetches NeoWs's own counts of its catalogue, half an hour before the verdict compares with them.",
    )


@dg.schedule(
    name="heartbeat",
    cron_schedule="*/15 * * * *",
    job_name=_ONE_HEARTBEAT,
    execution_timezone="UTC",
    description="Looks every 15 minutes whether NeoWs is in order, and how large its catalogue is, with two requests; "
    "never with more than a tenth of the request budget, so not with DEMO_KEY.",
)
def _heartbeat(context: dg.ScheduleEvaluationContext, neows: dg.ResourceParam[NeoWs]) -> dg.RunRequest | dg.SkipReason:
    wanted, allowed = _HEARTBEATS_A_DAY * HEARTBEAT_REQUESTS, neows.per_day()
    if wanted > _SHARE_FOR_HEARTBEATS * allowed:
        return dg.SkipReason(
            f"heartbeats would take {wanted} of the {allowed:.0f} requests a day that the budget allows: set a key of "
            "your own (NASA_API_KEYS), or a larger NEO_REQUESTS_PER_HOUR"
        )
    if context.instance.get_runs_count(dg.RunsFilter(job_name=_ONE_HEARTBEAT, statuses=UNDER_WAY)):
        return dg.SkipReason(f"job {_ONE_HEARTBEAT} is already running")
    return dg.RunRequest(tags=BEFORE_OTHERS)


def _land_job(settings: Settings) -> dg.JobDefinition:
    @dg.op(out=dg.Out(dg.Nothing))
    def take_in_files(context: dg.OpExecutionContext, lake: dg.ResourceParam[Storage]) -> None:
        """Store the content of the files in the landing zone, then archive the files.

        Before a file is archived, an asset observation records each page set that it changed. From these, the sensors
        `landed_pages` and `landed_objects` request runs, so no change is lost if this run dies.
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
        for taken in done:
            if taken.claimed:
                context.log.info("%s", taken.claimed)
        context.add_output_metadata({"files": outcomes})

    @dg.job(description="Take in files from the landing zone: store their pages and objects, then archive the files.")
    def land() -> None:
        take_in_files()

    return land


def _observation(page_set: str, file: str) -> dg.AssetObservation:
    how = recompute_of(page_set)
    return dg.AssetObservation(how.asset, partition=how.partition_key, metadata={"landed file": file})


@dg.sensor(
    "land",
    name="landing",
    description="Requests `land` when files wait in the landing zone: at most once an hour for the same files, and "
    "never while it is running.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def _landing(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Storage]) -> dg.RunRequest | dg.SkipReason:
    files = waiting(lake, _SETTLED_S)
    if not files:
        return dg.SkipReason("no files are waiting")
    if context.instance.get_runs_count(dg.RunsFilter(job_name="land", statuses=UNDER_WAY)):
        return dg.SkipReason("job land is already running")
    listing = "\n".join(f"{file.name} {file.version}" for file in files)
    return dg.RunRequest(run_key=f"{this_hour()} {sha256(listing.encode()).hexdigest()}")


def _landed_sensor(name: str, page_sets: Collection[str], among: Sequence[Table]) -> dg.SensorDefinition:
    """A sensor that requests a job for each of these page sets in which `land` stored pages and tables are stale."""
    [(job, asset)] = {(how.job, how.asset) for how in map(recompute_of, page_sets)}

    @dg.sensor(
        job,
        name=name,
        description=f"Requests `{job}` where `land` has stored pages and tables are stale.",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def landed(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Storage]) -> dg.SensorResult | dg.SkipReason:
        since = dg.AssetRecordsFilter(dg.AssetKey(asset), after_storage_id=int(context.cursor or 0))
        records = context.instance.fetch_observations(since, limit=_MOST_OBSERVATIONS, ascending=True).records
        if not records:
            return dg.SkipReason("nothing has landed since the last tick")
        # An observation may be of a page set that a change of NEO_PAGES has removed; Dagster rejects its key.
        changed = sorted({record.partition_key or LANDED for record in records}.intersection(page_sets))
        facts = raw_pages.known_facts(lake, changed)
        whole = complete(facts)
        cursor, hour = str(records[-1].storage_id), this_hour()
        requests = [
            dg.RunRequest(f"{hour} {key} after event {cursor}", partition_key=how.partition_key)
            for key, how in ((key, recompute_of(key)) for key in stale(lake, whole, among))
        ]
        if requests:  # the cursor stays until the tables are up to date: a run may fail, or be cancelled
            return dg.SensorResult(run_requests=requests)
        lacking = first_few(sorted(facts.keys() - whole.keys()))
        reason = f"page sets that still lack pages: {lacking}" if lacking else "every table is up to date"
        return dg.SensorResult(skip_reason=reason, cursor=cursor)

    return landed
