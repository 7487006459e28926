"""Plan a refresh: what it would fetch, what that costs and when it would end. Nothing is fetched or changed."""

from dataclasses import dataclass
from datetime import UTC, datetime

from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.staleness import current, reusable_pages
from neo_assets.schema.page_sets import pages_of
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs


@dataclass(frozen=True)
class Plan:
    """What `neo run` would do now."""

    source: str
    pages: int
    page_sets: int
    pages_reused: int
    pages_to_fetch: int
    done_at: datetime
    """Earliest time at which the request budget allows the last request."""
    verdict: str
    reasons: list[str]
    pages_to_heal: list[int]
    """Pages that `neo run --heal` would fetch in addition, as far as the tables show; see `page_sets_to_compute`."""
    page_sets_to_compute: int
    """Page sets that lack tables of their stored pages, or whose tables are stale. Whether their pages need healing
    shows only when they are computed."""

    @property
    def takes_s(self) -> float:
        """Seconds until `done_at`."""
        return max(0.0, (self.done_at - datetime.now(UTC)).total_seconds())


def make_plan(settings: Settings, lake: Storage, metrics: Metrics, neows: NeoWs) -> Plan:
    """Plan a refresh from the state of the lake and of the request budget.

    Raises:
        LakeError: the lake cannot be read, or belongs to another source.
    """
    keys = settings.page_sets
    if neows.source:
        owner.check(lake, neows.source)
    reusable = reusable_pages(lake, keys, settings.raw_max_age_hours)
    young = {facts.page for found in reusable.values() for facts in found}
    reused = len(young)
    to_fetch = sum(len(pages_of(key)) for key in keys) - reused
    snapshot = Snapshot(lake, metrics, keys)
    return Plan(
        source=neows.where,
        pages=settings.pages,
        page_sets=len(keys),
        pages_reused=reused,
        pages_to_fetch=to_fetch,
        done_at=datetime.fromtimestamp(neows.forecast(to_fetch), UTC),
        verdict=snapshot.verdict,
        reasons=[f"{finding.reason}: {finding.count}" for finding in snapshot.findings],
        pages_to_heal=[page for page in snapshot.pages_to_heal() if page in young],
        page_sets_to_compute=len(keys) - len(current(lake, reusable, metrics.of_a_page_set)),
    )
