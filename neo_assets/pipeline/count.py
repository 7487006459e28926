"""Counts: of one page set, and over all of them with each NEO once. The SQL lives in `metrics`."""

from collections.abc import Sequence

import pyarrow as pa

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.metrics import registry
from neo_assets.pipeline.metrics.engine import Engine
from neo_assets.pipeline.origins import origin_of_count, origin_of_total
from neo_assets.schema.page_sets import with_landed
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_SIGHTINGS, Table

_COUNTED_COLUMNS = ("neo_id", "close_approach_date", "orbiting_body", "miss_distance_au")


def count(engine: Engine, table: Table, close_approaches: pa.Table) -> pa.Table:
    """A count, such as `near_miss_count`, over the close approaches of one page set."""
    sql, parameters = registry.sql(table.name), registry.parameters(table.name)
    rows = engine.run(sql, {CLOSE_APPROACHES.name: close_approaches}, parameters).cast(table.schema)
    return tables.with_origin(rows, origin_of_count(table, tables.made_from(close_approaches)))


def superseded(engine: Engine, neo_sightings: pa.Table) -> pa.Table:
    """Copies of NEOs that totals leave out (`page_set`, `neo_id`): a later copy is in another page set."""
    return engine.run(registry.sql(registry.SUPERSEDED), {NEO_SIGHTINGS.name: neo_sightings}, {})


def counted_page_sets(lake: Storage, partial: Table, page_sets: Sequence[str]) -> list[str]:
    """Those of the page sets that have a count, and the landed objects if they have one.

    Raises:
        LakeError: none has.
    """
    counted = tables.stored_page_sets(lake, partial, with_landed(page_sets))
    if not counted:
        raise LakeError(
            f"there is nothing to total: no page set in {lake.root} has a {partial.name} yet; "
            "run `neo run`, or materialize the page sets first"
        )
    return counted


def sum_up(engine: Engine, lake: Storage, total: Table, partial: Table, page_sets: Sequence[str]) -> pa.Table:
    """A total over these page sets, each NEO once: the copy fetched last.

    Reads the counts only, and the close approaches of page sets that hold superseded copies.
    """
    sightings = tables.read_page_sets(lake, NEO_SIGHTINGS, page_sets)
    left_out = superseded(engine, sightings)
    affected = sorted(set(left_out["page_set"].to_pylist()))
    counts = tables.read_page_sets(lake, partial, page_sets)
    relations = {
        partial.name: counts,
        CLOSE_APPROACHES.name: tables.read_page_sets(lake, CLOSE_APPROACHES, affected, _COUNTED_COLUMNS),
        registry.SUPERSEDED: left_out,
    }
    rows = engine.run(registry.sql(total.name), relations, registry.parameters(total.name)).cast(total.schema)
    made_from = origin_of_total(total, page_sets, tables.made_from(counts), tables.made_from(sightings))
    return tables.with_origin(rows, made_from)
