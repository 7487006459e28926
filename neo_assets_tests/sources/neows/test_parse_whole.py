"""Parsing of whole pages: comparison with a slow reader; random, simulated and real pages."""

import json
import math
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_assets.schema.pages import Page
from neo_assets.sources.neows.parse import Parsed, parse
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.sources.neows import slow_reader
from neo_assets_tests.sources.neows.examples import (
    CAPTURES,
    NEEDS_CAPTURES,
    NOON,
    approach,
    captured_pages,
    neo,
    page,
    wrapped,
)


def assert_as_read_slowly(parsed: Parsed, pages: list[Page]) -> None:
    records, orbits, approaches = slow_reader.read(pages)
    assert parsed.neo_records.to_pylist() == records
    assert parsed.orbits.to_pylist() == orbits
    assert parsed.close_approaches.to_pylist() == approaches


# --- random and simulated pages

distances = st.decimals(Decimal("0.0000000001"), 10, places=10).map(lambda value: f"{value.normalize():f}")
days = st.dates(date(1899, 12, 30), date(2201, 1, 1)).map(str)
numbers = st.one_of(distances, distances, distances, st.sampled_from(["", "NaN", "inf", "1e-5", ".5", "-1", "x"]))
approaches = st.one_of(
    st.builds(approach, distances, distances, days, st.sampled_from(["Earth", "Venus", "Juptr", "Moon"])),
    st.builds(approach, distances, st.sampled_from(["1.5", "10.5", "9.5"]), days, st.just("Earth")),
    st.builds(
        lambda au, km: approach("1", "1") | {"miss_distance": {"astronomical": au, "kilometers": km}}, numbers, numbers
    ),
)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
provisional = st.builds("{} {}".format, st.integers(1990, 1993), st.sampled_from(["AB", "AC12"]))
names = st.one_of(
    provisional.map("({})".format),
    st.builds("{} {} ({})".format, st.integers(1, 5), texts, provisional),
    provisional.map("P/{} (SOHO)".format),
    texts,
)
maybe_absent = {
    "id": st.just(...),
    "name_limited": texts,
    "designation": st.one_of(st.just(...), provisional, provisional.map("P/{}".format), st.just("433")),
    "absolute_magnitude_h": st.one_of(st.just(...), st.none(), st.floats(9, 33)),
    "estimated_diameter": st.just(...),
    "orbital_data": st.one_of(
        st.just(...),
        st.fixed_dictionaries(
            {},
            optional={
                "orbital_period": numbers,
                "first_observation_date": days,
                "observations_used": st.integers(0, 2**40),
                "data_arc_in_days": st.one_of(st.none(), st.integers(0, 2**40)),
                "eccentricity": numbers,
                "orbit_uncertainty": st.sampled_from("059"),
                "orbit_class": st.one_of(st.none(), st.fixed_dictionaries({"orbit_class_type": texts})),
            },
        ),
    ),
    "close_approach_data": st.just(...),
}


@st.composite
def neos(draw: st.DrawFn) -> Any:
    changes = draw(st.fixed_dictionaries({"name": names}, optional=maybe_absent))
    spk_id = str(draw(st.integers(2_000_001, 2_000_009)))
    return neo(spk_id, *draw(st.lists(approaches, max_size=4)), **changes)


@st.composite
def some_pages(draw: st.DrawFn) -> list[Page]:
    objects: st.SearchStrategy[Any] = st.one_of(neos(), neos(), neos(), neos(), st.sampled_from([None, "x", 3, []]))
    contents = draw(st.lists(st.lists(objects, max_size=4), max_size=4))
    hours = draw(st.permutations(range(len(contents))))
    return [page(*content, number=i, hours=hours[i]) for i, content in enumerate(contents)]


@pytest.mark.slow
@given(pages=some_pages())
@settings(max_examples=150)
def test_random_pages_are_read_like_the_slow_reader_does(pages: list[Page]) -> None:
    parsed = parse(pages)
    assert_as_read_slowly(parsed, pages)
    on_pages = [(one.number, place) for one in pages for place in range(one.neos)]
    aside = [(row["page"], row["index"]) for row in parsed.quarantine.to_pylist()]
    assert set(aside) <= set(on_pages)
    assert sorted(set(aside)) == aside


def simulated(catalogue: Catalogue, count: int) -> list[Page]:
    size = catalogue.near_earth_object_count
    return [
        Page(i, to_json(catalogue.page(i)), NOON + timedelta(seconds=i), "simulator", 20, size) for i in range(count)
    ]


def test_simulated_pages_are_read_like_the_slow_reader_does() -> None:
    pages = simulated(Catalogue(neos=120), 6)
    parsed = parse(pages)
    assert parsed.neo_records.num_rows == 120
    assert parsed.quarantine.num_rows == 0
    assert_as_read_slowly(parsed, pages)


def test_a_catalogue_that_moved_between_pages_is_read_without_copies() -> None:
    before = Catalogue(neos=60)
    after = before.inserted(7).numbered(0.5)
    pages = [*simulated(before, 2), simulated(after, 3)[2]]
    assert_as_read_slowly(parse(pages), pages)


# --- real pages


@NEEDS_CAPTURES
@pytest.mark.parametrize("file", sorted(CAPTURES.glob("*_page-*.json")), ids=lambda file: file.name)
def test_real_pages_are_read_like_the_slow_reader_does(file: Any) -> None:
    pages = [captured_pages()[file.name]]
    parsed = parse(pages)
    aside = 1 if file.name.startswith("2016-11") else 0  # the epoch of one approach in 2165 is in 1970
    assert parsed.quarantine.num_rows == aside
    assert parsed.neo_records.num_rows == pages[0].neos - aside
    assert_as_read_slowly(parsed, pages)


@NEEDS_CAPTURES
def test_three_thousand_real_objects_are_read_whole() -> None:
    pages = wrapped(one for name, one in captured_pages().items() if "ndjson" in name)
    objects = [neo for one in pages for neo in json.loads(one.body)["near_earth_objects"]]
    distances = [
        [(Decimal(entry["miss_distance"]["kilometers"]), entry) for entry in neo["close_approach_data"]]
        for neo in objects
    ]
    near = [
        entry["orbiting_body"]
        for of_neo in distances
        for _, entry in of_neo
        if Decimal(entry["miss_distance"]["astronomical"]) < Decimal("0.2")
    ]
    parsed = parse(pages)
    approaches = parsed.close_approaches.to_pylist()
    assert parsed.quarantine.num_rows == 0
    counted = [row["neo_id"] for row in parsed.neo_sightings.to_pylist() if row["is_counted"]]
    assert parsed.neo_records["id"].to_pylist() == counted == [neo["id"] for neo in objects]
    assert len(approaches) == sum(map(len, distances))
    found = [row["orbiting_body"] for row in approaches if row["miss_distance_au"] < 0.2]
    assert (len(found), found.count("Earth")) == (len(near), near.count("Earth"))
    closest = parsed.neo_records["closest_approach_miss_distance_km"].to_pylist()
    assert closest == [float(min((km for km, _ in of_neo), default=math.nan)) for of_neo in distances]
