"""The gold storey: near misses and approaches per year, of each page set and in total. The counting itself is SQL, in
`metrics`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.orchestration.assets.bronze import OWNERS
from neo_assets.orchestration.failures import told_to_dagster
from neo_assets.orchestration.metadata import table_metadata
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.metrics import engine
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    SNAPSHOT,
    TOTAL_NEAR_MISSES,
    TOTAL_YEARLY_APPROACHES,
    YEARLY_APPROACHES,
    Table,
)

_COUNTED_COLUMNS = ("neo_id", "close_approach_date", "orbiting_body", "miss_distance_au")


def gold_assets(page_sets: dg.StaticPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Counts per page set, the totals, and the verdict on the snapshot."""
    return [
        _count(NEAR_MISS_COUNT, page_sets),
        _count(YEARLY_APPROACHES, page_sets),
        _total(TOTAL_NEAR_MISSES, NEAR_MISS_COUNT, page_sets),
        _total(TOTAL_YEARLY_APPROACHES, YEARLY_APPROACHES, page_sets),
        _snapshot(page_sets),
    ]


def _count(table: Table, page_sets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    def counts(close_approaches: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
        return {page_set: count(table, rows) for page_set, rows in close_approaches.items()}

    return dg.asset(counts, partitions_def=page_sets, **_described(table))


def _total(total: Table, partial: Table, page_sets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    def roll_up(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Storage]) -> pa.Table:
        with told_to_dagster():
            counted = counted_page_sets(lake, partial, page_sets.get_partition_keys())
            there = len(set(counted) - {LANDED})
            context.add_output_metadata({"page sets": f"{there} of {len(page_sets.get_partition_keys())}"})
            return sum_up(lake, total, partial, counted)

    return dg.asset(roll_up, deps=[partial.name], automation_condition=_follows(), **_described(total))


def _snapshot(page_sets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    def snapshot(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Storage]) -> pa.Table:
        with told_to_dagster():
            found = Snapshot(lake, page_sets.get_partition_keys())
            context.add_output_metadata({"verdict": found.verdict, "pages to heal": len(found.pages_to_heal())})
            return found.table()

    return dg.asset(
        snapshot,
        deps=[NEO_RECORDS.name, TOTAL_YEARLY_APPROACHES.name],
        automation_condition=_follows(),
        **_described(SNAPSHOT),
    )


def _follows() -> dg.AutomationCondition[Any]:
    """As soon as a page set was counted anew and none is missing, and once a day besides: Dagster loses an update that
    comes in the tick of the one before (https://github.com/dagster-io/dagster/issues/33587).
    """
    at_noon = dg.AutomationCondition.cron_tick_passed("0 12 * * *")
    may_run = ~dg.AutomationCondition.any_deps_missing() & ~dg.AutomationCondition.in_progress()
    return dg.AutomationCondition.eager() | (at_noon & may_run)


def count(table: Table, close_approaches: pa.Table) -> pa.Table:
    """A count over the close approaches of one page set."""
    return tables.with_origin(
        engine.compute(table, {CLOSE_APPROACHES.name: close_approaches}), tables.made_from(close_approaches)
    )


def counted_page_sets(lake: Storage, partial: Table, page_sets: Sequence[str]) -> list[str]:
    """Those of the page sets that have been counted, and the landed objects where there are some.

    Raises:
        LakeError: none has.
    """
    counted = tables.stored_page_sets(lake, partial, [*page_sets, LANDED])
    if not counted:
        raise LakeError(
            f"there is nothing to total: no page set of {lake.root} has a {partial.name} yet; "
            "run `neo run`, or materialize the page sets first"
        )
    return counted


def sum_up(lake: Storage, total: Table, partial: Table, page_sets: Sequence[str]) -> pa.Table:
    """A total over these page sets, each NEO once: the copy fetched last.

    Only the partial counts are read, and from the sets that hold superseded copies their close approaches.
    """
    sightings = tables.read_page_sets(lake, NEO_SIGHTINGS, page_sets)
    superseded = engine.superseded(sightings)
    affected = sorted(set(superseded["page_set"].to_pylist()))
    counts = tables.read_page_sets(lake, partial, page_sets)
    relations = {
        partial.name: counts,
        CLOSE_APPROACHES.name: tables.read_page_sets(lake, CLOSE_APPROACHES, affected, _COUNTED_COLUMNS),
        "superseded": superseded,
    }
    return tables.with_origin(engine.compute(total, relations), total_origin(page_sets, counts, sightings))


def total_origin(page_sets: Sequence[str], counts: pa.Table, sightings: pa.Table) -> str:
    """Origin of a total: which page sets, what they count, and when each object was seen in them."""
    return tables.digest([*page_sets, tables.made_from(counts), tables.made_from(sightings)])


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
