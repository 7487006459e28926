"""Every table and column of the lake, defined once: name, type, unit, source in the NeoWs JSON, description.

Arrow schemas, Dagster column metadata and checks derive from this module. How a value is read or computed does not
belong here.
"""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

KM_PER_AU = 149_597_870
"""Kilometres in one astronomical unit, as NeoWs converts it (the IAU defines 149,597,870.7 km)."""

NEAR_MISS_AU = 0.2
"""A close approach with a miss distance strictly below this, in au, is a near miss: the exercise's definition."""

NEOS_PER_PAGE = 20
"""NEOs on a full Browse page: NeoWs's default, and its maximum."""

YEARS = (1899, 2201)
"""First and last calendar year (UTC) of a close approach in NeoWs: 1900 to 2200, plus a stray day at either end."""

DAYS_APART = 1
"""Days that the time of a close approach may be off its date: before 2018, NeoWs gave midnight in its own time zone."""


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, unit, source (a path in the NeoWs JSON), and whether it may be null."""

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
    """One table of the lake. A partitioned table has one file per page set; any other table is a single file.

    `asset` names the asset that writes the table, if it differs from the table's name.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    partitioned: bool = True
    asset: str = ""

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema that every file of the table has."""
        return pa.schema([column.field for column in self.columns])


_NEO = "near_earth_objects[]"
_APPROACH = f"{_NEO}.close_approach_data[]"
_CLOSEST = f"{_APPROACH} with the smallest miss_distance.kilometers"

_TIME_FETCHED = pa.timestamp("us", "UTC")

RAW_PAGE_INDEX = Table(
    "raw_page_index",
    "One row per stored Browse page: when it was fetched, from where, and its digests.",
    (
        Column("page", pa.int32(), "Number of the Browse page, from 0.", source="page.number"),
        Column(
            "fetched_at",
            _TIME_FETCHED,
            "When the response arrived; later than all pages before, even if the clock was set back.",
            "UTC",
        ),
        Column("source", pa.string(), "Source of the page: `nasa` or `simulator`."),
        Column("sha256", pa.string(), "SHA-256 of the stored body, hexadecimal."),
        Column("bytes", pa.int64(), "Length of the stored body, uncompressed.", "bytes"),
        Column("neos", pa.int32(), "NEOs on the page.", source="near_earth_objects"),
        Column(
            "total_elements",
            pa.int64(),
            "NEOs in the whole catalogue, according to this response.",
            source="page.total_elements",
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
)

CATALOGUE_STATS = Table(
    "catalogue_stats",
    "NeoWs's own counts for its whole catalogue (/stats), as last fetched.",
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
        ),
        Column(
            "estimated_diameter_max_m",
            pa.float64(),
            "Maximum diameter, estimated from H with an albedo of 0.05.",
            "m",
            f"{_NEO}.estimated_diameter.meters.estimated_diameter_max",
            nullable=True,
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
        ),
        Column(
            "last_observation_date",
            pa.date32(),
            "Date of the last observation used in the orbit.",
            "UTC date",
            f"{_NEO}.orbital_data.last_observation_date",
            nullable=True,
        ),
        Column(
            "observations_used",
            pa.int64(),
            "Number of observations used in the orbit.",
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
            "Time of the close approach, to the minute (JPL computes TDB; NeoWs labels it UTC).",
            "UTC",
            f"{_APPROACH}.epoch_date_close_approach",
        ),
        Column(
            "close_approach_date",
            pa.date32(),
            "Date of the close approach.",
            "UTC date",
            f"{_APPROACH}.close_approach_date",
        ),
        Column(
            "orbiting_body",
            pa.string(),
            "The body approached, as NASA spells it: Earth, Venus, Juptr, Merc, Mars, Moon, ...",
            source=f"{_APPROACH}.orbiting_body",
        ),
        Column(
            "miss_distance_au", pa.float64(), "Miss distance in au.", "au", f"{_APPROACH}.miss_distance.astronomical"
        ),
        Column("miss_distance_km", pa.float64(), "Miss distance in km.", "km", f"{_APPROACH}.miss_distance.kilometers"),
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
    "One row per NEO and page it was on, to find superseded copies and changes of the catalogue.",
    (
        Column("neo_id", pa.string(), "The NEO: `id` in neo_records.", source=f"{_NEO}.id, else neo_reference_id"),
        Column(
            "principal_designation",
            pa.string(),
            "Provisional designation, kept when the object is numbered; without one, `designation`, else the id.",
            source=f"{_NEO}.designation, else name, else id",
        ),
        Column("page", pa.int32(), "Number of the Browse page.", source="page.number"),
        Column("fetched_at", _TIME_FETCHED, "When the page was fetched.", "UTC"),
        Column(
            "is_counted",
            pa.bool_(),
            "Whether this copy is the one in neo_records: the last of the NEO in its page set.",
        ),
    ),
    asset="neo_records",
)

QUARANTINE = Table(
    "quarantine",
    "Unreadable records, kept whole, with the reason.",
    (
        Column("page", pa.int32(), "Number of the Browse page.", source="page.number"),
        Column("index", pa.int32(), "Position on the page, from 0.", source=_NEO),
        Column("reason", pa.string(), "Field that could not be read, and why."),
        Column("record", pa.string(), "The record's JSON.", source=_NEO),
    ),
    asset="neo_records",
)

_BODY = Column(
    "orbiting_body", pa.string(), "The body approached, as NASA spells it.", source=f"{_APPROACH}.orbiting_body"
)
_YEAR = Column(
    "year", pa.int32(), "Calendar year of the close approaches.", "UTC year", f"{_APPROACH}.close_approach_date"
)

_NEAR_MISS_COLUMNS = (
    _BODY,
    Column(
        "near_misses",
        pa.int64(),
        f"Number of close approaches with a miss distance below {NEAR_MISS_AU} au.",
        "approaches",
    ),
)
_YEARLY_COLUMNS = (_YEAR, _BODY, Column("approaches", pa.int64(), "Number of close approaches.", "approaches"))

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
    "Whether the stored pages show the catalogue in a single state: one row per finding, or a single `consistent` row.",
    (
        Column(
            "verdict",
            pa.string(),
            "Verdict of this finding: `consistent`, `drifted` (the catalogue changed meanwhile) or `incomplete` (data "
            "is missing).",
        ),
        Column("reason", pa.string(), "Kind of finding, such as `NEOs seen twice`; empty if there is none."),
        Column(
            "count",
            pa.int64(),
            "Number of NEOs, approaches, pages, page sets or records that the finding concerns; 0 if there is none.",
        ),
        Column(
            "detail",
            pa.string(),
            "The first of the names, pages or page sets concerned, the two numbers that differ, or what to do.",
        ),
    ),
    partitioned=False,
)

TOTALS = {TOTAL_NEAR_MISSES: NEAR_MISS_COUNT, TOTAL_YEARLY_APPROACHES: YEARLY_APPROACHES}
"""Each total, with the counts of the page sets that it sums up."""

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
"""Every table by name."""
