"""The landed objects: NEOs dropped into the landing zone as single objects, not on Browse pages. Computing their tables
lives in `pipeline.landed_objects`.
"""

import dagster as dg

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.metadata import OWNERS
from neo_assets.pipeline.landed_objects import compute
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import NEO_RECORDS

LANDED_OBJECTS = "landed_objects"
"""Name of the asset."""


def landed_assets() -> list[dg.AssetsDefinition]:
    """`landed_objects`, which is not partitioned."""

    @dg.asset(name=LANDED_OBJECTS, group_name="silver", owners=OWNERS, kinds={"parquet", "arrow", "duckdb"})
    def landed_objects(
        lake: dg.ResourceParam[Storage], metrics: dg.ResourceParam[Metrics]
    ) -> dg.MaterializeResult[None]:
        """NEOs from .ndjson files in the landing zone: all their tables, under `page_set=landed`.

        Totals include them, counting each NEO once: the latest copy, landed or fetched.
        """
        with failing_in_one_line():
            rows = compute(lake, metrics)
        file = lake.location(layout.table_file(NEO_RECORDS, LANDED))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows[NEO_RECORDS.name],
                "dagster/uri": file,
                "file": dg.MetadataValue.path(file),
                **{f"rows of {name}": number for name, number in rows.items()},
            }
        )

    return [landed_objects]
