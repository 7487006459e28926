"""The orbit of each object, from hand-written objects and from real ones."""

from datetime import datetime
from typing import Any

import pytest

from neo_assets.schema.orbits import ORBITS
from neo_assets.sources.neows.parse import parse
from neo_assets_tests.sources.neows.examples import NEEDS_CAPTURES, captured_pages, neo, page


def the_orbit(**changes: Any) -> dict[str, Any]:
    """The only row of `orbits` parsed from a page with one object."""
    row: dict[str, Any]
    (row,) = parse([page(neo("7", **changes))]).orbits.to_pylist()
    return row


def the_reason(**changes: Any) -> str:
    """Why an object is in quarantine. Then it is in no other table."""
    parsed = parse([page(neo("7", **changes))])
    assert parsed.orbits.num_rows == parsed.neo_records.num_rows == 0
    (row,) = parsed.quarantine.to_pylist()
    return str(row["reason"])


@NEEDS_CAPTURES
def test_the_orbit_of_eros() -> None:
    """As captured on 2025-05-25."""
    (row, *_) = parse([captured_pages()["2025-05-25_page-0000.json"]]).orbits.to_pylist()
    assert row == {
        "neo_id": "2000433",
        "orbit_id": "659",
        "orbit_determined_at": datetime(2021, 5, 24, 17, 55, 5),
        "data_arc_days": 46582,
        "orbit_uncertainty": 0,
        "epoch_jd": 2460800.5,
        "equinox": "J2000",
        "eccentricity": 0.2227480169011467,
        "semi_major_axis_au": 1.45815896084448,
        "perihelion_distance_au": 1.133356943989735,
        "aphelion_distance_au": 1.782960977699224,
        "inclination_deg": 10.82830761253864,
        "ascending_node_longitude_deg": 304.2718959654088,
        "perihelion_argument_deg": 178.9225697371719,
        "perihelion_time_jd": 2461088.844738645,
        "mean_anomaly_deg": 198.5980421063379,
        "mean_motion_deg_per_day": 0.5597534349061246,
        "earth_moid_au": 0.148588,
        "jupiter_tisserand_parameter": 4.582,
        "orbit_class": "AMO",
        "orbit_class_description": "Near-Earth asteroid orbits similar to that of 1221 Amor",
        "orbit_class_range": "1.017 AU < q (perihelion) < 1.3 AU",
        "is_sentry_object": False,
        "sentry_url": None,
    }


@NEEDS_CAPTURES
def test_an_old_page_without_some_keys_has_nulls() -> None:
    rows = parse([captured_pages()["2017-04_page-0000_old-schema.json"]]).orbits
    assert rows.num_rows == 20
    assert {name for name in rows.column_names if rows[name].null_count} == {
        "data_arc_days",
        "orbit_class",
        "orbit_class_description",
        "orbit_class_range",
        "is_sentry_object",
        "sentry_url",
    }


def test_an_object_without_an_orbit_has_a_row_of_nulls() -> None:
    row = the_orbit(orbital_data=..., is_sentry_object=...)
    assert row == dict.fromkeys(ORBITS.schema.names) | {"neo_id": "7"}


def test_the_link_to_sentry_has_no_api_key() -> None:
    link = "http://api.nasa.gov/neo/rest/v1/neo/sentry/7"
    row = the_orbit(is_sentry_object=True, sentry_data=f"{link}?api_key=secret")
    assert (row["is_sentry_object"], row["sentry_url"]) == (True, link)


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_element_that_is_blank_is_not_known(blank: str) -> None:
    row = the_orbit(orbital_data={"orbit_uncertainty": blank, "mean_motion": blank, "inclination": blank})
    assert (row["orbit_uncertainty"], row["mean_motion_deg_per_day"], row["inclination_deg"]) == (None, None, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("orbit_determination_date", "yesterday"),
        ("data_arc_in_days", "long"),
        ("orbit_uncertainty", "E"),
        ("eccentricity", "NaN"),
    ],
)
def test_an_object_whose_orbit_cannot_be_read_is_quarantined(key: str, value: Any) -> None:
    assert the_reason(orbital_data={key: value}).startswith(f"orbital_data.{key}: ")


def test_only_the_orbit_of_the_last_copy_is_kept() -> None:
    copies = [page(neo("7", orbital_data={"orbit_id": str(hour)}), number=hour, hours=hour) for hour in range(2)]
    assert parse(copies).orbits["orbit_id"].to_pylist() == ["1"]
