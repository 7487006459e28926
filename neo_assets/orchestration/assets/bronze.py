"""The bronze layer: pages as NeoWs returned them, its own catalogue counts, and whether it is in order. `silver` reads
the pages' content.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa
from pydantic import Field

from neo_assets.lake import layout, owner
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import WrongConfig, failing_in_one_line
from neo_assets.orchestration.metadata import OWNERS, described, freshness, preview
from neo_assets.pipeline.gather import NEVER, Pages, gather, stored
from neo_assets.pipeline.heartbeat import append
from neo_assets.pipeline.text import first_few, named
from neo_assets.schema.heartbeat_table import HEARTBEAT
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.tables import CATALOGUE_STATS
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs

RECOMPUTE = "recompute"
"""Name of the job in which `raw_pages` fetches nothing, whatever run config it is launched with."""


class RawPagesConfig(dg.Config):
    """Which young pages to fetch all the same. Leave it out to fetch only missing and older pages."""

    take_again: list[int] = Field(
        [], description="Numbers of pages, of the run's page sets, to fetch even if they are young enough to be reused."
    )
    not_before: str = Field(
        "",
        description="A time (ISO 8601, UTC if without a zone). Pages fetched at this time or later are not fetched "
        "again, so a retry continues where the first attempt ended.",
    )

    def check_that_nothing_is_fetched(self) -> None:
        """Check that no page is to be fetched again.

        Raises:
            WrongConfig: one is.
        """
        if self.take_again:
            raise WrongConfig(f"take_again: the job {RECOMPUTE} fetches nothing; launch the job page_set instead")

    def check_pages(self, page_sets: Sequence[str]) -> None:
        """Check that each page of `take_again` belongs to one of these page sets.

        Raises:
            WrongConfig: one does not.
        """
        if others := sorted(set(self.take_again) - {page for key in page_sets for page in pages_of(key)}):
            keys = named("page set", list(page_sets))
            raise WrongConfig(f"take_again: {named('page', others)} cannot be fetched in a run of {keys}")

    @property
    def since(self) -> datetime:
        """Pages that were fetched at this time or later are not fetched again.

        Raises:
            WrongConfig: `not_before` is not a time.
        """
        if not self.not_before:
            return NEVER
        try:
            time = datetime.fromisoformat(self.not_before)
        except ValueError:
            raise WrongConfig(
                f"not_before: {self.not_before!r} is not a time; give one such as 2026-03-01T06:00:00+00:00"
            ) from None
        return time if time.tzinfo else time.replace(tzinfo=UTC)


def bronze_assets(page_sets: dg.PartitionsDefinition, settings: Settings) -> list[dg.AssetsDefinition]:
    """`raw_pages`, partitioned by page set, `catalogue_stats` and `heartbeat`."""

    @dg.asset(
        partitions_def=page_sets,
        group_name="bronze",
        owners=OWNERS,
        kinds={"json", "rest"},
        io_manager_key="raw_pages_io",
        dagster_type=dg.Any,  # Dagster has no type for iterators
        freshness_policy=freshness(settings.raw_max_age_hours),
    )
    def raw_pages(
        context: dg.AssetExecutionContext,
        config: RawPagesConfig,
        lake: dg.ResourceParam[Storage],
        neows: dg.ResourceParam[NeoWs],
    ) -> Mapping[str, Pages]:
        """Pages of NASA's NeoWs Browse API (`/neo/browse`, 20 NEOs each): the response bodies, API keys redacted.

        Stored pages younger than NEO_RAW_MAX_AGE_HOURS are reused; only missing and older ones are fetched. In the job
        `recompute`, nothing is fetched.
        """
        with failing_in_one_line():
            keys = _page_sets_of(context, settings.page_sets)
            if context.run.job_name == RECOMPUTE:
                config.check_that_nothing_is_fetched()
                return {key: stored(lake, key) for key in keys}
            since = config.since
            config.check_pages(keys)
            if neows.source:  # stored pages of another source are not reused
                owner.claim(lake, neows.source)
            return {key: gather(lake, neows, key, settings.raw_max_age_hours, config.take_again, since) for key in keys}

    @dg.asset(
        io_manager_key="parquet_io",
        **described(CATALOGUE_STATS, "bronze", "rest", "parquet"),
    )
    def catalogue_stats(lake: dg.ResourceParam[Storage], neows: dg.ResourceParam[NeoWs]) -> pa.Table:
        with failing_in_one_line():
            if neows.source:
                owner.claim(lake, neows.source)
            return pa.Table.from_pylist([vars(neows.stats())], schema=CATALOGUE_STATS.schema)

    @dg.asset(**described(HEARTBEAT, "bronze", "rest", "parquet"))
    def heartbeat(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Storage], neows: dg.ResourceParam[NeoWs]
    ) -> dg.MaterializeResult[None]:
        with failing_in_one_line():
            beat = neows.heartbeat()
            if source := beat.source or neows.source:
                owner.claim(lake, source)
            rows = append(lake, beat)
        if beat.detail:
            context.log.warning("NeoWs: %s (%s)", beat.status, beat.detail)
        shown = {name: value for name, value in vars(beat).items() if value is not None and name != "at"}
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows.num_rows,
                "dagster/uri": lake.location(layout.table_file(HEARTBEAT)),
                "latest rows": preview(rows.sort_by([("at", "descending")])),
                **shown,
            }
        )

    return [raw_pages, catalogue_stats, heartbeat]


def _page_sets_of(context: dg.AssetExecutionContext, allowed: list[str]) -> list[str]:
    """The page sets of a run.

    Raises:
        WrongConfig: it names none, as when a job is launched from the shell without a partition.
    """
    if context.has_partition_key or context.has_partition_key_range:
        return list(context.partition_keys)
    raise WrongConfig(
        f"this run names no page set: launch it with a partition, one of {first_few(allowed)}; or run `neo run`, which "
        "gathers them all, or `neo recompute`, which computes them all"
    )
