"""The schedule `daily_refresh`: which page sets a tick requests, and that a whole refresh ends in new totals."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from neo_assets.definitions import build_defs
from neo_assets.lake import layout, owner, tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.instance import open_instance
from neo_assets.pipeline.metrics.registry import TOTAL_YEARLY_APPROACHES, YEARLY_APPROACHES
from neo_assets.pipeline.refresh import start_of_day
from neo_assets.settings import Settings
from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.source import NeoWs
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import Served, disk_and_s3
from neo_assets_tests.orchestration.assets.graph import at
from neo_assets_tests.pipeline.by_hand import gather, pages_from
from neo_assets_tests.settings import settings_of

KEYS = A, B, C = ["00000-00001", "00002-00003", "00004-00005"]
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
NOW = datetime.now(UTC)
"""The time of the tick; `DAY` is the day that it belongs to."""
DAY = start_of_day(NOW)
KEY = "a-key-0123456789"


class Schedule:
    """The schedule over a lake, with an instance and a budget of its own."""

    def __init__(self, lake: Storage, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.lake, self.instance, self.settings = lake, instance, settings
        self.neows = NeoWs(settings)
        self.defs = build_defs(settings, lake=lake, neows=self.neows)
        self.skipped: str | None = None

    def tick(self, at: datetime = NOW) -> list[dg.RunRequest]:
        with dg.build_schedule_context(
            self.instance,
            at,
            resources={"lake": self.lake, "neows": self.neows},
            repository_def=self.defs.get_repository_def(),
        ) as context:
            result = self.defs.resolve_schedule_def("daily_refresh").evaluate_tick(context)
        self.skipped = result.skip_message
        return list(result.run_requests or [])

    def requested(self) -> list[str | None]:
        return [request.partition_key for request in self.tick()]

    def run(self, request: dg.RunRequest) -> None:
        """Do what the daemon does with a request."""
        self.defs.resolve_job_def("page_set").execute_in_process(
            dict(request.run_config),
            self.instance,
            request.partition_key,
            tags={**request.tags},
            raise_on_error=False,
        )

    def was(self, page_set: str, status: dg.DagsterRunStatus, job: str = "page_set") -> None:
        """Record that a run of a page set ended so, or has not ended."""
        run = create_run_for_test(
            self.instance, job, status=dg.DagsterRunStatus.NOT_STARTED, tags={"dagster/partition": page_set}
        )
        if status is FAILURE:
            self.instance.report_run_failed(run)
        elif status is not dg.DagsterRunStatus.NOT_STARTED:
            raise NotImplementedError(status)


@pytest.fixture(scope="module")
def persistent(tmp_path_factory: pytest.TempPathFactory) -> dg.DagsterInstance:
    """An instance as a schedule needs it; making one takes longer than a test."""
    return dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance")))


@pytest.fixture
def instance(persistent: dg.DagsterInstance) -> dg.DagsterInstance:
    persistent.wipe()
    return persistent


@pytest.fixture
def of_lake(lake: Storage) -> Iterator[dg.DagsterInstance]:
    """The instance of `neo run`, in which runs take less time."""
    with open_instance(None, lake) as instance:
        yield instance


@pytest.fixture
def make(lake: Storage, instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Callable[..., Schedule]]:
    made = []

    def make(**values: Any) -> Schedule:
        whole = {"lake": lake.root, "pages": 6, "pages_per_set": 2, "ledger": tmp_path / "ledger"} | values
        made.append(Schedule(lake, instance, settings_of(**whole)))
        return made[-1]

    yield make
    for one in made:
        one.neows.close()


@pytest.fixture
def schedule(make: Callable[..., Schedule]) -> Schedule:
    """Without a key, and so without a budget."""
    return make()


def store(lake: Storage, page_set: str, arrived: datetime) -> None:
    owner.claim(lake, "simulator")
    pages = pages_from(Catalogue(120), page_set)
    gather(lake, page_set, [dataclasses.replace(page, fetched_at=arrived) for page in pages])


def spend(schedule: Schedule, requests: int) -> None:
    """Take requests from the budget, as another process does."""
    settings = schedule.settings
    budget = Budget(settings.request_ledger, "api.nasa.gov:443", settings.keys, settings.requests_per_hour, 1e6)
    for _ in range(requests):
        budget.reserve()
    budget.close()


def test_it_ticks_every_hour_and_is_off_at_first(schedule: Schedule) -> None:
    definition = schedule.defs.resolve_schedule_def("daily_refresh")
    assert (definition.cron_schedule, definition.execution_timezone) == ("0 * * * *", "UTC")
    assert definition.default_status is dg.DefaultScheduleStatus.STOPPED
    assert definition.job_name == "page_set"


def test_without_a_budget_every_page_set_is_requested_with_its_pages(schedule: Schedule) -> None:
    requests = schedule.tick()
    assert [request.partition_key for request in requests] == KEYS
    assert [request.run_key for request in requests] == [f"{DAY:%Y-%m-%d} {key} attempt 1" for key in KEYS]
    assert [request.run_config["ops"]["raw_pages"]["config"] for request in requests] == [
        {"take_again": [page, page + 1], "not_before": DAY.isoformat()} for page in (0, 2, 4)
    ]


@disk_and_s3
def test_the_oldest_page_sets_come_first_and_those_of_today_not_at_all(schedule: Schedule, lake: Storage) -> None:
    store(lake, A, DAY - timedelta(hours=1))
    store(lake, B, DAY - timedelta(hours=2))
    store(lake, C, DAY)
    assert schedule.requested() == [B, A]
    lake.delete(layout.raw_page(1))
    assert schedule.requested() == [A, B], "a missing page is older than any other"


def test_a_page_from_the_future_is_not_of_today(schedule: Schedule, lake: Storage) -> None:
    store(lake, A, NOW + timedelta(days=2))
    assert A in schedule.requested()


def test_a_page_set_whose_run_died_after_fetching_is_computed_today(
    make: Callable[..., Schedule], lake: Storage
) -> None:
    schedule = make(nasa_api_keys=KEY, requests_per_hour=1)
    spend(schedule, 1)
    for key in KEYS:
        store(lake, key, DAY)
    lake.delete(layout.table_file(YEARLY_APPROACHES, B))
    assert schedule.requested() == [B], "it needs no request"


@pytest.mark.parametrize(("spent", "requested"), [(0, [B, A]), (1, [B, A]), (2, [B]), (3, [B]), (4, []), (5, [])])
def test_no_more_is_requested_than_the_budget_can_pay_for(
    make: Callable[..., Schedule], lake: Storage, spent: int, requested: list[str]
) -> None:
    schedule = make(nasa_api_keys=KEY, requests_per_hour=5)
    spend(schedule, spent)
    store(lake, A, DAY - timedelta(hours=1))
    store(lake, B, DAY - timedelta(hours=2))
    store(lake, C, DAY - timedelta(minutes=1))
    assert schedule.requested() == requested
    if not requested:
        assert schedule.skipped == (
            f"3 page sets waiting: the request budget allows {5 - spent} more now (NEO_PAGES_PER_SET sets how many a "
            "page set needs)"
        )


def test_pages_fetched_today_cost_nothing(make: Callable[..., Schedule], lake: Storage) -> None:
    """Half of a page set is left by a run that failed."""
    schedule = make(nasa_api_keys=KEY, requests_per_hour=1)
    for key in KEYS:
        store(lake, key, DAY)
    lake.delete(layout.raw_page(3))
    assert schedule.requested() == [B]


def test_what_runs_under_way_will_fetch_is_not_spent_twice(make: Callable[..., Schedule]) -> None:
    schedule = make(nasa_api_keys=KEY, requests_per_hour=4)
    schedule.was(B, dg.DagsterRunStatus.NOT_STARTED, "__ASSET_JOB")
    assert schedule.requested() == [A]
    schedule.was(A, dg.DagsterRunStatus.NOT_STARTED)
    assert schedule.requested() == []
    assert (schedule.skipped or "").startswith("2 page sets under way; 1 page set waiting: the request budget allows 0")
    schedule.was(C, dg.DagsterRunStatus.NOT_STARTED)
    assert schedule.requested() == []
    assert schedule.skipped == "3 page sets under way"


def test_demo_key_refreshes_fifty_pages_a_day(make: Callable[..., Schedule]) -> None:
    schedule = make(nasa_api_keys="DEMO_KEY", pages=2100)
    assert len(schedule.requested()) == 15
    spend(schedule, 30)
    assert schedule.requested() == []


def test_after_a_failure_one_run_at_a_time_shows_whether_it_is_over(schedule: Schedule) -> None:
    schedule.was(A, FAILURE)
    assert schedule.requested() == [B], "those that were tried come last"
    schedule.was(B, dg.DagsterRunStatus.NOT_STARTED)
    assert schedule.requested() == []
    assert schedule.skipped == "1 page set under way"


def test_a_page_set_is_left_for_tomorrow_after_three_runs(schedule: Schedule, lake: Storage) -> None:
    store(lake, A, DAY)
    store(lake, C, DAY)
    found = []
    for _ in range(4):
        found += [request.run_key for request in schedule.tick()]
        schedule.was(B, FAILURE)
    assert found == [f"{DAY:%Y-%m-%d} {B} attempt {number}" for number in (1, 2, 3)]
    assert schedule.skipped == f"page set {B} left for tomorrow after 3 runs"
    tomorrow = schedule.tick(NOW + timedelta(days=1))
    assert f"{DAY + timedelta(days=1):%Y-%m-%d} {B} attempt 1" in [request.run_key for request in tomorrow]


def test_a_recomputation_is_no_attempt(schedule: Schedule) -> None:
    for _ in range(3):
        schedule.was(A, FAILURE, "recompute")
    assert schedule.requested() == KEYS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`")
def test_a_refresh_ends_in_new_totals_and_fetches_nothing_twice(
    lake: Storage, served: Served, of_lake: dg.DagsterInstance, tmp_path: Path
) -> None:
    schedule = Schedule(lake, of_lake, at(served, lake=lake.root, pages=4, ledger=tmp_path / "ledger"))
    totals, cursor = schedule.defs.resolve_job_def("totals"), None

    def follow() -> bool:
        """A tick of the sensor; whether it requested the totals, which are computed."""
        nonlocal cursor
        result = dg.evaluate_automation_conditions(schedule.defs, of_lake, cursor=cursor)
        cursor = result.cursor
        requested = result.get_num_requested(dg.AssetKey("total_yearly_approaches")) > 0
        return requested and totals.execute_in_process(instance=of_lake).success

    def approaches() -> int:
        return int(sum(tables.read_table(lake, TOTAL_YEARLY_APPROACHES)["approaches"].to_pylist()))

    assert not follow()
    for catalogue in (Catalogue(neos=90), Catalogue(neos=70)):
        served.app.state.catalogue = catalogue
        served.pages.clear()
        for request in schedule.tick():
            schedule.run(request)
        assert sorted(served.pages) == [0, 1, 2, 3]
        assert (schedule.requested(), schedule.skipped) == ([], "every page set has been refreshed today")
        assert [follow(), follow()] == [True, False]
        neos = min(80, catalogue.near_earth_object_count)
        assert approaches() == sum(len(catalogue.neo(number)["close_approach_data"]) for number in range(neos))
        for page_set in ("00000-00001", "00002-00003"):  # a day passes
            store(lake, page_set, DAY - timedelta(hours=23))
