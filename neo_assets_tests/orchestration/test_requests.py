"""Requests for reports in Dagster: each has a run in order of arrival, one at a time, and another one if that dies."""

import contextvars
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._utils.schedules import cron_string_iterator

from neo_assets import logs
from neo_assets.definitions import build_defs
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.requests import REPORT
from neo_assets.products.database import DATABASE
from neo_assets.products.requests import Order, Request, Requests, Status
from neo_assets_tests.products.by_hand import fill, make
from neo_assets_tests.settings import settings_of

RUN = dg.DagsterRunStatus


class Place:
    """A lake with its code location, its instance and its requests."""

    def __init__(self, lake: Storage, place: Path) -> None:
        settings = settings_of(lake=lake.root, dagster_home=place, pages=2, pages_per_set=1)
        self.lake = lake
        self.defs = build_defs(settings, lake=lake)
        self.instance = dg.DagsterInstance.local_temp(str(place))
        self.requests = Requests.of(settings, lake)

    def order(self, name: str = "one", table: str = "neos") -> Request:
        return self.requests.order(Order(table, {}, "csv", name))

    def now(self, request: Request) -> Request:
        found = self.requests.get(request.job_id)
        assert found
        return found

    def tick(self) -> list[dg.RunRequest]:
        """Evaluate the sensor, as the daemon does, and leave out the runs that there are."""
        context = dg.build_sensor_context(
            self.instance, resources={"lake": self.lake}, repository_def=self.defs.get_repository_def()
        )
        result = self.defs.resolve_sensor_def("requests").evaluate_tick(context)
        self.said = result.skip_message
        known = {run.tags.get("dagster/run_key") for run in self.instance.get_runs()}
        return [request for request in result.run_requests or [] if request.run_key not in known]

    def tick_of_schedule(self) -> tuple[int, str | None]:
        """The number of runs that the schedule requests, and why it requests none."""
        with dg.build_schedule_context(
            self.instance, resources={"lake": self.lake}, repository_def=self.defs.get_repository_def()
        ) as context:
            result = self.defs.resolve_schedule_def("report_collection").evaluate_tick(context)
        return len(result.run_requests or []), result.skip_message

    def launched(self, request: dg.RunRequest, status: RUN) -> dg.DagsterRun:
        """A run of a request in a state, of which nothing is executed."""
        tags = {**request.tags, "dagster/run_key": request.run_key or ""}
        run: dg.DagsterRun = create_run_for_test(self.instance, REPORT, status=status, tags=tags)
        return run

    def execute(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        tags = {**request.tags, "dagster/run_key": request.run_key or ""}
        job = self.defs.resolve_job_def("requested_report")
        return job.execute_in_process(request.run_config, self.instance, tags=tags, raise_on_error=False)

    def collect(self) -> dg.ExecuteInProcessResult:
        job = self.defs.resolve_job_def("collect_reports")
        return job.execute_in_process(instance=self.instance, raise_on_error=False)


@pytest.fixture
def place(lake: Storage, tmp_path: Path) -> Iterator[Place]:
    make(fill(lake))
    place = Place(lake, tmp_path)
    yield place
    place.requests.close()


def test_each_request_has_one_run_in_order_of_arrival(place: Place) -> None:
    assert place.tick() == []
    assert place.said == "no request waits"
    ordered = [place.order(name).job_id for name in ("c", "a", "b")]
    wanted = place.tick()
    assert [one.tags["neo_assets/request"] for one in wanted] == ordered
    assert {one.tags["dagster/priority"] for one in wanted} == {"1"}, "they do not wait for the runs of a refresh"
    place.launched(wanted[0], RUN.NOT_STARTED)
    assert [one.tags["neo_assets/request"] for one in place.tick()] == ordered[1:]
    for one in wanted[1:]:
        assert place.execute(one).success
    assert place.tick() == []
    assert place.said == "each request that waits has a run"
    assert [one.status for one in place.requests.those()] == [Status.QUEUED, Status.SUCCESS, Status.SUCCESS]


def test_a_run_makes_the_report_and_a_second_one_does_nothing(place: Place) -> None:
    request = place.order()
    [wanted] = place.tick()
    first, second = place.execute(wanted), place.execute(wanted)
    assert (first.success, second.success) == (True, True)
    done = place.now(request)
    assert (done.status, done.run_id) == (Status.SUCCESS, first.run_id)
    assert place.lake.read(done.report_file_path or "").to_pybytes().count(b"\n") == 5


def test_a_run_that_fails_is_followed_by_one_more(place: Place) -> None:
    request = place.order()
    database = place.lake.read(f"products/{DATABASE}").to_pybytes()
    place.lake.delete(f"products/{DATABASE}")
    for retries, status in ((0, Status.QUEUED), (1, Status.FAILED)):
        [wanted] = place.tick()
        assert wanted.run_config["ops"]["make_report"]["config"] == {"job_id": request.job_id, "retries": retries}
        assert not place.execute(wanted).success
        assert place.now(request).status == status
    place.lake.write(f"products/{DATABASE}", database)
    assert place.tick() == []
    assert "There is no database yet" in (place.now(request).reason or "")


def test_a_request_whose_run_died_has_another_run(place: Place) -> None:
    request = place.order()
    for retries, status in ((0, Status.QUEUED), (1, Status.FAILED)):
        [wanted] = place.tick()
        run = place.launched(wanted, RUN.STARTED)
        assert place.requests.take(request.job_id, retries, run.run_id)
        assert place.tick() == []
        place.instance.report_run_failed(run, "killed")
        further = place.tick()
        assert place.now(request).status == status
    assert further == []
    assert place.now(request).reason == "the run that made it ended before it was done"


def test_a_late_retry_of_a_run_that_died_does_nothing(place: Place) -> None:
    request = place.order()
    [wanted] = place.tick()
    run = place.launched(wanted, RUN.FAILURE)
    assert place.requests.take(request.job_id, 0, run.run_id)
    [second] = place.tick()
    assert place.execute(wanted).success, "as Dagster repeats a run that crashed"
    assert place.now(request).status == Status.QUEUED
    assert place.execute(second).success
    assert place.now(request).status == Status.SUCCESS


def test_a_run_that_died_before_it_took_the_request_is_followed_by_others(place: Place) -> None:
    place.order()
    keys = []
    for _ in range(5):
        for wanted in place.tick():
            keys.append(wanted.run_key)
            place.launched(wanted, RUN.FAILURE)
    assert len(keys) == len(set(keys)) == 4, "three at once, then one an hour"


def test_a_run_that_hangs_is_given_up_after_its_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    request = place.order()
    [wanted] = place.tick()
    run = place.launched(wanted, RUN.STARTED)
    assert place.requests.take(request.job_id, 0, run.run_id)
    assert place.tick() == []
    monkeypatch.setattr("neo_assets.orchestration.requests.LONGEST_S", -61)
    [again] = place.tick()
    assert again.tags["neo_assets/request_retries"] == "1"
    assert place.now(request).reason == "it took longer than 15 minutes"


def test_the_run_of_another_instance_is_not_given_up_before(place: Place) -> None:
    request = place.order()
    assert place.requests.take(request.job_id, 0, "unknown here")
    assert place.tick() == []
    assert place.now(request).status == Status.PROCESSING


def test_the_reports_are_collected(place: Place) -> None:
    assert place.tick_of_schedule() == (0, "no report is to be collected")
    request = place.order()
    [wanted] = place.tick()
    place.execute(wanted)
    assert place.tick_of_schedule() == (1, None)
    assert place.collect().success
    assert place.now(request).report_file_path == f"reports/{request.job_id}/report.csv"
    assert place.tick_of_schedule()[0] == 0


def test_a_damaged_report_fails_the_collection_but_not_of_others(place: Place) -> None:
    requests = [place.order("one"), place.order("two")]
    for wanted in place.tick():
        place.execute(wanted)
    place.lake.write(place.now(requests[0]).report_file_path or "", b"something else")
    result = place.collect()
    assert not result.success
    assert [place.now(one).status for one in requests] == [Status.FAILED, Status.DOWNLOADED]
    assert place.collect().success, "it is told once"


def test_what_failed_attempts_left_is_deleted_though_nothing_is_collected(place: Place) -> None:
    request = place.order()
    taken = place.requests.take(request.job_id, 0, "killed")
    assert taken
    place.lake.write(f"work/{request.job_id}-0.csv", b"of an attempt")
    assert place.requests.fail(taken, "it cannot be made")
    assert place.tick_of_schedule() == (1, None)
    assert place.collect().success
    assert place.lake.files("work") == []
    assert place.tick_of_schedule() == (0, "no report is to be collected")


def test_it_is_collected_every_90_minutes(place: Place) -> None:
    schedule = place.defs.resolve_schedule_def("report_collection")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    midnight = datetime(2029, 4, 13, tzinfo=UTC)
    ticks = sorted(
        tick
        for cron in schedule.cron_schedule
        for tick in islice(cron_string_iterator(midnight.timestamp(), cron, "UTC"), 16)
    )[:17]
    assert {after - before for before, after in pairwise(ticks)} == {timedelta(minutes=90)}


def test_the_sensor_is_on_from_the_start(place: Place) -> None:
    sensor = place.defs.resolve_sensor_def("requests")
    assert (sensor.default_status, sensor.minimum_interval_seconds) == (dg.DefaultSensorStatus.RUNNING, 30)


def test_a_run_has_the_id_of_the_http_request_that_ordered_it(place: Place) -> None:
    def ordered() -> None:
        logs.begin_request("abc-1")
        place.order("by a client")

    contextvars.copy_context().run(ordered)
    place.order("by a program", "close-approaches")
    assert [run.tags.get(logs.REQUEST_ID) for run in place.tick()] == ["abc-1", None]
