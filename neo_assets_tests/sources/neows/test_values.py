"""Values that cannot be read, or cannot be true: the object with one goes to quarantine whole, with the reason."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from neo_assets.sources.neows.parse import parse
from neo_assets_tests.sources.neows.examples import approach, neo, page


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (
            neo("7", approach(au="near")),
            "close_approach_data[0].miss_distance.astronomical: Failed to parse string: 'near'",
        ),
        (neo("7", approach(km="")), "close_approach_data[0].miss_distance.kilometers: "),
        (
            neo("7", approach(au="NaN", km="1")),
            "close_approach_data[0].miss_distance.astronomical: not a finite number",
        ),
        (
            neo("7", approach(au="inf", km="1")),
            "close_approach_data[0].miss_distance.astronomical: not a finite number",
        ),
        (neo("7", approach(km="-Infinity")), "close_approach_data[0].miss_distance.kilometers: not a finite number"),
        (neo("7", approach(au="-0.31")), "close_approach_data[0].miss_distance.astronomical: -0.31 is below 0"),
        (neo("7", approach(km="-1")), "close_approach_data[0].miss_distance.kilometers: -1 is below 0"),
        (
            neo("7", approach() | {"relative_velocity": {"kilometers_per_second": "0"}}),
            "close_approach_data[0].relative_velocity.kilometers_per_second: 0 is not above 0",
        ),
        (
            neo("7", approach() | {"epoch_date_close_approach": 981158400}),
            "close_approach_data[0].epoch_date_close_approach: 981158400 is more than a day from close_approach_date",
        ),
        (
            neo("7", approach() | {"epoch_date_close_approach": 2**63 - 1}),
            "close_approach_data[0].epoch_date_close_approach: 9223372036854775807 is not in the years 1899 to 2201",
        ),
        (
            neo("7", approach() | {"epoch_date_close_approach": -(2**63)}),
            "close_approach_data[0].epoch_date_close_approach: -9223372036854775808 is not in the years 1899 to 2201",
        ),
        (
            neo("7", approach() | {"epoch_date_close_approach": 2**63}),
            "close_approach_data[0]: 9223372036854775808 is not a whole number that fits into 64 bits",
        ),
        (
            neo("7", approach(day="2201-12-31") | {"epoch_date_close_approach": 7321190400000}),
            "close_approach_data[0].epoch_date_close_approach: 7321190400000 is not in the years 1899 to 2201",
        ),
        (
            neo("7", approach() | {"close_approach_date": "0001-01-01"}),
            "close_approach_data[0].close_approach_date: 0001-01-01 is not in the years 1899 to 2201",
        ),
        (neo("7", approach(day="1898-12-31")), "close_approach_data[0].close_approach_date: 1898-12-31 is not in"),
        (neo("7", approach(day="2202-01-01")), "close_approach_data[0].close_approach_date: 2202-01-01 is not in"),
        (
            neo("7", orbital_data={"first_observation_date": "0000-12-31"}),
            "orbital_data.first_observation_date: 0000-12-31 is not in the years 1 to 9999",
        ),
        (neo("7", orbital_data={"observations_used": 2**63}), "9223372036854775808 is not a whole number"),
        (neo("7", approach() | {"orbiting_body": None}), "close_approach_data[0].orbiting_body: missing"),
        (neo("7", approach() | {"miss_distance": {}}), "close_approach_data[0].miss_distance.astronomical: missing"),
        (neo("7", approach() | {"close_approach_date": "soon"}), "close_approach_data[0].close_approach_date: "),
        (neo("7", approach() | {"close_approach_date": "2001-02-30"}), "close_approach_data[0].close_approach_date: "),
        (
            neo("7", approach() | {"epoch_date_close_approach": "x"}),
            "close_approach_data[0].epoch_date_close_approach: string instead of number",
        ),
        (
            neo("7", approach() | {"epoch_date_close_approach": 1.5}),
            "close_approach_data[0]: 1.5 is not a whole number that fits into 64 bits",
        ),
        (neo("7", cast("Any", None)), "close_approach_data[0]: not an object"),
        (neo("7", close_approach_data="none"), "close_approach_data: string instead of array"),
        (neo("7", absolute_magnitude_h="20.5"), "absolute_magnitude_h: string instead of number"),
        (neo("7", absolute_magnitude_h=float("inf")), "absolute_magnitude_h: not a finite number"),
        (
            neo("7", estimated_diameter={"meters": {"estimated_diameter_max": float("inf")}}),
            "estimated_diameter.meters.estimated_diameter_max: not a finite number",
        ),
        (neo("7", is_potentially_hazardous_asteroid="no"), "is_potentially_hazardous_asteroid"),
        (neo("7", orbital_data={"orbital_period": "long"}), "orbital_data.orbital_period: "),
        (neo("7", orbital_data={"first_observation_date": "1999"}), "orbital_data.first_observation_date: "),
        (neo("7", id=..., neo_reference_id=...), "id: missing"),
        (neo("7", id="", neo_reference_id=" "), "id: missing"),
        (neo("7", neo_reference_id=...), "neo_reference_id: missing"),
        (neo("7", name=None), "name: missing"),
        (neo("7", name=["x"]), "name: array instead of string"),
        ({"near_earth_objects": [neo("7")]}, "a whole response, not a single object"),
        ("a string", "not an object"),
        (None, "not an object"),
        (["7"], "not an object"),
        (3.5, "not an object"),
    ],
)
def test_an_unreadable_object_is_quarantined_whole_and_the_rest_is_kept(wrong: Any, reason: str) -> None:
    good = neo("1", approach()), neo("2", approach(), approach())
    parsed = parse([page(number=3), page(good[0], wrong, good[1], number=4), page(neo("3"), number=5)])
    assert parsed.neo_records["id"].to_pylist() == ["1", "2", "3"]
    assert parsed.close_approaches.num_rows == 3
    (rejected,) = parsed.quarantine.to_pylist()
    assert (rejected["page"], rejected["index"]) == (4, 1)
    assert json.loads(rejected["record"]) == wrong
    assert rejected["reason"].startswith(reason)


@pytest.mark.parametrize("bad", [approach(au="?"), approach() | {"miss_distance": []}, None, 7])
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_the_reason_names_the_approach(bad: Any, count: int) -> None:
    for index in range(count):
        passages = [approach() for _ in range(count)]
        passages[index] = bad
        [reason] = parse([page(neo("7", *passages), neo("1"))]).quarantine["reason"].to_pylist()
        assert reason.startswith(f"close_approach_data[{index}]"), reason


def test_of_several_bad_approaches_the_first_is_named_with_its_own_reason() -> None:
    standing = approach() | {"relative_velocity": {"kilometers_per_second": "0"}}
    [reason] = parse([page(neo("7", approach(), standing, approach(au="?")))]).quarantine["reason"].to_pylist()
    assert reason == "close_approach_data[1].relative_velocity.kilometers_per_second: 0 is not above 0"


def test_a_distance_may_be_0() -> None:
    parsed = parse([page(neo("1", approach(au="0", km="0")))])
    assert parsed.close_approaches["miss_distance_km"].to_pylist() == [0.0]


def test_an_object_larger_than_a_block_of_the_reader_is_read() -> None:
    long = "x" * 5_000_000
    assert parse([page(neo("1", name=long))]).neo_records["name"].to_pylist() == [long]


def test_a_problem_outside_the_approaches_is_named_first() -> None:
    [reason] = parse([page(neo("7", approach(au="?"), name=3))]).quarantine["reason"].to_pylist()
    assert reason == "name: number instead of string"


@pytest.mark.parametrize("hours", [-24, -1, 0, 23, 47])
def test_the_time_may_be_a_day_from_the_date(hours: int) -> None:
    entry = approach()
    entry["epoch_date_close_approach"] += 3_600_000 * hours
    parsed = parse([page(neo("1", entry))])
    assert parsed.close_approaches["close_approach_at"].to_pylist() == [
        datetime(2001, 2, 3, tzinfo=UTC) + timedelta(hours=hours)
    ]


@pytest.mark.parametrize("day", ["1899-01-01", "1899-12-30", "2201-01-01", "2201-12-31"])
def test_the_first_and_the_last_year_are_read(day: str) -> None:
    """NeoWs's data has a few approaches just outside of 1900 to 2200."""
    parsed = parse([page(neo("1", approach(day=day)))])
    assert parsed.close_approaches["close_approach_date"].to_pylist() == [date.fromisoformat(day)]


def test_every_table_can_be_read_into_python() -> None:
    """Python's dates end where those of Parquet go on."""
    extremes = [neo(str(n), approach(day=day)) for n, day in enumerate(["1899-01-01", "2201-12-31", "9999-12-31"])]
    early = neo("3", orbital_data={"first_observation_date": "0001-01-01", "last_observation_date": "9999-12-31"})
    parsed = parse([page(*extremes, early)])
    for table in (parsed.neo_records, parsed.close_approaches, parsed.neo_sightings, parsed.quarantine):
        assert table.to_pylist()
