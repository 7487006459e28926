"""Every table and column of the lake, defined once: name, type, unit, source in the NeoWs JSON, description. The
tables of metrics are defined by the headers in `pipeline.metrics`.

Arrow schemas, Dagster column metadata and checks derive from this module. How a value is read or computed does not
belong here.
"""

from datetime import UTC, date, datetime

import pyarrow as pa

from neo_assets.schema.columns import Column, Table
from neo_assets.schema.facts import YEARS
from neo_assets.schema.heartbeat_table import HEARTBEAT
from neo_assets.schema.orbits import ORBITS

_FIRST_DAY, _LAST_DAY = date(YEARS[0], 1, 1), date(YEARS[1], 12, 31)
_FIRST_ASTEROID = date(1801, 1, 1)
"""Ceres was found on this day. The oldest observation of a NEO in NeoWs is of 1893."""

_NEO = "near_earth_objects[]"
_APPROACH = f"{_NEO}.close_approach_data[]"
_CLOSEST = f"{_APPROACH} with the smallest miss_distance.kilometers"

_NEO_ID = Column(
    "neo_id", pa.string(), "The NEO's id, `id` in the table of NEOs.", source=f"{_NEO}.id, else neo_reference_id"
)
_PAGE = Column("page", pa.int32(), "Number of the Browse page.", source="page.number", minimum=0)
_TIME_FETCHED = pa.timestamp("us", "UTC")

RAW_PAGE_INDEX = Table(
    "raw_page_index",
    "One row per stored Browse page: when it was fetched, from where, and its digests.",
    (
        Column("page", pa.int32(), "Number of the Browse page, from 0.", source="page.number", minimum=0),
        Column(
            "fetched_at",
            _TIME_FETCHED,
            "When the response arrived; later than all pages before, even if the clock was set back.",
            "UTC",
        ),
        Column("source", pa.string(), "Source of the page: `nasa` or `simulator`.", choices=("nasa", "simulator")),
        Column("sha256", pa.string(), "SHA-256 of the stored body, hexadecimal."),
        Column("bytes", pa.int64(), "Length of the stored body, uncompressed.", "bytes", above=0),
        Column("neos", pa.int32(), "NEOs on the page.", source="near_earth_objects", minimum=0),
        Column(
            "total_elements",
            pa.int64(),
            "NEOs in the whole catalogue, according to this response.",
            source="page.total_elements",
            minimum=0,
        ),
        Column(
            "md5",
            pa.string(),
            "MD5 of the stored object, hexadecimal; on S3, its ETag, which differs from the MD5 under KMS encryption.",
        ),
        Column("file", pa.string(), "Landed file that held the page; null if the page was fetched.", nullable=True),
        Column(
            "clock_at",
            _TIME_FETCHED,
            "The clock's time when the response arrived, if `fetched_at` is later; null otherwise.",
            "UTC",
            nullable=True,
        ),
    ),
    asset="raw_pages",
    key=("page",),
    layer="bronze",
)

CATALOGUE_STATS = Table(
    "catalogue_stats",
    "NeoWs's own counts for its whole catalogue (/stats), as last fetched.",
    (
        Column("fetched_at", _TIME_FETCHED, "When the response arrived.", "UTC"),
        Column(
            "near_earth_object_count", pa.int64(), "NEOs in the catalogue.", source="near_earth_object_count", minimum=0
        ),
        Column(
            "close_approach_count",
            pa.int64(),
            "Close approaches in the catalogue.",
            source="close_approach_count",
            minimum=0,
        ),
    ),
    partitioned=False,
    layer="bronze",
)

NEO_RECORDS = Table(
    "neo_records",
    "One row per near-Earth object.",
    (
        Column(
            "id",
            pa.string(),
            "NEO identifier (SPK-ID); changes when the object is numbered.",
            source=f"{_NEO}.id, else neo_reference_id",
        ),
        Column("neo_reference_id", pa.string(), "NEO reference identifier.", source=f"{_NEO}.neo_reference_id"),
        Column("name", pa.string(), "Full name: number, name and provisional designation.", source=f"{_NEO}.name"),
        Column(
            "name_limited",
            pa.string(),
            "Name alone; null for most NEOs, which have none.",
            source=f"{_NEO}.name_limited",
            nullable=True,
        ),
        Column(
            "designation",
            pa.string(),
            "Number, or provisional designation if not numbered.",
            source=f"{_NEO}.designation",
            nullable=True,
        ),
        Column("nasa_jpl_url", pa.string(), "The NEO's page at JPL.", source=f"{_NEO}.nasa_jpl_url", nullable=True),
        Column(
            "absolute_magnitude_h",
            pa.float64(),
            "Absolute magnitude H.",
            "mag",
            f"{_NEO}.absolute_magnitude_h",
            nullable=True,
            minimum=0,
            maximum=40,
        ),
        Column(
            "is_potentially_hazardous_asteroid",
            pa.bool_(),
            "Whether the NEO is potentially hazardous: MOID at most 0.05 au and H at most 22.",
            source=f"{_NEO}.is_potentially_hazardous_asteroid",
            nullable=True,
        ),
        Column(
            "estimated_diameter_min_m",
            pa.float64(),
            "Minimum diameter, estimated from H with an albedo of 0.25.",
            "m",
            f"{_NEO}.estimated_diameter.meters.estimated_diameter_min",
            nullable=True,
            above=0,
        ),
        Column(
            "estimated_diameter_max_m",
            pa.float64(),
            "Maximum diameter, estimated from H with an albedo of 0.05.",
            "m",
            f"{_NEO}.estimated_diameter.meters.estimated_diameter_max",
            nullable=True,
            above=0,
        ),
        Column(
            "closest_approach_miss_distance_km",
            pa.float64(),
            "Miss distance of the closest approach to any orbiting body, the earliest on a tie; null if there is none.",
            "km",
            f"{_CLOSEST}: miss_distance.kilometers",
            nullable=True,
        ),
        Column(
            "closest_approach_date",
            pa.date32(),
            "Date of the closest approach; null if there is none.",
            "UTC date",
            f"{_CLOSEST}: close_approach_date",
            nullable=True,
        ),
        Column(
            "closest_approach_relative_velocity_km_s",
            pa.float64(),
            "Velocity relative to the orbiting body at the closest approach; null if there is none.",
            "km/s",
            f"{_CLOSEST}: relative_velocity.kilometers_per_second",
            nullable=True,
        ),
        Column(
            "first_observation_date",
            pa.date32(),
            "Date of the first observation used in the orbit.",
            "UTC date",
            f"{_NEO}.orbital_data.first_observation_date",
            nullable=True,
            minimum=_FIRST_ASTEROID,
        ),
        Column(
            "last_observation_date",
            pa.date32(),
            "Date of the last observation used in the orbit.",
            "UTC date",
            f"{_NEO}.orbital_data.last_observation_date",
            nullable=True,
            minimum=_FIRST_ASTEROID,
        ),
        Column(
            "observations_used",
            pa.int64(),
            "Number of observations used in the orbit.",
            "observations",
            f"{_NEO}.orbital_data.observations_used",
            nullable=True,
            above=0,
        ),
        Column(
            "orbital_period_days",
            pa.float64(),
            "Orbital period.",
            "d",
            f"{_NEO}.orbital_data.orbital_period",
            nullable=True,
            above=0,
        ),
    ),
    key=("id",),
    layer="silver",
)

CLOSE_APPROACHES = Table(
    "close_approaches",
    "One row per close approach of a NEO to an orbiting body.",
    (
        _NEO_ID,
        Column(
            "close_approach_at",
            pa.timestamp("ms", "UTC"),
            "Time of the close approach, to the minute (JPL computes TDB; NeoWs labels it UTC).",
            "UTC",
            f"{_APPROACH}.epoch_date_close_approach",
            minimum=datetime(YEARS[0], 1, 1, tzinfo=UTC),
            maximum=datetime(YEARS[1], 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        ),
        Column(
            "close_approach_date",
            pa.date32(),
            "Date of the close approach.",
            "UTC date",
            f"{_APPROACH}.close_approach_date",
            minimum=_FIRST_DAY,
            maximum=_LAST_DAY,
        ),
        Column(
            "orbiting_body",
            pa.string(),
            "The body approached, as NASA spells it: Earth, Venus, Juptr, Merc, Mars, Moon, ...",
            source=f"{_APPROACH}.orbiting_body",
        ),
        Column(
            "miss_distance_au",
            pa.float64(),
            "Miss distance in au.",
            "au",
            f"{_APPROACH}.miss_distance.astronomical",
            minimum=0,
        ),
        Column(
            "miss_distance_km",
            pa.float64(),
            "Miss distance in km.",
            "km",
            f"{_APPROACH}.miss_distance.kilometers",
            minimum=0,
        ),
        Column(
            "relative_velocity_km_s",
            pa.float64(),
            "Velocity relative to the orbiting body.",
            "km/s",
            f"{_APPROACH}.relative_velocity.kilometers_per_second",
            above=0,
            maximum=300,
        ),
    ),
    key=("neo_id", "close_approach_at", "orbiting_body"),
    layer="silver",
)

NEO_SIGHTINGS = Table(
    "neo_sightings",
    "One row per NEO and page it was on, to find superseded copies and changes of the catalogue.",
    (
        _NEO_ID,
        Column(
            "principal_designation",
            pa.string(),
            "Provisional designation, kept when the object is numbered; without one, `designation`, else the id.",
            source=f"{_NEO}.designation, else name, else id",
        ),
        _PAGE,
        Column("fetched_at", _TIME_FETCHED, "When the page was fetched.", "UTC"),
        Column(
            "is_counted",
            pa.bool_(),
            "Whether this copy is the one in neo_records: the last of the NEO in its page set.",
        ),
    ),
    asset="neo_records",
    layer="silver",
)

QUARANTINE = Table(
    "quarantine",
    "Unreadable records, kept whole, with the reason.",
    (
        _PAGE,
        Column("index", pa.int32(), "Position on the page, from 0.", source=_NEO, minimum=0),
        Column("reason", pa.string(), "Field that could not be read, and why."),
        Column("record", pa.string(), "The record's JSON.", source=_NEO),
    ),
    asset="neo_records",
    key=("page", "index"),
)

SNAPSHOT = Table(
    "snapshot",
    "Whether the stored pages show the catalogue in a single state: one row per finding, or a single `consistent` row.",
    (
        Column(
            "verdict",
            pa.string(),
            "Verdict of this finding: `consistent`, `drifted` (the catalogue changed meanwhile) or `incomplete` (data "
            "is missing).",
            choices=("consistent", "drifted", "incomplete"),
        ),
        Column("reason", pa.string(), "Kind of finding, such as `NEOs seen twice`; empty if there is none."),
        Column(
            "count",
            pa.int64(),
            "Number of NEOs, approaches, pages, page sets or records that the finding concerns; 0 if there is none.",
            minimum=0,
        ),
        Column(
            "detail",
            pa.string(),
            "The first of the names, pages or page sets concerned, the two numbers that differ, or what to do.",
        ),
    ),
    partitioned=False,
    key=("reason",),
    layer="gold",
)

TABLES = {
    table.name: table
    for table in (
        RAW_PAGE_INDEX,
        NEO_RECORDS,
        ORBITS,
        CLOSE_APPROACHES,
        NEO_SIGHTINGS,
        QUARANTINE,
        CATALOGUE_STATS,
        HEARTBEAT,
        SNAPSHOT,
    )
}
"""Every table by name."""
