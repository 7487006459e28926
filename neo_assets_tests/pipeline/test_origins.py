"""Origins: a table is stale after a change of its pages, its columns, its SQL or the parser, and after nothing else."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.pipeline import catalogue
from neo_assets.pipeline.metrics import registry
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, TOTAL_NEAR_MISSES, YEARLY_APPROACHES
from neo_assets.pipeline.origins import origin, origin_of_total
from neo_assets.pipeline.staleness import current, reusable_pages
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.pages import PageFacts
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE, RAW_PAGE_INDEX
from neo_assets.sources.neows import parse
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.sources.neows.examples import NOON, approach, neo, page

PAGE = PageFacts(0, NOON, "simulator", "sha256", 1, 20, 40_000, "md5")
ALL = {table.name for table in METRICS.of_a_page_set}
COUNTS = {table.name for table in METRICS.counts}
PARSED = {NEO_RECORDS.name, CLOSE_APPROACHES.name, NEO_SIGHTINGS.name, QUARANTINE.name, ORBITS.name}


def origins(*facts: PageFacts) -> dict[str, str]:
    return {table.name: origin(table, facts or [PAGE]) for table in METRICS.of_a_page_set}


def changed(before: dict[str, str]) -> set[str]:
    """The tables whose origin has changed."""
    return {name for name, now in origins().items() if now != before[name]}


def test_every_table_of_a_page_set_has_an_origin() -> None:
    assert {table.name for table in METRICS.tables.values() if table.partitioned} == ALL
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


def edited(folder: Path, name: str) -> Metrics:
    """The metrics as they are after an edit of one `.sql` file."""
    for file in Path(registry.__file__).parent.glob("*.sql"):
        sql = file.read_text() + ("-- edited\n" if file.stem == name else "")
        (folder / file.name).write_text(sql)
    return Metrics(DuckDB(), registry.read_metrics(folder))


def test_an_edited_sql_file_makes_its_own_table_stale(tmp_path: Path) -> None:
    now = edited(tmp_path, NEAR_MISS_COUNT.name)
    differ = {
        new.name
        for new, old in zip(now.counts, METRICS.counts, strict=True)
        if origin(new, [PAGE]) != origin(old, [PAGE])
    }
    assert differ == {NEAR_MISS_COUNT.name}


def test_an_edited_sql_file_makes_the_total_stale(tmp_path: Path) -> None:
    before = origin_of_total(TOTAL_NEAR_MISSES, ["a"], ["counts"], "sightings")
    assert before != origin_of_total(TOTAL_NEAR_MISSES, ["b"], ["counts"], "sightings")
    now = edited(tmp_path, NEAR_MISS_COUNT.name)
    assert before != origin_of_total(now.of_table[NEAR_MISS_COUNT.name].total, ["a"], ["counts"], "sightings")


def test_what_decides_on_superseded_copies_is_part_of_a_totals_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    before = catalogue.origin_of_superseded("sightings")
    assert before != catalogue.origin_of_superseded("others")
    monkeypatch.setattr(catalogue, "_SUPERSEDED", "SELECT other")
    assert before != catalogue.origin_of_superseded("sightings")


def test_a_parameter_is_part_of_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "near_miss_count.sql"
    text = Path(registry.__file__).with_name(file.name).read_text()
    found = set()
    for limit in ("0.1", "0.2"):
        file.write_text(text.replace("near_miss_au: 0.2", f"near_miss_au: {limit}"))
        [metric] = registry.read_metrics(tmp_path)
        found |= {origin(table, [PAGE]) for table in metric.tables}
    assert len(found) == 2


def test_columns_are_part_of_the_recipe() -> None:
    wider = dataclasses.replace(TOTAL_NEAR_MISSES, columns=(*TOTAL_NEAR_MISSES.columns, *NEO_RECORDS.columns[:1]))
    assert origin_of_total(wider, [], [], "") != origin_of_total(TOTAL_NEAR_MISSES, [], [], "")


def test_a_lake_computed_before_an_edit_is_computed_again(lake: Storage, tmp_path: Path) -> None:
    key = "00000-00000"
    gather(lake, key, [page(neo("1", approach()))])

    def is_current(metrics: Metrics) -> bool:
        return current(lake, reusable_pages(lake, [key], 1e9), metrics.of_a_page_set) == {key}

    assert is_current(METRICS)
    assert not is_current(edited(tmp_path, YEARLY_APPROACHES.name))
