"""The bronze storey: pages as NeoWs gave them. What is in them is read in `silver`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
from pydantic import Field

from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import WrongConfig, told_to_dagster
from neo_assets.orchestration.io_managers import PageDelivery
from neo_assets.orchestration.metadata import table_metadata
from neo_assets.pipeline.staleness import reusable_pages
from neo_assets.pipeline.text import some
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.tables import CATALOGUE_STATS
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs

OWNERS = ["team:neo-data"]

_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=2))


class RawPagesConfig(dg.Config):
    """What a run of `raw_pages` may be told."""

    take_again: list[int] = Field([], description="Pages to fetch though they are young enough to be reused.")
    not_before: str = Field(
        "",
        description="A time (ISO 8601, UTC if it does not say): what was fetched since is not taken again, so that a "
        "retry goes on.",
    )

    def check_pages(self, page_sets: Sequence[str]) -> None:
        """Make sure that the pages to take again are some of these page sets.

        Raises:
            WrongConfig: one is not.
        """
        if others := sorted(set(self.take_again) - {page for key in page_sets for page in pages_of(key)}):
            raise WrongConfig(f"take_again: page {some(others)} is in none of the page sets {some(list(page_sets))}")

    @property
    def since(self) -> datetime:
        """When what is to be taken again was fetched at the latest.

        Raises:
            WrongConfig: `not_before` is no time.
        """
        if not self.not_before:
            return datetime.max.replace(tzinfo=UTC)
        try:
            time = datetime.fromisoformat(self.not_before)
        except ValueError:
            raise WrongConfig(
                f"not_before: {self.not_before!r} is no time; give one such as 2026-03-01T06:00:00+00:00"
            ) from None
        return time if time.tzinfo else time.replace(tzinfo=UTC)


def bronze_assets(page_sets: dg.PartitionsDefinition, settings: Settings) -> list[dg.AssetsDefinition]:
    """`raw_pages`, over these page sets, and `catalogue_stats`."""

    @dg.asset(
        partitions_def=page_sets,
        group_name="bronze",
        owners=OWNERS,
        kinds={"json", "rest"},
        io_manager_key="raw_pages_io",
        freshness_policy=_FRESHNESS,
    )
    def raw_pages(
        context: dg.AssetExecutionContext,
        config: RawPagesConfig,
        lake: dg.ResourceParam[Storage],
        neows: dg.ResourceParam[NeoWs],
    ) -> dict[str, PageDelivery]:
        """Pages of NASA's NeoWs Browse API (`/neo/browse`, 20 NEOs each): the response body, keys redacted.

        A stored page younger than NEO_RAW_MAX_AGE_HOURS is reused, so materializing again asks only for what is
        missing.
        """
        deliveries = {}
        with told_to_dagster():
            since = config.since
            config.check_pages(context.partition_keys)
            if neows.source:  # stored pages of another source are not reused
                owner.claim(lake, neows.source)
            for page_set in context.partition_keys:
                young = reusable_pages(lake, page_set, settings.raw_max_age_hours)
                reused = [facts for facts in young if facts.page not in config.take_again or facts.fetched_at >= since]
                missing = sorted(set(pages_of(page_set)) - {facts.page for facts in reused})
                deliveries[page_set] = PageDelivery(neows.source, reused, missing, neows.fetch)
        return deliveries

    @dg.asset(
        group_name="bronze",
        owners=OWNERS,
        kinds={"rest", "parquet"},
        description=CATALOGUE_STATS.description,
        metadata=table_metadata(CATALOGUE_STATS),
        io_manager_key="parquet_io",
    )
    def catalogue_stats(lake: dg.ResourceParam[Storage], neows: dg.ResourceParam[NeoWs]) -> pa.Table:
        with told_to_dagster():
            if neows.source:
                owner.claim(lake, neows.source)
            return pa.Table.from_pylist([vars(neows.stats())], schema=CATALOGUE_STATS.schema)

    return [raw_pages, catalogue_stats]
