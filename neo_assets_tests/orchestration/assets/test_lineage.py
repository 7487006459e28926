"""The graph's edges: every asset depends on each asset whose tables it reads."""

import dagster as dg
import pyarrow as pa
import pytest

from neo_assets.definitions import build_defs
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.assets.products import NEO_DATABASE, UPCOMING
from neo_assets.pipeline.metrics.registry import TOTAL_YEARLY_APPROACHES
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import CATALOGUE_STATS, CLOSE_APPROACHES, SNAPSHOT, TABLES
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.orchestration.assets.graph import FIRST, SECOND, Graph
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from
from neo_assets_tests.settings import settings_of


class Watched(Storage):
    """A lake that notes which files are read."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.was_read: list[str] = []

    def read(self, path: str) -> pa.Buffer:
        self.was_read.append(path)
        return super().read(path)


@pytest.fixture
def watched(lake: Storage) -> Watched:
    """A lake in which every table has something to read: pages, superseded copies, landed objects."""
    catalogue = Catalogue(40)
    for hours, page_set, there in ((0, FIRST, catalogue), (1, SECOND, catalogue.inserted(30))):
        gather(lake, page_set, pages_from(there, page_set, hours))
    return Watched(lake.root)


def asset_of(path: str) -> str:
    """The asset that writes a file of the lake."""
    if f"page_set={LANDED}/" in path:
        return LANDED_OBJECTS
    name = next(part for part in reversed(path.split("/")[:-1]) if not part.startswith("page_set="))
    return TABLES[name].asset or name if name in TABLES else name


@pytest.mark.parametrize("asset", ["total_near_misses", "total_yearly_approaches", "snapshot", NEO_DATABASE, UPCOMING])
def test_an_asset_depends_on_everything_it_reads(watched: Watched, asset: str) -> None:
    settings = settings_of(lake=watched.root, pages=4, pages_per_set=2)
    graph = Graph(watched, settings)
    assert graph.run(f"{CATALOGUE_STATS.name},{LANDED_OBJECTS},{TOTAL_YEARLY_APPROACHES.name}").success
    if asset in (NEO_DATABASE, UPCOMING):  # they follow all of them
        assert graph.run(",".join((*(total.name for total in METRICS.totals), SNAPSHOT.name))).success
    watched.was_read.clear()
    assert graph.run(asset).success
    read = {
        asset_of(path) for path in watched.was_read if path != layout.SOURCE_MARK and f"{layout.PRODUCTS}/" not in path
    }
    edges = build_defs(settings).resolve_asset_graph().get(dg.AssetKey(asset)).parent_keys
    assert read <= {key.to_user_string() for key in edges}
    assert read >= ({CATALOGUE_STATS.name} if asset == SNAPSHOT.name else {CLOSE_APPROACHES.name}), "read in this lake"
