"""The landing zone from end to end: files go in, tables and totals come out, and files end up where they belong.

Totals are compared with a count of the same objects in plain Python.
"""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from neo_assets.lake import layout, owner, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline import land as landing_module
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, TOTAL_NEAR_MISSES
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import NEO_RECORDS, QUARANTINE, TABLES
from neo_assets_tests.cli.landing import COMPRESSIONS, KEY, Zone, counted, lines, neos, totals
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.sources.neows.examples import CAPTURES, NEEDS_CAPTURES, approach, body, neo

pytestmark = pytest.mark.slow

Neo = Callable[..., Ended]


@pytest.fixture
def zone(lake: Storage, tmp_path: Path) -> Zone:
    return Zone(lake, tmp_path)


class TestPages:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_a_page_that_completes_its_page_set_has_it_computed(self, zone: Zone, compression: str) -> None:
        zone.fetched(1, *neos(20))
        content = COMPRESSIONS[compression](body(*neos(0), number=0, total=80))
        zone.drop(f"any name.json{compression}", content)
        report = zone.land()
        assert report.lines == [
            f"any name.json{compression}: page 0, 20 NEOs",
            "page set 00000-00001: computed",
            "totals: computed",
        ]
        assert totals(zone) == counted(neos(0, 40))
        assert zone.below("landing") == {}
        assert zone.below("archive") == {f"any name.json{compression}": content}

    def test_an_incomplete_page_set_waits(self, zone: Zone) -> None:
        zone.drop("0.json", body(*neos(0), number=0))
        assert "page set 00000-00001: not computed yet, 1 page missing" in zone.land().lines
        assert zone.ran == set()
        zone.drop("1.json", body(*neos(20), number=1))
        zone.land()
        assert totals(zone) == counted(neos(0, 40))

    def test_a_landed_page_replaces_the_fetched_one_without_the_network(
        self, disk_lake: Storage, tmp_path: Path
    ) -> None:
        # The stored pages are old, so `neo run` would fetch them; the simulator would give other objects.
        zone = Zone(disk_lake, tmp_path, raw_max_age_hours=0)
        for number in range(4):
            zone.fetched(number, *neos(20 * number))
        zone.drop("new.json", body(*neos(500), number=1, total=80))
        zone.drop("same.json", body(*neos(40), number=2, total=80))
        zone.land()
        assert totals(zone) == counted([*neos(0), *neos(500), *neos(40, 40)])
        assert zone.ran == {("recompute", "00000-00001"), ("recompute", "00002-00003"), ("totals", None)}

    def test_a_page_beyond_neo_pages_is_stored_and_reported(self, zone: Zone) -> None:
        zone.drop("far.json", body(*neos(0), number=4711))
        assert zone.land().files == {"far.json": "page 4711, 20 NEOs, stored but not in the totals, as NEO_PAGES is 4"}
        assert raw_pages.read_page(zone.lake, 4711).facts.neos == 20
        assert list(zone.below("archive")) == ["far.json"]

    def test_dagster_records_the_materializations(self, zone: Zone) -> None:
        zone.fetched(1, *neos(20))
        zone.drop("0.json", body(*neos(0), number=0))
        zone.land()
        for name in ("raw_pages", "neo_records", "yearly_approaches"):
            assert zone.instance.get_materialized_partitions(dg.AssetKey(name)) == {"00000-00001"}

    def test_a_stored_page_of_another_lake_can_be_landed_unchanged(self, zone: Zone, tmp_path: Path) -> None:
        other = Zone(Storage(str(tmp_path / "other")), tmp_path)
        other.fetched(0, *neos(0))
        zone.fetched(1, *neos(20))
        zone.drop("page-00000.json.zst", other.lake.read("bronze/raw_pages/page-00000.json.zst").to_pybytes())
        zone.land()
        assert totals(zone) == counted(neos(0, 40))


class TestObjects:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_objects_are_counted_together_with_pages(self, zone: Zone, compression: str) -> None:
        zone.fetched(0, *neos(0))
        zone.fetched(1, *neos(20))
        zone.drop("0.json", body(*neos(0), number=0))
        content = COMPRESSIONS[compression](lines(*neos(1_000, 450)))
        zone.drop(f"some.ndjson{compression}", content)
        assert zone.land().lines == [
            "0.json: page 0, 20 NEOs",
            f"some.ndjson{compression}: 450 objects",
            "page set 00000-00001: computed",
            "landed objects: computed",
            "totals: computed",
        ]
        assert totals(zone) == counted([*neos(0, 40), *neos(1_000, 450)])
        total = zone.total()
        assert (total.pages, total.page_sets, total.page_sets_expected) == (2, 1, 2)
        assert zone.below("archive")[f"some.ndjson{compression}"] == content

    def test_objects_alone_in_an_empty_lake(self, zone: Zone) -> None:
        zone.drop("some.ndjson", lines(*neos(0, 3)))
        zone.land()
        assert totals(zone) == counted(neos(0, 3))
        assert zone.total().pages == 0

    def test_every_table_of_landed_objects_is_written(self, zone: Zone) -> None:
        zone.drop("some.ndjson", lines(*neos(0, 3)))
        zone.land()
        for table in TABLES.values():
            if table.partitioned:
                assert tables.stored_page_sets(zone.lake, table, [LANDED]) == [LANDED], table.name
        assert tables.read_table(zone.lake, NEO_RECORDS, LANDED).num_rows == 3

    def test_white_space_line_ends_and_a_byte_order_mark_are_ignored(self, zone: Zone) -> None:
        content = b"\xef\xbb\xbf" + lines(*neos(0, 2)).replace(b"\n", b"\r\n \t \r\n").rstrip()
        zone.drop("a.ndjson", content)
        zone.land()
        assert totals(zone) == counted(neos(0, 2))

    def test_letters_of_all_scripts(self, zone: Zone) -> None:
        zone.drop("naïve 小行星.ndjson", lines(neo("3000001", approach(), name="Čapek’s ’Oumuamua 小行星 (2017 U1) ")))
        zone.land()
        assert tables.read_table(zone.lake, NEO_RECORDS, LANDED)["name"].to_pylist() == [
            "Čapek’s ’Oumuamua 小行星 (2017 U1) "
        ]
        assert list(zone.below("archive")) == ["naïve 小行星.ndjson"]

    @disk_and_s3
    def test_the_latest_copy_counts_whether_landed_or_on_a_page(self, zone: Zone) -> None:
        zone.drop("0.json", body(*neos(0), number=0))
        zone.drop("1.json", body(*neos(20), number=1))
        zone.land()
        assert totals(zone) == counted(neos(0, 40))
        changed = [neo("3000005", *(approach(au="0.05", km="7479893.5", body="Moon") for _ in range(7)))]
        zone.drop("a.ndjson", lines(*changed))
        zone.land()
        assert totals(zone) == counted([*neos(0, 40), *changed])
        zone.drop("0 again.json", body(*neos(0), number=0))
        zone.land()
        assert totals(zone) == counted(neos(0, 40))

    @pytest.mark.parametrize("lacks", [("designation", "orbital_data"), ("designation",)], ids=["plain", "detailed"])
    def test_a_copy_from_the_feed_does_not_replace_a_fuller_one(self, zone: Zone, lacks: tuple[str, ...]) -> None:
        whole = neo("3000001", *(approach(day=f"20{year}-01-01") for year in range(10, 60)))
        zone.drop("lookup.ndjson", lines(whole))
        zone.land()
        feed = neo("3000001", *whole["close_approach_data"][:1], **dict.fromkeys(lacks, ...))
        zone.drop("feed.ndjson", lines(feed))
        assert zone.land().files == {"feed.ndjson": "1 object, 1 of them in quarantine"}
        assert totals(zone) == counted([whole])

    def test_of_several_copies_in_a_file_the_last_counts(self, zone: Zone) -> None:
        early, late = neo("3000001", approach(body="Mars")), neo("3000001", approach(), approach(day="2002-03-04"))
        zone.drop("a.ndjson", lines(early, *neos(100, 250), early, late))
        zone.land()
        assert totals(zone) == counted([early, *neos(100, 250), late])

    def test_the_same_content_again_is_stored_once(self, zone: Zone) -> None:
        for name in ("a.ndjson", "a.ndjson", "b.ndjson.gz"):
            content = lines(*neos(0, 450))
            zone.drop(name, gzip.compress(content) if name.endswith("gz") else content)
            zone.land()
        assert totals(zone) == counted(neos(0, 450))
        assert len(raw_pages.stored_numbers(zone.lake)) == 3
        assert set(zone.below("archive")) == {"a.ndjson", "a-2.ndjson", "b.ndjson.gz"}

    def test_a_copy_dropped_again_is_the_latest(self, zone: Zone) -> None:
        first, second = neo("3000001", approach()), neo("3000001")
        for one, approaches in ((first, 1), (second, 0), (first, 1)):
            zone.drop("a.ndjson", lines(one))
            zone.land()
            assert zone.total().approaches == approaches

    def test_a_copy_landed_after_the_clock_was_set_back_is_the_latest(self, zone: Zone) -> None:
        early, late = neo("3000001", approach(body="Mars")), neo("3000001", approach(), approach(day="2002-03-04"))
        zone.drop("a.ndjson", lines(early))
        zone.land()
        [number] = raw_pages.stored_numbers(zone.lake)
        stored = raw_pages.read_page(zone.lake, number)
        ahead = datetime.now(UTC) + timedelta(hours=2)
        page = Page(number, bytes(stored.body), ahead, stored.facts.source, 1, 1)
        raw_pages.write_page(zone.lake, page, "a.ndjson")
        zone.land()
        zone.drop("b.ndjson", lines(late))
        zone.land()
        assert totals(zone) == counted([late])
        zone.drop("0.json", body(early, *neos(0, 19), number=0))
        zone.drop("1.json", body(*neos(20), number=1))
        zone.land()
        assert totals(zone) == counted([early, *neos(0, 19), *neos(20)])

    def test_pages_whose_numbers_collide_are_stored_apart(self, zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(landing_module, "_NUMBER_RANGE", 1)
        zone.drop("a.ndjson", lines(*neos(0, 450)))
        zone.land()
        assert raw_pages.stored_numbers(zone.lake) == [100_000, 100_001, 100_002]
        assert totals(zone) == counted(neos(0, 450))

    @pytest.mark.parametrize(
        ("line", "reason", "record"),
        [
            (b"no JSON at all, \xc3\xa9 \xff", "not an object", '"no JSON at all, é \\\\xff"'),
            (b'{"id": "1", "name"', "not an object", '"{\\"id\\": \\"1\\", \\"name\\""'),
            (b"[1,2]", "not an object", "[1,2]"),
            (b"null", "not an object", "null"),
            (b"[" * 100_000, "not an object", json.dumps("[" * 100_000)),
            (b'{"neo_reference_id":"1"}', "name: missing", '{"neo_reference_id":"1"}'),
            (b'{"id":"1","name":"\\ud800"}', "surrogate", '{"id":"1","name":"\\ud800"}'),
            (b'{"id":"1","name":"\xff"}', "not an object", '"{\\"id\\":\\"1\\",\\"name\\":\\"\\\\xff\\"}"'),
        ],
    )
    @pytest.mark.usefixtures("no_finalizers")
    def test_an_unreadable_line_goes_to_quarantine_and_the_others_count(
        self, zone: Zone, line: bytes, reason: str, record: str
    ) -> None:
        zone.drop("a.ndjson", lines(*neos(0, 3)) + line + b"\n" + lines(*neos(3, 2)))
        assert zone.land().files == {"a.ndjson": "6 objects, 1 of them in quarantine"}
        row, *others = tables.read_table(zone.lake, QUARANTINE, LANDED).to_pylist()
        assert not others
        assert (row["page"], row["index"], row["record"]) == (raw_pages.stored_numbers(zone.lake)[0], 3, record)
        assert reason in row["reason"]
        assert totals(zone) == counted(neos(0, 5))

    def test_impossible_values_reach_no_table_from_a_page_or_a_line(self, zone: Zone) -> None:
        wrong: list[dict[str, Any]] = [
            {"miss_distance": {"astronomical": "-0.31", "kilometers": "14959787"}},
            {"epoch_date_close_approach": 981158400},
            {"epoch_date_close_approach": 2**63 - 1},
            {"close_approach_date": "0001-01-01"},
        ]
        bad = [neo(str(number), approach(), approach() | one) for number, one in enumerate(wrong)]
        zone.fetched(1, *neos(20))
        zone.drop("a.json", body(*bad, *neos(4, 16), number=0))
        zone.drop("a.ndjson", lines(*bad, *neos(100, 1)))
        assert zone.land().files == {
            "a.json": "page 0, 20 NEOs, 4 of them in quarantine",
            "a.ndjson": "5 objects, 4 of them in quarantine",
        }
        assert totals(zone) == counted([*neos(4, 36), *neos(100, 1)])
        for table in TABLES.values():
            for key in [LANDED, "00000-00001"] if table.partitioned else []:
                assert tables.read_table(zone.lake, table, key).to_pylist()

    def test_large_numbers_have_commas(self, zone: Zone) -> None:
        zone.drop("a.ndjson", lines(*neos(0, 1)) + b"[]\n" * 1_000)
        assert zone.land().files == {"a.ndjson": "1,001 objects, 1,000 of them in quarantine"}


class TestSource:
    def test_without_a_key_an_empty_lake_becomes_the_simulators(self, zone: Zone) -> None:
        zone.drop("a.ndjson", lines(*neos(0, 1)))
        notice = zone.land().lines[-1]
        assert notice.startswith(
            "The lake was empty and belongs to simulator from now on. For NASA's data, set NASA_API_KEYS"
        )
        assert owner.source_of(zone.lake) == "simulator"
        zone.drop("b.ndjson", lines(*neos(1, 1)))
        assert len(zone.land().lines) == 3

    def test_with_a_key_an_empty_lake_becomes_nasas(self, disk_lake: Storage, tmp_path: Path) -> None:
        zone = Zone(disk_lake, tmp_path, nasa_api_keys=KEY)
        zone.drop("a.ndjson", lines(*neos(0, 1)))
        notice = zone.land().lines[-1]
        assert notice.startswith(
            "The lake was empty and belongs to nasa from now on. For simulated data, unset NASA_API_KEYS"
        )
        assert zone.total().source == "nasa"

    @pytest.mark.parametrize("source", ["nasa", "simulator"])
    def test_a_lake_keeps_its_source(self, zone: Zone, source: str) -> None:
        owner.claim(zone.lake, source)
        zone.drop("a.ndjson", lines(*neos(0, 1)))
        zone.drop("a.json", body(*neos(0), number=0))
        zone.land()
        assert owner.source_of(zone.lake) == source
        facts = [raw_pages.read_facts(zone.lake, number) for number in raw_pages.stored_numbers(zone.lake)]
        assert [one.source for one in facts if one] == [source, source]


def test_nothing_to_do(zone: Zone) -> None:
    zone.drop(".a.json", b"being written")
    zone.drop(".rsync/a.json", b"being written")
    assert zone.land().lines == []
    assert owner.source_of(zone.lake) is None


@NEEDS_CAPTURES
class TestCaptures:
    def test_objects(self, disk_lake: Storage, tmp_path: Path) -> None:
        zone = Zone(disk_lake, tmp_path, nasa_api_keys=KEY)
        every: list[dict[str, Any]] = []
        for file in sorted(CAPTURES.glob("2020-12_objects-*.ndjson.gz")):
            content = file.read_bytes()
            zone.drop(file.name, content)
            every += map(json.loads, gzip.decompress(content).splitlines())
        report = zone.land()
        assert list(report.files.values()) == ["1,000 objects"] * 3
        assert totals(zone) == counted(every)
        total = zone.total()
        assert total.years == len(
            {passage["close_approach_date"][:4] for one in every for passage in one["close_approach_data"]}
        )
        rows = tables.read_table(zone.lake, TOTAL_NEAR_MISSES)
        assert rows.equals(
            tables.read_table(zone.lake, NEAR_MISS_COUNT, LANDED).replace_schema_metadata(rows.schema.metadata)
        )

    def test_pages(self, disk_lake: Storage, tmp_path: Path) -> None:
        zone = Zone(disk_lake, tmp_path, pages=1, pages_per_set=1, nasa_api_keys=KEY)
        for file in sorted(CAPTURES.glob("*_page-*.json")):
            zone.drop(file.name, file.read_bytes())
            zone.land()
        assert {name for name in zone.below("quarantine/landing") if name.endswith(".json")} == {
            "2016-11_page-0001_size-5.json"
        }
        last = json.loads((CAPTURES / "2025-10-05_page-0000_new-order.json").read_bytes())["near_earth_objects"]
        assert totals(zone) == counted(last)
        assert raw_pages.stored_numbers(zone.lake) == [0, 1, 2, 1755]

    def test_pages_and_objects_count_each_neo_once(self, disk_lake: Storage, tmp_path: Path) -> None:
        zone = Zone(disk_lake, tmp_path, pages=1, pages_per_set=1, nasa_api_keys=KEY)
        objects = (CAPTURES / "2020-12_objects-00.ndjson.gz").read_bytes()
        page = (CAPTURES / "2025-10-04_page-0000.json").read_bytes()
        zone.drop("objects.ndjson.gz", objects)
        zone.land()
        zone.drop("page.json", page)
        zone.land()
        every = [json.loads(line) for line in gzip.decompress(objects).splitlines()]
        assert totals(zone) == counted([*every, *json.loads(page)["near_earth_objects"]])


class TestCommand:
    @pytest.fixture
    def zone(self, lake: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zone:
        zone = Zone(lake, tmp_path)
        monkeypatch.setenv("NEO_LAKE", lake.root)
        monkeypatch.setenv("NEO_PAGES", str(zone.settings.pages))
        return zone

    @disk_and_s3
    def test_it_reports_each_file(self, zone: Zone, neo: Neo) -> None:
        ended = neo("land")
        assert (ended.code, ended.out) == (0, f"Nothing to do: no files in {zone.lake.root}/landing.\n")
        zone.drop("a.ndjson", lines(*neos(0, 3)))
        ended = neo("land")
        assert ended.code == 0
        *lines_, claimed = ended.out.splitlines()
        assert lines_ == ["a.ndjson: 3 objects", "landed objects: computed", "totals: computed"]
        assert claimed.startswith("The lake was empty and belongs to simulator from now on. For NASA's data")
        assert totals(zone) == counted(neos(0, 3))
        zone.drop("b.json", b"")
        ended = neo("land")
        assert (ended.code, ended.out) == (1, "b.json: SET ASIDE: it is empty\n")
        assert ended.err == "Error: could not take in or compute: b.json\n"
        zone.drop("c.json.gz", b"\x1f\x8b cut")
        ended = neo("land")
        assert (ended.code, ended.err) == (1, "Error: could not take in or compute: c.json.gz\n")

    def test_a_file_set_aside_under_a_tables_name_is_not_read_as_one(self, zone: Zone, neo: Neo) -> None:
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
        page = zone.lake.location(layout.raw_page(number))
        _, listed = ended.out.split(" ", 1)
        assert listed == f"a.ndjson, line 4: not an object ({page})\n"
        assert neo("quarantine", "replay").code == 0
        assert totals(zone) == counted(neos(0, 3))
