"""`neo report`: prints where the page is, makes it only if needed, and says what is missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products import index
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import gather
from neo_assets_tests.products.by_hand import SECOND, fill
from neo_assets_tests.sources.neows.examples import neo as one
from neo_assets_tests.sources.neows.examples import page

Neo = Callable[..., Ended]

SIMULATED = "The data are simulated: the objects are made up. Set NASA_API_KEYS for NASA's.\n"


@pytest.fixture
def lake(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setenv("NEO_LAKE", lake.root)
    monkeypatch.setenv("NEO_PAGES", "2")
    monkeypatch.setenv("NEO_PAGES_PER_SET", "1")
    return lake


@disk_and_s3
def test_the_path_alone_goes_to_standard_output(lake: Storage, neo: Neo) -> None:
    fill(lake)
    path = f"{lake.root}/products/report.html"
    ended = neo("report")
    assert (ended.code, ended.out) == (0, f"{path}\n")
    made = index.read(lake)
    charts, kb = made["report.html"].rows, f"{made['report.html'].bytes / 1000:,.0f} kB"
    said = f"{charts} charts, {kb}. Beside it, report.csv: 4 NEOs, 1 kB.\n{SIMULATED}"
    database = f"Making {lake.root}/products/neo.duckdb ...\n"
    assert ended.err == f"{database}Making {path} ...\n{said}"
    assert neo("report") == Ended(0, f"{path}\n", said), "nothing is made again"
    assert index.read(lake) == made


def test_nasas_data_are_not_marked(lake: Storage, neo: Neo) -> None:
    fill(lake, "nasa")
    assert "imulated" not in neo("report").err


def test_while_page_sets_are_gathered_the_report_is_that_of_the_stored_database(lake: Storage, neo: Neo) -> None:
    fill(lake)
    neo("report")
    before = index.read(lake)
    gather(lake, SECOND, [page(one("4"), number=1, hours=2)])
    ended = neo("report")
    assert ended.code == 0
    assert "no newer one can be made" in ended.err
    assert index.read(lake) == before


def test_an_empty_lake_is_an_error_that_names_the_way_out(lake: Storage, neo: Neo) -> None:
    ended = neo("report")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("Error: ")
    assert "`neo run`" in ended.err
    assert not (Path(lake.root) / "products").exists()
