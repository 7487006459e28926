"""IO managers: write asset values to the lake and read them back, raw pages as one object each, tables as Parquet.
Writing bytes lives in `lake`.

The value of a partitioned asset maps each page set of the run to the set's own value; an unpartitioned asset's value is
the table itself. Dagster's own IO managers save one partition at a time, hold whole values in memory and do not write
atomically.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline.gather import Gathered, Pages, store
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import StoredPage
from neo_assets.schema.tables import TABLES
from neo_assets.sources.neows.errors import PagesMissing


class RawPagesIOManager(dg.IOManager):
    """Stores pages as they arrive, so a run that dies loses only those in flight and the few being written."""

    def __init__(self, storage: Storage) -> None:
        """`storage`: the lake."""
        self._storage = storage

    def handle_output(self, context: dg.OutputContext, obj: Mapping[str, Pages]) -> None:
        """Store the pages of each set as they arrive, then write the set's part of `raw_page_index`.

        If pages of a set are missing, the other sets are still stored, then the run fails.
        """
        failures: list[PagesMissing] = []
        with failing_in_one_line():
            for page_set, pages in obj.items():
                if any(failure.concerns_all for failure in failures):
                    break
                try:
                    with contextlib.closing(pages):
                        gathered = store(self._storage, page_set, pages)
                    _describe(context, page_set, self._metadata(gathered))
                except PagesMissing as failure:
                    failures.append(failure)
            if failures:
                raise PagesMissing.of_all(failures)

    def load_input(self, context: dg.InputContext) -> Mapping[str, Iterator[StoredPage]]:
        """The stored pages of each page set of the run, each read when iterated over."""
        keys = context.asset_partition_keys
        return {page_set: raw_pages.read_pages(self._storage, pages_of(page_set)) for page_set in keys}

    def _metadata(self, gathered: Gathered) -> dict[str, Any]:
        return {
            "dagster/row_count": sum(one.neos for one in gathered.pages),
            "dagster/uri": self._storage.location(layout.RAW_PAGES),
            "pages": len(gathered.pages),
            "pages fetched": gathered.fetched,
            "pages reused": len(gathered.pages) - gathered.fetched,
            "bytes of JSON": sum(one.bytes for one in gathered.pages),
            "source": gathered.pages[0].source,
            "oldest page": dg.MetadataValue.timestamp(min(one.arrived_at for one in gathered.pages)),
            "index": dg.MetadataValue.path(gathered.index.location),
        }


class ParquetIOManager(dg.IOManager):
    """Writes tables as whole files. Reads tables of the same run from memory, all others from the lake."""

    def __init__(self, storage: Storage) -> None:
        """`storage`: the lake."""
        self._storage = storage
        self._run_id = ""
        self._made: dict[tuple[str, str | None], pa.Table] = {}

    def handle_output(self, context: dg.OutputContext, obj: Mapping[str, pa.Table] | pa.Table) -> None:
        """Write one file for each page set, or one for an unpartitioned table."""
        table = TABLES[context.asset_key.path[-1]]
        with failing_in_one_line():
            for page_set, rows in obj.items() if isinstance(obj, Mapping) else [(None, obj)]:
                written = tables.write_table(self._storage, table, rows, page_set)
                self._made_in(context.run_id)[table.name, page_set] = rows
                metadata = {
                    "dagster/row_count": written.rows,
                    "dagster/uri": written.location,
                    "file": dg.MetadataValue.path(written.location),
                    "bytes": written.bytes,
                    "sha256": written.sha256,
                }
                _describe(context, page_set, metadata)

    def load_input(self, context: dg.InputContext) -> Mapping[str, pa.Table]:
        """The table of each page set of the run.

        Tables made in this run are reused from memory, so a concurrent run cannot change them.
        """
        table = TABLES[context.asset_key.path[-1]]
        made = self._made_in(context.step_context.run_id)  # an InputContext names its run nowhere else
        with failing_in_one_line():
            return {
                key: made[table.name, key]
                if (table.name, key) in made
                else tables.read_table(self._storage, table, key)
                for key in context.asset_partition_keys
            }

    def _made_in(self, run_id: str) -> dict[tuple[str, str | None], pa.Table]:
        """Tables that this process has made in this run; those of earlier runs are dropped."""
        if run_id != self._run_id:
            self._run_id, self._made = run_id, {}
        return self._made


def _describe(context: dg.OutputContext, page_set: str | None, metadata: Mapping[str, Any]) -> None:
    # `OutputContext.add_output_metadata` cannot attach metadata to one partition; the step's context can.
    context.step_context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=page_set)
