"""What a daily refresh starts: page sets that are not of the day yet, oldest first, as many as a number of requests can
pay for. `gather` fetches them; when to look, and what became of earlier runs, is the business of `orchestration`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from neo_assets.lake import raw_pages
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.staleness import current
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import pages_of

DAY_STARTS = time(6, tzinfo=UTC)
"""When the day of a refresh begins. One key can refresh the whole catalogue before the totals at noon (UTC)."""

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Due:
    """A page set that has not been refreshed yet."""

    page_set: str
    requests: int
    """Pages to fetch, one request each; 0 if only tables have to be computed."""
    oldest: datetime
    """When its oldest page arrived; the earliest time of all if a page is missing."""


def start_of_day(at: datetime) -> datetime:
    """When the day of a refresh began that is under way at this time."""
    at = at.astimezone(UTC)
    start = datetime.combine(at, DAY_STARTS)
    return start if start <= at else start - timedelta(days=1)


def due(lake: Storage, page_sets: Sequence[str], among: Iterable[Table], since: datetime) -> list[Due]:
    """The page sets with a page that arrived before `since` or is missing, or of which one of these tables is stale.

    Raises:
        LakeError: the lake cannot be read.
    """
    now = datetime.now(UTC)
    stored = raw_pages.known_facts(lake, page_sets)
    # A page from the future was stored while the clock was ahead, so its age is unknown.
    new = {key: [one for one in facts if since <= one.arrived_at <= now] for key, facts in stored.items()}
    done = current(lake, new, among)

    def of(key: str) -> Due:
        number = len(pages_of(key))
        missing = len(stored[key]) < number
        return Due(key, number - len(new[key]), _NEVER if missing else min(facts.arrived_at for facts in stored[key]))

    return [of(key) for key in page_sets if key not in done]


def oldest_first(page_sets: Sequence[Due], tries: Mapping[str, int], requests: int) -> list[Due]:
    """As many of the page sets as these requests can pay for: those tried least often, and of these the oldest.

    None is skipped for a cheaper one behind it, so that large ones have their turn.

    Args:
        page_sets: the page sets to choose from.
        tries: how often each has been tried today.
        requests: the number of requests that may be spent.
    """
    chosen = []
    for one in sorted(page_sets, key=lambda one: (tries.get(one.page_set, 0), one.oldest, one.page_set)):
        requests -= one.requests
        if requests < 0:
            break
        chosen.append(one)
    return chosen
