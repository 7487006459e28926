"""A heartbeat as a value. Its table is in `heartbeat_table`; asking NeoWs is in `sources`.

The process that fetches pages imports this module, but needs no table: Arrow takes a third of its start-up time.
"""

from dataclasses import dataclass
from datetime import datetime

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
