"""Assertions on the shape of Browse pages, which hold for real captures and for the simulator.

Shape only: keys and their order, types, number strings, relations between fields. Numbers and sizes are tested in
`test_catalogue`.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from math import ceil, isclose, sqrt
from typing import Any

NEO_KEYS = (
    "links",
    "id",
    "neo_reference_id",
    "name",
    "name_limited",
    "designation",
    "nasa_jpl_url",
    "absolute_magnitude_h",
    "estimated_diameter",
    "is_potentially_hazardous_asteroid",
    "close_approach_data",
    "orbital_data",
    "is_sentry_object",
    "sentry_data",
)
OPTIONAL_NEO_KEYS = {"name_limited", "absolute_magnitude_h", "estimated_diameter", "sentry_data"}
NEO_KEYS_SINCE_2018 = {"id", "name_limited", "designation", "is_sentry_object", "sentry_data"}

ORBIT_KEYS = (
    "orbit_id",
    "orbit_determination_date",
    "first_observation_date",
    "last_observation_date",
    "data_arc_in_days",
    "observations_used",
    "orbit_uncertainty",
    "minimum_orbit_intersection",
    "jupiter_tisserand_invariant",
    "epoch_osculation",
    "eccentricity",
    "semi_major_axis",
    "inclination",
    "ascending_node_longitude",
    "orbital_period",
    "perihelion_distance",
    "perihelion_argument",
    "aphelion_distance",
    "perihelion_time",
    "mean_anomaly",
    "mean_motion",
    "equinox",
    "orbit_class",
)
ORBIT_KEYS_SINCE_2018 = {
    "first_observation_date",
    "last_observation_date",
    "data_arc_in_days",
    "observations_used",
    "orbit_class",
}
ELEMENTS = ORBIT_KEYS[7:21]

BODIES = {"Earth", "Venus", "Mars", "Merc", "Juptr", "Satrn", "Moon", "Ceres"}
PLAIN_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{0,9}[1-9])?")
ORBITAL_NUMBER = re.compile(r"-?([1-9][0-9]*)?(\.[0-9]+)?(E-[1-9])?")


def assert_browse_shape(page: dict[str, Any], *, old_schema: bool = False) -> None:
    """The page has the envelope of the Browse API, and every object has the shape of a NEO.

    `old_schema` is that of 2016 and 2017: it has fewer keys and rounded kilometres and miles, approaches may be out of
    order, and the last page is not counted if it is not full.
    """
    assert list(page) == ["links", "page", "near_earth_objects"]
    envelope = page["page"]
    assert list(envelope) == ["size", "total_elements", "total_pages", "number"]
    assert all(type(value) is int for value in envelope.values())
    size, total, number = envelope["size"], envelope["total_elements"], envelope["number"]
    assert envelope["total_pages"] == (total // size if old_schema else ceil(total / size))
    assert len(page["near_earth_objects"]) == max(0, min(size, total - number * size))
    linked = {"next": number + 1, "prev": number - 1, "self": number}
    if number == 0:
        del linked["prev"]
    if number + 1 >= envelope["total_pages"]:
        del linked["next"]
    assert list(page["links"]) == list(linked)
    for rel, target in linked.items():
        assert re.fullmatch(rf"https?://\S+/neo/browse\?page={target}&size={size}&api_key=\S+", page["links"][rel])
    for neo in page["near_earth_objects"]:
        assert_neo_shape(neo, old_schema=old_schema)


def assert_neo_shape(neo: dict[str, Any], *, old_schema: bool = False) -> None:
    """One NEO from a Browse page or from the lookup has the right shape."""
    expected = [key for key in NEO_KEYS if not (old_schema and key in NEO_KEYS_SINCE_2018)]
    assert list(neo) == [key for key in expected if key in neo or key not in OPTIONAL_NEO_KEYS]
    spk_id = neo["neo_reference_id"]
    assert re.fullmatch(r"2\d{6,}|3\d{6,}|54\d{6,}", spk_id)
    assert list(neo["links"]) == ["self"]
    assert re.fullmatch(rf"https?://\S+/neo/{spk_id}\?api_key=\S+", neo["links"]["self"])
    site = r"(https?://ssd\.jpl\.nasa\.gov|https://simulated\.invalid)"  # an invented object has no page at JPL
    assert re.fullmatch(rf"{site}/\S+\?sstr={spk_id}", neo["nasa_jpl_url"])
    assert type(neo["is_potentially_hazardous_asteroid"]) is bool
    if not old_schema:
        assert_identity_shape(neo)
    assert ("absolute_magnitude_h" in neo) == ("estimated_diameter" in neo)
    if "absolute_magnitude_h" in neo:
        assert_diameter_shape(neo["absolute_magnitude_h"], neo["estimated_diameter"])
    assert_orbit_shape(neo["orbital_data"], old_schema=old_schema)
    approaches = neo["close_approach_data"]
    for approach in approaches:
        assert_approach_shape(approach, old_schema=old_schema)
    epochs = [approach["epoch_date_close_approach"] for approach in approaches]
    assert old_schema or epochs == sorted(epochs)


def assert_identity_shape(neo: dict[str, Any]) -> None:
    """Id, names and designation agree; a named object has its name in both places."""
    designation = neo["designation"]
    assert neo["id"] == neo["neo_reference_id"]
    if neo["id"].startswith("2"):
        number, _, rest = neo["name"].partition(" ")
        assert number == designation == str(int(neo["id"][1:]))
        assert rest.startswith(f"{neo['name_limited']} (" if "name_limited" in neo else "(")
    else:
        assert neo["name"] == f"({designation})"
        assert "name_limited" not in neo
    assert type(neo["is_sentry_object"]) is bool
    assert ("sentry_data" in neo) == neo["is_sentry_object"]


def assert_diameter_shape(h: float, diameter: dict[str, dict[str, float]]) -> None:
    """The diameters follow from the absolute magnitude, for albedos of 0.25 and 0.05."""
    assert 8 < h < 36
    least = 1329 / sqrt(0.25) * 10 ** (-h / 5)
    units = {"kilometers": 1.0, "meters": 1000.0, "miles": 0.621371, "feet": 3280.84}
    assert list(diameter) == list(units)
    for unit, factor in units.items():
        assert list(diameter[unit]) == ["estimated_diameter_min", "estimated_diameter_max"]
        for value, expected in zip(diameter[unit].values(), (least, least * sqrt(5)), strict=True):
            assert isclose(value, expected * factor, rel_tol=1e-8, abs_tol=1e-10)


def assert_orbit_shape(orbit: dict[str, Any], *, old_schema: bool) -> None:
    """Elements are number strings, dates are dates, and an arc within one day is null."""
    assert list(orbit) == [key for key in ORBIT_KEYS if not (old_schema and key in ORBIT_KEYS_SINCE_2018)]
    for key in ELEMENTS:
        if key not in ("equinox", "orbit_class"):
            assert ORBITAL_NUMBER.fullmatch(orbit[key]), (key, orbit[key])
            float(orbit[key])
    datetime.strptime(orbit["orbit_determination_date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert re.fullmatch(r"\d+", orbit["orbit_uncertainty"])
    assert orbit["equinox"] == "J2000"
    a, e, q = (float(orbit[key]) for key in ("semi_major_axis", "eccentricity", "perihelion_distance"))
    assert isclose(q, a * (1 - e), rel_tol=1e-9)
    assert isclose(float(orbit["aphelion_distance"]), a * (1 + e), rel_tol=1e-9)
    assert isclose(float(orbit["orbital_period"]), 365.2568983 * a**1.5, rel_tol=1e-4)
    assert isclose(float(orbit["mean_motion"]) * float(orbit["orbital_period"]), 360, rel_tol=1e-9)
    if not old_schema:
        first = date.fromisoformat(orbit["first_observation_date"])
        arc = (date.fromisoformat(orbit["last_observation_date"]) - first).days
        assert orbit["data_arc_in_days"] == (arc or None)
        assert type(orbit["observations_used"]) is int
        assert list(orbit["orbit_class"]) == ["orbit_class_type", "orbit_class_description", "orbit_class_range"]
        assert orbit["orbit_class"]["orbit_class_type"] in {"APO", "AMO", "ATE", "IEO"}


def assert_approach_shape(approach: dict[str, Any], *, old_schema: bool) -> None:
    """Dates agree with the epoch; distances, and velocities, in different units are exact multiples of each other."""
    keys = [
        "close_approach_date",
        "close_approach_date_full",
        "epoch_date_close_approach",
        "relative_velocity",
        "miss_distance",
        "orbiting_body",
    ]
    if old_schema:
        keys.remove("close_approach_date_full")
    assert list(approach) == keys
    epoch = approach["epoch_date_close_approach"]
    assert type(epoch) is int
    day = date.fromisoformat(approach["close_approach_date"])
    assert date(1899, 12, 30) <= day <= date(2201, 1, 1)
    if not old_schema:
        full = approach["close_approach_date_full"]
        at = datetime.strptime(full, "%Y-%b-%d %H:%M").replace(tzinfo=UTC)
        assert at.timestamp() * 1000 == epoch
        assert at.date() == day
        assert f"{at:%Y-%b-%d %H:%M}" == full
    assert approach["orbiting_body"] in BODIES
    velocity, distance = approach["relative_velocity"], approach["miss_distance"]
    assert list(velocity) == ["kilometers_per_second", "kilometers_per_hour", "miles_per_hour"]
    assert list(distance) == ["astronomical", "lunar", "kilometers", "miles"]
    for text in (*velocity.values(), *distance.values()):
        assert PLAIN_DECIMAL.fullmatch(text), text
    kms, kmh, mph = (Decimal(text) for text in velocity.values())
    au, lunar, km, miles = (Decimal(text) for text in distance.values())
    assert abs(kms * 3600 - kmh) <= Decimal("2e-7")  # the API multiplies before it rounds
    assert 0 < au < 2
    if old_schema:
        assert isclose(au * 389, lunar, rel_tol=1e-6)
        assert isclose(au * 149597870, km, rel_tol=1e-6)
    else:
        assert au * 389 == lunar
        assert au * 149597870 == km
        assert abs(km * Decimal("0.62137118663521") - miles) <= Decimal("2e-6")
        assert abs(kmh * Decimal("0.6213611111111") - mph) <= Decimal("1e-7")
