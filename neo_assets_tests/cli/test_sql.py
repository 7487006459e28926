"""`neo sql`: what it prints at a terminal, in a pipe, as CSV, JSON and Parquet; it only reads; errors are one line."""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.products import index
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import gather, total
from neo_assets_tests.products.by_hand import KEYS, SECOND, fill, make
from neo_assets_tests.sources.neows import examples

Query = Callable[..., Ended]

SIMULATED = "The data are simulated: the objects are made up. Set NASA_API_KEYS for NASA's.\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    lake = Storage(str(tmp_path_factory.mktemp("place") / "lake"))
    make(fill(lake))
    return lake


def querying(neo: Callable[..., Ended], lake: Storage) -> Query:
    return lambda *words: neo("sql", *words, NEO_LAKE=lake.root, NEO_PAGES=2, NEO_PAGES_PER_SET=1)


@pytest.fixture
def query(neo: Callable[..., Ended], place: Storage) -> Query:
    return querying(neo, place)


def test_columns_are_side_by_side_and_numbers_to_the_right(query: Query) -> None:
    ended = query("SELECT id, absolute_magnitude_h AS h, is_sentry_object AS sentry FROM neos")
    assert ended.out.splitlines() == [
        "id     h  sentry",
        "--  ----  ------",
        "1   17.0  false",
        "10  20.5  false",
        "2   20.5  false",
        "3   NULL  false",
    ]
    assert (ended.code, ended.err) == (0, SIMULATED)
    assert query("SELECT 1 AS first, 20000 AS n UNION ALL SELECT 2, 3").out.splitlines()[2:] == [
        "    1  20000",
        "    2      3",
    ]


def test_a_query_without_rows_still_has_names(query: Query) -> None:
    shown = query("SELECT id, name FROM neos WHERE id = '4'")
    assert (shown.out, shown.err) == ("id  name\n--  ----\n", f"{SIMULATED}(no rows)\n")
    assert query("SELECT id, name FROM neos WHERE id = '4'", "--csv").out == "id,name\n"
    assert query("SELECT id, name FROM neos WHERE id = '4'", "--json").out == ""


@pytest.mark.parametrize("form", ["", "--csv", "--json"])
def test_a_pipe_gets_every_row(query: Query, form: str) -> None:
    ended = query("SELECT range AS n, repeat('x', 60) AS text FROM range(25000)", *filter(None, [form]))
    assert ended.out.count("x" * 60) == 25_000
    assert ended.err == SIMULATED


def test_a_terminal_gets_what_fits_and_is_told_of_the_rest(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    ended = query("SELECT range AS n, repeat('x', 60) AS text, 'last' AS column_of_its_own FROM range(12345)")
    lines = ended.out.splitlines()
    assert len(lines) == 2 + 40
    assert lines[-1] == "39  " + "x" * 39 + "…"
    assert ended.err.endswith("\n(40 of 12,345 rows and 2 of 3 columns; a pipe, --csv, --json and --parquet get all)\n")
    assert query("SELECT 1 AS n").err == SIMULATED


def test_csv_and_json_hold_the_same(query: Query) -> None:
    sql = (
        "SELECT neo_id, close_approach_at, close_approach_date, is_predicted, miss_distance_au FROM approaches LIMIT 2"
    )
    assert [*csv.reader(io.StringIO(query(sql, "--csv").out))] == [
        ["neo_id", "close_approach_at", "close_approach_date", "is_predicted", "miss_distance_au"],
        ["2", "2001-02-03 00:00:00", "2001-02-03", "false", "0.1"],
        ["2", "2001-02-04 00:00:00", "2001-02-04", "false", "0.3"],
    ]
    assert json.loads(query(sql, "--json").out.splitlines()[0]) == {
        "neo_id": "2",
        "close_approach_at": "2001-02-03T00:00:00",
        "close_approach_date": "2001-02-03",
        "is_predicted": False,
        "miss_distance_au": 0.1,
    }


def test_csv_quotes_and_leaves_nulls_empty(query: Query) -> None:
    assert query("""SELECT 'a,"b' AS a, NULL AS b, 'c' AS c""", "--csv").out == 'a,b,c\n"a,""b",,c\n'


def test_json_refuses_columns_of_the_same_name(query: Query) -> None:
    sql = "SELECT n.name, a.name, a.neo_id FROM neos AS n JOIN approaches AS a ON a.neo_id = n.id LIMIT 1"
    ended = query(sql, "--json")
    said = "Error: several columns have the name name: give each an alias, as in n.id AS neo_id\n"
    assert (ended.code, ended.out, ended.err) == (1, "", SIMULATED + said)
    assert query(sql.replace("a.name", "a.name AS of_approach"), "--json").code == 0
    assert query(sql, "--csv").out.startswith("name,name,neo_id\n")


def test_json_has_numbers_and_no_nan(query: Query) -> None:
    ended = query(
        "SELECT CAST(1.5 AS DECIMAL(4,2)) AS d, CAST('nan' AS DOUBLE) AS n, sum(2) AS s, [1, 2] AS l", "--json"
    )
    assert json.loads(ended.out) == {"d": 1.5, "n": None, "s": 2, "l": [1, 2]}


def test_parquet_names_its_source(query: Query, tmp_path: Path) -> None:
    ended = query("FROM neos", "--parquet", str(tmp_path / "neos.parquet"))
    found = pq.read_table(tmp_path / "neos.parquet")
    assert (found.num_rows, tables.fact(found, "source")) == (4, "simulator")
    assert (ended.out, ended.err) == ("", f"{SIMULATED}{tmp_path}/neos.parquet: 4 rows\n")
    refused = query("FROM neos", "--parquet", str(tmp_path / "no" / "neos.parquet"))
    assert refused.code == 1
    assert refused.err.count("\n") == 2
    assert "neos.parquet cannot be written: " in refused.err


def test_a_query_can_come_from_standard_input(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SELECT count(*) AS n\nFROM neos;\n")))
    assert query("-", "--csv").out == "n\n4\n"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM neo", 'Catalog Error: Table with name neo does not exist! Did you mean "neos"?'),
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
        ("SELECT CAST('x' AS INTEGER)", "Conversion Error: Could not convert string 'x' to INT32"),
        ("DROP TABLE neos", "only a query that reads is allowed: SELECT, FROM, WITH, DESCRIBE, SHOW, EXPLAIN"),
        ("COPY neos TO 'neos.csv'", "only a query that reads is allowed: SELECT, FROM, WITH, DESCRIBE, SHOW, EXPLAIN"),
        ("ATTACH 'other.duckdb'", "only a query that reads is allowed: SELECT, FROM, WITH, DESCRIBE, SHOW, EXPLAIN"),
        ("SELECT 1; DROP TABLE neos", "give one statement, such as SELECT * FROM neos, not 2"),
        ("", "give one statement, such as SELECT * FROM neos, not none"),
    ],
)
def test_a_wrong_query_is_one_clear_line(query: Query, sql: str, said: str) -> None:
    ended = query(sql)
    assert (ended.code, ended.out, ended.err) == (1, "", f"{SIMULATED}Error: {said}\n")


@pytest.mark.parametrize("sql", ["DESCRIBE neos", "SHOW TABLES", "EXPLAIN FROM neos", "WITH a AS (FROM neos) FROM a"])
def test_whatever_only_reads_is_allowed(query: Query, sql: str) -> None:
    assert query(sql).code == 0


def test_csv_and_parquet_do_not_go_together(query: Query, tmp_path: Path) -> None:
    ended = query("FROM neos", "--csv", "--parquet", str(tmp_path / "a"))
    assert ended.code == 2
    assert "--csv and --parquet do not go together" in ended.err


@disk_and_s3
def test_the_database_is_made_first_if_it_is_not_up_to_date(neo: Callable[..., Ended], lake: Storage) -> None:
    query = querying(neo, fill(lake))
    making = f"Making {lake.root}/products/neo.duckdb ...\n"
    count: Any = ("SELECT count(*) AS n FROM neos", "--csv")
    assert query(*count).err == making + SIMULATED
    assert query(*count).err == SIMULATED
    lake.write("products/neo.duckdb", b"damaged")
    ended = query(*count)
    assert (ended.out, ended.err) == ("n\n4\n", making + SIMULATED)


def test_the_last_database_is_used_while_page_sets_are_gathered(neo: Callable[..., Ended], lake: Storage) -> None:
    make(fill(lake))
    query = querying(neo, lake)
    gather(lake, SECOND, [examples.page(examples.neo("4"), number=1, hours=2)])
    ended = query("SELECT count(*) AS n FROM neos", "--csv")
    assert (ended.code, ended.out) == (0, "n\n4\n")
    made_at = index.read(lake)["neo.duckdb"].made_at
    assert ended.err.startswith(f"This is the database of {made_at:%Y-%m-%d %H:%M} UTC; no newer one can be made: ")
    total(lake, KEYS)
    assert query("SELECT count(*) AS n FROM neos", "--csv").out == "n\n3\n"


def test_nasas_data_need_no_mark(neo: Callable[..., Ended], lake: Storage) -> None:
    make(fill(lake, "nasa"))
    assert querying(neo, lake)("SELECT 1").err == ""


def test_an_empty_lake_says_what_to_run(neo: Callable[..., Ended], lake: Storage) -> None:
    ended = querying(neo, lake)("SELECT 1")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert "is missing: run `neo run`" in ended.err
