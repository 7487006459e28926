"""Parsing: hand-written examples, each for one rule."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from neo_assets.schema.page_sets import FIRST_LANDED_PAGE
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE
from neo_assets.sources.neows.parse import Parsed, parse
from neo_assets_tests.sources.neows.examples import (
    NOON,
    approach,
    body,
    neo,
    page,
)


def the_record(*neos: dict[str, Any]) -> dict[str, Any]:
    """The only row of `neo_records` parsed from a page with these objects."""
    record: dict[str, Any]
    (record,) = parse([page(*neos)]).neo_records.to_pylist()
    return record


def ids(parsed: Parsed) -> list[str]:
    counted = [row["neo_id"] for row in parsed.neo_sightings.to_pylist() if row["is_counted"]]
    assert parsed.neo_records["id"].to_pylist() == counted
    return counted


# --- one object


def test_an_object_and_its_approaches() -> None:
    parsed = parse([page(neo("3000001", approach("0.05", "7479893.5", "1969-07-20", "Moon")))])
    assert parsed.neo_records.to_pylist() == [
        {
            "id": "3000001",
            "neo_reference_id": "3000001",
            "name": "(3000001 XY)",
            "name_limited": None,
            "designation": "3000001 XY",
            "nasa_jpl_url": "https://ssd.jpl.nasa.gov/tools/sbdb_lookup.html#/?sstr=3000001",
            "absolute_magnitude_h": 20.5,
            "is_potentially_hazardous_asteroid": False,
            "estimated_diameter_min_m": 211.1324448,
            "estimated_diameter_max_m": 472.1064988,
            "closest_approach_miss_distance_km": 7479893.5,
            "closest_approach_date": date(1969, 7, 20),
            "closest_approach_relative_velocity_km_s": 12.5,
            "first_observation_date": date(1999, 1, 2),
            "last_observation_date": date(2025, 12, 31),
            "observations_used": 321,
            "orbital_period_days": 400.25,
        }
    ]
    assert parsed.close_approaches.to_pylist() == [
        {
            "neo_id": "3000001",
            "close_approach_at": datetime(1969, 7, 20, tzinfo=UTC),
            "close_approach_date": date(1969, 7, 20),
            "orbiting_body": "Moon",
            "miss_distance_au": 0.05,
            "miss_distance_km": 7479893.5,
            "relative_velocity_km_s": 12.5,
        }
    ]
    assert parsed.neo_sightings.to_pylist() == [
        {"neo_id": "3000001", "principal_designation": "3000001 XY", "page": 0, "fetched_at": NOON, "is_counted": True}
    ]
    assert parsed.quarantine.num_rows == 0


@pytest.mark.parametrize(
    "missing", [{"close_approach_data": []}, {"close_approach_data": ...}], ids=["empty", "absent"]
)
def test_without_approaches_nothing_is_closest(missing: dict[str, Any]) -> None:
    record = the_record(neo(**missing))
    assert [record[name] for name in record if name.startswith("closest_approach")] == [None, None, None]


@pytest.mark.parametrize(
    ("missing", "columns"),
    [
        ("name_limited", ["name_limited"]),
        ("designation", ["designation"]),
        ("nasa_jpl_url", ["nasa_jpl_url"]),
        ("absolute_magnitude_h", ["absolute_magnitude_h"]),
        ("is_potentially_hazardous_asteroid", ["is_potentially_hazardous_asteroid"]),
        ("estimated_diameter", ["estimated_diameter_min_m", "estimated_diameter_max_m"]),
        (
            "orbital_data",
            ["first_observation_date", "last_observation_date", "observations_used", "orbital_period_days"],
        ),
    ],
)
@pytest.mark.parametrize("value", [..., None], ids=["absent", "null"])
def test_only_missing_values_are_null(missing: str, columns: list[str], value: Any) -> None:
    whole = neo("3000001", approach(), name_limited="Eros")
    expected = the_record(whole) | dict.fromkeys(columns)
    assert the_record(neo("3000001", approach(), **{"name_limited": "Eros", missing: value})) == expected


def test_id_falls_back_to_the_reference_id() -> None:
    parsed = parse([page(neo("3000001", approach(), id=...))])
    assert ids(parsed) == ["3000001"]
    assert parsed.close_approaches["neo_id"].to_pylist() == ["3000001"]


def test_unknown_keys_are_ignored() -> None:
    entry = approach() | {"new": {"nested": [1]}}
    assert the_record(neo("1", entry, brand_new=[{"x": None}])) == the_record(neo("1", approach()))


def test_non_ascii_text_survives() -> None:
    assert the_record(neo(name="ʻOumuamua’s twin 李 (2017 U1)"))["name"] == "ʻOumuamua’s twin 李 (2017 U1)"


@pytest.mark.parametrize(
    ("text", "value"),
    [("2.65565E-5", 2.65565e-5), (".4", 0.4), ("3", 3.0), ("0.499257206", 0.499257206), ("1e3", 1000.0)],
)
def test_numbers_are_read_in_every_notation(text: str, value: float) -> None:
    parsed = parse([page(neo("1", approach(au=text, km="1"), orbital_data={"orbital_period": text}))])
    assert parsed.close_approaches["miss_distance_au"].to_pylist() == [value]
    assert parsed.neo_records["orbital_period_days"].to_pylist() == [value]


@pytest.mark.parametrize(
    ("name", "designation", "principal"),
    [
        ("(2010 PK9)", "2010 PK9", "2010 PK9"),
        ("(2010 PK9)", ..., "2010 PK9"),
        ("453100 (2007 WU4)", "453100", "2007 WU4"),
        ("433 Eros (A898 PA)", "433", "A898 PA"),
        ("(6344 P-L) ", "6344 P-L", "6344 P-L"),
        ("(4101 T-3)", ..., "4101 T-3"),
        ("1I/'Oumuamua (A/2017 U1)", "1I", "A/2017 U1"),
        ("P/1999 R1 (SOHO)", "P/1999 R1", "P/1999 R1"),
        ("C/1995 O1 (Hale-Bopp)", "C/1995 O1", "C/1995 O1"),
        ("322P/SOHO", "322P", "322P"),
        ("P/1999 R1 (SOHO)", ..., "3000001"),
        ("a name without any", ..., "3000001"),
        ("a name without any", "", "3000001"),
        ("a name without any", " ", "3000001"),
        ("10 thousand (2010)", ..., "3000001"),
        ("()", ..., "3000001"),
    ],
)
def test_the_principal_designation_outlives_numbering_and_is_no_other_objects(
    name: str, designation: Any, principal: str
) -> None:
    sightings = parse([page(neo("3000001", name=name, designation=designation))]).neo_sightings
    assert sightings["principal_designation"].to_pylist() == [principal]


@pytest.mark.parametrize("given", [True, False], ids=["with designations", "without"])
def test_comets_of_one_discoverer_are_kept_apart(given: bool) -> None:
    comets = ["P/1999 R1", "P/2003 T12", "P/2002 S7"]
    names = [neo(str(i), name=f"{one} (SOHO)", designation=one if given else ...) for i, one in enumerate(comets)]
    assert ids(parse([page(*names), page(names[1], number=1)])) == ["0", "2", "1"]


# --- the closest approach


def test_distances_are_compared_as_numbers() -> None:
    record = the_record(neo("1", approach(km="10.1", day="2001-01-01"), approach(km="9.5", day="2002-02-02")))
    assert record["closest_approach_miss_distance_km"] == 9.5
    assert record["closest_approach_date"] == date(2002, 2, 2)


def test_the_closest_is_over_all_bodies() -> None:
    record = the_record(neo("1", approach(km="10.1", body="Earth"), approach(km="9.5", body="Juptr")))
    assert record["closest_approach_miss_distance_km"] == 9.5


def test_the_earliest_is_the_closest_on_a_tie() -> None:
    days = ["2030-01-01", "1950-06-01", "2001-01-01"]
    record = the_record(neo("1", *(approach(km="5", day=day) for day in days), approach(km="5.5", day="1901-01-01")))
    assert record["closest_approach_date"] == date(1950, 6, 1)


def test_each_object_has_its_own_closest() -> None:
    near, none, far = neo("1", approach(km="1"), approach(km="2")), neo("2"), neo("3", approach(km="30"))
    found = parse([page(none, near, neo("4"), far)]).neo_records
    assert found["closest_approach_miss_distance_km"].to_pylist() == [None, 1.0, None, 30.0]


# --- bodies as they come


def test_no_pages_and_empty_pages_give_empty_tables() -> None:
    for parsed in (parse([]), parse([page()]), parse([page(number=0), page(number=1)])):
        for rows, table in (
            (parsed.neo_records, NEO_RECORDS),
            (parsed.close_approaches, CLOSE_APPROACHES),
            (parsed.neo_sightings, NEO_SIGHTINGS),
            (parsed.quarantine, QUARANTINE),
        ):
            assert rows.num_rows == 0
            assert rows.schema.equals(table.schema, check_metadata=True)


def test_tables_have_exactly_the_schema() -> None:
    parsed = parse([page(neo("1", approach()), "not an object"), page(neo("2"), number=1)])
    assert parsed.neo_records.schema.equals(NEO_RECORDS.schema, check_metadata=True)
    assert parsed.close_approaches.schema.equals(CLOSE_APPROACHES.schema, check_metadata=True)
    assert parsed.neo_sightings.schema.equals(NEO_SIGHTINGS.schema, check_metadata=True)
    assert parsed.quarantine.schema.equals(QUARANTINE.schema, check_metadata=True)


@pytest.mark.parametrize("indent", [2, "\t", "\r\n"])
def test_pretty_printed_bodies_are_read(indent: Any) -> None:
    neos = [neo("1", approach(), approach(km="7")), neo("2", name="line\nfeed (2)")]
    plain, pretty = parse([page(*neos)]), parse([page(*neos, indent=indent)])
    assert pretty.neo_records.equals(plain.neo_records)
    assert pretty.close_approaches.equals(plain.close_approaches)


def test_rows_are_in_the_order_of_pages_and_positions() -> None:
    pages = [page(neo("9"), neo("5"), number=4), page(neo("7"), number=5), page(neo("1"), neo("8"), number=6)]
    parsed = parse(iter(pages))
    assert ids(parsed) == ["9", "5", "7", "1", "8"]
    assert parsed.neo_sightings["page"].to_pylist() == [4, 4, 5, 6, 6]


# --- the quarantine


@pytest.mark.parametrize("missing", ["orbital_data", "close_approach_data", "designation"])
@pytest.mark.parametrize("value", [..., None], ids=["absent", "null"])
def test_a_landed_object_that_is_not_as_browse_lists_it_is_quarantined(missing: str, value: Any) -> None:
    """As from NeoWs's feed, which lists one approach of an object: it must not replace a copy with all of them."""
    poor = neo("1", **{"close_approach_data": [approach()], missing: value})
    parsed = parse([page(poor, neo("2", approach(), orbital_data={}), number=FIRST_LANDED_PAGE)])
    assert ids(parsed) == ["2"]
    assert parsed.quarantine["reason"].to_pylist() == [f"{missing}: missing, so this is no object of Browse or lookup"]
    assert ids(parse([page(poor)])) == ["1"], "on a Browse page, it is the only copy"


def test_a_landed_object_of_the_years_before_id_and_designation_is_read() -> None:
    assert ids(parse([page(neo("1", approach(), id=..., designation=...), number=FIRST_LANDED_PAGE)])) == ["1"]


def test_several_objects_can_be_quarantined() -> None:
    bad = neo("9", approach(au="?"))
    parsed = parse([page(bad, neo("1"), bad, number=0), page(neo("2"), "x", number=1)])
    assert ids(parsed) == ["1", "2"]
    places = [(row["page"], row["index"]) for row in parsed.quarantine.to_pylist()]
    assert places == [(0, 0), (0, 2), (1, 1)]


def test_the_quarantined_record_is_readable_text() -> None:
    (rejected,) = parse([page(neo("1", name=None, note="the Earth’s"))]).quarantine.to_pylist()
    assert "the Earth’s" in rejected["record"]


def test_half_a_surrogate_pair_is_quarantined_unchanged() -> None:
    content = body(neo("1", name=None, note="half"), neo("2")).replace(b'"half"', rb'"\ud83d"')
    parsed = parse([dataclasses.replace(page(), body=content)])
    assert ids(parsed) == ["2"]
    assert r'"note":"\ud83d"' in parsed.quarantine["record"][0].as_py()


def test_a_body_that_is_not_json_is_an_error_and_not_quarantined() -> None:
    with pytest.raises(json.JSONDecodeError):
        parse([page(neo("1")), dataclasses.replace(page(neo("2")), body=body(neo("2"))[:-10])])


@pytest.mark.parametrize(("bad", "taken"), [(0, 16), (16, 32)])
def test_pages_are_taken_16_mib_at_a_time_so_that_memory_stays_small(bad: int, taken: int) -> None:
    numbers = iter(range(40))

    def pages() -> Iterator[Page]:
        for number in numbers:
            content = b"<html>" if number == bad else body(number=number)
            yield Page(number, content.ljust(1 << 20), NOON, "simulator", 0, 0)

    with pytest.raises(ValueError, match="Expecting value"):
        parse(pages())
    assert next(numbers) == taken


# --- the same object twice


def test_of_two_copies_the_one_fetched_last_is_kept() -> None:
    early, late = neo("1", approach(), approach(), approach()), neo("1", approach(), absolute_magnitude_h=21.5)
    for pages in (
        [page(early, neo("2"), number=0), page(late, number=1, hours=1)],
        [page(late, number=0, hours=1), page(early, neo("2"), number=1)],
    ):
        parsed = parse(pages)
        assert sorted(ids(parsed)) == ["1", "2"]
        assert parsed.close_approaches.num_rows == 1
        assert 21.5 in parsed.neo_records["absolute_magnitude_h"].to_pylist()


def test_of_two_copies_fetched_at_the_same_time_the_one_on_the_later_page_is_kept() -> None:
    parsed = parse([page(neo("1", name_limited="Old"), number=0), page(neo("1", name_limited="New"), number=1)])
    assert parsed.neo_records["name_limited"].to_pylist() == ["New"]


@pytest.mark.parametrize("later", ["2660000", "54428000"])
def test_an_object_numbered_in_between_is_the_same(later: str) -> None:
    names = {"54428000": "(2022 AC30)", "2660000": "660000 Somebody (2022 AC30)"}
    earlier = next(spk_id for spk_id in names if spk_id != later)
    parsed = parse(
        [
            page(neo(earlier, approach(), name=names[earlier]), number=0),
            page(neo(later, approach(), approach(), name=names[later]), number=1, hours=1),
        ]
    )
    assert ids(parsed) == [later]
    assert parsed.close_approaches["neo_id"].to_pylist() == [later, later]


def test_a_copy_that_cannot_be_read_replaces_nothing() -> None:
    parsed = parse([page(neo("1", approach())), page(neo("1", approach(au="?")), number=1, hours=1)])
    assert ids(parsed) == ["1"]
    assert parsed.quarantine.num_rows == 1


def test_sightings_contain_the_older_copies_marked_as_not_counted() -> None:
    parsed = parse([page(neo("1"), neo("2"), number=0), page(neo("1"), number=1, hours=1)])
    sightings = [(row["neo_id"], row["page"], row["is_counted"]) for row in parsed.neo_sightings.to_pylist()]
    assert sightings == [("1", 0, False), ("2", 0, True), ("1", 1, True)]
