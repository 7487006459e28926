"""The database of requests: whoever asks is told in one line if it is gone, damaged or busy."""

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from neo_assets.lake.storage import Storage
from neo_assets.products.requests import FILE, SCHEMA, Requests
from neo_assets.products.requests_database import RequestsDatabase, RequestsUnusable
from neo_assets_tests.integration.harness import nobody_at
from neo_assets_tests.postgres_server import PASSWORD, PostgresServer
from neo_assets_tests.products.test_requests import LAKE, order
from neo_assets_tests.settings import settings_of


def test_a_server_that_is_gone_is_told_in_one_line_without_the_password() -> None:
    with nobody_at() as nobody:
        url = SecretStr(f"postgresql://ada:{PASSWORD}@{nobody}/neo")
        with (
            Requests.of(settings_of(postgres_url=url), Storage(LAKE)) as requests,
            pytest.raises(RequestsUnusable) as told,
        ):
            requests.order(order())
    assert f"the requests in {nobody}/neo cannot be used (" in str(told.value)
    assert PASSWORD not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with (
        Requests.of(settings_of(dagster_home=tmp_path), Storage(LAKE)) as requests,
        pytest.raises(RequestsUnusable, match="file is not a database"),
    ):
        requests.those()


def test_a_file_that_is_locked_is_waited_for_as_long_as_is_said(tmp_path: Path) -> None:
    with Requests.of(settings_of(dagster_home=tmp_path), Storage(LAKE), patience_s=0.3) as requests:
        requests.order(order())
        with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as other:
            other.execute("BEGIN EXCLUSIVE")
            _is_given_up(requests, "another process keeps it locked: try again")
        assert requests.those()


@pytest.mark.parametrize("query", ["", "?options=-c%20application_name%3Dmine"])
def test_a_server_that_does_not_answer_is_waited_for_as_long_as_is_said(
    postgres_server: PostgresServer, query: str
) -> None:
    url = postgres_server.new_database()
    settings = settings_of(postgres_url=SecretStr(url + query))
    with Requests.of(settings, Storage(LAKE), patience_s=0.3) as requests:
        requests.order(order())
        other = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
        with contextlib.closing(other.connect()) as connection:
            connection.exec_driver_sql(f"LOCK TABLE {SCHEMA}.requests IN ACCESS EXCLUSIVE MODE")
            _is_given_up(requests, "timeout")
            [[name]] = connection.exec_driver_sql(
                "SELECT max(application_name) FROM pg_stat_activity WHERE datname = current_database()"
            )
            assert name == ("mine" if query else ""), "what the URL says counts too"
        other.dispose()
        assert requests.those()


def test_that_no_connection_is_free_is_told_in_one_line(tmp_path: Path) -> None:
    url = sa.URL.create("sqlite", database=str(tmp_path / FILE))
    database = RequestsDatabase(url, sa.Table("numbers", sa.MetaData(), sa.Column("n", sa.Integer)), patience_s=0.1)
    with contextlib.ExitStack() as held:

        def hold_all() -> None:
            while True:
                with database.explained():
                    held.enter_context(database.engine.connect())

        with pytest.raises(RequestsUnusable, match="QueuePool limit") as told:
            hold_all()
        assert "\n" not in str(told.value)
    database.engine.dispose()


def _is_given_up(requests: Requests, said: str) -> None:
    begun = time.monotonic()
    with pytest.raises(RequestsUnusable, match=said):
        requests.those()
    assert time.monotonic() - begun < 10
