"""The tables that only products have: NEOs with their orbits, the snapshot in one row, the dictionary; and the
names of the views. The tables of the lake are in `tables`.
"""

import pyarrow as pa

from neo_assets.schema.columns import Column, Table
from neo_assets.schema.facts import KM_PER_LUNAR_DISTANCE, NEAR_MISS_AU
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.tables import CATALOGUE_STATS, NEO_RECORDS

_TIME = pa.timestamp("us", "UTC")
_STATS = {column.name: column for column in CATALOGUE_STATS.columns}


def _number(name: str, description: str, unit: str) -> Column:
    return Column(name, pa.int64(), description, unit, minimum=0)


def _of_neows(name: str, original: str, description: str) -> Column:
    column = _STATS[original]
    return Column(name, column.type, description, column.unit, column.source, nullable=True)


NEOS = Table(
    "neos",
    "One row per near-Earth object: what NeoWs says of it, then its orbit.",
    (*NEO_RECORDS.columns, *ORBITS.columns[1:]),
    partitioned=False,
    key=("id",),
)

ONE_SNAPSHOT = Table(
    "snapshot",
    "One row: what this file covers, where its data come from, how old they are, and whether they are of one state.",
    (
        Column("snapshot_id", pa.string(), "Digest of the pages that were read, and of when they arrived."),
        Column("source", pa.string(), "Source of the data: `nasa` or `simulator`."),
        Column("is_simulated", pa.bool_(), "Whether the objects are made up, by the simulator."),
        Column(
            "verdict",
            pa.string(),
            "`consistent`, `drifted` (the catalogue changed while it was gathered) or `incomplete` (data is missing).",
        ),
        Column("reasons", pa.string(), "What was found, with numbers, separated by semicolons; empty if nothing was."),
        Column("oldest_page_at", _TIME, "When the page that was fetched first arrived.", "UTC"),
        Column(
            "newest_page_at",
            _TIME,
            "When the page that was fetched last arrived: the date of the snapshot. Later approaches are predicted.",
            "UTC",
        ),
        _number("neos", "Number of NEOs, each once.", "NEOs"),
        _number("close_approaches", "Number of close approaches, to all orbiting bodies.", "approaches"),
        _number("close_approaches_to_earth", "Number of close approaches to Earth.", "approaches"),
        _number("pages", "Number of Browse pages that were read.", "pages"),
        _number("pages_in_catalogue", "Number of pages in NeoWs's whole catalogue.", "pages"),
        _number("page_sets", "Number of page sets that were read.", "page sets"),
        _number("page_sets_requested", "Number of page sets that the settings ask for.", "page sets"),
        _of_neows("neows_counted_at", "fetched_at", "When NeoWs's own counts were fetched; null if they never were."),
        _of_neows("neows_neos", "near_earth_object_count", "NEOs in the whole catalogue, as NeoWs counts them."),
        _of_neows(
            "neows_close_approaches",
            "close_approach_count",
            "Close approaches in the whole catalogue, as NeoWs counts them.",
        ),
        Column(
            "lunar_distance_km",
            pa.float64(),
            f"The lunar distance behind all columns in LD: JPL's {KM_PER_LUNAR_DISTANCE:,} km.",
            "km",
        ),
        Column("near_miss_au", pa.float64(), f"A near miss is closer than this: {NEAR_MISS_AU} au.", "au"),
    ),
    partitioned=False,
)

DICTIONARY = Table(
    "dictionary",
    "One row per column of each table and view: its type, unit, source and meaning.",
    (
        Column("table_name", pa.string(), "The table or view."),
        Column("column_name", pa.string(), "The column."),
        Column("type", pa.string(), "Type of the column in DuckDB."),
        Column("unit", pa.string(), "Unit of its values; empty if it has none."),
        Column(
            "source", pa.string(), "Where its values come from: a path in NeoWs's JSON; empty if they are computed."
        ),
        Column("meaning", pa.string(), "What its values mean."),
    ),
    partitioned=False,
    key=("table_name", "column_name"),
)

VIEWS = (
    "approaches",
    "by_body",
    "by_decade",
    "by_first_observation",
    "by_orbit_class",
    "by_size",
    "by_year",
    "closest_approaches",
    "fastest",
    "hazardous",
    "neos_with_size",
    "sentry_objects",
    "upcoming_approaches",
    "within_one_lunar_distance",
)
"""The names of the database's views. What they show is in `products/views/*.sql`."""

RESERVED = {NEOS.name, ONE_SNAPSHOT.name, DICTIONARY.name, *VIEWS}
"""Names that no metric may have."""
