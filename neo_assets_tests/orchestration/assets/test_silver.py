"""NEOs and close approaches of a page set: computed from stored pages alone, together or separately."""

import pytest

from neo_assets.lake import owner, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE
from neo_assets.sources.neows.parse import parse
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.orchestration.assets.graph import FIRST, SECOND, Graph, failure, metadata
from neo_assets_tests.pipeline.by_hand import pages_from
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows.examples import approach, neo, page

CATALOGUE = Catalogue(neos=75)


@pytest.fixture
def graph(lake: Storage) -> Graph:
    """The graph over a lake that already holds the raw pages, so nothing is requested."""
    owner.claim(lake, "simulator")
    for key in (FIRST, SECOND):
        for one in pages_from(CATALOGUE, key):
            raw_pages.write_page(lake, one)
    return Graph(lake, settings_of(pages=4))


def test_tables_hold_what_the_pages_contain(graph: Graph) -> None:
    assert graph.run("neo_records,orbits,close_approaches", SECOND).success
    parsed = parse(pages_from(CATALOGUE, SECOND))
    assert parsed.neo_records.num_rows == 35
    for table, rows in (
        (NEO_RECORDS, parsed.neo_records),
        (ORBITS, parsed.orbits),
        (CLOSE_APPROACHES, parsed.close_approaches),
        (NEO_SIGHTINGS, parsed.neo_sightings),
        (QUARANTINE, parsed.quarantine),
    ):
        assert tables.read_table(graph.lake, table, SECOND).equals(rows)


def test_each_table_can_be_made_alone(graph: Graph) -> None:
    assert graph.run("neo_records", FIRST).success
    assert tables.stored_page_sets(graph.lake, NEO_RECORDS, [FIRST]) == [FIRST]
    assert tables.stored_page_sets(graph.lake, CLOSE_APPROACHES, [FIRST]) == []


def test_tables_made_again_have_the_same_bytes(graph: Graph) -> None:
    once, again = (metadata(graph.run("neo_records,orbits,close_approaches", FIRST)) for _ in range(2))
    assert {key: values["sha256"] for key, values in once.items()} == {
        key: values["sha256"] for key, values in again.items()
    }


def test_a_record_that_cannot_be_read_goes_to_quarantine(graph: Graph) -> None:
    raw_pages.write_page(graph.lake, page(neo("1", approach()), neo("2", approach(au="?")), number=1))
    result = graph.run("neo_records,orbits,close_approaches", FIRST)
    assert result.success
    assert tables.read_table(graph.lake, NEO_RECORDS, FIRST).num_rows == 21
    (record,) = tables.read_table(graph.lake, QUARANTINE, FIRST).to_pylist()
    assert (record["page"], record["index"]) == (1, 1)


def test_a_missing_page_is_an_error(graph: Graph) -> None:
    graph.lake.delete("bronze/raw_pages/page-00001.json.zst")
    assert failure(graph.run("neo_records", FIRST)).startswith("page 1 is not in the lake (")


@disk_and_s3
def test_a_range_run_and_single_runs_give_the_same_bytes(graph: Graph) -> None:
    select = "neo_records,orbits,close_approaches,near_miss_count,yearly_approaches"
    ranged = metadata(graph.run(select, FIRST, SECOND))
    single = metadata(graph.run(select, FIRST)) | metadata(graph.run(select, SECOND))
    assert len(ranged) == 10
    assert {key: values["sha256"] for key, values in ranged.items()} == {
        key: values["sha256"] for key, values in single.items()
    }
