"""The silver layer: NEOs, their orbits and close approaches as tables. Reading the JSON lives in `pipeline.read`."""

from collections.abc import Iterator, Mapping

import dagster as dg
import pyarrow as pa

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.metadata import described
from neo_assets.pipeline.read import read_pages
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.pages import StoredPage
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE

_ASSETS = (NEO_RECORDS, ORBITS, CLOSE_APPROACHES)


def silver_assets(page_sets: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """`neo_records`, `orbits` and `close_approaches`, partitioned by page set. One step computes all."""

    @dg.multi_asset(
        outs={
            table.name: dg.AssetOut(
                **described(table, "silver", "parquet", "arrow"), io_manager_key="parquet_io", is_required=False
            )
            for table in _ASSETS
        },
        ins={"raw_pages": dg.AssetIn("raw_pages", input_manager_key="raw_pages_io", dagster_type=dg.Any)},
        partitions_def=page_sets,
        can_subset=True,
    )
    def silver(
        context: dg.AssetExecutionContext,
        raw_pages: Mapping[str, Iterator[StoredPage]],
        lake: dg.ResourceParam[Storage],
    ) -> Iterator[dg.Output[dict[str, pa.Table]]]:
        """NEOs, orbits and close approaches on the page set's pages. Unreadable records go to quarantine, whole."""
        rows: dict[str, dict[str, pa.Table]] = {table.name: {} for table in _ASSETS}
        with failing_in_one_line():
            for page_set, pages in raw_pages.items():
                parsed = read_pages(pages)
                tables.write_table(lake, NEO_SIGHTINGS, parsed.neo_sightings, page_set)
                tables.write_table(lake, QUARANTINE, parsed.quarantine, page_set)
                rows[NEO_RECORDS.name][page_set] = parsed.neo_records
                rows[ORBITS.name][page_set] = parsed.orbits
                rows[CLOSE_APPROACHES.name][page_set] = parsed.close_approaches
                if bad := parsed.quarantine.num_rows:
                    context.log.warning(
                        "%d records of page set %s could not be read and are in quarantine", bad, page_set
                    )
        for name in context.op_execution_context.selected_output_names:  # as Dagster's documentation advises
            yield dg.Output(rows[name], name)

    return [silver]
