"""The gold layer: the metrics, for each page set and in total, and the verdict on the snapshot. Computing them lives in
`pipeline`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.conditions import follows_page_sets, follows_totals
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.metadata import chart, described, freshness
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.count import count, covered, over_catalogue, total
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
    """The metrics of each page set, the totals, the verdict on the snapshot, and the metrics of the whole catalogue."""
    policy = freshness(settings.raw_max_age_hours)
    return [
        _counts(page_sets, metrics),
        *(_total(metric, page_sets, policy) for metric in metrics.adding_up),
        _snapshot(page_sets, policy, metrics),
        _over_catalogue(page_sets, metrics),
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
                made = {key: count(metrics, table, rows) for key, rows in stored.items()}
            yield dg.Output(made, name)

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
    counts = [metric.counts.name] if metric.counts else []
    deps = dict.fromkeys([*counts, NEO_RECORDS.name, *(table.name for table in metric.total.reads), LANDED_OBJECTS])
    return _of_the_lake(roll_up, metric.total, list(deps), follows_page_sets(*counts), policy)


def _over_catalogue(page_sets: dg.StaticPartitionsDefinition, of: Metrics) -> dg.AssetsDefinition:
    """The metrics of the whole catalogue. One step computes them, as reading the tables takes longer than counting."""
    deps = {
        one.total.name: [*(table.name for table in one.total.reads), LANDED_OBJECTS, SNAPSHOT.name]
        for one in of.over_catalogue
    }
    after = follows_totals(SNAPSHOT.name)

    @dg.multi_asset(
        name="over_catalogue",
        outs={
            one.total.name: dg.AssetOut(**_described(one.total), is_required=False, automation_condition=after)
            for one in of.over_catalogue
        },
        deps=list(dict.fromkeys(name for names in deps.values() for name in names)),
        internal_asset_deps={total: {dg.AssetKey(name) for name in names} for total, names in deps.items()},
        can_subset=True,
    )
    def computed(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Storage], metrics: dg.ResourceParam[Metrics]
    ) -> Iterator[dg.Output[pa.Table]]:
        """Metrics that are computed over the whole catalogue, when the products are made."""
        chosen = context.op_execution_context.selected_output_names
        each = [one for one in metrics.over_catalogue if one.total.name in chosen]
        found = over_catalogue(metrics, lake, each, page_sets.get_partition_keys())
        for metric in each:
            with failing_in_one_line():
                rows = next(found)
            shown = {"chart": _chart(metric, rows)} if metric.adds_up == "sum" else {}
            yield dg.Output(rows, metric.total.name, metadata=shown)

    return computed


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
    deps, follows = [*required, *read], follows_page_sets(*required)
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


def _described(table: Table) -> dict[str, Any]:
    return {**described(table, "gold", "parquet", "duckdb"), "io_manager_key": "parquet_io"}
