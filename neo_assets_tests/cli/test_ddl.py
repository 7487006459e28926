"""`neo ddl`: the statements go to standard output alone, and can be piped."""

from collections.abc import Callable

import duckdb
import pytest

from neo_assets.cli.ddl import ddl
from neo_assets.lake.storage import Storage
from neo_assets.products.ddl import ENGINES
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.products.by_hand import fill


def test_what_is_printed_runs_as_it_is(neo: Callable[..., Ended], lake: Storage) -> None:
    ended = neo("ddl", "duckdb", "--schema", "asteroids", NEO_LAKE=fill(lake).root)
    assert (ended.code, ended.err) == (0, "")
    with duckdb.connect() as connection:
        connection.execute(ended.out)
        assert connection.execute("SELECT count(*) FROM asteroids.close_approaches").fetchall() == [(8,)]


def test_help_names_every_engine() -> None:
    assert list(ddl.params[0].type.choices) == list(ENGINES)  # type: ignore[attr-defined]  # of click.Choice


def test_athena_on_a_local_lake_is_one_clear_line(neo: Callable[..., Ended], lake: Storage) -> None:
    ended = neo("ddl", "athena", NEO_LAKE=fill(lake).root)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"Error: Athena reads S3 only, and the lake is {lake.root}: set NEO_LAKE to s3://bucket/prefix\n"
    )


@pytest.mark.parametrize("schema", ["a b", "x;drop", "", 'a"b', "Neo", "1a"])
def test_a_schema_that_is_no_plain_name_is_refused(neo: Callable[..., Ended], schema: str) -> None:
    ended = neo("ddl", "duckdb", "--schema", schema)
    assert (ended.code, ended.out) == (2, "")
    assert f"--schema {schema} is not allowed: give lower-case letters" in ended.err
