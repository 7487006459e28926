"""The shape of NeoWs's pages: what differs is named by its path, and pages of any kind can be looked at."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from neo_assets.schema.tables import TABLES
from neo_assets.sources.neows.shape import Look, Seen, drift_of, look_at
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.sources.neows.examples import NEEDS_CAPTURES, captured_pages

NEO = "near_earth_objects[]"
APPROACH = f"{NEO}.close_approach_data[]"

Content = dict[str, Any]


def content() -> Content:
    """A page of the simulator."""
    found: Content = json.loads(json.dumps(Catalogue(40).page(0)))
    return found


def looked(page: Content) -> Look:
    return look_at(json.dumps(page).encode())


def first_with_approaches(page: Content) -> Content:
    found: Content = next(neo for neo in page["near_earth_objects"] if neo["close_approach_data"])
    return found


def test_a_page_as_neows_sends_it_has_the_shape() -> None:
    page = content()
    look = looked(page)
    assert look.has_the_shape
    assert [(seen.neo_id, seen.approaches, seen.moid_au) for seen in look.objects] == [
        (neo["id"], len(neo["close_approach_data"]), float(neo["orbital_data"]["minimum_orbit_intersection"]))
        for neo in page["near_earth_objects"]
    ]
    assert not drift_of(json.dumps(page).encode())


DRIFTS: dict[str, Callable[[Content], object]] = {
    "page.cursor is new": lambda page: page["page"].update(cursor=1),
    "page.size is string instead of whole number": lambda page: page["page"].update(size="20"),
    "links is missing": lambda page: page.pop("links"),
    f"{NEO}.colour is new": lambda page: first_with_approaches(page).update(colour="red"),
    f"{NEO}.designation is missing": lambda page: first_with_approaches(page).pop("designation"),
    f"{NEO}.id is whole number instead of string": lambda page: first_with_approaches(page).update(id=5),
    f"{NEO}.name_limited is null instead of string": lambda page: first_with_approaches(page).update(name_limited=None),
    f"{NEO}.is_sentry_object is whole number instead of boolean": lambda page: first_with_approaches(page).update(
        is_sentry_object=1
    ),
    f"{NEO}.orbital_data is array instead of object": lambda page: first_with_approaches(page).update(orbital_data=[]),
    f"{NEO}.orbital_data.data_arc_in_days is number instead of whole number": lambda page: first_with_approaches(page)[
        "orbital_data"
    ].update(data_arc_in_days=0.5),
    f"{APPROACH}.miss_distance.parsecs is new": lambda page: first_with_approaches(page)["close_approach_data"][0][
        "miss_distance"
    ].update(parsecs="1"),
    f"{APPROACH}.miss_distance.astronomical is number instead of string": lambda page: first_with_approaches(page)[
        "close_approach_data"
    ][0]["miss_distance"].update(astronomical=0.1),
    f"{APPROACH}.orbiting_body is missing": lambda page: first_with_approaches(page)["close_approach_data"][0].pop(
        "orbiting_body"
    ),
}


@pytest.mark.parametrize(("drift", "change"), DRIFTS.items(), ids=DRIFTS)
def test_what_differs_is_named_by_its_path(drift: str, change: Callable[[Content], object]) -> None:
    page = content()
    change(page)
    assert not looked(page).has_the_shape
    assert drift_of(json.dumps(page).encode()) == {drift: 1}


def test_what_may_be_absent_or_a_whole_number_is_no_drift() -> None:
    page = content()
    one = first_with_approaches(page)
    for name in ("name_limited", "absolute_magnitude_h", "estimated_diameter", "sentry_data"):
        one.pop(name, None)
    page["near_earth_objects"][-1]["absolute_magnitude_h"] = 22
    one["orbital_data"]["data_arc_in_days"] = None
    assert looked(page).has_the_shape
    assert not drift_of(json.dumps(page).encode())


def test_a_page_with_half_a_surrogate_pair_is_compared_too() -> None:
    page = content()
    page["near_earth_objects"][0] |= {"name": "\ud800", "colour": "red"}
    assert drift_of(json.dumps(page).encode()) == {f"{NEO}.colour is new": 1}


def test_how_often_a_page_differs_is_counted() -> None:
    page = content()
    for neo in page["near_earth_objects"]:
        del neo["links"]
    assert drift_of(json.dumps(page).encode()) == {f"{NEO}.links is missing": 20}


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"colour": "red"}, Seen("1", 2, 0.1)),
        ({"id": None}, Seen("2", 2, 0.1)),
        ({"id": " "}, Seen("2", 2, 0.1)),
        ({"close_approach_data": None}, Seen("1", 0, 0.1)),
        ({"orbital_data": None}, Seen("1", 2, None)),
        ({"orbital_data": {}}, Seen("1", 2, None)),
        ({"orbital_data": {"minimum_orbit_intersection": "2.65565E-5"}}, Seen("1", 2, 2.65565e-5)),
        ({"orbital_data": {"minimum_orbit_intersection": "far"}}, Seen("1", 2, None)),
        ({"close_approach_data": "none"}, Seen()),
        ({"id": 1}, Seen()),
        ({"name": "\ud800"}, Seen("1", 2, 0.1)),
    ],
)
def test_an_object_of_another_shape_is_looked_at_too(changes: Content, seen: Seen) -> None:
    whole = {
        "id": "1",
        "neo_reference_id": " 2",
        "close_approach_data": [{}, {}],
        "orbital_data": {"minimum_orbit_intersection": ".1"},
    }
    assert looked({"near_earth_objects": [whole, whole | changes]}).objects == [Seen("1", 2, 0.1), seen]


def test_the_source_of_each_column_is_a_key_of_the_shape() -> None:
    page = content()
    one = first_with_approaches(page) | {"name_limited": "Eros", "sentry_data": "http://neows.example"}
    sources = {column.source for table in TABLES.values() for column in table.columns}
    whole = re.compile(r"(?:page|near_earth_objects\[\])\.[a-z_.\[\]]*[a-z_]")
    paths = {path for source in sources for path in whole.findall(source)}
    assert len(paths) > 20
    for path in paths:
        value: Any = page | {"near_earth_objects": [one]}
        for name in path.replace("[]", ".0").split("."):
            value = value[int(name)] if name == "0" else value[name]


@NEEDS_CAPTURES
def test_real_pages_since_2021_have_the_shape() -> None:
    """Older ones lack keys that came later."""
    pages = {name: page for name, page in captured_pages().items() if name.endswith(".json")}
    assert {name[:4] for name, page in pages.items() if not look_at(page.body).has_the_shape} == {"2016", "2017"}
