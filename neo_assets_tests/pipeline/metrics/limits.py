"""A few NEOs whose values lie on the limits of the metrics, or tie, and what each metric says of them, found by hand.
Whatever computes the metrics is tried on them. No assertions here.
"""

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from neo_assets.pipeline.metrics.registry import NEWEST_PAGE_AT, Metric
from neo_assets.schema.columns import Table
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

NEOS = [
    # id, H, potentially hazardous, class of the orbit, first observation
    ("1", 17.75, True, "AMO", date(1999, 12, 31)),
    ("2", 17.76, False, "APO", date(2000, 1, 1)),
    ("3", 22.02, True, "APO", date(2000, 12, 31)),
    ("4", 22.03, None, None, None),
    ("5", 25.37, False, "ATE", date(2001, 1, 1)),
    ("6", 25.38, False, "IEO", None),
    ("7", None, False, "IEO", None),
    ("without approaches", 17.0, True, "AMO", None),
]

APPROACHES = [
    # id, close approach, body, miss distance in au and km, velocity in km/s
    ("1", datetime(2019, 12, 31, 23, 59, tzinfo=UTC), "Earth", 0.2, 400_000.0, 9.0),
    ("1", datetime(2010, 1, 1, tzinfo=UTC), "Earth", 0.3, 400_001.0, 3.0),
    ("2", datetime(2020, 1, 1, tzinfo=UTC), "Earth", 0.19, 500_000.0, 1.0),
    ("3", NOON, "Earth", 0.1, 384_400.0, 5.0),
    ("2", NOON, "Earth", 0.1, 384_400.0, 7.0),
    ("1", datetime(2029, 12, 31, tzinfo=UTC), "Earth", 0.1, 384_400.0, 2.0),
    ("4", datetime(2026, 3, 1, 12, 0, 0, 1000, tzinfo=UTC), "Venus", 0.15, 300_000.0, 8.0),
    ("5", datetime(2031, 5, 5, tzinfo=UTC), "Earth", 0.25, 400_000.0, 4.0),
    ("5", datetime(2032, 5, 5, tzinfo=UTC), "Earth", 0.05, 384_399.0, 6.0),
    ("6", datetime(2032, 5, 6, tzinfo=UTC), "Earth", 0.35, 900_000.0, 9.5),
    ("7", datetime(2032, 5, 7, tzinfo=UTC), "Earth", 0.45, 900_000.0, 9.75),
    ("7", datetime(2032, 5, 8, tzinfo=UTC), "Venus", 0.55, 900_000.0, 4.0),
]


def table(like: Table, columns: list[str], rows: list[tuple[Any, ...]]) -> pa.Table:
    schema = pa.schema([like.schema.field(name) for name in columns])
    return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows], schema=schema)


STORED = {
    "neo_records": table(
        NEO_RECORDS,
        ["id", "absolute_magnitude_h", "is_potentially_hazardous_asteroid", "first_observation_date"],
        [(id_, h, is_hazardous, seen) for id_, h, is_hazardous, _, seen in NEOS],
    ),
    "orbits": table(ORBITS, ["neo_id", "orbit_class"], [(id_, orbit) for id_, _, _, orbit, _ in NEOS]),
    "close_approaches": table(
        CLOSE_APPROACHES,
        [
            *("neo_id", "close_approach_at", "orbiting_body", "miss_distance_au", "miss_distance_km"),
            *("relative_velocity_km_s", "close_approach_date"),
        ],
        [(*approach, approach[1].date()) for approach in APPROACHES],
    ),
}

EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "near_miss_count": [("Earth", 5), ("Venus", 1)],
    "near_misses_by_time": [("Earth", "past", 3), ("Earth", "predicted", 2), ("Venus", "predicted", 1)],
    "yearly_approaches": [
        *((2010, "Earth", 1), (2019, "Earth", 1), (2020, "Earth", 1), (2026, "Earth", 2), (2026, "Venus", 1)),
        *((2029, "Earth", 1), (2031, "Earth", 1), (2032, "Earth", 3), (2032, "Venus", 1)),
    ],
    "lunar_distance_passes": [(2032, 1)],
    "approaches_by_size_class": [
        *(("Earth", "1 km and larger", 3), ("Earth", "140 m to 1 km", 3), ("Earth", "30 m to 140 m", 2)),
        *(("Earth", "smaller than 30 m", 1), ("Earth", "unknown", 1)),
        *(("Venus", "30 m to 140 m", 1), ("Venus", "unknown", 1)),
    ],
    "approaches_by_orbit_class": [
        *(("Earth", "AMO", 3), ("Earth", "APO", 3), ("Earth", "ATE", 2), ("Earth", "IEO", 2)),
        *(("Venus", "IEO", 1), ("Venus", None, 1)),
    ],
    "approaches_by_hazard": [
        *(("Earth", False, 6), ("Earth", True, 4), ("Venus", False, 1), ("Venus", None, 1)),
    ],
    "closest_approach_per_decade": [
        (2010, 400_000.0, datetime(2019, 12, 31, 23, 59, tzinfo=UTC), "1", 0.2, 9.0),
        (2020, 384_400.0, NOON, "2", 0.1, 7.0),
        (2030, 384_399.0, datetime(2032, 5, 5, tzinfo=UTC), "5", 0.05, 6.0),
    ],
    "first_observations": [(1999, 1), (2000, 2), (2001, 1)],
    # Of ten values, the 5th percentile is 45 hundredths of the way from the first one to the second.
    "approach_percentiles": [
        ("Earth", 5, 0.0725, 1.45),
        ("Earth", 25, 0.1, 3.25),
        ("Earth", 50, 0.195, 5.5),
        ("Earth", 75, 0.2875, 8.5),
        ("Earth", 95, 0.405, 9.6375),
        ("Venus", 5, 0.17, 4.2),
        ("Venus", 25, 0.25, 5.0),
        ("Venus", 50, 0.35, 6.0),
        ("Venus", 75, 0.45, 7.0),
        ("Venus", 95, 0.53, 7.8),
    ],
}


def newest_page(metric: Metric) -> dict[str, datetime]:
    """The parameter of a metric that tells past approaches from predicted ones."""
    return {NEWEST_PAGE_AT: NOON} if metric.of_a_snapshot else {}


def rows_of(found: pa.Table) -> list[tuple[Any, ...]]:
    """The rows of a metric, comparable with those expected: engines' last digits may differ from those written here."""
    return [
        tuple(round(value, 12) if isinstance(value, float) else value for value in row.values())
        for row in found.to_pylist()
    ]
