"""The landing zone in Dagster: the job `land`, and the sensors that request it and the jobs that follow it."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.cli.landing import Zone, age, counted, lines, neos, totals
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.sources.neows.examples import body

pytestmark = pytest.mark.slow

Neo = Callable[..., Ended]


@pytest.fixture
def zone(disk_lake: Storage, tmp_path: Path) -> Zone:
    return Zone(disk_lake, tmp_path)


@pytest.fixture(autouse=True)
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat files as unsettled for a minute, so a slow machine does not make them settled."""
    monkeypatch.setattr("neo_assets.orchestration.automation._SETTLED_S", 60)


class Daemon:
    """Evaluates a sensor as Dagster's daemon does, and keeps its cursor."""

    def __init__(self, zone: Zone, sensor: str) -> None:
        self.zone, self.sensor = zone, zone.defs.resolve_sensor_def(sensor)
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            instance=self.zone.instance,
            cursor=self.cursor,
            resources={"lake": self.zone.lake},
            repository_def=self.zone.defs.get_repository_def(),
        )
        result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor or self.cursor
        self.skipped = result.skip_message
        return list(result.run_requests or [])

    def run(self) -> list[str | None]:
        """Run the jobs that the sensor requests. Returns their page sets."""
        requests = self.tick()
        assert self.sensor.job_name
        for request in requests:
            job = self.zone.defs.resolve_job_def(self.sensor.job_name or "")
            assert job.execute_in_process(request.run_config, self.zone.instance, request.partition_key).success
        return [request.partition_key for request in requests]


def land(zone: Zone) -> dg.ExecuteInProcessResult:
    return zone.defs.resolve_job_def("land").execute_in_process(instance=zone.instance)


def test_files_are_taken_in_and_the_sensors_request_the_rest(zone: Zone) -> None:
    zone.fetched(1, *neos(20))
    for path in (
        zone.drop("0.json", body(*neos(0), number=0)),
        zone.drop("2.json", body(*neos(40), number=2)),
        zone.drop("a.ndjson", lines(*neos(100, 3))),
        zone.drop("bad.json", b"nonsense"),
    ):
        age(path)
    young = zone.drop("young.ndjson", lines(*neos(200, 3)))
    result = land(zone)
    (output,) = (event for event in result.all_events if event.is_successful_output)
    assert output.step_output_data.metadata["files"].value == {
        "0.json": "page 0, 20 NEOs",
        "2.json": "page 2, 20 NEOs",
        "a.ndjson": "3 objects",
        "bad.json": "SET ASIDE: it is not JSON: nonsense",
    }
    assert young.exists()
    assert zone.ran == {("land", None)}, "no run starts another inside itself"
    pages, objects = Daemon(zone, "landed_pages"), Daemon(zone, "landed_objects")
    assert pages.run() == ["00000-00001"], "the other page set is not complete"
    assert objects.run() == [None]
    assert zone.defs.resolve_job_def("totals").execute_in_process(instance=zone.instance).success
    assert totals(zone) == counted([*neos(0, 40), *neos(100, 3)])
    assert (pages.run(), objects.run()) == ([], [])
    assert pages.skipped == "page sets that still lack pages: 00002-00003"
    assert objects.skipped == "every table is up to date"
    assert (pages.run(), objects.run()) == ([], [])
    assert pages.skipped == objects.skipped == "nothing has landed since the last tick"


def test_a_run_that_is_lost_is_requested_again(zone: Zone) -> None:
    age(zone.drop("a.ndjson", lines(*neos(0, 3))))
    land(zone)
    objects = Daemon(zone, "landed_objects")
    [lost] = objects.tick()
    [again] = objects.tick()
    assert lost.run_key is not None
    assert again.run_key is not None
    assert lost.run_key[len("2026-03-01T12") :] == again.run_key[len("2026-03-01T12") :]  # the hour may have struck
    assert objects.run() == [None]
    assert objects.run() == []


def test_a_run_that_dies_half_way_loses_no_page_set(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.fetched(1, *neos(20))
    age(zone.drop("0.json", body(*neos(0), number=0)))

    def killed(*_: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "move", killed)
        with pytest.raises(RuntimeError):
            land(zone)
    assert Daemon(zone, "landed_pages").run() == ["00000-00001"]
    assert list(zone.below("landing")) == ["0.json"]


def test_page_sets_that_neo_land_computed_are_not_computed_again(zone: Zone) -> None:
    zone.fetched(1, *neos(20))
    age(zone.drop("0.json", body(*neos(0), number=0)))
    land(zone)
    zone.land()
    assert Daemon(zone, "landed_pages").run() == []


def test_a_page_set_that_the_settings_no_longer_have_is_not_requested(
    zone: Zone, disk_lake: Storage, tmp_path: Path
) -> None:
    zone.fetched(1, *neos(20))
    age(zone.drop("0.json", body(*neos(0), number=0)))
    land(zone)
    other = Zone(disk_lake, tmp_path, pages_per_set=4)
    other.instance = zone.instance
    daemon = Daemon(other, "landed_pages")
    assert daemon.run() == []
    daemon.tick()
    assert daemon.skipped == "nothing has landed since the last tick", "the sensor has moved on"


def test_the_ui_shows_which_file_changed_a_page_set(zone: Zone) -> None:
    zone.fetched(1, *neos(20))
    age(zone.drop("0.json", body(*neos(0), number=0)))
    land(zone)
    (record,) = zone.instance.fetch_observations(dg.AssetKey("raw_pages"), limit=9).records
    assert record.partition_key == "00000-00001"
    assert record.asset_observation is not None
    assert record.asset_observation.metadata["landed file"].value == "0.json"


def test_the_log_shows_which_source_an_empty_lake_belongs_to_now(zone: Zone) -> None:
    age(zone.drop("a.ndjson", lines(*neos(0, 1))))
    result = land(zone)
    messages = [entry.user_message for entry in zone.instance.all_logs(result.run_id)]
    assert any(message.startswith("The lake was empty and belongs to simulator") for message in messages)


def test_the_sensor_requests_one_run_for_waiting_files(zone: Zone) -> None:
    landing = Daemon(zone, "landing")
    assert landing.sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert landing.sensor.minimum_interval_seconds == 60
    assert landing.sensor.job_name == "land"

    def keys() -> list[str | None]:
        return [request.run_key for request in landing.tick()]

    assert (keys(), landing.skipped) == ([], "no files are waiting")
    path = zone.drop("a.ndjson", lines(*neos(0, 1)))
    assert keys() == []
    age(path)
    (first,), (again,) = keys(), keys()
    assert first is not None
    assert again is not None
    assert first[len("2026-03-01T12") :] == again[len("2026-03-01T12") :]  # the hour may have struck
    age(zone.drop("b.ndjson", lines(*neos(1, 1))))
    assert keys() != [first]
    zone.instance.create_run_for_job(zone.defs.resolve_job_def("land"), status=dg.DagsterRunStatus.STARTED)
    assert (keys(), landing.skipped) == ([], "job land is already running")
