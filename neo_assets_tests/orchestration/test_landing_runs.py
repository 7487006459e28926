"""The landing zone in Dagster and on the command line: the job, the sensor, `neo land`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from neo_assets.lake import raw_pages
from neo_assets.lake.storage import Storage
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.landing import Zone, age, counted, lines, neos, totals
from neo_assets_tests.sources.neows.examples import body

Neo = Callable[..., Ended]


@pytest.fixture
def zone(disk_lake: Storage, tmp_path: Path) -> Zone:
    return Zone(disk_lake, tmp_path)


class TestDagster:
    @pytest.fixture(autouse=True)
    def young(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was written a minute ago still may be, so that a slow machine makes nothing old."""
        monkeypatch.setattr("neo_assets.orchestration.automation._SETTLED_S", 60)

    def test_the_job_does_it_all(self, zone: Zone) -> None:
        zone.fetched(1, *neos(20))
        for path in (
            zone.drop("0.json", body(*neos(0), number=0)),
            zone.drop("a.ndjson", lines(*neos(100, 3))),
            zone.drop("bad.json", b"nonsense"),
        ):
            age(path)
        young = zone.drop("young.ndjson", lines(*neos(200, 3)))
        result = zone.defs.resolve_job_def("land").execute_in_process(instance=zone.instance)
        assert result.success
        assert totals(zone) == counted([*neos(0, 40), *neos(100, 3)])
        assert young.exists()
        runs = {(run.job_name, run.tags.get("dagster/partition")) for run in zone.instance.get_runs()}
        assert runs == {("land", None), ("recompute", "00000-00001"), ("totals", None)}
        (output,) = (event for event in result.all_events if event.is_successful_output)
        files = output.step_output_data.metadata["files"].value
        assert files == {
            "0.json": "page 0, 20 NEOs",
            "a.ndjson": "3 objects",
            "bad.json": "SET ASIDE: it is not JSON: nonsense",
        }

    def test_the_job_fails_where_something_could_not_be_computed(self, zone: Zone) -> None:
        for number in (0, 1):
            zone.fetched(number, *neos(20 * number))
        page = "bronze/raw_pages/page-00001.json.zst"
        zone.lake.write(page, b"damaged" + zone.lake.read(page).to_pybytes()[7:])
        age(zone.drop("0.json", body(*neos(0), number=0)))
        with pytest.raises(dg.Failure, match="could not be computed: page set 00000-00001"):
            zone.defs.resolve_job_def("land").execute_in_process(instance=zone.instance)

    def test_the_sensor_asks_for_it_once_where_files_wait(self, zone: Zone) -> None:
        sensor = zone.defs.resolve_sensor_def("landing")
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        assert sensor.minimum_interval_seconds == 60
        assert sensor.job_name == "land"

        def ticks() -> list[Any]:
            context = dg.build_sensor_context(instance=zone.instance, resources={"lake": zone.lake})
            result = sensor.evaluate_tick(context)
            return list(result.run_requests or []) or [result.skip_message]

        assert ticks() == ["no file waits"]
        path = zone.drop("a.ndjson", lines(*neos(0, 1)))
        assert ticks() == ["no file waits"]
        age(path)
        first, again = ticks()[0].run_key, ticks()[0].run_key
        assert first[len("2026-03-01T12") :] == again[len("2026-03-01T12") :]  # the hour may have struck
        age(zone.drop("b.ndjson", lines(*neos(1, 1))))
        assert ticks()[0].run_key != first
        zone.instance.create_run_for_job(zone.defs.resolve_job_def("land"), status=dg.DagsterRunStatus.STARTED)
        assert ticks() == ["the files are being taken in"]


class TestCommand:
    @pytest.fixture
    def zone(self, lake: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zone:
        monkeypatch.setenv("NEO_LAKE", lake.root)
        return Zone(lake, tmp_path)

    @disk_and_s3
    def test_it_says_what_was_done(self, zone: Zone, neo: Neo) -> None:
        ended = neo("land")
        assert (ended.code, ended.out) == (0, f"Nothing to do: no file waits in {zone.lake.root}/landing.\n")
        zone.drop("a.ndjson", lines(*neos(0, 3)))
        ended = neo("land")
        assert ended.code == 0
        *lines_, claimed = ended.out.splitlines()
        assert lines_ == ["a.ndjson: 3 objects", "landed objects: computed", "totals: computed"]
        assert claimed.startswith("The lake was empty and is taken to hold simulator data from now on; for NASA's data")
        assert totals(zone) == counted(neos(0, 3))
        zone.drop("b.json", b"")
        ended = neo("land")
        assert (ended.code, ended.out) == (1, "b.json: SET ASIDE: it is empty\n")
        assert ended.err == "Error: not taken in, or not computed: b.json\n"

    def test_a_file_set_aside_under_the_name_of_a_table_is_none(self, zone: Zone, neo: Neo) -> None:
        zone.drop("page_set=00000-00001/data.parquet", b"")
        zone.land()
        assert list(zone.below("quarantine")) == ["landing/page_set=00000-00001/data.parquet.reason.txt"]
        ended = neo("quarantine", "list")
        assert (ended.code, ended.out) == (0, "")

    def test_lines_in_quarantine_are_listed_and_read_again(self, zone: Zone, neo: Neo) -> None:
        zone.drop("a.ndjson", lines(*neos(0, 3)) + b"no JSON")
        zone.land()
        (number,) = raw_pages.stored_numbers(zone.lake)
        ended = neo("quarantine", "list")
        assert ended.code == 0
        assert ended.out == f"a.ndjson, page set landed, page {number}, near_earth_objects[3]: not an object\n"
        assert neo("quarantine", "replay").code == 0
        assert totals(zone) == counted(neos(0, 3))
