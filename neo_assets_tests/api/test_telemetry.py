"""`/metrics`: what it says of the lake, of the budget and of the snapshot, and that it answers whatever happens."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as metrics_of
from pydantic import SecretStr

from neo_assets.api import snapshots, state
from neo_assets.api.app import create_app
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.pipeline import incidents
from neo_assets.pipeline.incidents import Incident, Kind
from neo_assets.settings import Settings
from neo_assets.sources.neows.budget import Budget
from neo_assets_tests.integration.harness import PATIENCE_S, serving
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products

KEYS = ["planted-key-0123456789", "another-planted-key-0123456789"]

Values = dict[str, float]
Scrape = Callable[[], Values]


@pytest.fixture
def lake(tmp_path: Path) -> Storage:
    return with_products(tmp_path, fill_from_simulator)


@pytest.fixture
def client(lake: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr(snapshots, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(state, "_READ_EVERY_S", 0.0)
    settings = Settings(pages=2, pages_per_set=1, lake=lake.root, ledger=tmp_path / "ledger.sqlite")
    settings = settings.model_copy(update={"nasa_api_keys": tuple(map(SecretStr, KEYS))})
    with (
        serving(create_app(settings, lake=lake)) as url,
        httpx.Client(base_url=httpx.URL(url).join("/"), timeout=PATIENCE_S) as client,
    ):
        yield client


@pytest.fixture
def scrape(client: httpx.Client) -> Scrape:
    """Each sample without labels by its name, others by name and the values of their labels."""

    def scrape() -> Values:
        families = metrics_of(client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        return {" ".join([one.name, *one.labels.values()]): one.value for one in samples}

    return scrape


def test_it_says_what_the_lake_shows(scrape: Scrape) -> None:
    found = scrape()
    expected = {
        "neo_up": 1,
        "neo_pages_asked": 2,
        "neo_pages_stored": 2,
        "neo_pages_fresh": 2,
        "neo_page_sets_asked": 2,
        "neo_page_sets_done": 2,
        "neo_api_degraded": 0,
        "neo_snapshot_verdict consistent": 1,
        "neo_snapshot_verdict drifted": 0,
        "neo_snapshot_verdict incomplete": 0,
        "neo_records_quarantined": 0,
        "neo_checks_failed": 0,
        "neo_runs failed": 0,
        "neo_incidents_open check failed": 0,
    }
    assert {name: found[name] for name in expected} == expected
    assert 0 <= found["neo_newest_page_age_seconds"] <= found["neo_oldest_page_age_seconds"] < PATIENCE_S
    assert 0 <= time.time() - found["neo_snapshot_taken_up_timestamp_seconds"] < PATIENCE_S


def test_a_key_is_named_by_its_number(client: httpx.Client, scrape: Scrape, tmp_path: Path) -> None:
    budget = Budget(tmp_path / "ledger.sqlite", "api.nasa.gov:443", KEYS, 1000, 1e6)
    for _ in range(3):
        budget.reserve(without=KEYS[:1])
    budget.refuse(KEYS[1])
    budget.close()
    found = scrape()
    assert {name: value for name, value in found.items() if name.startswith("neo_budget_requests")} == {
        "neo_budget_requests_left 1": 1000,
        "neo_budget_requests_left 2": 997,
        "neo_budget_requests_used 1": 0,
        "neo_budget_requests_used 2": 3,
    }
    assert (found["neo_budget_key_refused 1"], found["neo_budget_key_refused 2"]) == (0, 1)
    assert "planted" not in client.get("/metrics").text


def test_open_incidents_are_counted_by_kind(scrape: Scrape, lake: Storage) -> None:
    failed = [Incident(Kind.CHECK, f"check {number}", "it fails", datetime.now(UTC)) for number in range(2)]
    incidents.write(lake, incidents.State(tuple(failed)))
    found = scrape()
    assert (found["neo_incidents_open check failed"], found["neo_checks_failed"]) == (2, 2)


def test_a_lake_that_cannot_be_read_is_told_and_the_rest_is_as_it_was(scrape: Scrape, lake: Storage) -> None:
    before = scrape()
    pages = Path(lake.location(layout.RAW_PAGES))
    aside = pages.rename(pages.with_name("aside"))
    pages.write_text("a file where a directory was")
    after = scrape()
    assert (before["neo_up"], after["neo_up"]) == (1, 0)
    assert after["neo_pages_stored"] == before["neo_pages_stored"] == 2
    pages.unlink()
    aside.rename(pages)
    assert scrape()["neo_up"] == 1


def test_an_error_that_nobody_expects_is_no_error_of_the_scrape(
    scrape: Scrape, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(state.StateReader, "read", broken)
    found = scrape()
    assert found["neo_up"] == 0
    assert "neo_pages_stored" not in found
    assert "ZeroDivisionError" in caplog.text


def test_it_is_open_metrics_for_those_who_accept_that(client: httpx.Client) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in open_metrics(answer.text)}
    assert (families["neo_snapshot"], families["neo_api_request_duration_seconds"]) == ("info", "histogram")
    plain = client.get("/metrics", headers={"Accept": "*/*"})
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {answer.headers["Cache-Control"], plain.headers["Cache-Control"]} == {"no-store"}


def test_scrapes_read_the_lake_once_in_two_seconds(
    client: httpx.Client, lake: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/metrics")
    monkeypatch.setattr(state, "_READ_EVERY_S", PATIENCE_S)
    Path(lake.location(layout.raw_page(0))).unlink()
    for _ in range(20):
        assert "\nneo_pages_stored 2.0\n" in client.get("/metrics").text
    monkeypatch.setattr(state, "_READ_EVERY_S", 0.0)
    assert "\nneo_pages_stored 1.0\n" in client.get("/metrics").text
