"""The report in a browser: a headless Chromium shows all of it, asks for nothing else, at the width of a phone too."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products import report
from neo_assets_tests.integration.test_ui import IN_CHROMIUM, browser_page
from neo_assets_tests.products.by_hand import fill, fill_from_simulator, make

try:
    from playwright.sync_api import Page, expect
except ModuleNotFoundError:
    pytest.skip("needs Playwright: make setup-dev", allow_module_level=True)

pytestmark = IN_CHROMIUM

BANNER = "Simulated data."


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser_page(tmp_path_factory.mktemp("browser")) as page:
        yield page


def stored(lake: Storage) -> str:
    """The address of the report, made from the lake."""
    make(lake)
    report.make(lake, datetime.now(UTC).date())
    return (Path(lake.root) / "products/report.html").as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return stored(fill_from_simulator(Storage(str(tmp_path_factory.mktemp("report") / "lake"))))


def test_it_asks_for_nothing_and_reports_no_error(browser: Page, address: str) -> None:
    requested, wrong = list[str](), list[str]()
    browser.on("request", lambda request: requested.append(request.url))
    browser.on("console", lambda message: wrong.append(message.text))
    browser.on("pageerror", lambda error: wrong.append(str(error)))
    browser.goto(address)
    for summary in browser.locator("summary").all():
        summary.click()
    assert (requested, wrong) == ([address], [])


def test_every_chart_is_seen_and_has_words_for_those_who_cannot_see_it(browser: Page, address: str) -> None:
    browser.goto(address)
    charts = browser.get_by_role("img").all()
    assert len(charts) >= 8
    for chart in charts:
        box = chart.bounding_box()
        assert box
        assert box["width"] > 300
        assert box["height"] > 100
        expect(chart).to_have_accessible_name(chart.get_attribute("aria-label") or "?")
    named = browser.get_by_role("img", name="NEOs by size. Largest class: 1 km and larger, with")
    expect(named).to_be_visible()


def test_the_table_beside_a_chart_opens_with_its_sql(browser: Page, address: str) -> None:
    browser.goto(address)
    figure = browser.locator("#by_size")
    expect(figure.get_by_role("table")).to_be_hidden()
    figure.get_by_text("Table (", exact=False).first.click()
    expect(figure.get_by_role("columnheader", name="Size class from H")).to_be_visible()
    figure.get_by_text("SQL", exact=True).click()
    expect(figure.get_by_text("FROM by_size").first).to_be_visible()


def test_verdict_and_banner_come_before_all_charts(browser: Page, address: str) -> None:
    browser.goto(address)
    verdict = browser.get_by_role("heading", name="The snapshot is")
    banner = browser.get_by_role("note")
    expect(banner).to_contain_text(BANNER)
    first = browser.get_by_role("img").first.bounding_box()
    for shown in (verdict.bounding_box(), banner.bounding_box()):
        assert shown
        assert first
        assert shown["y"] < first["y"]


def test_nasas_data_have_no_banner(browser: Page, tmp_path: Path) -> None:
    browser.goto(stored(fill(Storage(str(tmp_path / "lake")), "nasa")))
    expect(browser.get_by_role("heading", name="The snapshot is")).to_be_visible()
    expect(browser.get_by_text(BANNER)).to_have_count(0)


def test_a_phone_shows_it_without_scrolling_sideways(browser: Page, address: str) -> None:
    before = browser.viewport_size
    browser.set_viewport_size({"width": 360, "height": 740})
    try:
        browser.goto(address)
        for summary in browser.locator("summary").all():
            summary.click()
        assert browser.evaluate("document.documentElement.scrollWidth") == 360
    finally:
        assert before
        browser.set_viewport_size(before)
