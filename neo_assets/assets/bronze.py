"""The bronze storey: pages as NeoWs gave them. What is in them is read in `silver`."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pyarrow as pa
from pydantic import Field

from neo_assets.column_metadata import table_metadata
from neo_assets.failures import told_to_dagster
from neo_assets.io_managers import PageDelivery
from neo_assets.lake import source
from neo_assets.lake.storage import Storage
from neo_assets.partitions import pages_of
from neo_assets.progress import reusable_pages
from neo_assets.resources import NeoWs
from neo_assets.schema import CATALOGUE_STATS
from neo_assets.settings import Settings

OWNERS = ["team:neo-data"]

_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=7), warn_window=timedelta(days=2))


class RawPagesConfig(dg.Config):
    """What a run of `raw_pages` may be told."""

    take_again: list[int] = Field([], description="Pages to fetch though they are young enough to be reused.")
    not_before: str = Field(
        "", description="A time (ISO 8601): what was fetched since is not taken again, so that a retry goes on."
    )


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
        since = datetime.fromisoformat(config.not_before) if config.not_before else datetime.max.replace(tzinfo=UTC)
        deliveries = {}
        with told_to_dagster():
            if neows.source:  # stored pages of another source are not reused
                source.claim(lake, neows.source)
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
                source.claim(lake, neows.source)
            return pa.Table.from_pylist([vars(neows.stats())], schema=CATALOGUE_STATS.schema)

    return [raw_pages, catalogue_stats]
