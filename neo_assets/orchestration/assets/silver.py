"""The silver storey: objects and close approaches as tables. How JSON is read lives in `neows.parse`, counting in
`gold`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import dagster as dg
import pyarrow as pa

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.bronze import OWNERS
from neo_assets.orchestration.failures import told_to_dagster
from neo_assets.orchestration.io_managers import StoredPages
from neo_assets.orchestration.metadata import table_metadata
from neo_assets.pipeline.staleness import arrival_origin, content_origin
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE, Table
from neo_assets.sources.neows.parse import Parsed, parse


def silver_assets(page_sets: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """`neo_records` and `close_approaches`, over these page sets: read together, as they come from the same pages."""

    def spec(table: Table) -> dg.AssetOut:
        return dg.AssetOut(
            description=table.description,
            group_name="silver",
            owners=OWNERS,
            kinds={"parquet", "arrow"},
            metadata=table_metadata(table),
            io_manager_key="parquet_io",
            is_required=False,
        )

    @dg.multi_asset(
        outs={table.name: spec(table) for table in (NEO_RECORDS, CLOSE_APPROACHES)},
        ins={"raw_pages": dg.AssetIn("raw_pages", input_manager_key="raw_pages_io")},
        partitions_def=page_sets,
        can_subset=True,
    )
    def silver(
        context: dg.AssetExecutionContext, raw_pages: Mapping[str, StoredPages], lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.Output[dict[str, pa.Table]]]:
        """Objects and close approaches of the set's pages; what cannot be read goes to the quarantine, whole."""
        rows: dict[str, dict[str, pa.Table]] = {NEO_RECORDS.name: {}, CLOSE_APPROACHES.name: {}}
        with told_to_dagster():
            for page_set, pages in raw_pages.items():
                parsed = read_pages(lake, page_set, pages)
                rows[NEO_RECORDS.name][page_set] = parsed.neo_records
                rows[CLOSE_APPROACHES.name][page_set] = parsed.close_approaches
                if parsed.quarantine.num_rows:
                    context.log.warning(
                        "%d records of page set %s could not be read and are in quarantine",
                        parsed.quarantine.num_rows,
                        page_set,
                    )
        for name in context.op_execution_context.selected_output_names:
            yield dg.Output(rows[name], name)

    return [silver]


def read_pages(lake: Storage, page_set: str, pages: StoredPages) -> Parsed:
    """What is on the pages of a set; sightings and quarantine are written, the rest says what it was made from."""
    parsed = parse(pages)
    origin = content_origin(pages.read)
    sightings = tables.with_origin(parsed.neo_sightings, arrival_origin(pages.read))
    tables.write_table(lake, NEO_SIGHTINGS, sightings, page_set)
    tables.write_table(lake, QUARANTINE, tables.with_origin(parsed.quarantine, origin), page_set)
    return replace(
        parsed,
        neo_records=tables.with_origin(parsed.neo_records, origin),
        close_approaches=tables.with_origin(parsed.close_approaches, origin),
    )
