"""The stored tables as the checks read them. What the checks find in them lives in the modules beside this one."""

from functools import cache, partial

import pyarrow as pa

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline.quarantine import without_discarded
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import QUARANTINE


class Read:
    """Reads each stored table once, though several checks need it."""

    def __init__(self, lake: Storage, page_set: str | None = None) -> None:
        """`lake`: the lake. `page_set`: key of the page set; None for tables of the whole lake."""
        self.page_set = page_set
        self._lake = lake
        self.as_stored = cache(partial(tables.read_table, lake, page_set=page_set))
        """A stored table, with whatever columns it has."""

    def __call__(self, table: Table) -> pa.Table:
        """A stored table.

        Raises:
            LakeDamaged: it does not have its schema, so nothing can be computed from it.
            LakeLacks: it is missing.
        """
        rows = self.as_stored(table)
        if difference := table.difference(rows):
            file = self._lake.location(layout.table_file(table, self.page_set))
            raise LakeDamaged(f"{file} has another schema ({difference}): run `neo recompute`")
        return rows

    def not_discarded(self) -> pa.Table:
        """The rows of `quarantine` whose records were not given up."""
        return without_discarded(self._lake, self(QUARANTINE))
