"""The built-in metrics computed with pyarrow instead of their SQL, for checks that compare the two. A metric that is
not here is computed again from its SQL, which proves less; see `counts`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.schema.facts import KM_PER_LUNAR_DISTANCE, NEAR_MISS_AU

Stored = Mapping[str, pa.Table]
"""The tables that a metric reads, by name."""

_SIZES = {"1 km and larger": 17.75, "140 m to 1 km": 22.02, "30 m to 140 m": 25.37}
"""The largest H of each size class but the last."""


def _near_misses(stored: Stored) -> pa.Table:
    return _counted(_near(stored), ["orbiting_body"], "near_misses")


def _years(stored: Stored) -> pa.Table:
    return _counted(_with_year(stored["close_approaches"]), ["year", "orbiting_body"], "approaches")


def _near_misses_by_time(stored: Stored, newest_page_at: datetime) -> pa.Table:
    near = _near(stored)
    at = near["close_approach_at"]
    later = pc.greater(at, pa.scalar(newest_page_at, pa.timestamp("us", "UTC")))
    return _counted(
        near.append_column("time", pc.if_else(later, "predicted", "past")), ["orbiting_body", "time"], "near_misses"
    )


def _passes(stored: Stored) -> pa.Table:
    earth = _to_earth(stored)
    near = earth.filter(pc.less(earth["miss_distance_km"], KM_PER_LUNAR_DISTANCE))
    return _counted(_with_year(near), ["year"], "passes")


def _by_hazard(stored: Stored) -> pa.Table:
    hazard = "is_potentially_hazardous_asteroid"
    return _counted(_with_fact(stored, "neo_records", hazard), ["orbiting_body", hazard], "approaches")


def _by_orbit_class(stored: Stored) -> pa.Table:
    return _counted(_with_fact(stored, "orbits", "orbit_class"), ["orbiting_body", "orbit_class"], "approaches")


def _by_size(stored: Stored) -> pa.Table:
    rows = _with_fact(stored, "neo_records", "absolute_magnitude_h")
    h = rows["absolute_magnitude_h"]
    size = pc.if_else(pc.is_null(h), "unknown", "smaller than 30 m")
    for name, limit in reversed(_SIZES.items()):
        size = pc.if_else(pc.fill_null(pc.less_equal(h, limit), False), name, size)
    return _counted(rows.append_column("size_class_from_h", size), ["orbiting_body", "size_class_from_h"], "approaches")


def _closest(stored: Stored) -> pa.Table:
    rows = _with_year(_to_earth(stored))
    first_year = pc.multiply(pc.divide(rows["year"], 10), 10)
    order = ["decade", "miss_distance_km", "close_approach_at", "neo_id"]
    rows = rows.append_column("decade", first_year).sort_by([(name, "ascending") for name in order])
    numbers = ["miss_distance_km", "close_approach_at", "neo_id", "miss_distance_au", "relative_velocity_km_s"]
    found = rows.group_by("decade", use_threads=False).aggregate([(name, "first") for name in numbers])
    return found.rename_columns({f"{name}_first": name for name in numbers})


def _first_observations(stored: Stored) -> pa.Table:
    day = stored["neo_records"]["first_observation_date"].drop_null()
    return _counted(pa.table({"year": pc.year(day)}), ["year"], "neos")


def _percentiles(stored: Stored) -> pa.Table:
    rows = stored["close_approaches"]
    columns, shares = ("miss_distance_au", "relative_velocity_km_s"), (5, 25, 50, 75, 95)
    parts = []
    for body in rows["orbiting_body"].unique():
        of_body = rows.filter(pc.equal(rows["orbiting_body"], body))
        values = {name: pc.quantile(of_body[name], [share / 100 for share in shares]) for name in columns}
        parts.append(pa.table({"orbiting_body": [body.as_py()] * len(shares), "percentile": shares, **values}))
    empty = pa.table({name: [] for name in ("orbiting_body", "percentile", *columns)})
    return pa.concat_tables(parts) if parts else empty


def _near(stored: Stored) -> pa.Table:
    approaches = stored["close_approaches"]
    return approaches.filter(pc.less(approaches["miss_distance_au"], NEAR_MISS_AU))


def _to_earth(stored: Stored) -> pa.Table:
    approaches = stored["close_approaches"]
    return approaches.filter(pc.equal(approaches["orbiting_body"], "Earth"))


def _with_year(approaches: pa.Table) -> pa.Table:
    return approaches.append_column("year", pc.year(approaches["close_approach_date"]))


def _with_fact(stored: Stored, table: str, column: str) -> pa.Table:
    """The approaches with a column of their NEO."""
    approaches, neos = stored["close_approaches"], stored[table]
    place = pc.index_in(approaches["neo_id"], neos[neos.schema.names[0]].combine_chunks())
    return approaches.append_column(column, neos[column].take(place)).filter(pc.is_valid(place))


def _counted(rows: pa.Table, by: Sequence[str], number: str) -> pa.Table:
    return rows.group_by(by).aggregate([([], "count_all")]).rename_columns({"count_all": number})


BY_HAND: Mapping[str, Callable[..., pa.Table]] = {
    "near_miss_count": _near_misses,
    "yearly_approaches": _years,
    "near_misses_by_time": _near_misses_by_time,
    "lunar_distance_passes": _passes,
    "approaches_by_hazard": _by_hazard,
    "approaches_by_orbit_class": _by_orbit_class,
    "approaches_by_size_class": _by_size,
    "closest_approach_per_decade": _closest,
    "first_observations": _first_observations,
    "approach_percentiles": _percentiles,
}
"""What computes each metric from the tables that it reads, and the parameters that its header does not give; columns in
any order.
"""
