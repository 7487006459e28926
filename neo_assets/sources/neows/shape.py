"""The keys and types of a Browse page as NeoWs sends it today, how a page differs from them, and its objects in
brief. Values are read, and judged, in `parse`.

The keys are those of real responses of 2020 to 2026. Each column's source in `schema.tables` is one of them.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType, field, inspect

Body = bytes | memoryview
"""A response body, which must be JSON: every stored page was checked when it was fetched."""


class _Exact(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An object of the response. A key without a default is always there."""


class _SelfLink(_Exact):
    this: str = field(name="self")


class _Diameter(_Exact):
    estimated_diameter_min: float
    estimated_diameter_max: float


class _Diameters(_Exact):
    kilometers: _Diameter
    meters: _Diameter
    miles: _Diameter
    feet: _Diameter


class _Velocity(_Exact):
    kilometers_per_second: str
    kilometers_per_hour: str
    miles_per_hour: str


class _Distance(_Exact):
    astronomical: str
    lunar: str
    kilometers: str
    miles: str


class _Approach(_Exact):
    close_approach_date: str
    close_approach_date_full: str
    epoch_date_close_approach: int
    relative_velocity: _Velocity
    miss_distance: _Distance
    orbiting_body: str


class _OrbitClass(_Exact):
    orbit_class_type: str
    orbit_class_description: str
    orbit_class_range: str


class _Orbit(_Exact):
    orbit_id: str
    orbit_determination_date: str
    first_observation_date: str
    last_observation_date: str
    data_arc_in_days: int | None
    observations_used: int
    orbit_uncertainty: str
    minimum_orbit_intersection: str
    jupiter_tisserand_invariant: str
    epoch_osculation: str
    eccentricity: str
    semi_major_axis: str
    inclination: str
    ascending_node_longitude: str
    orbital_period: str
    perihelion_distance: str
    perihelion_argument: str
    aphelion_distance: str
    perihelion_time: str
    mean_anomaly: str
    mean_motion: str
    equinox: str
    orbit_class: _OrbitClass


class _Neo(_Exact):
    links: _SelfLink
    id: str
    neo_reference_id: str
    name: str
    designation: str
    nasa_jpl_url: str
    is_potentially_hazardous_asteroid: bool
    close_approach_data: list[_Approach]
    orbital_data: _Orbit
    is_sentry_object: bool
    name_limited: str | UnsetType = UNSET
    absolute_magnitude_h: float | UnsetType = UNSET
    estimated_diameter: _Diameters | UnsetType = UNSET
    sentry_data: str | UnsetType = UNSET


class _Links(_Exact):
    this: str = field(name="self")
    next: str | UnsetType = UNSET
    prev: str | UnsetType = UNSET


class _PageInfo(_Exact):
    size: int
    total_elements: int
    total_pages: int
    number: int


class _Page(_Exact):
    links: _Links
    page: _PageInfo
    near_earth_objects: list[_Neo]


class _Orbiting(msgspec.Struct, gc=False):
    minimum_orbit_intersection: Any = None


class _Any(msgspec.Struct, gc=False):
    """An object of any content."""


class _Seen(msgspec.Struct, gc=False):
    id: str | None = None
    neo_reference_id: str | None = None
    close_approach_data: list[_Any] | None = None
    orbital_data: _Orbiting | None = None


class _AllSeen(msgspec.Struct, gc=False):
    near_earth_objects: list[_Seen]


_EXACT = msgspec.json.Decoder(_Page)
"""Tells in 0.5 ms whether a page has exactly these keys and types; comparing them one by one takes 20 ms."""
_ALL_SEEN = msgspec.json.Decoder(_AllSeen)

_SHAPE = inspect.type_info(_Page)
_JSON = {
    inspect.StructType: (dict, "object"),
    inspect.ListType: (list, "array"),
    inspect.StrType: (str, "string"),
    inspect.BoolType: (bool, "boolean"),
    inspect.IntType: (int, "whole number"),
    inspect.FloatType: (float, "number"),
}
"""Each type of the shape as Python has it, and as people call it."""


@dataclass(frozen=True)
class Seen:
    """An object on a page, in brief. Of one that cannot be read, nothing is known."""

    neo_id: str = ""
    approaches: int = 0
    moid_au: float | None = None
    """Minimum orbit intersection distance, to the Earth's orbit."""


@dataclass(frozen=True)
class Look:
    """A page at a glance: its objects, in order, and whether it has exactly the keys and types of today."""

    objects: list[Seen]
    has_the_shape: bool


def look_at(body: Body) -> Look:
    """Look at a page.

    Raises:
        ValueError: the body is not a page.
    """
    try:
        return Look([_in_brief(one) for one in _EXACT.decode(body).near_earth_objects], has_the_shape=True)
    except msgspec.DecodeError:
        pass
    try:
        found: list[_Seen | None] = [*_ALL_SEEN.decode(body).near_earth_objects]
    except msgspec.DecodeError:  # msgspec refuses half of a surrogate pair, which json reads
        found = [_read_alone(record) for record in json.loads(bytes(body))["near_earth_objects"]]
    return Look([_in_brief(one) if one else Seen() for one in found], has_the_shape=False)


def _read_alone(record: Any) -> _Seen | None:
    try:
        return msgspec.convert(record, _Seen)
    except msgspec.ValidationError:
        return None


def _in_brief(one: _Neo | _Seen) -> Seen:
    neo_id = (one.id or "").strip() or (one.neo_reference_id or "").strip()
    return Seen(neo_id, len(one.close_approach_data or []), _number(one.orbital_data))


def _number(orbit: _Orbit | _Orbiting | None) -> float | None:
    try:
        return float(orbit.minimum_orbit_intersection) if orbit else None
    except (TypeError, ValueError):
        return None


def drift_of(body: Body) -> Counter[str]:
    """How a Browse page differs from the shape, each with how often: `near_earth_objects[].links is missing`."""
    found: Counter[str] = Counter()
    _compare(json.loads(bytes(body)), _SHAPE, "", found)
    return found


def _compare(value: Any, shape: inspect.Type, path: str, found: Counter[str]) -> None:
    """Note how a value differs from its shape."""
    if isinstance(shape, inspect.UnionType):  # of one type and null
        if value is None:
            return
        [shape] = [one for one in shape.types if not isinstance(one, inspect.NoneType)]
    if isinstance(shape, inspect.StructType) and isinstance(value, dict):
        inside = f"{path}." if path else ""
        known = {one.encode_name: one for one in shape.fields}
        found.update(f"{inside}{name} is new" for name in value.keys() - known.keys())
        found.update(f"{inside}{name} is missing" for name, one in known.items() if one.required and name not in value)
        for name in known.keys() & value.keys():
            _compare(value[name], known[name].type, f"{inside}{name}", found)
    elif isinstance(shape, inspect.ListType) and isinstance(value, list):
        for item in value:
            _compare(item, shape.item_type, f"{path}[]", found)
    elif (wrong := _json_type(value)) != (right := _JSON[type(shape)][1]) and (wrong, right) != (
        "whole number",
        "number",
    ):
        found[f"{path} is {wrong} instead of {right}"] += 1


def _json_type(value: Any) -> str:
    return next((name for python, name in _JSON.values() if type(value) is python), "null")
