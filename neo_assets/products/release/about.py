"""What a release says of itself in every one of its texts: title, date, where the data come from, under which terms.
The texts are made in the modules beside this one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from neo_assets.schema.facts import NEAR_MISS_AU

if TYPE_CHECKING:
    from datetime import datetime

NAME = "near-earth-objects"
"""Name of the dataset for programs."""

LICENCE = "LICENSE.md"
"""Name of the file with the terms."""

KEYWORDS = ("astronomy", "asteroids", "near-earth-objects", "close-approaches", "orbits", "planetary-defense")


@dataclass(frozen=True)
class Origin:
    """A place that the data come from."""

    title: str
    by: str
    """Who makes it."""
    url: str
    part: str
    """What comes from there."""


ORIGINS = (
    Origin(
        "NeoWs (Near Earth Object Web Service)",
        "SpaceRocks Team",
        "https://api.nasa.gov/",
        "the service of api.nasa.gov that the data were read from",
    ),
    Origin(
        "Small-Body Database (SBDB)",
        "Jet Propulsion Laboratory, Solar System Dynamics",
        "https://ssd.jpl.nasa.gov/tools/sbdb_lookup.html",
        "JPL's database of orbits and absolute magnitudes, to which NeoWs links each object",
    ),
    Origin(
        "Observations of minor planets, and the uncertainty parameter U",
        "Minor Planet Center (MPC)",
        "https://www.minorplanetcenter.net/",
        "the observations that JPL computes orbits from; the uncertainty of orbits is on the MPC's scale",
    ),
    Origin(
        "NEO Earth Close Approaches",
        "Jet Propulsion Laboratory, Center for Near Earth Object Studies (CNEOS)",
        "https://cneos.jpl.nasa.gov/ca/",
        "JPL's computations of close approaches, which NeoWs passes on",
    ),
)
"""The places that NASA's data come from."""


class About:
    """What is said of a release of one snapshot."""

    def __init__(self, snapshot: Mapping[str, Any], despite: str | None) -> None:
        """
        Args:
            snapshot: the row of the table `snapshot`, whose times are known.
            despite: the verdict on the snapshot, if it is released although it is not consistent.
        """
        self.snapshot, self.despite = snapshot, despite
        self.is_simulated: bool = snapshot["is_simulated"]
        self.at: datetime = snapshot["newest_page_at"]
        """When the page that was fetched last arrived."""

    @property
    def title(self) -> str:
        """The title; it says so if the data are simulated."""
        return "Near-Earth objects and their close approaches" + (" (simulated)" if self.is_simulated else "")

    @property
    def description(self) -> str:
        """What the dataset is, in a few sentences."""
        one = self.snapshot
        return (
            ("Simulated data: the objects are made up. " if self.is_simulated else "")
            + f"{one['neos']:,} near-Earth objects, each once, with their orbits, and their "
            + f"{one['close_approaches']:,} close approaches, past and predicted; totals of approaches and of near "
            + f"misses (closer than {NEAR_MISS_AU} au). {self._source} on {self.at:%Y-%m-%d}"
            + (f"; the snapshot is {self.despite}: {one['reasons']}." if self.despite else ".")
        )

    @property
    def version(self) -> str:
        """The date of the snapshot as a version."""
        return f"{self.at.year}.{self.at.month}.{self.at.day}"

    @property
    def origins(self) -> Sequence[Origin]:
        """The places that the data come from; none if they are made up."""
        return () if self.is_simulated else ORIGINS

    @property
    def citation(self) -> str:
        """How to cite the release, in one line."""
        origin = "made up by its simulator" if self.is_simulated else f"NASA/JPL, NeoWs, {ORIGINS[0].url}"
        return f"neo_assets {tool()}: {self.title}. Snapshot of {self.at:%Y-%m-%d}, {self.id}. Data: {origin}."

    @property
    def id(self) -> str:
        """The first characters of the snapshot's id, enough to tell snapshots apart."""
        return str(self.snapshot["snapshot_id"])[:12]

    @property
    def _source(self) -> str:
        if self.is_simulated:
            return "Made by the simulator of neo_assets"
        return "From NASA's NeoWs, with data of NASA's Jet Propulsion Laboratory, as it was"


def tool() -> str:
    """The version of neo_assets."""
    return version("neo_assets")
