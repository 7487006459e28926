"""A heartbeat, as a value and as a row of the table `heartbeat`. Asking NeoWs is in `sources`; the table's file, in
`pipeline`.
"""

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from neo_assets.schema.columns import Column, Table
from neo_assets.schema.pages import NASA, SIMULATOR

OK, OUT_OF_ORDER, REFUSED, OVER_LIMIT, NOT_ASKED = STATUSES = (
    "ok",
    "out of order",
    "refused",
    "over the limit",
    "not asked",
)


@dataclass(frozen=True)
class Heartbeat:
    """Whether NeoWs is in order, how quickly it answers, and how large its catalogue is."""

    at: datetime
    status: str = OK
    detail: str | None = None
    source: str | None = None
    page_seconds: float | None = None
    stats_seconds: float | None = None
    total_elements: int | None = None
    near_earth_object_count: int | None = None
    close_approach_count: int | None = None


HEARTBEAT = Table(
    "heartbeat",
    "One row per heartbeat: whether NeoWs was in order, how quickly it answered, and how large its catalogue was.",
    (
        Column("at", pa.timestamp("us", "UTC"), "When the heartbeat began.", "UTC"),
        Column(
            "status",
            pa.string(),
            f"`{OK}`; `{OUT_OF_ORDER}` (NeoWs failed, or did not answer); `{REFUSED}` (the request or the key was not "
            f"accepted); `{OVER_LIMIT}` (NeoWs answered 429); `{NOT_ASKED}` (the request budget was used up).",
            choices=STATUSES,
        ),
        Column("detail", pa.string(), f"What was wrong; null if the status is `{OK}`.", nullable=True),
        Column(
            "source",
            pa.string(),
            "What answered: `nasa` or `simulator`; null if nothing did.",
            nullable=True,
            choices=(NASA, SIMULATOR),
        ),
        Column(
            "page_seconds", pa.float64(), "Time until page 0 had arrived; null if it did not.", "s", "", True, minimum=0
        ),
        Column(
            "stats_seconds",
            pa.float64(),
            "Time until /stats had arrived; null if it did not.",
            "s",
            "",
            True,
            minimum=0,
        ),
        Column(
            "total_elements",
            pa.int64(),
            "NEOs in the whole catalogue, according to page 0.",
            source="page.total_elements",
            nullable=True,
            minimum=0,
        ),
        Column(
            "near_earth_object_count",
            pa.int64(),
            "NEOs in the catalogue, according to /stats.",
            source="near_earth_object_count",
            nullable=True,
            minimum=0,
        ),
        Column(
            "close_approach_count",
            pa.int64(),
            "Close approaches in the catalogue, according to /stats.",
            source="close_approach_count",
            nullable=True,
            minimum=0,
        ),
    ),
    partitioned=False,
    key=("at",),
    layer="bronze",
)
