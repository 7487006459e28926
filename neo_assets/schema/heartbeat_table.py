"""The table `heartbeat`. A row as a value is in `heartbeat`; the table's file, in `pipeline`."""

import pyarrow as pa

from neo_assets.schema.columns import Column, Table
from neo_assets.schema.heartbeat import NOT_ASKED, OK, OUT_OF_ORDER, OVER_LIMIT, REFUSED, STATUSES
from neo_assets.schema.pages import NASA, SIMULATOR

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
