"""`neo.duckdb` and the Parquet files beside it hold each NEO once, and are made again only if something has changed."""

import io
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import BUILT_IN, read_metrics
from neo_assets.products import database, index
from neo_assets.products.contents import Contents, NotOneState
from neo_assets.products.views import views
from neo_assets.schema.products import NEOS
from neo_assets.schema.tables import CATALOGUE_STATS, CLOSE_APPROACHES, NEO_RECORDS
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather, total
from neo_assets_tests.products.by_hand import KEYS, SECOND, contents, fill, make, rows
from neo_assets_tests.sources.neows.examples import NOON, approach, neo, page

FILES = ["neos.parquet", "close_approaches.parquet", "neo.duckdb"]


KEYWORDS = """/*
name: table
total: select
description: Close approaches of each orbiting body.
reads:
  close_approaches: [orbiting_body]
grain:
  order: {type: string, description: The body approached.}
numbers:
  group: {type: int64, unit: approaches, description: Number of them.}
adds_up: sum
of_page_sets: false
*/
SELECT orbiting_body AS "order", count(*) AS "group" FROM close_approaches GROUP BY orbiting_body
"""


@pytest.fixture
def made(lake: Storage) -> Storage:
    make(fill(lake))
    return lake


@disk_and_s3
def test_it_holds_each_neo_once_with_its_orbit(made: Storage) -> None:
    assert rows(made, "SELECT id, semi_major_axis_au FROM neos") == [(id_, 1.25) for id_ in ("1", "10", "2", "3")]
    assert rows(made, "SELECT count(*), count(DISTINCT neo_id) FROM close_approaches") == [(6, 3)]
    columns = [name for (name,) in rows(made, "SELECT column_name FROM (DESCRIBE neos)")]
    assert columns == NEOS.schema.names
    assert columns[:17] == NEO_RECORDS.schema.names


def test_approaches_are_in_the_order_of_time_which_is_utc(shared: Storage) -> None:
    times = [at for (at,) in rows(shared, "SELECT close_approach_at FROM close_approaches")]
    assert times == sorted(times)
    assert times[0] == datetime(2001, 2, 3)


def test_it_holds_the_totals_and_says_in_one_row_what_it_covers(made: Storage) -> None:
    assert rows(made, "SELECT sum(approaches) FROM total_yearly_approaches") == [(6,)]
    assert rows(made, "SELECT * FROM total_near_misses ORDER BY 1") == [("Earth", 4), ("Venus", 1)]
    tables.write_table(
        made,
        CATALOGUE_STATS,
        tables.with_origin(
            CATALOGUE_STATS.schema.empty_table().from_pylist(
                [{"fetched_at": NOON, "near_earth_object_count": 40_000, "close_approach_count": 9}],
                CATALOGUE_STATS.schema,
            ),
            "",
        ),
    )
    total(made, KEYS)
    make(made)
    [row] = rows(
        made,
        "SELECT source, is_simulated, neos, close_approaches, close_approaches_to_earth, pages, page_sets, "
        "oldest_page_at, newest_page_at, neows_neos, neows_close_approaches FROM snapshot",
    )
    first, last = datetime(2026, 3, 1, 12), datetime(2026, 3, 1, 13)
    assert row == ("simulator", True, 4, 6, 4, 2, 2, first, last, 40_000, 9)
    assert rows(made, "SELECT verdict, reasons LIKE '%NEOs seen twice: 1%' FROM snapshot") == [("drifted", True)]


def test_its_file_is_for_duckdb_1_4_and_later(shared: Storage) -> None:
    [(tags,)] = rows(shared, "SELECT tags FROM duckdb_databases() WHERE database_name = 'neo'")
    assert tags["storage_version"] == "v1.4.0+"


def test_it_needs_no_extension(shared: Storage) -> None:
    with database.opened(shared) as connection:
        connection.execute("SET autoload_known_extensions = false")
        connection.execute("SET autoinstall_known_extensions = false")
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT type FROM dictionary").fetchall()}
        for name in views():
            connection.execute(f"SELECT * FROM {name}").fetchall()
    assert kinds <= {"VARCHAR", "DOUBLE", "BIGINT", "INTEGER", "BOOLEAN", "DATE", "TIMESTAMP"}


def test_a_connection_to_it_cannot_write(shared: Storage) -> None:
    with database.opened(shared) as connection, pytest.raises(Exception, match="read-only"):
        connection.execute("CREATE TABLE more (a INTEGER)")


@disk_and_s3
def test_parquet_beside_it_holds_the_same_rows(made: Storage) -> None:
    for name, table, key in ((FILES[0], NEOS, "id"), (FILES[1], CLOSE_APPROACHES, "neo_id")):
        found = pq.read_table(io.BytesIO(made.read(f"products/{name}").to_pybytes()))
        assert found.schema.remove_metadata().equals(table.schema, check_metadata=True)
        assert tables.fact(found, "source") == "simulator"
        assert found[key].to_pylist() == [one for (one,) in rows(made, f"SELECT {key} FROM {table.name}")]


@disk_and_s3
def test_nothing_is_made_again_if_nothing_changed(made: Storage) -> None:
    before = index.read(made)
    assert database.to_make(made, contents(made)) == []
    assert make(made) == before == index.read(made)


def test_what_is_lost_or_damaged_is_made_again_alone(made: Storage) -> None:
    before = index.read(made)
    made.delete("products/neos.parquet")
    made.write("products/neo.duckdb", b"damaged")
    assert database.to_make(made, contents(made)) == ["neos.parquet", "neo.duckdb"]
    after = make(made)
    assert {name for name in FILES if after[name] != before[name]} == {"neos.parquet", "neo.duckdb"}
    assert after["neos.parquet"].sha256 == before["neos.parquet"].sha256


def test_all_are_made_again_after_a_change_of_the_catalogue(made: Storage) -> None:
    gather(made, SECOND, [page(neo("4", approach()), number=1, hours=2)])
    with pytest.raises(NotOneState, match="run `neo run`"):
        make(made)
    total(made, KEYS)
    assert database.to_make(made, contents(made)) == FILES
    make(made)
    assert rows(made, "SELECT id FROM neos") == [("1",), ("2",), ("4",)]


def test_page_sets_that_change_while_they_are_read_are_not_mixed(lake: Storage) -> None:
    begun = contents(fill(lake))
    gather(lake, SECOND, [page(neo("4", approach()), number=1, hours=2)])
    with pytest.raises(NotOneState):
        database.make(lake, begun)
    assert index.read(lake) == {}


def test_a_changed_view_makes_the_database_again_but_not_parquet(
    made: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {name: view for name, view in views().items() if name != "fastest"}
    monkeypatch.setattr(database, "views", lambda: changed)
    assert database.to_make(made, contents(made)) == ["neo.duckdb"]


def test_names_may_be_keywords_of_sql(tmp_path: Path) -> None:
    (tmp_path / "table.sql").write_text(KEYWORDS)
    metrics = Metrics(DuckDB(), [*BUILT_IN, *read_metrics(tmp_path)])
    lake = fill(Storage(str(tmp_path / "lake")))
    database.make(lake, Contents(lake, metrics, KEYS))
    assert rows(lake, 'SELECT "order", "group" FROM "select"') == [("Earth", 4), ("Venus", 2)]
    described = "SELECT column_name FROM dictionary WHERE table_name = 'select'"
    assert rows(lake, described) == [("order",), ("group",)]


def test_if_duckdb_cannot_make_it_that_is_one_line(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"broken": replace(views()["fastest"], name="broken", sql="SELECT\n    nothing\nFROM neos")}
    monkeypatch.setattr(database, "views", lambda: broken)
    with pytest.raises(LakeError, match=r'neo\.duckdb cannot be made: Binder Error: .*"nothing" not found') as error:
        make(fill(lake))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("source", "marked"), [("simulator", True), ("nasa", False)])
def test_simulated_data_are_marked(lake: Storage, source: str, marked: bool) -> None:
    make(fill(lake, source))
    assert rows(lake, "SELECT source, is_simulated FROM snapshot") == [(source, marked)]
    of_views = "SELECT comment FROM duckdb_views() WHERE NOT internal"
    comments = rows(lake, f"SELECT comment FROM duckdb_tables() UNION ALL {of_views}")
    assert len(comments) == 4 + len(METRICS.every_total) + len(views())
    assert {comment.startswith("Simulated data: ") for (comment,) in comments} == {marked}
    assert {entry["source"] for entry in json.loads(lake.read("products/index.json").to_pybytes()).values()} == {source}


def test_a_query_that_needs_room_on_disk_leaves_nothing_in_the_lake(made: Storage) -> None:
    before = [info.path for info in made.files("products")]
    with database.opened(made) as connection, database.opened(made) as another:
        [(place,)] = connection.execute("SELECT current_setting('temp_directory')").fetchall()
        assert not place.startswith(made.root)
        connection.execute("SET memory_limit = '60MB'")
        connection.execute("SET threads = 1")
        texts = "SELECT repeat(CAST(range AS VARCHAR), 20) AS text FROM range(800000)"
        connection.execute(f"SELECT text FROM ({texts}) ORDER BY text")
        assert list(Path(place).iterdir()) != []
        assert another.execute("SELECT count(*) FROM neos").fetchall() == [(4,)]
    assert [info.path for info in made.files("products")] == before
    assert not Path(place).exists()


def test_an_empty_lake_has_nothing_to_make(lake: Storage) -> None:
    with pytest.raises(LakeError, match="run `neo run`"):
        make(lake)
    with pytest.raises(LakeError, match=r"neo\.duckdb is missing"):
        rows(lake, "SELECT 1")
