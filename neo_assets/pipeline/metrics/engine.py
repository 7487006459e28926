"""What the metrics are, table by table: which SQL makes which from which. How SQL is run is `duckdb`'s business."""

from collections.abc import Mapping

import pyarrow as pa

from neo_assets.pipeline.metrics.duckdb import run_sql
from neo_assets.schema.tables import (
    NEAR_MISS_AU,
    NEAR_MISS_COUNT,
    TOTAL_NEAR_MISSES,
    Table,
)

_PARAMETERS = {
    NEAR_MISS_COUNT.name: {"near_miss_au": NEAR_MISS_AU},
    TOTAL_NEAR_MISSES.name: {"near_miss_au": NEAR_MISS_AU},
}


def compute(table: Table, relations: Mapping[str, pa.Table]) -> pa.Table:
    """The rows of a gold table.

    Args:
        table: `near_miss_count` or `yearly_approaches`, which need `close_approaches` of a page set; or a total, which
        needs
            the table that it sums and `close_approaches`, both with `page_set`, and `superseded`.
        relations: those tables by name.
    """
    return run_sql(table.name, relations, **_PARAMETERS.get(table.name, {})).cast(table.schema)


def superseded(neo_sightings: pa.Table) -> pa.Table:
    """Copies of NEOs that do not count: `page_set`, `neo_id`; a later copy stands in another page set."""
    return run_sql("superseded", {"neo_sightings": neo_sightings})
