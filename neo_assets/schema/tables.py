"""Every table and column of the lake, once: name, type, unit, source in the NeoWs JSON, description.

Arrow schemas, Dagster column metadata, checks and the README's column lists derive from this module; nothing restates a
column. How a value is read or computed does not belong here.
"""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

KM_PER_AU = 149_597_870
"""Kilometres in one astronomical unit, as NeoWs itself converts (the IAU's au is 149,597,870.7 km)."""

NEAR_MISS_AU = 0.2
"""A close approach nearer than this many au, strictly, is a near miss: the exercise's definition."""

NEOS_PER_PAGE = 20
"""NEOs on a Browse page: the default of NeoWs and the most that it gives."""

YEARS = (1899, 2201)
"""First and last calendar year (UTC) of a close approach in NeoWs: 1900 to 2200 and a stray day on either side."""


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, whether it may be null, its unit, and where NeoWs has it (a JSON path)."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    source: str = ""
    nullable: bool = False

    @property
    def field(self) -> pa.Field:
        """The Arrow field, with description, unit and source as field metadata."""
        metadata = {"description": self.description, "unit": self.unit, "source": self.source}
        return pa.field(self.name, self.type, self.nullable, metadata)


@dataclass(frozen=True)
class Table:
    """One table of the lake. `partitioned` tables hold one file per page set, the others one file in all.

    `asset` is the asset that writes it, where that is not the one of its name.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    partitioned: bool = True
    asset: str = ""

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema, which every file of the table has exactly."""
        return pa.schema([column.field for column in self.columns])


_NEO = "near_earth_objects[]"
_APPROACH = f"{_NEO}.close_approach_data[]"
_CLOSEST = f"{_APPROACH} with the smallest miss_distance.kilometers"

_TIME_FETCHED = pa.timestamp("us", "UTC")

RAW_PAGE_INDEX = Table(
    "raw_page_index",
    "What is known of each stored Browse page.",
    (
        Column("page", pa.int32(), "Number of the Browse page, from 0.", source="page.number"),
        Column("fetched_at", _TIME_FETCHED, "When the response arrived.", "UTC"),
        Column("source", pa.string(), "Where it came from: `nasa` or `simulator`."),
        Column("sha256", pa.string(), "SHA-256 of the stored body, hexadecimal."),
        Column("bytes", pa.int64(), "Length of the stored body, uncompressed.", "bytes"),
        Column("neos", pa.int32(), "NEOs on the page.", source="near_earth_objects"),
        Column(
            "total_elements", pa.int64(), "NEOs in the whole catalogue by this response.", source="page.total_elements"
        ),
        Column(
            "md5", pa.string(), "MD5 of the stored object, hexadecimal; on S3 its ETag, another where KMS encrypts."
        ),
        Column("file", pa.string(), "Landed file that it came in; null where it was fetched.", nullable=True),
    ),
    asset="raw_pages",
)

CATALOGUE_STATS = Table(
    "catalogue_stats",
    "What NeoWs says of its whole catalogue (/stats), when it was last asked.",
    (
        Column("fetched_at", _TIME_FETCHED, "When the response arrived.", "UTC"),
        Column("near_earth_object_count", pa.int64(), "NEOs in the catalogue.", source="near_earth_object_count"),
        Column("close_approach_count", pa.int64(), "Close approaches in the catalogue.", source="close_approach_count"),
    ),
    partitioned=False,
)

NEO_RECORDS = Table(
    "neo_records",
    "One row per near-Earth object.",
    (
        Column(
            "id",
            pa.string(),
            "NEO identifier; changes when the object is numbered.",
            source=f"{_NEO}.id, else neo_reference_id",
        ),
        Column("neo_reference_id", pa.string(), "NEO reference identifier.", source=f"{_NEO}.neo_reference_id"),
        Column("name", pa.string(), "Full name: number, name, provisional designation.", source=f"{_NEO}.name"),
        Column(
            "name_limited",
            pa.string(),
            "Name alone, for the few that have one.",
            source=f"{_NEO}.name_limited",
            nullable=True,
        ),
        Column(
            "designation",
            pa.string(),
            "Number, or provisional designation.",
            source=f"{_NEO}.designation",
            nullable=True,
        ),
        Column("nasa_jpl_url", pa.string(), "The object's page at JPL.", source=f"{_NEO}.nasa_jpl_url", nullable=True),
        Column(
            "absolute_magnitude_h",
            pa.float64(),
            "Absolute magnitude H.",
            "mag",
            f"{_NEO}.absolute_magnitude_h",
            nullable=True,
        ),
        Column(
            "is_potentially_hazardous_asteroid",
            pa.bool_(),
            "Potentially hazardous: MOID at most 0.05 au and H at most 22.",
            source=f"{_NEO}.is_potentially_hazardous_asteroid",
            nullable=True,
        ),
        Column(
            "estimated_diameter_min_m",
            pa.float64(),
            "Diameter estimated from H, albedo 0.25.",
            "m",
            f"{_NEO}.estimated_diameter.meters.estimated_diameter_min",
            nullable=True,
        ),
        Column(
            "estimated_diameter_max_m",
            pa.float64(),
            "Diameter estimated from H, albedo 0.05.",
            "m",
            f"{_NEO}.estimated_diameter.meters.estimated_diameter_max",
            nullable=True,
        ),
        Column(
            "closest_approach_miss_distance_km",
            pa.float64(),
            "Smallest miss distance over all orbiting bodies, the earliest on a tie; null without approaches.",
            "km",
            f"{_CLOSEST}: miss_distance.kilometers",
            nullable=True,
        ),
        Column(
            "closest_approach_date",
            pa.date32(),
            "Date of the closest approach; null without approaches.",
            "UTC date",
            f"{_CLOSEST}: close_approach_date",
            nullable=True,
        ),
        Column(
            "closest_approach_relative_velocity_km_s",
            pa.float64(),
            "Velocity relative to the orbiting body at the closest approach; null without approaches.",
            "km/s",
            f"{_CLOSEST}: relative_velocity.kilometers_per_second",
            nullable=True,
        ),
        Column(
            "first_observation_date",
            pa.date32(),
            "First observation used in the orbit.",
            "UTC date",
            f"{_NEO}.orbital_data.first_observation_date",
            nullable=True,
        ),
        Column(
            "last_observation_date",
            pa.date32(),
            "Last observation used in the orbit.",
            "UTC date",
            f"{_NEO}.orbital_data.last_observation_date",
            nullable=True,
        ),
        Column(
            "observations_used",
            pa.int64(),
            "Observations used in the orbit.",
            "observations",
            f"{_NEO}.orbital_data.observations_used",
            nullable=True,
        ),
        Column(
            "orbital_period_days",
            pa.float64(),
            "Orbital period.",
            "d",
            f"{_NEO}.orbital_data.orbital_period",
            nullable=True,
        ),
    ),
)

CLOSE_APPROACHES = Table(
    "close_approaches",
    "One row per close approach of a NEO to an orbiting body.",
    (
        Column("neo_id", pa.string(), "The NEO: `id` in neo_records.", source=f"{_NEO}.id, else neo_reference_id"),
        Column(
            "close_approach_at",
            pa.timestamp("ms", "UTC"),
            "Time of closest approach, to the minute (JPL gives TDB, NeoWs writes it as UTC).",
            "UTC",
            f"{_APPROACH}.epoch_date_close_approach",
        ),
        Column(
            "close_approach_date",
            pa.date32(),
            "Date of closest approach.",
            "UTC date",
            f"{_APPROACH}.close_approach_date",
        ),
        Column(
            "orbiting_body",
            pa.string(),
            "The body approached, as NASA writes it: Earth, Venus, Juptr, Merc, Mars, Moon, ...",
            source=f"{_APPROACH}.orbiting_body",
        ),
        Column("miss_distance_au", pa.float64(), "Miss distance.", "au", f"{_APPROACH}.miss_distance.astronomical"),
        Column("miss_distance_km", pa.float64(), "Miss distance.", "km", f"{_APPROACH}.miss_distance.kilometers"),
        Column(
            "relative_velocity_km_s",
            pa.float64(),
            "Velocity relative to the orbiting body.",
            "km/s",
            f"{_APPROACH}.relative_velocity.kilometers_per_second",
        ),
    ),
)

NEO_SIGHTINGS = Table(
    "neo_sightings",
    "Where and when each NEO was seen: what tells which copy of an object counts, and whether the catalogue moved.",
    (
        Column("neo_id", pa.string(), "The NEO: `id` in neo_records.", source=f"{_NEO}.id, else neo_reference_id"),
        Column(
            "principal_designation",
            pa.string(),
            "Designation in parentheses in `name`, kept when the object is numbered; the id where there is none.",
            source=f"{_NEO}.name",
        ),
        Column("page", pa.int32(), "Number of the Browse page.", source="page.number"),
        Column("fetched_at", _TIME_FETCHED, "When that page arrived.", "UTC"),
        Column("is_counted", pa.bool_(), "Whether this copy stands in neo_records: no later one is in the page set."),
    ),
    asset="neo_records",
)

QUARANTINE = Table(
    "quarantine",
    "Records that could not be read, whole, with the reason.",
    (
        Column("page", pa.int32(), "Number of the Browse page.", source="page.number"),
        Column("index", pa.int32(), "Place on the page, from 0.", source=_NEO),
        Column("reason", pa.string(), "What could not be read."),
        Column("record", pa.string(), "The record's JSON.", source=_NEO),
    ),
    asset="neo_records",
)

_BODY = Column(
    "orbiting_body", pa.string(), "The body approached, as NASA writes it.", source=f"{_APPROACH}.orbiting_body"
)
_YEAR = Column(
    "year", pa.int32(), "Calendar year of the closest approach.", "UTC year", f"{_APPROACH}.close_approach_date"
)

_NEAR_MISS_COLUMNS = (
    _BODY,
    Column("near_misses", pa.int64(), f"Close approaches nearer than {NEAR_MISS_AU} au, strictly.", "approaches"),
)
_YEARLY_COLUMNS = (_YEAR, _BODY, Column("approaches", pa.int64(), "Close approaches.", "approaches"))

NEAR_MISS_COUNT = Table("near_miss_count", "Near misses of one page set, per orbiting body.", _NEAR_MISS_COLUMNS)
YEARLY_APPROACHES = Table(
    "yearly_approaches", "Close approaches of one page set, per year and orbiting body.", _YEARLY_COLUMNS
)
TOTAL_NEAR_MISSES = Table(
    "total_near_misses",
    "Near misses over all page sets, per orbiting body, each NEO counted once.",
    _NEAR_MISS_COLUMNS,
    partitioned=False,
)
TOTAL_YEARLY_APPROACHES = Table(
    "total_yearly_approaches",
    "Close approaches over all page sets, per year and orbiting body, each NEO counted once.",
    _YEARLY_COLUMNS,
    partitioned=False,
)
SNAPSHOT = Table(
    "snapshot",
    "Whether the lake holds one state of the catalogue: a row for each finding, or one that says consistent.",
    (
        Column(
            "verdict", pa.string(), "`consistent`, `drifted` (the catalogue moved) or `incomplete` (something lacks)."
        ),
        Column("reason", pa.string(), "What was found; empty where nothing was."),
        Column("count", pa.int64(), "How many of them."),
        Column("detail", pa.string(), "Which, or from what to what."),
    ),
    partitioned=False,
)

TABLES = {
    table.name: table
    for table in (
        RAW_PAGE_INDEX,
        NEO_RECORDS,
        CLOSE_APPROACHES,
        NEO_SIGHTINGS,
        QUARANTINE,
        NEAR_MISS_COUNT,
        YEARLY_APPROACHES,
        TOTAL_NEAR_MISSES,
        TOTAL_YEARLY_APPROACHES,
        CATALOGUE_STATS,
        SNAPSHOT,
    )
}
"""Every table by its name, which is the name of its asset where it is one."""
