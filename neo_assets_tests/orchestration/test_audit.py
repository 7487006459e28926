"""The audit of runs as Dagster executes them: what each row says when all goes well, and when something fails."""

import gc
from collections.abc import Callable, Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import JobFailureData, RunFailureReason

from neo_assets.definitions import build_defs
from neo_assets.lake import layout, tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.audit import launched_by, record
from neo_assets.orchestration.audit import rows_of as rows_of_run
from neo_assets.pipeline import audit
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT
from neo_assets.schema.pages import Page
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.orchestration.alone import alone
from neo_assets_tests.settings import settings_of

FIRST, SECOND = "00000-00000", "00001-00001"


class Watched(NeoWs):
    """The simulator, which calls a function before the first page arrives."""

    def __init__(self, settings: Settings, at_first: Callable[[], object] = lambda: None) -> None:
        super().__init__(settings)
        self._at_first = at_first

    def pages(self, numbers: Iterable[int]) -> Generator[Page, None, None]:
        self._at_first()
        yield from super().pages(numbers)


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral(str(tmp_path))


@pytest.fixture
def run(lake: Storage, instance: dg.DagsterInstance) -> Callable[..., dg.ExecuteInProcessResult]:
    def execute(
        job: str, page_set: str | None = FIRST, neows: NeoWs | None = None, **tags: str
    ) -> dg.ExecuteInProcessResult:
        settings = settings_of(pages=2, pages_per_set=1)
        with neows or NeoWs(settings) as source:
            job_def = build_defs(settings, lake=lake, neows=source).resolve_job_def(job)
            return job_def.execute_in_process(
                instance=instance, partition_key=page_set, raise_on_error=False, tags=tags or None
            )

    return execute


def rows_of(lake: Storage, **values: Any) -> list[dict[str, Any]]:
    """The rows of the audit with these values."""
    rows: list[dict[str, Any]] = audit.read(lake, 100).to_pylist()
    return [row for row in rows if values.items() <= row.items()]


def test_a_run_is_recorded_with_what_it_made_and_checked(lake: Storage, run: Callable[..., Any]) -> None:
    result = run("page_set", **{"dagster/schedule_name": "daily_refresh"})
    [of_run] = rows_of(lake, kind="run")
    assert (of_run["status"], of_run["job"], of_run["page_set"]) == ("success", "page_set", FIRST)
    assert (of_run["launched_by"], of_run["pages_fetched"]) == ("schedule daily_refresh", 1)
    assert of_run["requests"] == 1
    assert of_run["queued_at"] <= of_run["started_at"] <= of_run["ended_at"]
    assert of_run["error"] is None

    made = {row["asset"]: row for row in rows_of(lake, kind="materialization")}
    planned = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert made.keys() == planned
    assert {row["status"] for row in made.values()} == {"success"}
    assert not any(row["error"] for row in made.values())
    approaches = made["close_approaches"]
    assert (made["raw_pages"]["rows_out"], approaches["rows_in"]) == (20, 20)
    assert made["near_miss_count"]["rows_in"] == approaches["rows_out"] > 20
    assert approaches["bytes"] == lake.info("silver/close_approaches/page_set=00000-00000/data.parquet").size

    checked = rows_of(lake, kind="check")
    assert len(checked) == len(result.get_asset_check_evaluations())
    assert {(row["status"], row["page_set"]) for row in checked} == {("success", FIRST)}


def test_the_file_is_named_after_day_and_run(lake: Storage, run: Callable[..., Any]) -> None:
    run_id = run("page_set").run_id
    [of_run] = rows_of(lake, kind="run")
    [file] = lake.files(layout.AUDIT)
    assert file.path == f"audit/date={of_run['queued_at']:%Y-%m-%d}/{run_id}.parquet"


def test_a_run_under_way_shows_what_it_is_to_do(lake: Storage, run: Callable[..., Any]) -> None:
    seen: list[dict[str, Any]] = []
    settings = settings_of(pages=2, pages_per_set=1)
    run("page_set", neows=Watched(settings, lambda: seen.extend(rows_of(lake))))
    status = {(row["kind"], row["status"]) for row in seen}
    assert status == {("run", "processing"), ("materialization", "queued"), ("check", "queued")}
    assert {row["status"] for row in rows_of(lake)} == {"success"}


def test_a_check_that_does_not_pass_has_failed_with_its_figures(lake: Storage, run: Callable[..., Any]) -> None:
    run("page_set")
    counts = tables.read_table(lake, NEAR_MISS_COUNT, FIRST)
    tables.write_table(lake, NEAR_MISS_COUNT, counts.slice(1), FIRST)
    settings = settings_of(pages=2, pages_per_set=1)
    near_misses = dg.AssetCheckKey(dg.AssetKey(NEAR_MISS_COUNT.name), "recount_of_near_miss_count")
    alone(build_defs(settings, lake=lake), [near_misses]).execute_in_process(partition_key=FIRST)
    [failed] = rows_of(lake, status="failed")
    assert (failed["kind"], failed["asset"], failed["check"]) == (
        "check",
        "near_miss_count",
        "recount_of_near_miss_count",
    )
    assert (failed["severity"], failed["page_set"]) == ("ERROR", FIRST)
    assert failed["error"].startswith("stored: ")
    assert ", counted again: " in failed["error"]
    assert all(row["status"] == "success" for row in rows_of(lake, kind="run"))


def test_a_failed_run_says_why_and_what_it_did_not_do(lake: Storage, run: Callable[..., Any]) -> None:
    assert not run("recompute").success
    reason = f"page 0 is not in the lake ({lake.location(layout.raw_page(0))}): run `neo run`"
    [of_run] = rows_of(lake, kind="run")
    assert of_run["status"] == "failed"
    assert of_run["error"].startswith(reason)
    assert "\n" not in of_run["error"]
    errors = {row["asset"]: row["error"] for row in rows_of(lake, kind="materialization", status="failed")}
    assert errors["raw_pages"].startswith(reason)
    assert errors["near_miss_count"] == "not done: the run ended before it was reached"
    assert {row["status"] for row in rows_of(lake, kind="check")} == {"failed"}


def test_a_run_that_was_stopped_has_failed(lake: Storage, run: Callable[..., Any]) -> None:
    def stop() -> None:
        raise dg.DagsterExecutionInterruptedError

    run("page_set", neows=Watched(settings_of(pages=2, pages_per_set=1), stop))
    [of_run] = rows_of(lake, kind="run")
    assert of_run["status"] == "failed"
    assert of_run["error"] == "it was stopped by Ctrl-C or a signal"


def test_the_requests_of_each_run_are_counted(lake: Storage, run: Callable[..., Any]) -> None:
    with NeoWs(settings_of(pages=2, pages_per_set=1)) as neows:
        run("page_set", FIRST, neows)
        run("page_set", FIRST, neows)
        run("stats", None, neows)
    assert [row["requests"] for row in rows_of(lake, kind="run")] == [1, 0, 1]


def test_it_outlives_dagsters_history(lake: Storage, run: Callable[..., Any], instance: dg.DagsterInstance) -> None:
    run_id = run("page_set").run_id
    before = rows_of(lake)
    instance.delete_run(run_id)
    assert rows_of(lake) == before != []


def test_a_run_that_dagster_has_forgotten_is_not_recorded_anew(
    lake: Storage, run: Callable[..., Any], instance: dg.DagsterInstance
) -> None:
    run("page_set")
    [stored] = instance.get_runs()
    before = rows_of(lake)
    instance.delete_run(stored.run_id)
    record(lake, instance, stored)
    assert rows_of(lake) == before


def test_a_run_goes_on_where_the_audit_cannot_be_written(
    lake: Storage, run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    lake.write(layout.AUDIT, b"a file where a directory should be")
    assert run("page_set").success
    assert "the audit lacks run " in caplog.text


def test_events_of_runs_that_have_ended_are_not_kept_in_memory(
    lake: Storage, run: Callable[..., Any], instance: dg.DagsterInstance
) -> None:
    def kept() -> int:
        return sum(isinstance(one, dg.EventLogEntry) and one.run_id == run_id for one in gc.get_objects())

    run_id = run("page_set").run_id
    gc.collect()
    assert len(instance.all_logs(run_id)) > 50
    assert kept() < 10


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"neo_assets/command": "neo run"}, "neo run"),
        ({"dagster/schedule_name": "daily_refresh"}, "schedule daily_refresh"),
        ({"dagster/sensor_name": "landing"}, "sensor landing"),
        ({"dagster/backfill": "abcdefgh"}, "backfill abcdefgh"),
        ({"dagster/from_automation_condition": "true"}, "automation condition"),
        ({}, "Dagster's UI or one of Dagster's own commands"),
    ],
)
def test_it_names_who_launched_a_run(tags: dict[str, str], said: str) -> None:
    assert launched_by(tags) == said


def test_a_run_that_was_stopped_before_it_planned_anything_has_failed(
    lake: Storage, instance: dg.DagsterInstance
) -> None:
    run = instance.create_run_for_job(build_defs(settings_of(), lake=lake).resolve_job_def("totals"))
    instance.report_run_failed(run, "The process that executed this run no longer exists.")
    events = [one for one in instance.all_logs(run.run_id) if one.dagster_event_type is dg.DagsterEventType.RUN_FAILURE]
    assert len(events) == 1
    [row] = rows_of_run(run, datetime.now(UTC), events, ended=True, requests=None)
    assert (row["status"], row["error"]) == ("failed", "The process that executed this run no longer exists.")


@pytest.mark.parametrize("from_outside", [True, False])
def test_a_run_that_was_ended_from_outside_is_recorded_with_the_reason(
    lake: Storage, instance: dg.DagsterInstance, from_outside: bool
) -> None:
    """By Dagster's run monitoring, as when its whole process hangs. Other runs have recorded their end themselves."""
    job = build_defs(settings_of(pages=2, pages_per_set=1), lake=lake).resolve_job_def("page_set")
    run = instance.create_run_for_job(job, tags={"dagster/partition": FIRST})
    if from_outside:
        event = instance.report_run_failed(run, "Exceeded maximum runtime of 1260 seconds.")
    else:
        event = instance.report_run_failed(run, "Steps failed.", JobFailureData(None, RunFailureReason.STEP_FAILURE))
    context = dg.build_run_status_sensor_context(
        "ended_runs", event, instance, run, resources={"lake": lake}
    ).for_run_failure()
    build_defs(settings_of(), lake=lake).resolve_sensor_def("ended_runs")(context)
    found = [(row["status"], row["error"], row["page_set"]) for row in rows_of(lake, kind="run")]
    assert found == [("failed", "Exceeded maximum runtime of 1260 seconds.", FIRST)] * from_outside
