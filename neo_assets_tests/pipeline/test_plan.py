"""What a refresh would cost: pages to fetch, when the budget lets the last request out, what healing would add."""

import json
import time

import pytest

from neo_assets.cli import main as cli
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.plan import Plan, make_plan
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import disk_and_s3


@pytest.fixture(autouse=True)
def _lake(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake of each test, as a user sets it."""
    monkeypatch.setenv("NEO_LAKE", lake.root)


def plan() -> Plan:
    settings = Settings.load()
    return make_plan(settings, Storage(settings.lake), DuckDB(), NeoWs(settings))


def test_an_empty_lake_needs_every_page() -> None:
    made = plan()
    assert (made.pages, made.page_sets, made.pages_reused, made.pages_to_fetch) == (10, 5, 0, 10)
    assert made.verdict == "incomplete"
    assert made.pages_to_heal == [], "what is fetched anyway is not to be healed"


@disk_and_s3
def test_what_was_gathered_is_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO_PAGES", "2")
    cli.neo(["run"], standalone_mode=False)
    monkeypatch.setenv("NEO_PAGES", "3")
    made = plan()
    assert (made.pages_reused, made.pages_to_fetch) == (2, 1)


def test_the_budget_tells_when_the_last_request_can_go_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASA_API_KEYS", "one-key-0123456789,another-key-0123456789")
    monkeypatch.setenv("NEO_PAGES", "30")
    monkeypatch.setenv("NEO_REQUESTS_PER_HOUR", "10")
    assert made_in(plan()) == pytest.approx(3610, abs=20), "20 in this hour, 10 in the next"
    assert made_in(plan()) == pytest.approx(3610, abs=20), "looking spends nothing"


def made_in(made: Plan) -> float:
    return made.done_at.timestamp() - time.time()


def test_neo_plan_prints_it_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    cli.neo(["plan"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "To fetch      10 pages, one request each" in printed
    assert "incomplete, page sets missing: 5" in printed
    cli.neo(["plan", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["pages_to_fetch"] == 10
