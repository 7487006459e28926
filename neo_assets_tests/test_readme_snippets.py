"""The lines of Python in the README load the products, on disk and on S3, with each library that is installed."""

import importlib
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.conftest import Lakes
from neo_assets_tests.products.by_hand import fill, make

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| \w+ \| `((?:duckdb|pandas|polars|pyarrow)\..+?)`", README, re.MULTILINE)
ON_DISK = [line for line in LINES if '"data/lake/' in line]
ON_S3 = [line for line in LINES if "s3://bucket/prefix/" in line]


def library(line: str) -> str:
    return line.partition(".")[0]


def run(line: str) -> Any:
    """The value of a line, once its library is imported."""
    pytest.importorskip(library(line))
    if library(line) == "pyarrow":
        importlib.import_module("pyarrow.parquet")
    return eval(line, {library(line): importlib.import_module(library(line))})


def test_there_is_a_line_for_each_library_and_place() -> None:
    assert [*map(library, ON_DISK)] == [*map(library, ON_S3)] == ["duckdb", "pandas", "polars", "pyarrow"]
    assert len(LINES) == len(ON_DISK) + len(ON_S3)


@pytest.mark.parametrize("line", ON_DISK, ids=library)
def test_a_line_loads_from_disk(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    make(fill(Storage("data/lake")))
    loaded = run(line)
    if library(line) == "duckdb":
        assert "(10 XY)" in capsys.readouterr().out
    else:
        assert list(map(str, loaded["id"])) == ["1", "10", "2", "3"]


@pytest.mark.parametrize("lake_kind", [pytest.param("s3", marks=pytest.mark.s3)], indirect=True)
@pytest.mark.parametrize("line", ON_S3, ids=library)
def test_a_line_loads_from_s3(line: str, lakes: Lakes, monkeypatch: pytest.MonkeyPatch) -> None:
    if library(line) == "duckdb":
        try:
            duckdb.sql("LOAD httpfs")
        except duckdb.Error:
            pytest.skip("DuckDB's extension for S3 is not installed")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")  # polars refuses a server without TLS otherwise
    lake = fill(lakes.new())
    make(lake)
    loaded = run(line.replace("s3://bucket/prefix", lake.root))
    if library(line) != "duckdb":
        assert len(loaded) == 4
