"""Origins: a table is stale after a change of its pages, its columns, its SQL or the parser, and after nothing else."""

import dataclasses
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.pipeline.metrics import registry
from neo_assets.pipeline.origins import OF_A_PAGE_SET, origin, origin_of_total
from neo_assets.pipeline.staleness import current, reusable_pages
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    RAW_PAGE_INDEX,
    TABLES,
    TOTAL_NEAR_MISSES,
    YEARLY_APPROACHES,
)
from neo_assets.sources.neows import parse
from neo_assets_tests.pipeline.by_hand import compute, gather
from neo_assets_tests.sources.neows.examples import NOON, approach, neo, page

PAGE = PageFacts(0, NOON, "simulator", "sha256", 1, 20, 40_000, "md5")
ALL = {table.name for table in OF_A_PAGE_SET}
COUNTS = {NEAR_MISS_COUNT.name, YEARLY_APPROACHES.name}
PARSED = {NEO_RECORDS.name, CLOSE_APPROACHES.name, NEO_SIGHTINGS.name, QUARANTINE.name}


def origins(*facts: PageFacts) -> dict[str, str]:
    return {table.name: origin(table, facts or [PAGE]) for table in OF_A_PAGE_SET}


def changed(before: dict[str, str]) -> set[str]:
    """The tables whose origin has changed."""
    return {name for name, now in origins().items() if now != before[name]}


def test_every_table_of_a_page_set_has_an_origin() -> None:
    assert {table.name for table in TABLES.values() if table.partitioned} == ALL
    assert len(set(origins().values())) == len(ALL)


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"sha256": "another"}, ALL),
        ({"page": 1}, ALL),
        ({"fetched_at": NOON.replace(hour=13)}, {RAW_PAGE_INDEX.name, NEO_SIGHTINGS.name}),
        ({"md5": "another"}, {RAW_PAGE_INDEX.name}),
    ],
)
def test_a_changed_page_makes_tables_stale(change: dict[str, Any], stale: set[str]) -> None:
    now = origins(dataclasses.replace(PAGE, **change))
    assert {name for name, before in origins().items() if now[name] != before} == stale


def test_a_changed_parser_makes_its_tables_and_their_counts_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    before = origins()
    monkeypatch.setattr(parse, "VERSION", parse.VERSION + 1)
    assert changed(before) == PARSED | COUNTS


@pytest.fixture
def sql_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the `.sql` files, from which the registry reads."""
    copy = tmp_path / "metrics"
    shutil.copytree(Path(registry.__file__).parent, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(resources, "files", lambda package: copy)
    registry.sql.cache_clear()
    yield copy
    registry.sql.cache_clear()


def edit(sql_files: Path, name: str) -> None:
    file = sql_files / f"{name}.sql"
    file.write_text(file.read_text() + "-- edited\n")
    registry.sql.cache_clear()


def test_an_edited_sql_file_makes_its_own_table_stale(sql_files: Path) -> None:
    before = origins()
    edit(sql_files, NEAR_MISS_COUNT.name)
    assert changed(before) == {NEAR_MISS_COUNT.name}


@pytest.mark.parametrize("name", [TOTAL_NEAR_MISSES.name, registry.SUPERSEDED])
def test_an_edited_sql_file_makes_the_total_stale(sql_files: Path, name: str) -> None:
    before = origin_of_total(TOTAL_NEAR_MISSES, ["a"], "counts", "sightings")
    assert before != origin_of_total(TOTAL_NEAR_MISSES, ["b"], "counts", "sightings")
    edit(sql_files, name)
    assert before != origin_of_total(TOTAL_NEAR_MISSES, ["a"], "counts", "sightings")


def test_a_parameter_is_part_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = origins()
    monkeypatch.setattr(registry, "_PARAMETERS", {NEAR_MISS_COUNT.name: {"near_miss_au": 0.1}})
    assert changed(before) == {NEAR_MISS_COUNT.name}


def test_columns_are_part_of_the_recipe() -> None:
    wider = dataclasses.replace(TOTAL_NEAR_MISSES, columns=(*TOTAL_NEAR_MISSES.columns, *NEO_RECORDS.columns[:1]))
    assert origin_of_total(wider, [], "", "") != origin_of_total(TOTAL_NEAR_MISSES, [], "", "")


def test_a_lake_computed_before_an_edit_is_computed_again(lake: Storage, sql_files: Path) -> None:
    key = "00000-00000"
    gather(lake, key, [page(neo("1", approach()))])

    def is_current() -> bool:
        return current(lake, reusable_pages(lake, [key], 1e9)) == {key}

    assert is_current()
    edit(sql_files, YEARLY_APPROACHES.name)
    assert not is_current()
    compute(lake, key)
    assert is_current()
