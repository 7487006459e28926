"""Close approaches to Earth, with what is known of their NEOs: read from the lake, and as rows. How those to come
become events of a calendar is in `calendar`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake.owner import source_of
from neo_assets.lake.storage import LakeLacks, LakeWrong, Storage
from neo_assets.pipeline.catalogue import Catalogue, state_of_lake
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.text import one_line, printable
from neo_assets.pipeline.totals import EARTH
from neo_assets.schema.facts import KM_PER_LUNAR_DISTANCE
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS

_OF_APPROACH = (
    *("neo_id", "close_approach_at", "orbiting_body", "miss_distance_au", "miss_distance_km"),
    "relative_velocity_km_s",
)
_OF_NEO = (
    *("id", "name", "nasa_jpl_url", "absolute_magnitude_h", "estimated_diameter_min_m", "estimated_diameter_max_m"),
    "is_potentially_hazardous_asteroid",
)


@dataclass(frozen=True)
class Approach:
    """A close approach to Earth, and the NEO that makes it. The names are those of the tables, with their units."""

    close_approach_at: datetime
    neo_id: str
    designation: str
    """The principal designation: unlike the id, the NEO keeps it when it is numbered."""
    name: str
    """The name as people write it: without the parentheses in which NeoWs sets a designation that stands alone."""
    miss_distance_au: float
    miss_distance_km: float
    relative_velocity_km_s: float
    absolute_magnitude_h: float | None
    estimated_diameter_min_m: float | None
    estimated_diameter_max_m: float | None
    is_potentially_hazardous: bool | None
    nasa_jpl_url: str | None
    fetched_at: datetime
    """When the page arrived that says so."""

    @property
    def miss_distance_ld(self) -> float:
        """The miss distance in lunar distances of 384,400 km."""
        return self.miss_distance_km / KM_PER_LUNAR_DISTANCE

    @property
    def lunar_distances(self) -> str:
        """The same for people: `12.3`, `0.69`."""
        return f"{self.miss_distance_ld:.1f}" if self.miss_distance_ld >= 1 else f"{self.miss_distance_ld:.2g}"

    @property
    def diameter_m(self) -> str:
        """The range of diameters that H gives, in metres, for people; empty if H is not known."""
        ends = (self.estimated_diameter_min_m, self.estimated_diameter_max_m)
        return "-".join(f"{end:,.0f}" if end >= 10 else f"{end:.1f}" for end in ends if end is not None)


class EarthApproaches:
    """The close approaches to Earth in a lake, each NEO once."""

    def __init__(self, lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
        """
        Args:
            lake: the lake.
            metrics: finds superseded copies of NEOs.
            page_sets: the page sets that the settings ask for.

        Raises:
            LakeLacks: the lake holds no NEOs.
        """
        self._lake, self._page_sets = lake, page_sets
        self.source = source_of(lake) or "unknown"
        """Source of the data: `nasa` or `simulator`."""
        self._catalogue = Catalogue.whole(lake, metrics, page_sets)
        self.state = self._catalogue.state
        """A digest of what is read."""
        if not self._catalogue.page_sets:
            raise LakeLacks(f"the lake {lake.root} holds no NEOs yet: run `neo run`")
        self.page_sets_missing = len(set(page_sets).difference(self._catalogue.page_sets))
        """How many of the page sets have not been read yet."""

    @property
    def is_simulated(self) -> bool:
        """Whether the NEOs are made up."""
        return self.source == "simulator"

    @cached_property
    def sightings(self) -> dict[str, tuple[str, datetime]]:
        """The principal designation of each NEO, and when its page arrived, by the NEO's id."""
        columns = ["neo_id", "principal_designation", "fetched_at", "is_counted"]
        rows = self._catalogue.rows(NEO_SIGHTINGS, columns)
        ids, designations, fetched, _ = rows.filter(rows["is_counted"]).to_pydict().values()
        return dict(zip(ids, zip(designations, fetched, strict=True), strict=True))

    @cached_property
    def stamps(self) -> dict[str, datetime]:
        """When each NEO's page arrived, by its principal designation."""
        return dict(self.sightings.values())

    @property
    def fetched(self) -> tuple[datetime, datetime]:
        """When the first and the last page with a NEO arrived."""
        times = list(self.stamps.values()) or [datetime.fromtimestamp(0, UTC)]
        return min(times), max(times)

    def between(self, since: datetime, until: datetime, within_au: float = math.inf) -> list[Approach]:
        """The approaches from one time until another (excluded), at most this far from Earth, in the order of time.

        Raises:
            LakeWrong: the tables do not fit together, because they changed while they were read or for another reason.
            LakeError: a table is missing or damaged.
        """
        rows = self._catalogue.rows(CLOSE_APPROACHES, _OF_APPROACH)
        at = rows["close_approach_at"]
        first, end = (pa.scalar(time, pa.timestamp("us", "UTC")).cast(at.type, safe=False) for time in (since, until))
        in_time = pc.and_(pc.greater_equal(at, first), pc.less(at, end))
        near = pc.and_(pc.equal(rows["orbiting_body"], EARTH), pc.less_equal(rows["miss_distance_au"], within_au))
        rows = rows.filter(pc.and_(in_time, near)).drop_columns("orbiting_body")
        records = self._catalogue.rows(NEO_RECORDS, _OF_NEO)
        records = records.filter(pc.is_in(records["id"], rows["neo_id"].combine_chunks()))
        neos = {row["id"]: row for row in records.to_pylist()}
        ids = set(rows["neo_id"].to_pylist())
        if (
            not ids <= neos.keys() & self.sightings.keys()
            or state_of_lake(self._lake, self._page_sets)[1] != self.state
        ):
            raise LakeWrong(
                f"the tables in {self._lake.root} changed, or do not fit together: run `neo run`, then this"
            )
        found = [self._approach(row, neos[row["neo_id"]]) for row in rows.to_pylist()]
        return sorted(found, key=lambda one: (one.close_approach_at, one.designation))

    def _approach(self, row: dict[str, Any], neo: dict[str, Any]) -> Approach:
        designation, fetched_at = self.sightings[row["neo_id"]]
        return Approach(
            **row,
            designation=designation,
            name=_plain(neo["name"]),
            absolute_magnitude_h=neo["absolute_magnitude_h"],
            estimated_diameter_min_m=neo["estimated_diameter_min_m"],
            estimated_diameter_max_m=neo["estimated_diameter_max_m"],
            is_potentially_hazardous=neo["is_potentially_hazardous_asteroid"],
            nasa_jpl_url=neo["nasa_jpl_url"],
            fetched_at=fetched_at,
        )


def as_rows(approaches: Sequence[Approach], source: str) -> pa.Table:
    """The approaches as a table with units in its column names; each row names the source of the data."""
    columns: dict[str, tuple[pa.DataType, list[Any]]] = {
        "close_approach_at_utc": (pa.string(), [f"{one.close_approach_at:%Y-%m-%dT%H:%MZ}" for one in approaches]),
        "name": (pa.string(), [one.name for one in approaches]),
        "neo_id": (pa.string(), [one.neo_id for one in approaches]),
        "miss_distance_au": (pa.float64(), [one.miss_distance_au for one in approaches]),
        "miss_distance_ld": (pa.float64(), [round(one.miss_distance_ld, 4) for one in approaches]),
        "miss_distance_km": (pa.float64(), [one.miss_distance_km for one in approaches]),
        "relative_velocity_km_s": (pa.float64(), [one.relative_velocity_km_s for one in approaches]),
        "absolute_magnitude_h_mag": (pa.float64(), [one.absolute_magnitude_h for one in approaches]),
        "diameter_min_from_h_m": (pa.float64(), [one.estimated_diameter_min_m for one in approaches]),
        "diameter_max_from_h_m": (pa.float64(), [one.estimated_diameter_max_m for one in approaches]),
        "is_potentially_hazardous": (pa.bool_(), [one.is_potentially_hazardous for one in approaches]),
        "nasa_jpl_url": (pa.string(), [one.nasa_jpl_url for one in approaches]),
        "source": (pa.string(), [source] * len(approaches)),
    }
    return pa.table({name: pa.array(values, type) for name, (type, values) in columns.items()})


def _plain(name: str) -> str:
    """`(2010 PK9)` as `2010 PK9`; names with more to them, such as `433 Eros (A898 PA)`, as they are."""
    plain = printable(one_line(name))
    return plain[1:-1] if plain.startswith("(") and plain.endswith(")") and plain.count("(") == 1 else plain
