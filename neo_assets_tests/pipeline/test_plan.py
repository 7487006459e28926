"""The plan of a refresh: pages to fetch, when the budget allows the last request, what healing would add."""

import json
import time

import pytest

from neo_assets.cli import main as cli
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.plan import Plan, make_plan
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS


@pytest.fixture(autouse=True)
def _lake(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point NEO_LAKE to the lake of the test."""
    monkeypatch.setenv("NEO_LAKE", lake.root)


def plan() -> Plan:
    settings = Settings.load()
    return make_plan(settings, Storage(settings.lake), METRICS, NeoWs(settings))


def test_an_empty_lake_needs_every_page() -> None:
    made = plan()
    assert (made.pages, made.page_sets, made.pages_reused, made.pages_to_fetch) == (10, 5, 0, 10)
    assert made.verdict == "incomplete"
    assert made.pages_to_heal == [], "pages fetched anyway need no healing"


@pytest.mark.slow
@disk_and_s3
def test_stored_pages_are_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO_PAGES", "2")
    cli.neo(["run"], standalone_mode=False)
    monkeypatch.setenv("NEO_PAGES", "3")
    made = plan()
    assert (made.pages_reused, made.pages_to_fetch) == (2, 1)


def test_the_plan_ends_when_the_budget_allows_the_last_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASA_API_KEYS", "one-key-0123456789,another-key-0123456789")
    monkeypatch.setenv("NEO_PAGES", "30")
    monkeypatch.setenv("NEO_REQUESTS_PER_HOUR", "10")
    assert seconds_until_done(plan()) == pytest.approx(3610, abs=20), "20 in this hour, 10 in the next"
    assert seconds_until_done(plan()) == pytest.approx(3610, abs=20), "planning spends nothing"


def seconds_until_done(made: Plan) -> float:
    return made.done_at.timestamp() - time.time()


def test_neo_plan_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    cli.neo(["plan"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "To fetch      10 pages, one request each" in printed
    assert "incomplete, page sets missing: 5" in printed
    cli.neo(["plan", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["pages_to_fetch"] == 10
