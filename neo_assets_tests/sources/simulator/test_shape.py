"""The simulator's pages, and real captures if available, pass the same assertions."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neo_assets.sources.simulator.catalogue import DEFAULT_NEOS, Catalogue, to_json
from neo_assets_tests.sources.simulator.shape import NEO_KEYS_SINCE_2018, assert_browse_shape, assert_neo_shape

CAPTURES = Path(__file__).parents[3] / "shared" / "neows"
with_captures = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures of the real API are not at hand")

CATALOGUES = {
    "whole": Catalogue(),
    "small": Catalogue(neos=45),
    "another seed": Catalogue(seed=1),
    "drifted": Catalogue(neos=45).grown(7).numbered(0.5).reordered(3).inserted(9),
}


def over_the_wire(page: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(to_json(page))
    return decoded


@pytest.mark.parametrize("name", CATALOGUES)
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.79, 0.9, 1.0])
def test_simulated_pages_have_the_shape(name: str, share: float) -> None:
    catalogue = CATALOGUES[name]
    last = (catalogue.near_earth_object_count - 1) // 20
    assert_browse_shape(over_the_wire(catalogue.page(int(share * last))))


def test_small_pages_and_pages_beyond_the_end_have_the_shape() -> None:
    catalogue = Catalogue(neos=45)
    for number, size in ((0, 1), (3, 5), (22, 2), (2, 20), (3, 20), (1000, 7)):
        assert_browse_shape(over_the_wire(catalogue.page(number, size)))


Kind = Callable[[dict[str, Any]], bool]
"""Decides whether an object is of some kind."""


@pytest.mark.slow
def test_simulated_objects_of_every_rare_kind_have_the_shape() -> None:
    catalogue = Catalogue()
    wanted: dict[str, Kind] = {
        "without H": lambda neo: "absolute_magnitude_h" not in neo,
        "without arc": lambda neo: neo["orbital_data"]["data_arc_in_days"] is None,
        "sentry": lambda neo: neo["is_sentry_object"],
        "exponent": lambda neo: "E-" in neo["orbital_data"]["minimum_orbit_intersection"],
        "retrograde": lambda neo: neo["orbital_data"]["jupiter_tisserand_invariant"].startswith("-"),
        "interior": lambda neo: neo["orbital_data"]["orbit_class"]["orbit_class_type"] == "IEO",
        "named late": lambda neo: "name_limited" in neo and int(neo["designation"]) > 100_000,
    }
    for neo in map(catalogue.neo, range(0, DEFAULT_NEOS, 5)):
        for kind in [kind for kind, holds in wanted.items() if holds(neo)]:
            assert_neo_shape(neo)
            del wanted[kind]
        if not wanted:
            return
    pytest.fail(f"none found: {sorted(wanted)}")


def test_simulated_hazardous_objects_follow_the_rule() -> None:
    for neo in Catalogue().page(3)["near_earth_objects"]:
        moid = float(neo["orbital_data"]["minimum_orbit_intersection"])
        assert neo["is_potentially_hazardous_asteroid"] == (moid <= 0.05 and neo["absolute_magnitude_h"] <= 22)


@with_captures
@pytest.mark.parametrize("path", sorted(CAPTURES.glob("20*_page-*.json")), ids=lambda path: path.name)
def test_real_pages_have_the_shape(path: Path) -> None:
    page = json.loads(path.read_text("utf-8"))
    old = "id" not in page["near_earth_objects"][0]
    assert old == (path.name < "2018")
    if old:
        assert not NEO_KEYS_SINCE_2018 & page["near_earth_objects"][0].keys()
    assert_browse_shape(page, old_schema=old)


@with_captures
@pytest.mark.parametrize("path", sorted(CAPTURES.glob("2020-12_*.ndjson.gz")), ids=lambda path: path.name)
def test_real_objects_have_the_shape(path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number % 5 == 0:
                assert_neo_shape(json.loads(line))
