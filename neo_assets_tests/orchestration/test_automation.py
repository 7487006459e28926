"""Automation: the assets of each job, and when the totals follow. `daily_refresh` is tested in `test_refresh`."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from neo_assets.definitions import build_defs
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of

PAGE_SETS = ["00000-00000", "00001-00001"]
COUNTS = {table.name for table in METRICS.counts}
OF_A_PAGE_SET = {"raw_pages", "neo_records", "orbits", "close_approaches", *COUNTS}
TOTALS = {total.name for total in METRICS.totals}
PRODUCTS = {"neo_database", "upcoming", "report", *(metric.total.name for metric in METRICS.over_catalogue)}


@pytest.fixture
def defs(tmp_path: Path) -> dg.Definitions:
    values = {"lake": str(tmp_path / "lake"), "pages": 2, "pages_per_set": 1}
    return build_defs(settings_of(**values))


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral(str(tmp_path))


def assets_of(defs: dg.Definitions, job: str) -> set[str]:
    layer = defs.resolve_job_def(job).asset_layer
    return {key.to_user_string() for key in layer.executable_asset_keys}


@pytest.mark.parametrize(
    ("job", "assets"),
    [
        ("page_set", OF_A_PAGE_SET),
        ("recompute", OF_A_PAGE_SET),
        ("totals", TOTALS | {"snapshot"}),
        ("products", PRODUCTS),
        ("stats", {"catalogue_stats"}),
        ("one_heartbeat", {"heartbeat"}),
        ("landed", {"landed_objects"}),
    ],
)
def test_a_job_holds_exactly_its_assets(defs: dg.Definitions, job: str, assets: set[str]) -> None:
    assert assets_of(defs, job) == assets


def test_every_asset_is_in_a_job(defs: dg.Definitions) -> None:
    jobs = ("page_set", "recompute", "totals", "products", "stats", "one_heartbeat", "landed")
    every = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert set().union(*(assets_of(defs, job) for job in jobs)) == every


def test_the_stats_schedule_runs_daily_before_the_totals_at_noon(defs: dg.Definitions) -> None:
    schedule = defs.resolve_schedule_def("daily_stats")
    assert (schedule.job_name, schedule.cron_schedule, schedule.execution_timezone) == ("stats", "30 11 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def heartbeat_tick(defs: dg.Definitions, instance: dg.DagsterInstance, neows: NeoWs) -> tuple[int, str]:
    """The number of runs that a tick requests, and why it requests none."""
    repository = defs.get_repository_def()
    with dg.build_schedule_context(instance, resources={"neows": neows}, repository_def=repository) as context:
        result = defs.resolve_schedule_def("heartbeat").evaluate_tick(context)
    for request in result.run_requests or []:
        assert request.tags["dagster/priority"] == "1", "it does not wait for the runs of a refresh"
    return len(result.run_requests or []), result.skip_message or ""


def test_the_heartbeat_is_off_at_first_and_beats_every_15_minutes(defs: dg.Definitions, tmp_path: Path) -> None:
    schedule = defs.resolve_schedule_def("heartbeat")
    assert (schedule.job_name, schedule.cron_schedule) == ("one_heartbeat", "*/15 * * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    instance = dg.DagsterInstance.local_temp(str(tmp_path))
    neows = NeoWs(settings_of())
    assert heartbeat_tick(defs, instance, neows) == (1, "")
    create_run_for_test(instance, "one_heartbeat", status=dg.DagsterRunStatus.NOT_STARTED)
    assert heartbeat_tick(defs, instance, neows) == (0, "job one_heartbeat is already running")


@pytest.mark.parametrize(
    ("keys", "per_hour", "runs"),
    [("a-key", 1000, 1), ("a-key", 81, 1), ("a-key", 80, 0), ("DEMO_KEY", 1000, 0), ("a-key,another", 41, 1)],
)
def test_the_heartbeat_takes_a_tenth_of_the_budget_at_most(
    defs: dg.Definitions, tmp_path: Path, keys: str, per_hour: int, runs: int
) -> None:
    values = {"nasa_api_keys": keys, "requests_per_hour": per_hour, "ledger": tmp_path / "ledger"}
    instance = dg.DagsterInstance.local_temp(str(tmp_path))
    with NeoWs(settings_of(**values)) as neows:
        number, why = heartbeat_tick(defs, instance, neows)
    assert number == runs
    if keys == "DEMO_KEY":
        assert why == (
            "heartbeats would take 192 of the 50 requests a day that the budget allows: set a key of your own "
            "(NASA_API_KEYS), or a larger NEO_REQUESTS_PER_HOUR"
        )


def test_the_totals_sensor_is_on_from_the_start(defs: dg.Definitions) -> None:
    sensor = defs.resolve_sensor_def("totals_follow_page_sets")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    graph = defs.resolve_asset_graph()
    assert sensor.asset_selection is not None
    watched = {key.to_user_string() for key in sensor.asset_selection.resolve(graph)}
    assert watched == TOTALS | {"snapshot"}
    with_conditions = {
        key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).automation_condition is not None
    }
    assert with_conditions - PRODUCTS == watched


def test_the_products_sensor_is_on_from_the_start_and_watches_them_all(defs: dg.Definitions) -> None:
    sensor = defs.resolve_sensor_def("products_follow_totals")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.asset_selection is not None
    watched = {key.to_user_string() for key in sensor.asset_selection.resolve(defs.resolve_asset_graph())}
    assert watched == PRODUCTS


# Dagster's `evaluate_automation_conditions` itself uses a beta parameter.
def compute_page_sets(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    for page_set in PAGE_SETS:
        defs.resolve_job_def("page_set").execute_in_process(instance=instance, partition_key=page_set)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_the_totals_follow_once_no_page_set_is_missing(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    cursor = None

    def requested() -> set[str]:
        nonlocal cursor
        result = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
        cursor = result.cursor
        return {name for name in TOTALS if result.get_num_requested(dg.AssetKey(name))}

    page_set = defs.resolve_job_def("page_set")
    assert requested() == set()
    page_set.execute_in_process(instance=instance, partition_key=PAGE_SETS[0])
    assert requested() == set()
    page_set.execute_in_process(instance=instance, partition_key=PAGE_SETS[1])
    assert requested() == TOTALS
    defs.resolve_job_def("totals").execute_in_process(instance=instance)
    assert requested() == set()
    page_set.execute_in_process(instance=instance, partition_key=PAGE_SETS[0])
    assert requested() == TOTALS
    defs.resolve_job_def("totals").execute_in_process(instance=instance)
    assert requested() == set()
    defs.resolve_job_def("landed").execute_in_process(instance=instance)
    assert requested() == TOTALS, "landed objects are optional, but an update of theirs starts a run"


@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_the_products_follow_the_totals_and_nothing_else(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    cursor, requested = None, []
    for job, key in (("landed", None), ("totals", None), ("products", None), ("page_set", PAGE_SETS[0])):
        defs.resolve_job_def(job).execute_in_process(instance=instance, partition_key=key)
        result = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
        cursor = result.cursor
        requested.append({name for name in PRODUCTS if result.get_num_requested(dg.AssetKey(name))})
    assert requested == [set(), PRODUCTS, set(), set()]


@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_the_totals_follow_landed_objects_even_if_page_sets_are_missing(
    defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    cursor, requested = None, []
    for job in (None, "landed", "totals"):
        if job:
            defs.resolve_job_def(job).execute_in_process(instance=instance)
        result = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
        cursor = result.cursor
        requested.append({name for name in (*TOTALS, "snapshot") if result.get_num_requested(dg.AssetKey(name))})
    assert requested == [set(), TOTALS | {"snapshot"}, set()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_new_catalogue_stats_change_the_verdict_but_not_the_totals(
    defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    compute_page_sets(defs, instance)
    cursor, requested = None, []
    for job in ("totals", "stats", "totals"):
        defs.resolve_job_def(job).execute_in_process(instance=instance)
        result = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
        cursor = result.cursor
        requested.append({name for name in (*TOTALS, "snapshot") if result.get_num_requested(dg.AssetKey(name))})
    assert requested[1:] == [{"snapshot"}, set()]


@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_the_totals_wait_only_for_what_they_sum_up(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """As after `*near_miss_count` for each page set: `neo_records` was never materialized."""
    cursor, requested = None, []
    upstream = ["raw_pages", "close_approaches", "near_miss_count"]
    for page_set in (None, *PAGE_SETS):
        if page_set:
            defs.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance, partition_key=page_set, asset_selection=[dg.AssetKey(name) for name in upstream]
            )
        result = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
        cursor = result.cursor
        requested.append({name for name in (*TOTALS, "snapshot") if result.get_num_requested(dg.AssetKey(name))})
    assert requested == [set(), set(), {"total_near_misses"}]


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    return failure.step_failure_data.user_failure_data.description or ""


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "page 0 is not in the lake"),
        ({"not_before": "2026-03-01"}, "page 0 is not in the lake"),
        ({"take_again": [0]}, "take_again: the job recompute fetches nothing; launch the job page_set instead"),
    ],
)
def test_recompute_fetches_nothing_whatever_config_it_is_launched_with(
    defs: dg.Definitions, instance: dg.DagsterInstance, no_network: None, config: dict[str, object], message: str
) -> None:
    recompute = defs.resolve_job_def("recompute")
    result = recompute.execute_in_process(
        {"ops": {"raw_pages": {"config": config}}}, instance, partition_key=PAGE_SETS[0], raise_on_error=False
    )
    assert message in failure_of(result)


@pytest.mark.parametrize("job", ["page_set", "recompute"])
def test_a_run_without_a_page_set_is_refused_with_the_allowed_ones(
    defs: dg.Definitions, instance: dg.DagsterInstance, no_network: None, job: str
) -> None:
    """As `dg launch --job` launches it without `--partition`."""
    result = defs.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)
    assert failure_of(result) == (
        "this run names no page set: launch it with a partition, one of 00000-00000, 00001-00001; or run `neo run`, "
        "which gathers them all, or `neo recompute`, which computes them all"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_the_totals_are_computed_at_noon_even_without_an_update(
    defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    compute_page_sets(defs, instance)
    defs.resolve_job_def("totals").execute_in_process(instance=instance)
    cursor, requested = None, []
    for hour in (10, 11, 13, 14):
        at = datetime(2100, 3, 1, hour, tzinfo=UTC)
        result = dg.evaluate_automation_conditions(defs, instance, cursor=cursor, evaluation_time=at)
        cursor = result.cursor
        requested.append({name for name in (*TOTALS, "snapshot") if result.get_num_requested(dg.AssetKey(name))})
    assert requested[1:] == [set(), TOTALS | {"snapshot"}, set()]
