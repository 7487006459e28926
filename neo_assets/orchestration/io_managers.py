"""IO managers: write asset values to the lake and read them back, raw pages as one object each, tables as Parquet.
Writing bytes lives in `lake`.

The value of a partitioned asset maps each page set of the run to the set's own value; an unpartitioned asset's value is
the table itself. Dagster's own IO managers save one partition at a time, hold whole values in memory and do not write
atomically.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import dagster as dg
import pyarrow as pa

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.metadata import preview
from neo_assets.pipeline.gather import Gathered, Pages, store
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import StoredPage
from neo_assets.sources.neows.errors import PagesMissing

Key = TypeVar("Key")
Value = TypeVar("Value")

_KEPT_BYTES = 16 << 20
"""Most bytes of a run's pages that are kept in memory: about 50 pages, as many as suit a page set."""


class _Made(Generic[Key, Value]):
    """What this process has made in the current run; what it made in earlier runs is dropped."""

    def __init__(self) -> None:
        self._run_id = ""
        self._values: dict[Key, Value] = {}

    def in_run(self, run_id: str) -> dict[Key, Value]:
        if run_id != self._run_id:
            self._run_id, self._values = run_id, {}
        return self._values


class RawPagesIOManager(dg.IOManager):
    """Stores pages as they arrive, so a run that dies loses only those in flight and the few being written.

    Hands pages stored in the same run on from memory, up to a limit, and reads all others from the lake. On S3 this
    saves a request for each page, which took a tenth of the CPU time; on disk, a millisecond.
    """

    def __init__(self, storage: Storage) -> None:
        """`storage`: the lake."""
        self._storage = storage
        self._made = _Made[int, StoredPage]()

    def handle_output(self, context: dg.OutputContext, obj: Mapping[str, Pages]) -> None:
        """Store the pages of each set as they arrive, then write the set's part of `raw_page_index`.

        If pages of a set are missing, the other sets are still stored, then the run fails.
        """
        failures: list[PagesMissing] = []
        made = self._made.in_run(context.run_id)
        made.clear()  # a failed attempt may have left pages that were replaced since

        def keep(page: StoredPage) -> None:
            if sum(one.facts.bytes for one in made.values()) + page.facts.bytes <= _KEPT_BYTES:
                made[page.number] = page

        with failing_in_one_line():
            for page_set, pages in obj.items():
                if any(failure.concerns_all for failure in failures):
                    break
                try:
                    with contextlib.closing(pages):
                        gathered = store(self._storage, page_set, pages, keep)
                    _describe(context, page_set, self._metadata(gathered))
                except PagesMissing as failure:
                    failures.append(failure)
            if failures:
                raise PagesMissing.of_all(failures)

    def load_input(self, context: dg.InputContext) -> Mapping[str, Iterator[StoredPage]]:
        """The stored pages of each page set of the run, each read when iterated over, or taken out of memory.

        A page comes with its own facts either way, so the origins of tables stay true if a concurrent run replaces it.
        """
        made = self._made.in_run(context.step_context.run_id)  # an InputContext names its run nowhere else

        def page(number: int) -> StoredPage:
            return made.pop(number, None) or raw_pages.read_page(self._storage, number)

        return {page_set: self._storage.each(page, pages_of(page_set)) for page_set in context.asset_partition_keys}

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

    def __init__(self, storage: Storage, tables_by_name: Mapping[str, Table]) -> None:
        """`storage`: the lake. `tables_by_name`: its tables."""
        self._storage, self._tables = storage, tables_by_name
        self._made = _Made[tuple[str, str | None], pa.Table]()

    def handle_output(self, context: dg.OutputContext, obj: Mapping[str, pa.Table] | pa.Table) -> None:
        """Write one file for each page set, or one for an unpartitioned table."""
        table = self._tables[context.asset_key.path[-1]]
        with failing_in_one_line():
            for page_set, rows in obj.items() if isinstance(obj, Mapping) else [(None, obj)]:
                written = tables.write_table(self._storage, table, rows, page_set)
                self._made.in_run(context.run_id)[table.name, page_set] = rows
                metadata = {
                    "dagster/row_count": written.rows,
                    "dagster/uri": written.location,
                    "first rows": preview(rows),
                    "file": dg.MetadataValue.path(written.location),
                    "bytes": written.bytes,
                    "sha256": written.sha256,
                }
                _describe(context, page_set, metadata)

    def load_input(self, context: dg.InputContext) -> Mapping[str, pa.Table]:
        """The table of each page set of the run. If the input has Dagster's type `Any`, a table is only read when it is
        looked up, for steps that do not need all of their inputs.

        Tables made in this run are reused from memory, so a concurrent run cannot change them.
        """
        table = self._tables[context.asset_key.path[-1]]
        made = self._made.in_run(context.step_context.run_id)

        def read(page_set: str) -> pa.Table:
            key = table.name, page_set
            return made[key] if key in made else tables.read_table(self._storage, table, page_set)

        found = _ReadWhenLookedUp(context.asset_partition_keys, read)
        if context.dagster_type.typing_type is Any:
            return found
        with failing_in_one_line():
            return dict(found)


class _ReadWhenLookedUp(Mapping[str, pa.Table]):
    """The table of each page set."""

    def __init__(self, page_sets: Sequence[str], read: Callable[[str], pa.Table]) -> None:
        self._page_sets, self._read = page_sets, read

    def __getitem__(self, page_set: str) -> pa.Table:
        return self._read(page_set)

    def __iter__(self) -> Iterator[str]:
        return iter(self._page_sets)

    def __len__(self) -> int:
        return len(self._page_sets)


def _describe(context: dg.OutputContext, page_set: str | None, metadata: Mapping[str, Any]) -> None:
    # `OutputContext.add_output_metadata` cannot attach metadata to one partition; the step's context can.
    context.step_context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=page_set)
