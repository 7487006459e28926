"""Browse pages as values: fetched, stored, and what is known of them. How they are fetched, stored or read lives in
`sources` and `lake`.
"""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

NASA, SIMULATOR = "nasa", "simulator"
"""The two sources of pages. A mirror of NASA's API counts as NASA."""


@dataclass(frozen=True)
class Page:
    """One fetched Browse page: the response body with every key redacted, and what is known of it."""

    number: int
    body: bytes
    fetched_at: datetime
    source: str
    neos: int
    total_elements: int


@dataclass(frozen=True)
class PageFacts:
    """What is known of a stored page; a row of `raw_page_index`."""

    page: int
    fetched_at: datetime
    source: str
    sha256: str
    bytes: int
    neos: int
    total_elements: int
    md5: str
    file: str | None = None


@dataclass(frozen=True)
class StoredPage:
    """A page read back from the lake."""

    facts: PageFacts
    body: pa.Buffer

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
    """NeoWs's own counts of its whole catalogue (`/stats`), at a time."""

    fetched_at: datetime
    near_earth_object_count: int
    close_approach_count: int
