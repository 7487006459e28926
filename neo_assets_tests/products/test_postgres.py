"""What is published to PostgreSQL is what the lake holds; readers never see anything but one whole snapshot."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from adbc_driver_manager import Error
from adbc_driver_postgresql import dbapi
from pydantic import SecretStr

from neo_assets.lake.storage import Storage
from neo_assets.products.dictionary import Dictionary
from neo_assets.products.postgres import Postgres, PostgresError
from neo_assets.products.views import views
from neo_assets.settings import SettingsError
from neo_assets_tests.pipeline.by_hand import METRICS, gather, total
from neo_assets_tests.postgres_server import PASSWORD, PostgresServer, run
from neo_assets_tests.products.by_hand import KEYS, SECOND, contents, fill, rows
from neo_assets_tests.products.by_hand import make as make_database
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows.examples import approach, neo, page

WHOLE = Dictionary(METRICS.every_total)
COUNTS = (
    "SELECT (SELECT neos FROM neo.snapshot), (SELECT count(*) FROM neo.neos), "
    "(SELECT close_approaches FROM neo.snapshot), (SELECT count(*) FROM neo.close_approaches), "
    "(SELECT sum(approaches)::bigint FROM neo.total_yearly_approaches)"
)


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database()


def another(lake: Storage, source: str = "simulator") -> Storage:
    """A lake with one NEO more, and fewer approaches."""
    fill(lake, source)
    gather(lake, SECOND, [page(neo("3"), neo("4"), neo("10", approach()), number=1, hours=2)])
    total(lake, KEYS)
    return lake


def test_the_tables_and_views_hold_what_those_of_duckdb_hold(url: str, lake: Storage) -> None:
    make_database(fill(lake))
    made = Postgres(url).publish(contents(lake))
    assert made.is_new
    assert (made.rows["neos"], made.rows["close_approaches"]) == (4, 6)
    for name in (*(name for name in WHOLE.tables if name != "dictionary"), *views()):
        columns = [column for (column,) in rows(lake, f"SELECT column_name FROM (DESCRIBE {name})")]
        here = run(
            url,
            f"SELECT attname FROM pg_attribute WHERE attrelid = 'neo.{name}'::regclass AND attnum > 0 ORDER BY attnum",
        )
        assert [column for (column,) in here] == columns
        count = f"SELECT count(*) FROM {{}}{name}"
        assert run(url, count.format("neo.")) == rows(lake, count.format("")), name
    exact = "SELECT id, semi_major_axis_au, absolute_magnitude_h, first_observation_date FROM {}neos ORDER BY id"
    assert run(url, exact.format("neo.")) == rows(lake, exact.format(""))
    exact = "SELECT neo_id, miss_distance_km, relative_velocity_km_s, orbiting_body FROM {}approaches ORDER BY 1, 2, 3"
    assert run(url, exact.format("neo.")) == rows(lake, exact.format(""))
    at = "SELECT {} FROM {}close_approaches ORDER BY close_approach_at, neo_id, orbiting_body"
    here = run(url, at.format("close_approach_at AT TIME ZONE 'UTC'", "neo."))
    assert here == rows(lake, at.format("close_approach_at", ""))


def test_every_relation_and_column_says_what_it_is(url: str, lake: Storage) -> None:
    Postgres(url).publish(contents(fill(lake)))
    described = run(
        url,
        "SELECT c.relname, a.attname, col_description(c.oid, a.attnum), d.meaning, d.type "
        "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "LEFT JOIN neo.dictionary d ON d.table_name = c.relname AND d.column_name = a.attname "
        "WHERE c.relnamespace = 'neo'::regnamespace AND c.relkind IN ('r', 'v')",
    )
    assert {relation for relation, *_ in described} == {*WHOLE.tables, *views()}
    for relation, column, comment, meaning, kind in described:
        expected = WHOLE.meaning_of(relation, column)
        assert meaning == expected.description
        assert comment.endswith(
            f" Unit: {expected.unit}." if expected.unit else meaning[-10:].replace("DuckDB", "PostgreSQL")
        )
        assert kind
    [(about,)] = run(url, "SELECT obj_description('neo.neos'::regclass)")
    assert about == f"Simulated data: the objects are made up. {WHOLE.description_of('neos')}"


def test_the_same_snapshot_is_not_written_again(url: str, lake: Storage) -> None:
    Postgres(url).publish(contents(fill(lake)))
    written = "SELECT xmin::text, count(*) FROM neo.neos GROUP BY 1"
    before = run(url, written)
    again = Postgres(url).publish(contents(lake))
    assert (again.is_new, again.rows["neos"]) == (False, 4)
    assert run(url, written) == before


def test_a_view_of_somebody_else_survives_a_new_snapshot(url: str, lake: Storage, tmp_path: Path) -> None:
    Postgres(url).publish(contents(fill(lake)))
    run(url, "CREATE VIEW public.mine AS SELECT count(*) AS neos FROM neo.neos")
    assert Postgres(url).publish(contents(another(Storage(str(tmp_path / "another"))))).is_new
    assert run(url, "SELECT neos FROM public.mine") == [(5,)]


@contextmanager
def reading(url: str, found: set[tuple[int, ...]], failed: list[BaseException]) -> Iterator[None]:
    """Readers in a loop: one with a statement at a time, one with two in a transaction of one state."""
    stop = threading.Event()

    def one_statement() -> None:
        with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                found.update(map(tuple, cursor.execute(COUNTS).fetchall()))

    def one_transaction() -> None:
        with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                first = cursor.execute("SELECT neos, close_approaches FROM neo.snapshot").fetchall()
                stop.wait(0.01)
                second = cursor.execute(
                    "SELECT (SELECT count(*) FROM neo.neos), (SELECT count(*) FROM neo.close_approaches)"
                ).fetchall()
                cursor.execute("COMMIT")
                assert first == second

    def watched(read: Callable[[], None]) -> None:
        try:
            read()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=watched, args=(read,)) for read in (one_statement, one_transaction)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_readers_see_one_whole_snapshot_at_any_time(url: str, lake: Storage, tmp_path: Path) -> None:
    first, second = contents(fill(lake)), contents(another(Storage(str(tmp_path / "another"))))
    postgres, found, failed = Postgres(url), set[tuple[int, ...]](), list[BaseException]()
    postgres.publish(first)
    with reading(url, found, failed):
        for _ in range(10):
            assert postgres.publish(second).is_new
            assert postgres.publish(first).is_new
    assert failed == []
    assert found == {(4, 4, 6, 6, 6), (5, 5, 4, 4, 4)}


def test_readers_read_on_while_tables_are_made_anew(url: str, lake: Storage, tmp_path: Path) -> None:
    """Comments differ between simulated and real data, so the tables are not the same ones."""
    first, second = contents(fill(lake)), contents(another(Storage(str(tmp_path / "another")), "nasa"))
    postgres, found, failed = Postgres(url), set[tuple[int, ...]](), list[BaseException]()
    postgres.publish(first)
    with reading(url, found, failed):
        for _ in range(3):
            postgres.publish(second)
            postgres.publish(first)
    assert failed == []
    assert found == {(4, 4, 6, 6, 6), (5, 5, 4, 4, 4)}


def test_what_fails_midway_leaves_the_former_snapshot(url: str, lake: Storage, tmp_path: Path) -> None:
    postgres = Postgres(url)
    postgres.publish(contents(fill(lake)))
    run(url, "ALTER TABLE neo.snapshot ADD CONSTRAINT four CHECK (neos = 4)")  # the table that is filled last
    with pytest.raises(PostgresError, match='violates check constraint "four"') as refused:
        postgres.publish(contents(another(Storage(str(tmp_path / "another")))))
    assert not refused.value.retryable
    assert run(url, COUNTS) == [(4, 4, 6, 6, 6)]


def test_a_reader_may_read_and_nothing_else(postgres_server: PostgresServer, url: str, lake: Storage) -> None:
    assert Postgres(url).publish(contents(fill(lake))).has_reader
    run(url, "CREATE ROLE bi LOGIN PASSWORD 'bi'", "GRANT neo_reader TO bi")
    as_bi = postgres_server.url(url.rpartition("/")[2], "bi", "bi")
    for name in (*WHOLE.tables, *views()):
        run(as_bi, f"SELECT * FROM neo.{name} LIMIT 1")
    for forbidden in (
        "DELETE FROM neo.neos",
        "UPDATE neo.snapshot SET neos = 0",
        "INSERT INTO neo.dictionary DEFAULT VALUES",
        "TRUNCATE neo.neos",
        "CREATE TABLE neo.mine (x int)",
    ):
        with pytest.raises(Error, match="permission denied"):
            run(as_bi, forbidden)


def test_a_user_who_may_not_create_roles_publishes_all_the_same(postgres_server: PostgresServer, lake: Storage) -> None:
    url = postgres_server.new_database()
    database = url.rpartition("/")[2]
    run(
        url,
        "CREATE ROLE owner LOGIN PASSWORD 'x'",
        f"GRANT CREATE ON DATABASE {database} TO owner",
    )
    if run(url, "SELECT 1 FROM pg_roles WHERE rolname = 'neo_reader'"):
        run(url, "ALTER ROLE neo_reader RENAME TO former")  # roles belong to the server, not to a database
    made = Postgres(postgres_server.url(database, "owner", "x")).publish(contents(fill(lake)))
    assert (made.is_new, made.has_reader) == (True, False)


def test_a_schema_of_somebody_else_is_left_alone(url: str, lake: Storage) -> None:
    run(url, "CREATE SCHEMA neo", "CREATE TABLE neo.neos (theirs int)")
    with pytest.raises(PostgresError, match="holds tables that neo_assets did not make: rename it, or set"):
        Postgres(url).publish(contents(fill(lake)))
    assert run(url, "SELECT count(theirs) FROM neo.neos") == [(0,)]


def test_an_unreachable_server_is_one_line_without_the_password(postgres_server: PostgresServer, lake: Storage) -> None:
    for url, retryable in (
        (f"postgresql://admin:{PASSWORD}@127.0.0.1:9/neo", True),
        (postgres_server.url(password="wrong-secret"), True),
    ):
        with pytest.raises(PostgresError) as error:
            Postgres(url).publish(contents(fill(lake)))
        assert error.value.retryable == retryable
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)
        assert str(error.value).startswith("PostgreSQL at 127.0.0.1:")


def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Postgres.of(settings_of()) is None
    with_url = settings_of(postgres_url=SecretStr("postgresql://db.example.org/neo"))
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(
        SettingsError, match=r"^NEO_POSTGRES_URL needs .*: run `.venv/bin/pip install -e '.\[postgres\]'`"
    ):
        Postgres.of(with_url)
