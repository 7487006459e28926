"""Page sets of former settings: kept until those in use are complete, then deleted, so a table holds no page twice."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from neo_assets.lake import layout, owner, raw_pages
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.retire import delete, left_over, retire
from neo_assets.schema.page_sets import LANDED, page_set_keys
from neo_assets.schema.tables import NEO_RECORDS, RAW_PAGE_INDEX
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from

CATALOGUE = Catalogue(neos=120)
OLD, NEW = page_set_keys(6, 2), page_set_keys(6, 4)
TABLES_OF_PAGE_SETS = METRICS.of_a_page_set


def fill(lake: Storage, keys: list[str]) -> None:
    for key in keys:
        gather(lake, key, pages_from(CATALOGUE, key))


def stored(lake: Storage) -> set[str | None]:
    return {
        layout.page_set_of(info.path, table)
        for table in TABLES_OF_PAGE_SETS
        for info in lake.files(layout.table_root(table))
    }


@pytest.fixture
def changed(lake: Storage) -> Storage:
    """A lake in page sets of two pages; the settings now ask for sets of four, of which the first is complete."""
    owner.claim(lake, "simulator")
    fill(lake, OLD)
    gather(lake, LANDED, [])
    fill(lake, NEW[:1])
    return lake


@disk_and_s3
def test_they_are_kept_until_those_in_use_are_complete(changed: Storage) -> None:
    assert [one.page_set for one in left_over(changed, NEW, TABLES_OF_PAGE_SETS)] == OLD[:2], (
        "the last set of both is the same"
    )
    assert retire(changed, page_set_keys(6, 3), TABLES_OF_PAGE_SETS) == []
    changed.delete(layout.table_file(NEO_RECORDS, NEW[1]))
    assert retire(changed, NEW, TABLES_OF_PAGE_SETS) == []
    assert stored(changed) == {*OLD, *NEW, LANDED}
    fill(changed, NEW[1:])
    assert [one.page_set for one in retire(changed, NEW, TABLES_OF_PAGE_SETS)] == OLD[:2]
    assert stored(changed) == {*NEW, LANDED}
    assert raw_pages.stored_numbers(changed) == list(range(6))
    assert left_over(changed, NEW, TABLES_OF_PAGE_SETS) == []


def test_a_call_that_is_killed_can_be_repeated(changed: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    delete, left = Storage.delete, 5

    def killed(self: Storage, path: str) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        delete(self, path)

    monkeypatch.setattr(Storage, "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        retire(changed, NEW, TABLES_OF_PAGE_SETS)
    monkeypatch.undo()
    assert left_over(changed, NEW, TABLES_OF_PAGE_SETS)
    retire(changed, NEW, TABLES_OF_PAGE_SETS)
    assert stored(changed) == {*NEW, LANDED}


def test_another_process_may_delete_them_first(changed: Storage) -> None:
    found = left_over(changed, NEW, TABLES_OF_PAGE_SETS)
    delete(changed, found)
    delete(changed, found)
    assert stored(changed) == {*NEW, LANDED}


def test_page_sets_of_other_pages_are_left_to_the_user(lake: Storage) -> None:
    """A smaller NEO_PAGES, perhaps for one run only, makes no table hold a page twice."""
    owner.claim(lake, "simulator")
    fill(lake, OLD)
    assert retire(lake, OLD[:1], TABLES_OF_PAGE_SETS) == []
    assert [one.page_set for one in left_over(lake, OLD[:1], TABLES_OF_PAGE_SETS)] == OLD[1:]


def test_stale_tables_keep_them(changed: Storage) -> None:
    raw_pages.write_page(changed, pages_from(CATALOGUE.reordered(1), NEW[0], hours=1)[0])
    assert retire(changed, NEW, TABLES_OF_PAGE_SETS) == []


def test_directories_that_are_no_page_sets_stay(changed: Storage) -> None:
    mine = f"{layout.table_root(NEO_RECORDS)}/page_set=mine/data.parquet"
    changed.write(mine, b"mine")
    retire(changed, NEW, TABLES_OF_PAGE_SETS)
    assert changed.info(mine).is_file


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 3), (1, 5)])
def test_a_query_over_all_files_sees_each_neo_once(neo: Callable[..., Ended], sizes: tuple[int, ...]) -> None:
    """As the README's queries do, whatever page sets the runs before used."""
    for size in sizes:
        assert neo("run", NEO_PAGES=5, NEO_PAGES_PER_SET=size).code == 0
        query = "SELECT count(*), count(DISTINCT id) FROM 'data/lake/silver/neo_records/*/*.parquet'"
        [(rows, neos)] = duckdb.execute(query).fetchall()
        assert (rows, neos) == (100, 100)
        assert len(list(Path("data/lake/bronze/raw_page_index").iterdir())) == -(-5 // size), "no empty directories"


@pytest.mark.slow
def test_those_of_a_run_that_was_stopped_are_deleted_by_the_next_run(neo: Callable[..., Ended]) -> None:
    """Settings were changed, the run was stopped before the totals, and the settings were changed back."""
    assert neo("run", NEO_PAGES=2, NEO_PAGES_PER_SET=1).code == 0
    lake = Storage("data/lake")
    gather(lake, "00000-00001", pages_from(Catalogue(), "00000-00001"))
    ended = neo("run", NEO_PAGES=2, NEO_PAGES_PER_SET=1)
    assert "Deleted the tables of page set 00000-00001" in ended.err
    assert left_over(lake, ["00000-00000", "00001-00001"], TABLES_OF_PAGE_SETS) == []


class TestCommand:
    @pytest.fixture
    def neo(self, neo: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, lake: Storage) -> Callable[..., Ended]:
        monkeypatch.setenv("NEO_LAKE", lake.root)
        monkeypatch.setenv("NEO_PAGES", "6")
        monkeypatch.setenv("NEO_PAGES_PER_SET", "4")
        return neo

    def test_it_shows_and_deletes_them(self, changed: Storage, neo: Callable[..., Ended]) -> None:
        shown = neo("prune")
        assert shown.code == 0
        assert f"page set {OLD[0]}: {len(TABLES_OF_PAGE_SETS)} files, " in shown.out
        assert stored(changed) == {*OLD, *NEW, LANDED}
        deleted = neo("prune", "--yes")
        assert (deleted.code, deleted.out.splitlines()[-1]) == (0, "Deleted 2 page sets.")
        assert neo("prune").out.startswith("Nothing to delete: ")

    def test_it_keeps_what_is_still_needed(self, changed: Storage, neo: Callable[..., Ended]) -> None:
        changed.delete(layout.table_file(RAW_PAGE_INDEX, NEW[0]))
        kept = neo("prune", "--yes")
        assert kept.code == 1
        assert "are kept until" in kept.err
        assert stored(changed) >= set(OLD)
