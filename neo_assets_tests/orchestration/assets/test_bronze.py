"""Raw pages: young ones are reused, others are fetched, and a page that cannot be fetched fails alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from starlette.responses import Response

from neo_assets.lake import layout, owner, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.gather import store
from neo_assets.schema.tables import CATALOGUE_STATS, RAW_PAGE_INDEX
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import Served, disk_and_s3
from neo_assets_tests.orchestration.assets.graph import FIRST, KEY, SECOND, Graph, at, failure, metadata
from neo_assets_tests.pipeline.by_hand import pages_from


@pytest.fixture
def graph(lake: Storage, served: Served) -> Graph:
    return Graph(lake, at(served))


def test_a_set_is_fetched_stored_and_indexed(graph: Graph, served: Served) -> None:
    assert graph.run("raw_pages", FIRST).success
    assert sorted(served.pages) == [0, 1]
    index = tables.read_table(graph.lake, RAW_PAGE_INDEX, FIRST).to_pylist()
    assert index == [vars(raw_pages.read_facts(graph.lake, number)) for number in (0, 1)]
    assert [(row["page"], row["neos"], row["total_elements"], row["source"]) for row in index] == [
        (0, 20, 90, "simulator"),
        (1, 20, 90, "simulator"),
    ]
    assert owner.source_of(graph.lake) == "simulator"


def test_no_key_is_stored(graph: Graph) -> None:
    graph.run("raw_pages", FIRST)
    for number in (0, 1):
        body = raw_pages.read_page(graph.lake, number).body.to_pybytes()
        assert KEY.encode() not in body
        assert b"api_key=REDACTED" in body


def test_a_materialization_shows_the_pages_of_its_set(graph: Graph) -> None:
    shown = metadata(graph.run("raw_pages", FIRST))["raw_pages", FIRST]
    assert shown["dagster/row_count"] == 40
    assert shown["dagster/uri"] == f"{graph.lake.root}/bronze/raw_pages"
    assert (shown["pages"], shown["pages fetched"], shown["pages reused"]) == (2, 2, 0)
    assert shown["source"] == "simulator"


def test_young_pages_are_requested_once(graph: Graph, served: Served) -> None:
    graph.run("raw_pages", FIRST)
    served.pages.clear()
    result = graph.run("raw_pages", FIRST)
    assert result.success
    assert served.pages == []
    shown = metadata(result)["raw_pages", FIRST]
    assert (shown["pages fetched"], shown["pages reused"]) == (0, 2)


def test_a_set_of_another_size_reuses_stored_pages(graph: Graph, served: Served) -> None:
    graph.run("raw_pages", FIRST)
    served.pages.clear()
    assert Graph(graph.lake, at(served, pages_per_set=3)).run("raw_pages", "00000-00002").success
    assert served.pages == [2]


def test_a_maximum_age_of_zero_always_fetches(graph: Graph, served: Served) -> None:
    graph.run("raw_pages", FIRST)
    served.pages.clear()
    served.app.state.catalogue = Catalogue(neos=100)
    assert Graph(graph.lake, at(served, raw_max_age_hours=0)).run("raw_pages", FIRST).success
    assert sorted(served.pages) == [0, 1]
    assert tables.read_table(graph.lake, RAW_PAGE_INDEX, FIRST)["total_elements"].to_pylist() == [100, 100]


@disk_and_s3
def test_only_a_damaged_page_is_fetched_again(graph: Graph, served: Served) -> None:
    graph.run("raw_pages", FIRST)
    served.pages.clear()
    file = layout.raw_page(1)
    graph.lake.write(file, graph.lake.read(file)[:-1])
    assert graph.run("raw_pages", FIRST).success
    assert served.pages == [1]


@disk_and_s3
def test_pages_fetched_after_the_clock_was_set_back_are_the_latest(graph: Graph, served: Served) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)
    catalogue = Catalogue(neos=90)
    store(graph.lake, SECOND, (replace(page, fetched_at=ahead) for page in pages_from(catalogue, SECOND)))
    before = datetime.now(UTC)
    assert graph.run("raw_pages", FIRST).success
    for facts in raw_pages.known_facts(graph.lake, [FIRST])[FIRST]:
        assert facts.clock_at is not None
        assert before < facts.clock_at == facts.arrived_at < datetime.now(UTC)
        assert facts.fetched_at > ahead
    served.pages.clear()
    assert graph.run("raw_pages", FIRST).success
    assert served.pages == [], "their age is known, so they are reused"
    assert graph.run("raw_pages", SECOND).success
    assert sorted(served.pages) == [2, 3]


def test_the_times_of_pages_are_those_of_the_clock(graph: Graph) -> None:
    graph.run("raw_pages", FIRST)
    graph.run("raw_pages", SECOND)
    for key in (FIRST, SECOND):
        assert tables.read_table(graph.lake, RAW_PAGE_INDEX, key)["clock_at"].to_pylist() == [None, None]


def test_a_page_that_cannot_be_fetched_fails_alone(graph: Graph, served: Served) -> None:
    served.answers[1] = Response(status_code=404)
    message = failure(graph.run("raw_pages", FIRST))
    assert message.startswith(
        "1 of 2 pages could not be fetched, the others were stored (page 1): 127.0.0.1 answered 404"
    )
    assert raw_pages.read_facts(graph.lake, 0)
    served.answers.clear()
    served.pages.clear()
    assert graph.run("raw_pages", FIRST).success
    assert served.pages == [1]


def test_one_run_can_gather_several_sets(graph: Graph, served: Served) -> None:
    shown = metadata(graph.run("raw_pages", FIRST, SECOND))
    assert {key: values["pages fetched"] for key, values in shown.items()} == {
        ("raw_pages", FIRST): 2,
        ("raw_pages", SECOND): 2,
    }
    assert sorted(served.pages) == [0, 1, 2, 3]


def test_catalogue_stats_are_stored(graph: Graph) -> None:
    assert graph.run("catalogue_stats").success
    (row,) = tables.read_table(graph.lake, CATALOGUE_STATS).to_pylist()
    assert row["near_earth_object_count"] == 90
    assert row["close_approach_count"] == Catalogue(neos=90).close_approach_count


@pytest.mark.parametrize("page_set", [FIRST, SECOND], ids=["stored pages", "other pages"])
def test_a_lake_refuses_pages_of_another_source(graph: Graph, served: Served, lake: Storage, page_set: str) -> None:
    lake.write(layout.SOURCE_MARK, b'{"source": "nasa"}')
    before = lake.files("")
    message = failure(graph.run("raw_pages", page_set))
    assert "holds data from nasa, but the source is now simulator; they do not mix" in message
    assert [info.path for info in lake.files("")] == [info.path for info in before]


def test_stored_pages_of_another_source_are_not_reused(graph: Graph, served: Served) -> None:
    graph.run("raw_pages", FIRST)
    from_nasa = at(served, base_url="https://api.nasa.gov/neo/rest/v1")
    message = failure(Graph(graph.lake, from_nasa).run("raw_pages", FIRST))
    assert "holds data from simulator, but the source is now nasa; they do not mix" in message


def test_a_lake_that_cannot_be_listed_is_reported_in_one_line(disk_lake: Storage, served: Served) -> None:
    graph = Graph(disk_lake, at(served))
    graph.run("raw_pages", FIRST)
    disk_lake.delete(layout.raw_page(0))
    disk_lake.write(f"{layout.raw_page(0)}/a directory instead of a file", b"")
    assert failure(graph.run("raw_pages", FIRST)).startswith(f"cannot list {disk_lake.root}/bronze/raw_pages: ")


def test_pages_to_take_again_are_fetched_once_however_often_the_run_is_repeated(graph: Graph, served: Served) -> None:
    graph.run("raw_pages", FIRST)
    take_again = {"take_again": [0, 1], "not_before": datetime.now(UTC).isoformat()}
    served.answers[1] = Response(status_code=404)
    served.pages.clear()
    assert not graph.run("raw_pages", FIRST, config=take_again).success
    assert sorted(served.pages) == [0, 1]
    served.answers.clear()
    served.pages.clear()
    for _ in range(2):
        assert graph.run("raw_pages", FIRST, config=take_again).success
    assert served.pages == [1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"not_before": "yesterday"},
            "not_before: 'yesterday' is not a time; give one such as 2026-03-01T06:00:00+00:00",
        ),
        ({"take_again": [1, 2]}, "take_again: page 2 cannot be fetched in a run of page set 00000-00001"),
        ({"take_again": [1, 2, 3]}, "take_again: pages 2, 3 cannot be fetched in a run of page set 00000-00001"),
    ],
)
def test_wrong_run_config_is_reported_in_one_line(
    graph: Graph, served: Served, config: dict[str, object], message: str
) -> None:
    assert failure(graph.run("raw_pages", FIRST, config=config)) == message
    assert served.pages == []


def test_a_time_without_a_zone_is_utc(graph: Graph, served: Served) -> None:
    graph.run("raw_pages", FIRST)
    served.pages.clear()
    assert graph.run("raw_pages", FIRST, config={"take_again": [0], "not_before": "2100-03-01"}).success
    assert served.pages == [0]


def test_a_set_that_fails_does_not_stop_the_others_of_its_run(graph: Graph, served: Served) -> None:
    served.answers[1] = Response(status_code=404)
    message = failure(graph.run("raw_pages", FIRST, SECOND))
    assert message.startswith("1 of 2 pages could not be fetched, the others were stored (page 1): ")
    assert sorted(served.pages) == [0, 1, 2, 3]
    assert tables.stored_page_sets(graph.lake, RAW_PAGE_INDEX, [FIRST, SECOND]) == [SECOND]


def test_a_rejected_key_is_not_tried_again_for_the_next_set(graph: Graph, served: Served) -> None:
    served.answers = dict.fromkeys(range(4), Response(status_code=403))
    assert "could not be fetched" in failure(graph.run("raw_pages", FIRST, SECOND))
    assert set(served.pages) <= {0, 1}
