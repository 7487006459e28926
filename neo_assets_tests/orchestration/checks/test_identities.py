"""Checks of identities: each lets pass what is just inside its tolerance, and nothing that is just outside. That they
notice coarse faults is tested in `test_fault_matrix`.
"""

from math import sqrt
from typing import Any

import pytest

from neo_assets.lake import raw_pages
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.completeness import every_approach_is_read_once
from neo_assets.orchestration.checks.identities import (
    diameter_follows_from_h,
    elements_agree,
    hazard_follows_from_moid_and_h,
    units_and_times_agree,
)
from neo_assets.orchestration.checks.read import Read
from neo_assets.pipeline import looks
from neo_assets_tests.pipeline.by_hand import gather
from neo_assets_tests.sources.neows.examples import approach, neo, page

FIRST = "00000-00000"


def read(lake: Storage, *neos: dict[str, Any]) -> Read:
    """The tables of a page with these objects."""
    gather(lake, FIRST, [page(*neos)])
    return Read(lake, FIRST)


@pytest.mark.parametrize(
    ("off", "passes"), [(0, True), (0.9e-6, True), (-0.9e-6, True), (1.1e-6, False), (-1.1e-6, False)]
)
def test_km_and_au_may_differ_by_a_millionth(lake: Storage, off: float, passes: bool) -> None:
    stored = read(lake, neo("1", approach("0.1", f"{14_959_787 * (1 + off):.6f}"), approach("0", "0")))
    assert units_and_times_agree(stored, FIRST)[0] is passes


@pytest.mark.parametrize("which", ["min", "max"])
@pytest.mark.parametrize(("off", "passes"), [(0.9e-9, True), (-0.9e-9, True), (1.1e-9, False), (-1.1e-9, False)])
def test_a_diameter_may_differ_by_a_billionth_from_what_h_gives(
    lake: Storage, which: str, off: float, passes: bool
) -> None:
    metres = {
        f"estimated_diameter_{end}": 1_329_000 / sqrt(albedo) / 10**4 for end, albedo in (("min", 0.25), ("max", 0.05))
    }
    metres[f"estimated_diameter_{which}"] *= 1 + off
    stored = read(lake, neo("1", absolute_magnitude_h=20.0, estimated_diameter={"meters": metres}))
    assert diameter_follows_from_h(stored, FIRST)[0] is passes


@pytest.mark.parametrize("changes", [{"absolute_magnitude_h": ...}, {"estimated_diameter": ...}])
def test_a_diameter_is_known_exactly_if_h_is(lake: Storage, changes: dict[str, Any]) -> None:
    assert diameter_follows_from_h(read(lake, neo("1", absolute_magnitude_h=..., estimated_diameter=...)), FIRST)[0]
    assert not diameter_follows_from_h(read(lake, neo("1", **changes)), FIRST)[0]


@pytest.mark.parametrize(
    ("moid", "h", "flagged", "passes", "known"),
    [
        ("0.05", 21.8, True, True, 1),
        ("0.05", 21.8, False, False, 1),
        ("0.0500001", 21.8, False, True, 1),
        ("0.0500001", 21.8, True, False, 1),
        ("0.01", 21.84, False, False, 1),
        ("0.01", 21.86, False, True, 0),
        ("0.01", 22.14, True, True, 0),
        ("0.01", 22.16, True, False, 1),
        ("0.01", 22.16, False, True, 1),
        ("0.01", None, True, True, 0),
        ("0.01", 20, None, True, 0),
        (None, 20, True, True, 0),
    ],
)
def test_hazard_is_judged_where_moid_and_h_are_known_and_h_is_not_at_the_limit(
    lake: Storage, moid: str | None, h: float | None, flagged: bool | None, passes: bool, known: int
) -> None:
    orbit = {"minimum_orbit_intersection": moid} if moid else {}
    one = neo("1", absolute_magnitude_h=h, is_potentially_hazardous_asteroid=flagged, orbital_data=orbit)
    passed, figures = hazard_follows_from_moid_and_h(read(lake, one), FIRST)
    assert (passed, figures.pop("NEOs of known MOID and H")) == (passes, known)
    how = "flagged" if flagged else "not flagged"
    assert figures == ({} if passes else {f"{how}, against MOID and H": "1"})


def test_a_neo_that_cannot_be_judged_does_not_hide_the_next_one(lake: Storage) -> None:
    far = {"absolute_magnitude_h": 15.0, "orbital_data": {"minimum_orbit_intersection": ".5"}}
    unknown = neo("1", **far | {"orbital_data": {}})
    wrong = neo("2", is_potentially_hazardous_asteroid=True, **far)
    passed, figures = hazard_follows_from_moid_and_h(read(lake, unknown, wrong), FIRST)
    assert (passed, figures["flagged, against MOID and H"]) == (False, "2")


@pytest.mark.parametrize("which", ["perihelion", "aphelion"])
@pytest.mark.parametrize(("off", "passes"), [(0.9e-9, True), (-0.9e-9, True), (1.1e-9, False), (-1.1e-9, False)])
def test_a_distance_to_the_sun_may_differ_by_a_billionth_from_what_the_elements_give(
    lake: Storage, which: str, off: float, passes: bool
) -> None:
    distances = {"perihelion_distance": 0.75, "aphelion_distance": 2.25}
    distances[f"{which}_distance"] *= 1 + off
    elements = {"semi_major_axis": "1.5", "eccentricity": "0.5"} | {name: repr(au) for name, au in distances.items()}
    passed, figures = elements_agree(read(lake, neo("1", orbital_data=elements)), FIRST)
    assert passed is passes
    assert figures == {
        f"{one}_distance_au differs": int(not passes and one == which) for one in ("perihelion", "aphelion")
    }


def test_pages_that_another_process_has_fetched_again_are_not_held_against_older_tables(
    lake: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read(lake, neo("1", approach()))
    monkeypatch.setattr(looks, "_kept", {})
    raw_pages.write_page(lake, page(neo("2"), hours=1))
    for check in (every_approach_is_read_once, hazard_follows_from_moid_and_h):
        passed, figures = check(stored, FIRST)
        assert passed
        assert list(figures) == ["not checked"]
