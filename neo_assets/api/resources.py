"""The tables that clients can read or order, by the paths that they have below `/v1/`. What a path answers is decided
in `reading`, what is found in a table in `query`.
"""

from neo_assets.api.parameters import (
    ApproachParameters,
    BodyParameters,
    CountParameters,
    NeoParameters,
    Parameters,
)
from neo_assets.api.query import Resource

_NAMES = {
    "date": "close_approach_at",
    "dist": "miss_distance_au",
    "v-rel": "relative_velocity_km_s",
    "h": "absolute_magnitude_h",
    "object": "name",
}

APPROACHES = Resource("approaches", ("close_approach_at", "neo_id", "orbiting_body"), _NAMES)
UPCOMING = Resource("upcoming_approaches", ("close_approach_at", "neo_id"), _NAMES)
NEOS = Resource("neos_with_size", ("id",), {"h": "absolute_magnitude_h", "object": "name"})
YEARLY = Resource("total_yearly_approaches", ("year", "orbiting_body"))
NEAR_MISSES = Resource("total_near_misses", ("orbiting_body",))
DICTIONARY = Resource("dictionary", ("table_name", "column_name"))

TABLES: dict[str, tuple[Resource, type[Parameters]]] = {
    "close-approaches": (APPROACHES, ApproachParameters),
    "upcoming": (UPCOMING, Parameters),
    "neos": (NEOS, NeoParameters),
    "yearly-approaches": (YEARLY, CountParameters),
    "near-misses": (NEAR_MISSES, BodyParameters),
    "dictionary": (DICTIONARY, Parameters),
}
"""Each table with the parameters that it takes. Metrics are beside them, as `metrics/NAME`."""


def metric_of(name: str) -> Resource:
    """The table of a metric, by its name."""
    return Resource(name, ("rowid",))
