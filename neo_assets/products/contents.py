"""What the products hold: the NEOs with their orbits, their close approaches, the totals, the snapshot in one row.
Files are made of it elsewhere, such as in `database`.
"""

import json
from collections.abc import Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeDamaged, LakeError, LakeLacks, Storage
from neo_assets.pipeline.catalogue import Catalogue, origin_of_superseded, state_of_lake
from neo_assets.pipeline.count import bring_up_to_date
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.totals import read_totals
from neo_assets.schema.facts import KM_PER_LUNAR_DISTANCE, NEAR_MISS_AU
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.page_sets import with_landed
from neo_assets.schema.pages import SIMULATOR
from neo_assets.schema.products import NEOS, ONE_SNAPSHOT
from neo_assets.schema.tables import (
    CATALOGUE_STATS,
    CLOSE_APPROACHES,
    NEO_RECORDS,
    NEO_SIGHTINGS,
)


class NotOneState(LakeError):
    """The totals are not those of the page sets in the lake; figures of two states are never shown as one."""


class Contents:
    """What the products of a lake hold. Rows are read when they are asked for."""

    def __init__(self, lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
        """Read the totals and the snapshot. Metrics of the whole catalogue are first computed again if they are stale.

        Args:
            lake: the lake.
            metrics: the metrics of the lake.
            page_sets: the page sets that the settings ask for.

        Raises:
            NotOneState: the totals are not those of the page sets in the lake.
            LakeError: there are no totals yet, or a file is damaged.
        """
        self._lake, self._page_sets = lake, page_sets
        self._catalogue = Catalogue.whole(lake, metrics, page_sets)
        self._said = read_totals(lake, metrics, page_sets)
        bring_up_to_date(metrics, lake, page_sets)
        self.totals = {table: tables.read_table(lake, table) for table in metrics.every_total}
        """The rows of each total."""
        self._refuse_other_states()

    @property
    def source(self) -> str:
        """The source of the data: `nasa` or `simulator`."""
        return self._said.source

    @property
    def origin_of_rows(self) -> str:
        """Digest of everything that `neos` and `close_approaches` are made from."""
        columns = map(str, (*NEOS.columns, *CLOSE_APPROACHES.columns))
        return tables.digest([self.source, origin_of_superseded(self._catalogue.state), *columns])

    @cached_property
    def origin(self) -> str:
        """Digest of everything that the contents are made from."""
        snapshot = json.dumps(self.snapshot.to_pylist(), default=str)
        columns = (str(column) for table in (ONE_SNAPSHOT, *self.totals) for column in table.columns)
        totals = map(tables.made_from, self.totals.values())
        return tables.digest([self.origin_of_rows, *totals, snapshot, *columns])

    def neos(self) -> pa.Table:
        """Each NEO once, with its orbit, sorted by id."""
        records = self._catalogue.rows(NEO_RECORDS)
        orbits = self._catalogue.rows(ORBITS)
        orbits = orbits.take(pc.index_in(records["id"], orbits["neo_id"].combine_chunks()))  # null where there is none
        self._refuse_other_states()
        columns = [*records.columns, *orbits.columns[1:]]
        rows = pa.table(columns, schema=NEOS.schema).sort_by("id")
        return tables.with_origin(rows, self.origin_of_rows)

    def close_approaches(self) -> pa.Table:
        """The close approaches of each NEO, sorted by time, then by NEO."""
        rows = self._catalogue.rows(CLOSE_APPROACHES)
        self._refuse_other_states()
        order = [("close_approach_at", "ascending"), ("neo_id", "ascending"), ("orbiting_body", "ascending")]
        return tables.with_origin(rows.sort_by(order), self.origin_of_rows)

    @cached_property
    def snapshot(self) -> pa.Table:
        """The one row that says what the products cover, and where their data come from."""
        said, (oldest, newest) = self._said, self._catalogue.arrived
        row = {
            "snapshot_id": self._catalogue.state,
            "source": said.source,
            "is_simulated": said.source == SIMULATOR,
            "verdict": said.verdict,
            "reasons": "; ".join(said.reasons),
            "oldest_page_at": oldest,
            "newest_page_at": newest,
            "neos": said.neos,
            "close_approaches": said.approaches,
            "close_approaches_to_earth": said.approaches_earth,
            "pages": said.pages,
            "pages_in_catalogue": said.catalogue_pages,
            "page_sets": said.page_sets,
            "page_sets_requested": said.page_sets_expected,
            **self._stats(),
            "lunar_distance_km": KM_PER_LUNAR_DISTANCE,
            "near_miss_au": NEAR_MISS_AU,
        }
        return pa.Table.from_pylist([row], ONE_SNAPSHOT.schema)

    def _stats(self) -> dict[str, object]:
        """NeoWs's own counts of its catalogue, if they were ever fetched."""
        try:
            [stats] = tables.read_table(self._lake, CATALOGUE_STATS).to_pylist()
        except (LakeLacks, LakeDamaged):
            return {}
        return {
            "neows_counted_at": stats["fetched_at"],
            "neows_neos": stats["near_earth_object_count"],
            "neows_close_approaches": stats["close_approach_count"],
        }

    def _refuse_other_states(self) -> None:
        """Raises `NotOneState` unless totals and page sets, as they are now, are of the state that was read first."""
        _, now = state_of_lake(self._lake, self._page_sets)
        if {now, *(tables.fact(rows, "state") for rows in self.totals.values())} != {self._catalogue.state}:
            stored = tables.every_page_set(self._lake, NEO_SIGHTINGS)
            others = set(stored).difference(with_landed(self._page_sets))
            asked = (
                f"set NEO_PAGES and NEO_PAGES_PER_SET as they were when its {len(stored)} page sets were gathered, or "
                if others
                else ""
            )
            raise NotOneState(
                f"the totals in {self._lake.root} are not those of its page sets: {asked}run `neo run`, which computes "
                "them"
            )
