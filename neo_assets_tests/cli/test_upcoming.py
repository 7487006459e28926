"""`neo upcoming`: what comes next, as a table, as JSON, as CSV; and what to do if that is nothing."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.schema.facts import KM_PER_AU
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import gather
from neo_assets_tests.sources.neows.examples import approach, page
from neo_assets_tests.sources.neows.examples import neo as one

FIRST = "00000-00000"

Neo = Callable[..., Ended]


@pytest.fixture
def lake(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setenv("NEO_LAKE", lake.root)
    monkeypatch.setenv("NEO_PAGES", "1")
    monkeypatch.setenv("NEO_PAGES_PER_SET", "1")
    return lake


def day(days: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"


def coming(days: int, au: float = 0.01, body: str = "Earth") -> dict[str, Any]:
    return approach(str(au), str(au * KM_PER_AU), day(days), body)


def hold(lake: Storage, *neos: dict[str, Any], source: str = "simulator", old: timedelta = timedelta()) -> None:
    gather(lake, FIRST, [replace(page(*neos), source=source, fetched_at=datetime.now(UTC) - old)])


APOPHIS = one("1", coming(20), name="99942 Apophis (2004 MN4)", is_potentially_hazardous_asteroid=True)
SMALL = one("2", coming(3, 0.001), name="(2010 PK9)", absolute_magnitude_h=..., estimated_diameter=...)


@disk_and_s3
def test_a_table_in_the_order_of_time_with_a_mark_for_hazardous_ones(lake: Storage, neo: Neo) -> None:
    hold(lake, APOPHIS, SMALL, old=timedelta(hours=5))
    ended = neo("upcoming")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "   Date (UTC)        Name                           au    LD  km/s     H  Diameter (m)",
        f"   {day(3)} 00:00  2010 PK9                  0.00100  0.39  12.5",
        f"!  {day(20)} 00:00  99942 Apophis (2004 MN4)  0.01000   3.9  12.5  20.5       211-472",
        "",
        "LD: lunar distances of 384,400 km. H: absolute magnitude. Diameter: the range that H allows.",
        "! potentially hazardous.",
        "2 approaches to Earth within 0.05 au in the next 60 days.",
        "The lake has 2 NEOs; their oldest page was fetched 5 hours ago, on "
        f"{datetime.now(UTC) - timedelta(hours=5):%Y-%m-%d %H:%M} UTC.",
        "Simulated: these objects are made up; set NASA_API_KEYS for NASA's.",
    ]


def test_nasas_data_are_not_marked(lake: Storage, neo: Neo) -> None:
    hold(lake, SMALL, source="nasa", old=timedelta(days=3))
    ended = neo("upcoming")
    assert "imulated" not in ended.out
    assert "hazardous" not in ended.out, "a legend only for what is there"
    assert "One approach to Earth within 0.05 au in the next 60 days.\n" in ended.out
    assert "The lake has 1 NEO; their oldest page was fetched 3 days ago" in ended.out


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], ["2"]),
        (["--days", "300"], ["2", "1"]),
        (["--days", "300", "--within", "0.1"], ["2", "1", "3"]),
        (["--days", "40", "--within", "0.01"], []),
    ],
)
def test_how_far_ahead_and_how_far_from_earth(lake: Storage, neo: Neo, arguments: list[str], found: list[str]) -> None:
    approaches = [coming(90), coming(50, 0.05), coming(100, 0.1), coming(-2), coming(9, body="Venus")]
    hold(lake, *(one(str(number), each) for number, each in enumerate(approaches, 1)))
    printed = json.loads(neo("upcoming", "--json", *arguments).out)
    assert [row["neo_id"] for row in printed["approaches"]] == found


def test_json_is_one_object_that_says_where_it_comes_from(lake: Storage, neo: Neo) -> None:
    hold(lake, APOPHIS)
    printed = json.loads(neo("upcoming", "--json", "--days", "30").out)
    [row] = printed.pop("approaches")
    assert printed.pop("oldest_page_at") == printed.pop("newest_page_at")
    assert printed == {"source": "simulator", "is_simulated": True, "days": 30, "within_au": 0.05, "neos": 1}
    assert row["close_approach_at_utc"] == f"{day(20)}T00:00Z"
    assert row["is_potentially_hazardous"] is True


def test_csv_has_nothing_but_rows(lake: Storage, neo: Neo) -> None:
    hold(lake, APOPHIS, SMALL)
    ended = neo("upcoming", "--csv")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [row["name"] for row in rows] == ["2010 PK9", "99942 Apophis (2004 MN4)"]
    assert {row["source"] for row in rows} == {"simulator"}
    assert ended.err == ""


def test_if_none_comes_in_time_it_says_when_the_next_one_does(lake: Storage, neo: Neo) -> None:
    hold(lake, one("1", coming(300), coming(200)))
    ended = neo("upcoming")
    assert (ended.code, ended.err) == (0, f"The next one comes on {day(200)}: look further ahead, with --days 200.\n")
    assert ended.out.startswith("No approach to Earth within 0.05 au in the next 60 days.\n")
    assert neo("upcoming", "--days", "200", "--csv").out.count("\n") == 2


def test_if_none_comes_at_all_it_says_to_look_farther(lake: Storage, neo: Neo) -> None:
    hold(lake, one("1", coming(10, 0.1)))
    ended = neo("upcoming", "--csv")
    assert (ended.code, ended.out.count("\n")) == (0, 1)
    assert ended.err == "None comes later either: look farther from Earth, as with --within 0.2.\n"


def test_an_empty_lake_says_what_to_run(lake: Storage, neo: Neo) -> None:
    ended = neo("upcoming")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"Error: the lake {lake.root} holds no NEOs yet: run `neo run`\n"


def test_missing_page_sets_are_named(lake: Storage, neo: Neo) -> None:
    hold(lake, SMALL)
    ended = neo("upcoming", NEO_PAGES=3)
    assert ended.err == "2 page sets of 3 not gathered yet, so approaches are missing: run `neo run`.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--json", "--csv"], "--json and --csv exclude each other: give one of them"),
        (["--days", "0"], "Invalid value for '--days': 0 is not in the range"),
        (["--within", "0"], "Invalid value for '--within'"),
        (["--within", "near"], "'near' is not a valid float"),
    ],
)
def test_wrong_options_are_refused(neo: Neo, arguments: list[str], says: str) -> None:
    ended = neo("upcoming", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err


def test_the_help_teaches_with_examples(neo: Neo) -> None:
    assert "neo upcoming --within 0.00257           closer than the Moon\n" in neo("upcoming", "--help").out
