"""Asset values to and from the lake: raw pages one object each, tables as Parquet. How bytes are written lives in
`lake`.

A value is a mapping from page set to the set's value, of as many sets as the run has; of an unpartitioned asset it is
the value itself. Dagster's own managers save one partition at a time, hold whole values in memory and do not write
atomically.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import dagster as dg
import pyarrow as pa

from neo_assets.lake import layout, owner, raw_pages, tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.orchestration.failures import told_to_dagster
from neo_assets.pipeline.staleness import page_index
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import Page, PageFacts, StoredPage
from neo_assets.schema.tables import RAW_PAGE_INDEX, TABLES
from neo_assets.sources.neows.errors import PagesMissing


@dataclass(frozen=True)
class PageDelivery:
    """The pages of a set: those the lake has already, and how to get the others. What `raw_pages` returns per set.

    `source` is the one that the lake has been found to be of, or None where only the first response can tell.
    """

    source: str | None
    reused: Sequence[PageFacts]
    missing: Sequence[int]
    fetch: Callable[[Sequence[int], Callable[[Page], None]], None]


@dataclass
class StoredPages:
    """Stored pages, read one after another as they are asked for. What a user of `raw_pages` gets per set."""

    storage: Storage
    numbers: Sequence[int]
    read: list[PageFacts] = field(default_factory=list)
    """What is known of each page read so far."""

    def __iter__(self) -> Iterator[StoredPage]:
        self.read.clear()
        for page in self.storage.each(lambda number: raw_pages.read_page(self.storage, number), self.numbers):
            self.read.append(page.facts)
            yield page


class RawPagesIOManager(dg.IOManager):
    """Stores pages as they arrive, so that a run that dies loses at most those in flight."""

    def __init__(self, storage: Storage) -> None:
        """`storage`: the lake."""
        self._storage = storage

    def handle_output(self, context: dg.OutputContext, obj: Mapping[str, PageDelivery]) -> None:
        """Fetch and store the missing pages of each set, then write the set's part of `raw_page_index`.

        A set that lacks pages in the end does not stop the others, but fails the run.
        """
        failures: list[PagesMissing] = []
        with told_to_dagster():
            for page_set, delivery in obj.items():
                if any(failure.concerns_all for failure in failures):
                    break
                try:
                    _describe(context, page_set, self._store(page_set, delivery))
                except PagesMissing as failure:
                    failures.append(failure)
            if failures:
                raise PagesMissing.of_all(failures)

    def load_input(self, context: dg.InputContext) -> Mapping[str, StoredPages]:
        """The stored pages of each set of the run."""
        return {page_set: StoredPages(self._storage, pages_of(page_set)) for page_set in context.asset_partition_keys}

    def _store(self, page_set: str, delivery: PageDelivery) -> dict[str, Any]:
        facts = list(delivery.reused)
        claimed = {delivery.source}
        refused: list[LakeError] = []
        one_at_a_time = Lock()

        def store(page: Page) -> None:
            if refused:  # pages that were under way when the lake failed need not wait for it too
                raise refused[0]
            try:
                with one_at_a_time:
                    if page.source not in claimed:
                        owner.claim(self._storage, page.source)
                        claimed.add(page.source)
                facts.append(raw_pages.write_page(self._storage, page))
            except LakeError as error:
                refused.append(error)
                raise

        delivery.fetch(delivery.missing, store)
        written = tables.write_table(self._storage, RAW_PAGE_INDEX, page_index(facts), page_set)
        return {
            "dagster/row_count": sum(one.neos for one in facts),
            "dagster/uri": self._storage.location(layout.RAW_PAGES),
            "pages": len(facts),
            "pages fetched": len(delivery.missing),
            "pages reused": len(delivery.reused),
            "bytes of JSON": sum(one.bytes for one in facts),
            "source": facts[0].source,
            "index": dg.MetadataValue.path(written.location),
        }


class ParquetIOManager(dg.IOManager):
    """Writes tables whole and gives them back: those of the same run as they were made, others from the lake."""

    def __init__(self, storage: Storage) -> None:
        """`storage`: the lake."""
        self._storage = storage
        self._run_id = ""
        self._made: dict[tuple[str, str | None], pa.Table] = {}

    def handle_output(self, context: dg.OutputContext, obj: Mapping[str, pa.Table] | pa.Table) -> None:
        """Write the table's file of each page set, or the whole table."""
        table = TABLES[context.asset_key.path[-1]]
        with told_to_dagster():
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

        What the run has made itself is not read back, so that it counts what it has read though another run writes too.
        """
        table = TABLES[context.asset_key.path[-1]]
        made = self._made_in(context.step_context.run_id)
        with told_to_dagster():
            return {
                key: made[table.name, key]
                if (table.name, key) in made
                else tables.read_table(self._storage, table, key)
                for key in context.asset_partition_keys
            }

    def _made_in(self, run_id: str) -> dict[tuple[str, str | None], pa.Table]:
        """What this process has made in a run; that of runs before is forgotten."""
        if run_id != self._run_id:
            self._run_id, self._made = run_id, {}
        return self._made


def _describe(context: dg.OutputContext, page_set: str | None, metadata: Mapping[str, Any]) -> None:
    """Metadata of one partition's materialization; `OutputContext.add_output_metadata` cannot tell partitions apart."""
    context.step_context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=page_set)
