"""Reads the orbit of each object: the part of `parse` that makes `orbits`. Single values are converted in `values`."""

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.schema.columns import Column
from neo_assets.schema.orbits import ORBITS
from neo_assets.sources.neows.values import cast, get

_TEXT = pa.string()

ORBITAL_DATA = {
    "first_observation_date": _TEXT,
    "last_observation_date": _TEXT,
    "observations_used": pa.int64(),
    "orbital_period": _TEXT,
    "orbit_id": _TEXT,
    "orbit_determination_date": _TEXT,
    "data_arc_in_days": pa.int64(),
    "orbit_uncertainty": _TEXT,
    "epoch_osculation": _TEXT,
    "equinox": _TEXT,
    "eccentricity": _TEXT,
    "semi_major_axis": _TEXT,
    "perihelion_distance": _TEXT,
    "aphelion_distance": _TEXT,
    "inclination": _TEXT,
    "ascending_node_longitude": _TEXT,
    "perihelion_argument": _TEXT,
    "perihelion_time": _TEXT,
    "mean_anomaly": _TEXT,
    "mean_motion": _TEXT,
    "minimum_orbit_intersection": _TEXT,
    "jupiter_tisserand_invariant": _TEXT,
    "orbit_class": pa.struct({"orbit_class_type": _TEXT, "orbit_class_description": _TEXT, "orbit_class_range": _TEXT}),
}
"""Keys of `orbital_data` that are read, with their JSON types; the first four become columns of `neo_records`."""

BESIDE = {"is_sentry_object": pa.bool_(), "sentry_data": _TEXT}
"""Keys of an object that are read here too."""


def orbits(neos: pa.StructArray, neo_id: pa.Array) -> pa.Table:
    """The table `orbits`: one row per object, with nulls for what NeoWs does not say.

    Raises:
        Unreadable: a value is not of its column's type.
    """

    def read(column: Column) -> pa.Array:
        path = column.source.removeprefix("near_earth_objects[].").split(".")
        return cast(".".join(path), _none_if_blank(get(neos, *path)), column.type)

    columns = {column.name: read(column) for column in ORBITS.columns[1:]}
    columns["sentry_url"] = pc.replace_substring_regex(columns["sentry_url"], r"\?.*", "")  # it ends with an API key
    return pa.Table.from_arrays([neo_id, *columns.values()], schema=ORBITS.schema)


def _none_if_blank(values: pa.Array) -> pa.Array:
    """The values, with null for texts without a character: what is not known."""
    if not pa.types.is_string(values.type):
        return values
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(values), ""), None, values)
