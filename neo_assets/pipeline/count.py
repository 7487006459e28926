"""Counts of one page set, and totals over all of them with each NEO counted once. The SQL lives in `metrics`."""

from collections.abc import Sequence

import pyarrow as pa

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.metrics import registry
from neo_assets.pipeline.metrics.engine import Engine
from neo_assets.pipeline.origins import origin_of_count, origin_of_total
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import with_landed
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_SIGHTINGS

_COLUMNS_TO_COUNT = ("neo_id", "close_approach_date", "orbiting_body", "miss_distance_au")


def count(engine: Engine, table: Table, close_approaches: pa.Table) -> pa.Table:
    """Compute a table of counts, such as `near_miss_count`, from the close approaches of one page set."""
    sql, parameters = registry.sql(table.name), registry.parameters(table.name)
    rows = engine.run(sql, {CLOSE_APPROACHES.name: close_approaches}, parameters).cast(table.schema)
    return tables.with_origin(rows, origin_of_count(table, tables.made_from(close_approaches)))


def superseded(engine: Engine, neo_sightings: pa.Table) -> pa.Table:
    """Copies that totals leave out because another page set holds a later one; columns `page_set` and `neo_id`."""
    return engine.run(registry.sql(registry.SUPERSEDED), {NEO_SIGHTINGS.name: neo_sightings}, {})


def counted_page_sets(lake: Storage, partial: Table, page_sets: Sequence[str]) -> list[str]:
    """Those of the page sets, and of the landed objects, that a total of `partial` covers: those that have it."""
    seen = tables.stored_page_sets(lake, NEO_SIGHTINGS, with_landed(page_sets))
    return tables.stored_page_sets(lake, partial, seen)


def state_of_lake(lake: Storage, page_sets: Sequence[str]) -> tuple[list[str], str]:
    """Those of the page sets that were read, landed objects included, and a digest of what was read.

    The totals and the snapshot carry the digest, so that figures of two states are never shown as one.
    """
    seen = tables.stored_page_sets(lake, NEO_SIGHTINGS, with_landed(page_sets))
    return seen, tables.digest([*seen, tables.combined_origin(lake, NEO_SIGHTINGS, seen)])


def sum_up(engine: Engine, lake: Storage, total: Table, partial: Table, page_sets: Sequence[str]) -> pa.Table:
    """Compute a total over those of the page sets that have counts, counting each NEO once, by the copy fetched last.

    Reads the counts of every set, but close approaches only of the sets that hold superseded copies.

    Raises:
        LakeError: none of them has counts, or a table cannot be read.
    """
    counted = counted_page_sets(lake, partial, page_sets)
    if not counted:
        raise LakeError(
            f"no totals to compute: {lake.root} has no {partial.name} for any page set yet; "
            "run `neo run`, or materialize the page sets first"
        )
    rows = sum_over(engine, lake, total, partial, counted)
    seen, state = state_of_lake(lake, page_sets)
    missing = len(set(seen).difference(counted))
    return tables.with_origin(rows, tables.made_from(rows), state=state, page_sets_missing=str(missing))


def sum_over(engine: Engine, lake: Storage, total: Table, partial: Table, counted: Sequence[str]) -> pa.Table:
    """Compute a total over exactly these page sets, which have counts. Raises `LakeError` if one cannot be read."""
    sightings = tables.read_page_sets(lake, NEO_SIGHTINGS, counted)
    left_out = superseded(engine, sightings)
    affected = sorted(set(left_out["page_set"].to_pylist()))
    counts = tables.read_page_sets(lake, partial, counted)
    relations = {
        partial.name: counts,
        CLOSE_APPROACHES.name: tables.read_page_sets(lake, CLOSE_APPROACHES, affected, _COLUMNS_TO_COUNT),
        registry.SUPERSEDED: left_out,
    }
    rows = engine.run(registry.sql(total.name), relations, registry.parameters(total.name)).cast(total.schema)
    made_from = origin_of_total(total, counted, tables.made_from(counts), tables.made_from(sightings))
    return tables.with_origin(rows, made_from)
