"""Counts and totals as assets: errors in one line, and the metadata of a total."""

from base64 import b64decode

import pytest

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets_tests.conftest import Served
from neo_assets_tests.orchestration.assets.graph import FIRST, SECOND, Graph, at, failure, metadata


@pytest.mark.parametrize("count", ["near_miss_count", "yearly_approaches"])
def test_a_damaged_table_is_reported_in_one_line(lake: Storage, served: Served, count: str) -> None:
    graph, page_set = Graph(lake, at(served)), "00000-00001"
    assert graph.run("raw_pages,neo_records,close_approaches", page_set).success
    whole = lake.read(file := layout.table_file(CLOSE_APPROACHES, page_set)).to_pybytes()
    lake.write(file, whole[:50] + bytes(400) + whole[450:])
    message = failure(graph.run(count, page_set))
    assert message.startswith(f"{lake.location(file)} is damaged (")
    way_out = f": run `neo run`, which makes it again, or materialize close_approaches for page set {page_set}"
    assert message.endswith(way_out)


@pytest.mark.slow
def test_a_total_shows_how_many_page_sets_it_covers(lake: Storage, served: Served) -> None:
    graph = Graph(lake, at(served))
    select = "raw_pages,neo_records,close_approaches,near_miss_count,yearly_approaches"
    for page_sets, keys in (("1 of 2", [FIRST]), ("2 of 2", [FIRST, SECOND])):
        for key in keys:
            assert graph.run(select, key).success
        assert metadata(graph.run("total_near_misses"))["total_near_misses", None]["page sets"] == page_sets


@pytest.mark.slow
def test_totals_carry_a_chart_and_their_first_rows(lake: Storage, served: Served) -> None:
    graph = Graph(lake, at(served))
    assert graph.run("raw_pages,neo_records,close_approaches,near_miss_count,yearly_approaches", FIRST).success
    of = metadata(graph.run("total_near_misses,total_yearly_approaches"))
    near_misses, years = of["total_near_misses", None], of["total_yearly_approaches", None]
    assert near_misses["chart"].startswith("![Near misses per orbiting body, ")
    assert years["chart"].startswith("![Approaches per year, 1900 to 2200; most in ")
    image = years["chart"].partition("base64,")[2].removesuffix(")")
    assert b64decode(image).startswith(b"<svg ")
    assert len(years["first rows"].records) == 10
    assert years["first rows"].records[0].data["year"] == 1900
