"""A Browse page as it comes over the wire: what makes a response one, and what it says of itself. Its objects are read
in `parse`.
"""

import io
import json
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from pyarrow import json as arrow_json

from neo_assets.neows.errors import NotAPage, WrongPage

NASA, SIMULATOR = "nasa", "simulator"
"""The two sources of pages. A mirror of NASA's API counts as NASA."""

_ENVELOPE = pa.schema(
    [
        ("page", pa.struct([("number", pa.int64()), ("total_elements", pa.int64())])),
        ("near_earth_objects", pa.list_(pa.struct([]))),
    ]
)


@dataclass(frozen=True)
class Page:
    """One Browse page: the response body with every key redacted, and what is known of it."""

    number: int
    body: bytes
    fetched_at: datetime
    source: str
    neos: int
    total_elements: int


@dataclass(frozen=True)
class CatalogueStats:
    """What NeoWs says of its whole catalogue, at a time."""

    fetched_at: datetime
    near_earth_object_count: int
    close_approach_count: int


def read_stats(body: bytes, fetched_at: datetime) -> CatalogueStats:
    """Read a response of `/stats`.

    Raises:
        NotAPage: it is not one.
    """
    try:
        stats = json.loads(body)
        return CatalogueStats(fetched_at, int(stats["near_earth_object_count"]), int(stats["close_approach_count"]))
    except (ValueError, TypeError, KeyError):
        raise NotAPage("the response of /stats lacks near_earth_object_count or close_approach_count") from None


def read_envelope(body: bytes, number: int) -> tuple[int, int]:
    """Check that a body is Browse page `number`, whole.

    Returns:
        The NEOs on the page, and the NEOs in the catalogue (`page.total_elements`).

    Raises:
        NotAPage: the body is empty, HTML, cut short, or other JSON.
        WrongPage: it is another page than the one asked for.
    """
    if not body.strip():
        raise NotAPage(f"page {number}: the response is empty")
    if body.lstrip()[:1] != b"{":
        raise NotAPage(f"page {number}: the response is not JSON: {body[:60]!r}")
    options = arrow_json.ParseOptions(
        explicit_schema=_ENVELOPE, unexpected_field_behavior="ignore", newlines_in_values=True
    )
    try:
        table = arrow_json.read_json(
            io.BytesIO(body), arrow_json.ReadOptions(use_threads=False, block_size=len(body) + 1), options
        )
    except pa.ArrowInvalid as error:
        raise NotAPage(f"page {number}: the response is cut short or not a Browse page ({error})") from None
    row = table.slice(0, 1).select(["page"]).to_pylist()[0]["page"]
    objects = table.column("near_earth_objects")
    if table.num_rows != 1 or not row or row["number"] is None or row["total_elements"] is None or objects.null_count:
        raise NotAPage(f"page {number}: the response is not a Browse page: it lacks page or near_earth_objects")
    if row["number"] != number:
        raise WrongPage(f"page {number} was asked for and page {row['number']} came")
    return len(objects[0]), row["total_elements"]
