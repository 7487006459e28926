"""The stored tables and pages as the checks read them. What they find lives in the modules beside this one."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cache, cached_property, partial

import pyarrow as pa

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline import looks
from neo_assets.pipeline.quarantine import without_discarded
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE
from neo_assets.schema.tables import QUARANTINE, RAW_PAGE_INDEX
from neo_assets.sources.neows.shape import Seen, drift_of

_WALKED = 3
"""Pages of a set whose keys are compared one by one, at 20 ms each; of others, it is only known that they differ."""


@dataclass
class RawPages:
    """What the stored pages of a set say, without the parser and its tables."""

    objects: list[tuple[int, int, Seen]] = field(default_factory=list)
    """Each object with its page and its position there."""
    other_shape: list[int] = field(default_factory=list)
    """Numbers of the pages that do not have the shape of NeoWs's responses."""
    drift: Counter[str] = field(default_factory=Counter)
    """How the first few of them differ."""
    fetched_again: bool = False
    """Whether another process has stored newer pages since the tables were made, which it will make again."""


class Read:
    """Reads each stored table, and the pages, once, though several checks need it."""

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

    @cached_property
    def raw(self) -> RawPages:
        """The stored pages.

        Raises:
            LakeDamaged, LakeLacks: one of them is damaged or missing.
        """
        found = RawPages()
        digests = {row["page"]: row["sha256"] for row in self(RAW_PAGE_INDEX).select(["page", "sha256"]).to_pylist()}
        seen = {number: looks.recall(digest) for number, digest in digests.items()}
        for page in raw_pages.read_pages(self._lake, [number for number, look in seen.items() if look is None]):
            seen[page.number] = looks.keep(page)
            found.fetched_again |= page.facts.sha256 != digests[page.number]
        for number, look in seen.items():
            if look:
                found.objects += ((number, index, one) for index, one in enumerate(look.objects))
                if not look.has_the_shape and number < FIRST_LANDED_PAGE:
                    found.other_shape.append(number)
        for page in raw_pages.read_pages(self._lake, found.other_shape[:_WALKED]):
            found.drift += drift_of(memoryview(page.body))
        return found

    def not_discarded(self) -> pa.Table:
        """The rows of `quarantine` whose records were not given up."""
        return without_discarded(self._lake, self(QUARANTINE))
