"""Browse pages as values: fetched, stored, described. Fetching is in `sources`; storing and reading are in `lake`."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the process that fetches pages does without Arrow
    import pyarrow as pa

NASA, SIMULATOR = "nasa", "simulator"
"""The two sources of pages. A mirror of NASA's API is treated as NASA."""


@dataclass(frozen=True)
class Page:
    """One fetched Browse page: the response body with every API key redacted, and the facts about it."""

    number: int
    body: bytes
    fetched_at: datetime
    source: str
    neos: int
    total_elements: int
    clock_at: datetime | None = None

    def dated_later(self, by: timedelta) -> "Page":
        """The same page with a later `fetched_at`, and with the clock's time in `clock_at`; unchanged if `by` is 0."""
        return replace(self, fetched_at=self.fetched_at + by, clock_at=self.fetched_at) if by else self


@dataclass(frozen=True)
class PageFacts:
    """Facts about a stored page; one row of `raw_page_index`.

    `fetched_at` orders copies: of two, the later one counts. If the clock is set back, it continues from the latest
    page in the lake, and `clock_at` has the clock's time.
    """

    page: int
    fetched_at: datetime
    source: str
    sha256: str
    bytes: int
    neos: int
    total_elements: int
    md5: str
    file: str | None = None
    clock_at: datetime | None = None

    @property
    def arrived_at(self) -> datetime:
        """When the page arrived, by the clock of that moment."""
        return self.clock_at or self.fetched_at


@dataclass(frozen=True)
class StoredPage:
    """A page read back from the lake."""

    facts: PageFacts
    body: "pa.Buffer"

    @property
    def number(self) -> int:
        """Number of the Browse page."""
        return self.facts.page

    @property
    def fetched_at(self) -> datetime:
        """When the response arrived."""
        return self.facts.fetched_at


@dataclass(frozen=True)
class CatalogueStats:
    """NeoWs's own counts for its whole catalogue (`/stats`), at the time of the response."""

    fetched_at: datetime
    near_earth_object_count: int
    close_approach_count: int
