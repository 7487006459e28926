"""The gold layer: near misses and approaches per year, for each page set and in total, and the verdict on the snapshot.
Computing them lives in `pipeline`.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.metadata import OWNERS, table_metadata
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.count import count, counted_page_sets, sum_up
from neo_assets.pipeline.metrics.engine import Engine
from neo_assets.schema.tables import (
    CATALOGUE_STATS,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    SNAPSHOT,
    TOTAL_YEARLY_APPROACHES,
    TOTALS,
    YEARLY_APPROACHES,
    Table,
)


def gold_assets(page_sets: dg.StaticPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Counts per page set, the totals, and the verdict on the snapshot."""
    return [
        _count(NEAR_MISS_COUNT, page_sets),
        _count(YEARLY_APPROACHES, page_sets),
        *(_total(total, partial, page_sets) for total, partial in TOTALS.items()),
        _snapshot(page_sets),
    ]


def _count(table: Table, page_sets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    def counts(close_approaches: Mapping[str, pa.Table], engine: dg.ResourceParam[Engine]) -> dict[str, pa.Table]:
        return {page_set: count(engine, table, rows) for page_set, rows in close_approaches.items()}

    return dg.asset(counts, partitions_def=page_sets, **_described(table))


def _total(total: Table, partial: Table, page_sets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    def roll_up(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Storage], engine: dg.ResourceParam[Engine]
    ) -> pa.Table:
        keys = page_sets.get_partition_keys()
        with failing_in_one_line():
            counted = counted_page_sets(lake, partial, keys)
            context.add_output_metadata({"page sets": f"{len(set(counted).intersection(keys))} of {len(keys)}"})
            return sum_up(engine, lake, total, partial, counted)

    return dg.asset(roll_up, deps=[partial.name, LANDED_OBJECTS], automation_condition=_follows(), **_described(total))


def _snapshot(page_sets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    def snapshot(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[Storage], engine: dg.ResourceParam[Engine]
    ) -> pa.Table:
        with failing_in_one_line():
            found = Snapshot(lake, engine, page_sets.get_partition_keys())
            context.add_output_metadata({"verdict": found.verdict, "pages to heal": len(found.pages_to_heal())})
            return found.table()

    return dg.asset(
        snapshot,
        deps=[NEO_RECORDS.name, TOTAL_YEARLY_APPROACHES.name, LANDED_OBJECTS, CATALOGUE_STATS.name],
        automation_condition=_follows(),
        **_described(SNAPSHOT),
    )


def _follows() -> dg.AutomationCondition[Any]:
    """Run when a page set has new counts and none is missing, and also once a day: Dagster loses an update that arrives
    in the same tick as the one before (https://github.com/dagster-io/dagster/issues/33587).

    Landed objects and NeoWs's own counts are optional: an update of either starts a run, but no run waits for them.
    Landed objects do not wait for page sets either, as a lake may hold nothing else.
    """
    missing = dg.AutomationCondition.any_deps_missing()
    required_missing = missing.ignore(dg.AssetSelection.assets(LANDED_OBJECTS, CATALOGUE_STATS.name))
    at_noon = dg.AutomationCondition.cron_tick_passed("0 12 * * *")
    updated = dg.AutomationCondition.any_deps_updated()
    landed = updated.allow(dg.AssetSelection.assets(LANDED_OBJECTS)).since_last_handled()
    idle = ~dg.AutomationCondition.in_progress()
    page_sets = dg.AutomationCondition.eager().replace(missing, required_missing)
    return page_sets | (at_noon & ~required_missing & idle) | (landed & idle)


def _described(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "description": table.description,
        "group_name": "gold",
        "owners": OWNERS,
        "kinds": {"parquet", "duckdb"},
        "metadata": table_metadata(table),
        "io_manager_key": "parquet_io",
    }
