"""Reports that clients have ordered, in Dagster: the sensor that has each request worked off by a run of its own, in
order of arrival, and the schedule that has the reports collected. Making them is `api.reports`; which steps a request
takes is decided in `products.requests`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.logs import REQUEST_ID
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.runs import BEFORE_OTHERS, ENDED, UNDER_WAY, this_hour
from neo_assets.pipeline.text import quantity
from neo_assets.products.requests import LONGEST_S, TOOK_TOO_LONG, Request, Requests, Status
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs

REPORT = "requested_report"
"""The job that makes the report of one request."""

COLLECT = "collect_reports"
"""The job that collects the reports."""

_OP = "make_report"
_REQUEST, _RETRIES = "neo_assets/request", "neo_assets/request_retries"
"""Tags of a run that works off a request."""

_GRACE = timedelta(minutes=1)
"""How long after its time a run may still note that it has ended itself."""

_AHEAD = 20
"""Requests that are given a run at a time; the others wait their turn."""

_AT_ONCE = 3
"""Runs of one attempt that may end before they have taken the request; further ones are requested once an hour."""


def config_of(request: Request) -> dict[str, Any]:
    """The config of a run that works off a request."""
    return {"ops": {_OP: {"config": {"job_id": request.job_id, "retries": request.retries}}}}


def give_back_lost(requests: Requests, instance: dg.DagsterInstance) -> list[Request]:
    """Give back requests whose run has ended without them, or has had them for too long.

    A run that another instance knows may still be at work; it is not given up before its time is over.

    Raises:
        RequestsUnusable: the requests cannot be read or written.
    """
    given_back = []
    for taken in requests.those(Status.PROCESSING):
        run = instance.get_run_by_id(taken.run_id or "")
        since = taken.started_at or taken.created_at
        if run and run.status in ENDED:
            given_back.append(requests.give_back(taken, "the run that made it ended before it was done"))
        elif datetime.now(UTC) - since > timedelta(seconds=LONGEST_S) + _GRACE:
            given_back.append(requests.give_back(taken, TOOK_TOO_LONG))
    return [one for one in given_back if one]


@dataclass(frozen=True)
class RequestsAutomation:
    """The jobs for requests, and what starts them."""

    jobs: list[dg.JobDefinition]
    schedules: list[dg.ScheduleDefinition]
    sensors: list[dg.SensorDefinition]


def requests_automation(settings: Settings) -> RequestsAutomation:
    """The jobs for requests, and what starts them."""
    return RequestsAutomation(
        [_report_job(settings), _collect_job(settings)], [_collection(settings)], [_sensor(settings)]
    )


def _report_job(settings: Settings) -> dg.JobDefinition:
    @dg.op(name=_OP, config_schema={"job_id": str, "retries": int}, out=dg.Out(dg.Nothing))
    def make_report(
        context: dg.OpExecutionContext, lake: dg.ResourceParam[Storage], neows: dg.ResourceParam[NeoWs]
    ) -> None:
        """Make the report of a request, unless another run does or did.

        Of the source of pages it uses nothing but the note that something is done, by which a run is watched.
        """
        from neo_assets.api.reports import work_off  # the API, which other runs do without

        job_id, retries = context.op_config["job_id"], context.op_config["retries"]
        with failing_in_one_line(), Requests.of(settings, lake) as requests:
            done = work_off(requests, lake, job_id, retries, context.run_id, neows.progress.done)
        if done:
            context.add_output_metadata(
                {"report": lake.location(done.report_file_path or ""), "bytes": done.bytes or 0}
            )
        else:
            context.log.info("nothing to do: request %s is not queued, or this attempt is over", job_id)

    @dg.job(name=REPORT, description="Make a report that a client has ordered, and that the config names.")
    def requested_report() -> None:
        make_report()

    return requested_report


def _collect_job(settings: Settings) -> dg.JobDefinition:
    @dg.op(out=dg.Out(dg.Nothing))
    def move_reports(context: dg.OpExecutionContext, lake: dg.ResourceParam[Storage]) -> None:
        """Move the reports that were made to `reports/`."""
        from neo_assets.api.reports import collect

        with failing_in_one_line(), Requests.of(settings, lake) as requests:
            collected, damaged = collect(requests, lake)
        context.log.info("%s collected", quantity(len(collected), "report"))
        if damaged:
            places = ", ".join(lake.location(one.report_file_path or "") for one in damaged)
            raise dg.Failure(f"damaged or lost, so their requests have failed: {places}", allow_retries=False)

    @dg.job(name=COLLECT, description="Move the reports that were made for clients to `reports/` in the lake.")
    def collect_reports() -> None:
        move_reports()

    return collect_reports


def _sensor(settings: Settings) -> dg.SensorDefinition:
    @dg.sensor(
        REPORT,
        name="requests",
        description="Requests a run for each report that a client has ordered, in order of arrival. If a run dies or "
        "takes longer than 15 minutes, the request has another one; then it has failed.",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(
        context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Storage]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        with Requests.of(settings, lake) as requests:
            give_back_lost(requests, context.instance)
            queued = requests.those(Status.QUEUED, most=_AHEAD)
        wanted = [one for request in queued if (one := _run_request(context.instance, request))]
        return wanted or dg.SkipReason("each request that waits has a run" if queued else "no request waits")

    return sensor


def _run_request(instance: dg.DagsterInstance, request: Request) -> dg.RunRequest | None:
    """A run for a request; None if it has one that has not ended."""
    tags = {_REQUEST: request.job_id, _RETRIES: str(request.retries)}
    statuses = [run.status for run in instance.get_runs(dg.RunsFilter(job_name=REPORT, tags=tags))]
    if any(status in UNDER_WAY for status in statuses):
        return None
    # Dagster never runs a key twice, even if it died while it requested the run.
    again = len(statuses) if len(statuses) < _AT_ONCE else this_hour()
    key = f"{request.job_id} {request.retries} {again}"
    of_http = {REQUEST_ID: request.request_id} if request.request_id else {}
    return dg.RunRequest(key, run_config=config_of(request), tags=tags | BEFORE_OTHERS | of_http)


def _collection(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="report_collection",
        cron_schedule=["0 0-21/3 * * *", "30 1-22/3 * * *"],
        job_name=COLLECT,
        execution_timezone="UTC",
        description="Every 90 minutes, has the reports that were made for clients collected, and what attempts left "
        "deleted, if there is either.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Storage]
    ) -> dg.RunRequest | dg.SkipReason:
        with Requests.of(settings, lake) as requests:
            if not requests.those(Status.SUCCESS, most=1) and not lake.files(layout.WORK):
                return dg.SkipReason("no report is to be collected")
        return dg.RunRequest(tags=BEFORE_OTHERS)

    return schedule
