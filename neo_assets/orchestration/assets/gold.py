"""The gold layer: the metrics, for each page set and in total, and the verdict on the snapshot. Computing them lives in
`pipeline`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.metadata import chart, described, freshness
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.count import count, covered, total
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import TOTAL_YEARLY_APPROACHES, Metric
from neo_assets.pipeline.retire import retire
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import (
    CATALOGUE_STATS,
    NEO_RECORDS,
    RAW_PAGE_INDEX,
    SNAPSHOT,
)
from neo_assets.settings import Settings


def gold_assets(
    page_sets: dg.StaticPartitionsDefinition, settings: Settings, metrics: Metrics
) -> list[dg.AssetsDefinition]:
    """The metrics of each page set, the totals, and the verdict on the snapshot."""
    policy = freshness(settings.raw_max_age_hours)
    return [
        _counts(page_sets, metrics),
        *(_total(metric, page_sets, policy) for metric in metrics.each),
        _snapshot(page_sets, policy, metrics),
    ]


def _counts(page_sets: dg.StaticPartitionsDefinition, of: Metrics) -> dg.AssetsDefinition:
    """The metrics that add up, of each page set. One step computes all, as a step costs more than the counting."""

    @dg.multi_asset(
        outs={table.name: dg.AssetOut(**_described(table), is_required=False) for table in of.counts},
        ins={read.name: dg.AssetIn(read.name, dagster_type=dg.Any) for table in of.counts for read in table.reads},
        internal_asset_deps={table.name: {dg.AssetKey(read.name) for read in table.reads} for table in of.counts},
        partitions_def=page_sets,
        can_subset=True,
    )
    def counts(
        context: dg.AssetExecutionContext, metrics: dg.ResourceParam[Metrics], **silver: Mapping[str, pa.Table]
    ) -> Iterator[dg.Output[dict[str, pa.Table]]]:
        """The metrics of a page set that add up."""
        keys = context.partition_keys
        for name in sorted(context.op_execution_context.selected_output_names):
            table = metrics.tables[name]
            with failing_in_one_line():
                stored = {key: {one.name: silver[one.name][key] for one in table.reads} for key in keys}
            yield dg.Output({key: count(metrics, table, rows) for key, rows in stored.items()}, name)

    return counts


def _total(metric: Metric, page_sets: dg.StaticPartitionsDefinition, policy: dg.FreshnessPolicy) -> dg.AssetsDefinition:
    def roll_up(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Storage], metrics: dg.ResourceParam[Metrics]
    ) -> pa.Table:
        keys = page_sets.get_partition_keys()
        with failing_in_one_line():
            of_total = covered(lake, metric, keys)
            context.add_output_metadata({"page sets": f"{len(set(of_total).intersection(keys))} of {len(keys)}"})
            rows = total(metrics, lake, metric, keys)
            if metric.adds_up == "sum":
                context.add_output_metadata({"chart": _chart(metric, rows)})
            return rows

    # Page sets with superseded copies, which `neo_records` finds, are counted again from what the metric reads.
    reads = [table.name for table in metric.total.reads]
    parts = [metric.counts.name] if metric.counts else reads
    deps = dict.fromkeys([*parts, NEO_RECORDS.name, *reads, LANDED_OBJECTS])
    return _of_the_lake(roll_up, metric.total, list(deps), _follows(*parts), policy)


def _chart(metric: Metric, rows: pa.Table) -> dg.MarkdownMetadataValue:
    """The first number of a total by its first column: years in order, others the largest first."""
    key, number = rows.schema.names[0], metric.numbers[0]
    sums = rows.group_by(key).aggregate([(number, "sum")])
    order = (key, "ascending") if pa.types.is_integer(rows[key].type) else (f"{number}_sum", "descending")
    names, numbers = (column.to_pylist() for column in sums.sort_by([order]).select([key, f"{number}_sum"]))
    named = dict(zip(map(str, names), numbers, strict=True))
    return chart(named, f"{number} per {key}".replace("_", " ").capitalize())


def _snapshot(page_sets: dg.StaticPartitionsDefinition, policy: dg.FreshnessPolicy, of: Metrics) -> dg.AssetsDefinition:
    def snapshot(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Storage], metrics: dg.ResourceParam[Metrics]
    ) -> pa.Table:
        keys = page_sets.get_partition_keys()
        with failing_in_one_line():
            # Before the snapshot is stored: if the run is killed here, the snapshot stays stale and is made again.
            if retired := retire(lake, keys, metrics.of_a_page_set):
                context.add_output_metadata({"page sets retired": len(retired)})
            found = Snapshot(lake, metrics, keys)
            context.add_output_metadata({"verdict": found.verdict, "pages to heal": len(found.pages_to_heal())})
            return found.table()

    required = [NEO_RECORDS.name, TOTAL_YEARLY_APPROACHES.name]
    read = [RAW_PAGE_INDEX.asset, *(counts.name for counts in of.counts), LANDED_OBJECTS, CATALOGUE_STATS.name]
    deps, follows = [*required, *read], _follows(*required)
    return _of_the_lake(snapshot, SNAPSHOT, deps, follows, policy)


def _of_the_lake(
    make: Callable[..., pa.Table],
    table: Table,
    deps: Sequence[str],
    follows: dg.AutomationCondition[Any],
    policy: dg.FreshnessPolicy,
) -> dg.AssetsDefinition:
    """An asset that is not partitioned, and is made again when others have changed."""
    return dg.asset(
        make,
        name=table.name,
        deps=deps,
        automation_condition=follows,
        freshness_policy=policy,
        **_described(table),
    )


def _follows(*required: str) -> dg.AutomationCondition[Any]:
    """Run when an upstream asset has changed and none of the required ones lacks a page set, and also once a day:
    Dagster loses an update that arrives in the same tick as the one before
    (https://github.com/dagster-io/dagster/issues/33587).

    The other assets are optional: an update of theirs starts a run, but no run waits for them. Landed objects do not
    wait for page sets either, as a lake may hold nothing else.
    """
    missing = dg.AutomationCondition.any_deps_missing()
    required_missing = missing.allow(dg.AssetSelection.assets(*required))
    at_noon = dg.AutomationCondition.cron_tick_passed("0 12 * * *")
    updated = dg.AutomationCondition.any_deps_updated()
    landed = updated.allow(dg.AssetSelection.assets(LANDED_OBJECTS)).since_last_handled()
    idle = ~dg.AutomationCondition.in_progress()
    page_sets = dg.AutomationCondition.eager().replace(missing, required_missing)
    return page_sets | (at_noon & ~required_missing & idle) | (landed & idle)


def _described(table: Table) -> dict[str, Any]:
    return {**described(table, "gold", "parquet", "duckdb"), "io_manager_key": "parquet_io"}
