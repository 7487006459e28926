"""`neo recompute`: which page sets it computes, and what it says about those it cannot."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from neo_assets.lake import layout, owner, raw_pages
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.gather import store
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, TOTAL_NEAR_MISSES
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, LANDED
from neo_assets.schema.tables import NEO_RECORDS
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import pages_from

pytestmark = pytest.mark.slow

FIRST, SECOND, THIRD = "00000-00001", "00002-00003", "00004-00005"

Neo = Callable[..., Ended]


@pytest.fixture
def lake(lake: Storage, monkeypatch: pytest.MonkeyPatch, no_network: None) -> Storage:
    """A lake with the pages of the first two of three page sets, and without tables. The network is off."""
    monkeypatch.setenv("NEO_LAKE", lake.root)
    monkeypatch.setenv("NEO_PAGES", "6")
    owner.claim(lake, "simulator")
    for key in (FIRST, SECOND):
        store(lake, key, pages_from(Catalogue(), key))
    return lake


def computed(lake: Storage) -> set[str]:
    """The page sets that have counts."""
    return {str(layout.page_set_of(info.path, NEAR_MISS_COUNT)) for info in lake.files("gold/near_miss_count")}


def progress(ended: Ended) -> list[str]:
    """The lines about page sets, without those about checks."""
    return [line for line in ended.err.splitlines() if not line.startswith("  ")]


@disk_and_s3
def test_every_stored_page_set_is_computed_and_the_totals_are_printed(lake: Storage, neo: Neo) -> None:
    ended = neo("recompute")
    assert (ended.code, computed(lake)) == (0, {FIRST, SECOND})
    assert progress(ended) == [
        f"left out 1 page set without pages in the lake ({THIRD}): `neo run` fetches them",
        f"page set {FIRST}: computed",
        f"page set {SECOND}: computed",
    ]
    assert "\nPages         4 in 2 of 3 page sets" in ended.out
    assert lake.info(layout.table_file(TOTAL_NEAR_MISSES)).is_file


def test_a_table_is_computed_again_though_it_is_up_to_date(lake: Storage, neo: Neo) -> None:
    assert neo("recompute").code == 0
    table = Path(lake.location(layout.table_file(NEO_RECORDS, FIRST)))
    before = table.stat().st_mtime_ns
    assert neo("recompute").code == 0
    assert table.stat().st_mtime_ns > before


def test_totals_are_computed_again_though_they_are_up_to_date(lake: Storage, neo: Neo) -> None:
    right = neo("recompute").out
    file = lake.location(layout.table_file(TOTAL_NEAR_MISSES))
    total = pq.read_table(file)
    wrong = pc.add(total["near_misses"], 1).cast(total["near_misses"].type)
    pq.write_table(total.set_column(total.column_names.index("near_misses"), total.field("near_misses"), wrong), file)
    assert neo("totals").out != right
    assert neo("recompute", SECOND).out == right


def test_only_the_page_sets_named_are_computed(lake: Storage, neo: Neo) -> None:
    ended = neo("recompute", SECOND)
    assert (ended.code, computed(lake)) == (0, {SECOND})


def test_landed_objects_are_computed_too(lake: Storage, neo: Neo) -> None:
    [page] = pages_from(Catalogue(), "00009-00009")
    raw_pages.write_page(lake, type(page)(**vars(page) | {"number": FIRST_LANDED_PAGE}), "a.ndjson")
    assert progress(neo("recompute", LANDED)) == ["landed objects: computed"]
    assert neo("recompute").code == 0
    assert computed(lake) == {FIRST, SECOND, LANDED}


def test_an_unknown_page_set_is_refused_with_the_allowed_ones(lake: Storage, neo: Neo) -> None:
    ended = neo("recompute", FIRST, "nope")
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == (
        f"Error: no such page set with NEO_PAGES=6 and NEO_PAGES_PER_SET=2: nope; give some of {FIRST}, {SECOND}, "
        f"{THIRD}, or landed"
    )
    assert computed(lake) == set()


@pytest.mark.parametrize(
    ("key", "name", "remedy"),
    [
        (THIRD, f"page set {THIRD}", "run `neo run`"),
        (LANDED, "landed objects", "put files into landing/, then run `neo land`"),
    ],
)
def test_a_page_set_without_pages_is_refused(lake: Storage, neo: Neo, key: str, name: str, remedy: str) -> None:
    ended = neo("recompute", key)
    assert (ended.code, computed(lake)) == (1, set())
    assert ended.err == f"Error: the lake {lake.root} holds no pages of {name}: {remedy}\n"


def test_an_empty_lake_is_refused(disk_lake: Storage, neo: Neo) -> None:
    ended = neo("recompute", NEO_LAKE=f"{disk_lake.root}/empty")
    assert (ended.code, ended.err) == (1, f"Error: the lake {disk_lake.root}/empty holds no pages: run `neo run`\n")


def test_a_page_set_that_fails_is_named_and_the_others_are_computed(lake: Storage, neo: Neo) -> None:
    lake.delete(layout.raw_page(1))
    ended = neo("recompute")
    assert (ended.code, computed(lake)) == (1, {SECOND})
    _, first, second, last = progress(ended)
    assert first.startswith(f"page set {FIRST}: FAILED: page 1 is not in the lake")
    assert second == f"page set {SECOND}: computed"
    assert last.startswith(
        f"Error: 1 page set could not be computed ({FIRST}); the totals omit them or use their older data. "
        "First error: page 1 is not in the lake"
    )
    assert "2 in 1 of 3 page sets" in ended.out
    lake.delete(layout.raw_page(2))
    ended = neo("recompute")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[-1].startswith("Error: page 1 is not in the lake")


def test_a_damaged_total_is_named_in_one_line(lake: Storage, neo: Neo) -> None:
    """Though what pyarrow says of it has two."""
    assert neo("recompute").code == 0
    path = layout.table_file(TOTAL_NEAR_MISSES)
    content = lake.read(path).to_pybytes()
    lake.write(path, content[:4] + b"\xff" * 64 + content[68:])
    ended = neo("totals")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(f"Error: {lake.location(path)} is damaged (")
