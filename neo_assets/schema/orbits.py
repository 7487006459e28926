"""The columns of `orbits`, defined once: the elements and facts of each NEO's orbit. Reading them from NeoWs's JSON
lives in `sources.neows.orbits`.

NeoWs publishes what JPL's Small-Body Database holds (https://ssd-api.jpl.nasa.gov/doc/sbdb.html): elements are
heliocentric, of the ecliptic and equinox in `equinox`, at the epoch in `epoch_jd`.
"""

import pyarrow as pa

from neo_assets.schema.columns import Bound, Column, Table

_NEO = "near_earth_objects[]"
_DATA = f"{_NEO}.orbital_data"
_CLASS = f"{_DATA}.orbit_class"


def _text(name: str, key: str, description: str, source: str = _DATA) -> Column:
    return Column(name, pa.string(), description, source=f"{source}.{key}", nullable=True)


def _number(
    name: str,
    key: str,
    description: str,
    unit: str = "",
    *,
    minimum: Bound = None,
    maximum: Bound = None,
    above: Bound = None,
) -> Column:
    source = f"{_DATA}.{key}"
    return Column(name, pa.float64(), description, unit, source, True, minimum, maximum, above)


def _angle(name: str, key: str, description: str, *, maximum: float = 360) -> Column:
    return _number(name, key, description, "deg", minimum=0, maximum=maximum)


ORBITS = Table(
    "orbits",
    "One row per near-Earth object: the elements of its orbit, how well it is known, and its class.",
    (
        Column(
            "neo_id",
            pa.string(),
            "The NEO's id, `id` in the table of NEOs.",
            source=f"{_NEO}.id, else neo_reference_id",
        ),
        _text("orbit_id", "orbit_id", "JPL's name of this solution of the orbit; it changes with each new one."),
        Column(
            "orbit_determined_at",
            pa.timestamp("ms"),
            "When JPL determined the orbit; NeoWs gives no time zone.",
            source=f"{_DATA}.orbit_determination_date",
            nullable=True,
        ),
        Column(
            "data_arc_days",
            pa.int64(),
            "Time from the first observation to the last; null if both are of one day.",
            "d",
            f"{_DATA}.data_arc_in_days",
            nullable=True,
            minimum=0,
        ),
        Column(
            "orbit_uncertainty",
            pa.int32(),
            "Uncertainty parameter U of the Minor Planet Center, from 0 (well known) to 9.",
            source=f"{_DATA}.orbit_uncertainty",
            nullable=True,
            minimum=0,
            maximum=9,
        ),
        _number("epoch_jd", "epoch_osculation", "Epoch of the elements.", "JD (TDB)", above=0),
        _text("equinox", "equinox", "Equinox of the reference frame, such as J2000."),
        _number("eccentricity", "eccentricity", "Eccentricity.", "1", minimum=0),
        _number("semi_major_axis_au", "semi_major_axis", "Semi-major axis.", "au"),
        _number("perihelion_distance_au", "perihelion_distance", "Least distance to the Sun.", "au", above=0),
        _number("aphelion_distance_au", "aphelion_distance", "Greatest distance to the Sun.", "au", above=0),
        _angle("inclination_deg", "inclination", "Inclination to the ecliptic.", maximum=180),
        _angle("ascending_node_longitude_deg", "ascending_node_longitude", "Longitude of the ascending node."),
        _angle("perihelion_argument_deg", "perihelion_argument", "Argument of perihelion."),
        _number("perihelion_time_jd", "perihelion_time", "Time of perihelion.", "JD (TDB)", above=0),
        _angle("mean_anomaly_deg", "mean_anomaly", "Mean anomaly at the epoch."),
        _number("mean_motion_deg_per_day", "mean_motion", "Mean motion.", "deg/d", above=0),
        _number(
            "earth_moid_au",
            "minimum_orbit_intersection",
            "Minimum orbit intersection distance (MOID) with Earth's orbit.",
            "au",
            minimum=0,
        ),
        _number(
            "jupiter_tisserand_parameter",
            "jupiter_tisserand_invariant",
            "Tisserand's parameter with respect to Jupiter: below 3 for most comets, below 0 for some objects.",
            "1",
        ),
        _text("orbit_class", "orbit_class_type", "Class of the orbit: AMO, APO, ATE or IEO.", _CLASS),
        _text("orbit_class_description", "orbit_class_description", "The class in words.", _CLASS),
        _text("orbit_class_range", "orbit_class_range", "The class as a condition on the elements.", _CLASS),
        Column(
            "is_sentry_object",
            pa.bool_(),
            "Whether JPL's Sentry finds a chance of an impact within the next hundred years.",
            source=f"{_NEO}.is_sentry_object",
            nullable=True,
        ),
        Column(
            "sentry_url",
            pa.string(),
            "Address of the NEO's Sentry data at NeoWs, without an API key; null unless `is_sentry_object`.",
            source=f"{_NEO}.sentry_data",
            nullable=True,
        ),
    ),
    key=("neo_id",),
    layer="silver",
)
