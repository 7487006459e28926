"""The page at `/` in a browser: a headless Chromium reads it as people do who see it, who use a keyboard, a screen
reader or a phone.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from neo_assets.api.app import create_app
from neo_assets.lake.storage import Storage
from neo_assets.products import report
from neo_assets.settings import Settings
from neo_assets_tests.integration.harness import serving
from neo_assets_tests.integration.test_ui import IN_CHROMIUM, browser_page
from neo_assets_tests.products.by_hand import fill, fill_from_simulator, with_products

try:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import Page, ViewportSize, expect
except ModuleNotFoundError:
    pytest.skip("needs Playwright and axe: make setup-dev", allow_module_level=True)

pytestmark = IN_CHROMIUM

WIDE, PHONE, NARROWEST = (ViewportSize(width=width, height=800) for width in (1280, 360, 320))
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""The rules of axe that the page keeps."""

_FOCUSED = """() => {
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  return {
    name: element.getAttribute("aria-label") || element.textContent.trim(),
    tag: element.tagName,
    outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    shown: box.width > 0 && box.top >= 0 && box.bottom <= innerHeight,
  };
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser_page(tmp_path_factory.mktemp("browser")) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield page


@pytest.fixture(autouse=True)
def as_most_see_it(browser: Page) -> Iterator[None]:
    """The page as most people see it, while nothing happens in the pipeline."""
    browser.set_viewport_size(WIDE)
    browser.emulate_media(color_scheme="light", reduced_motion="reduce")
    browser.route("**/events", lambda route: route.fulfill(status=204))  # else the server would wait for the page
    yield
    browser.unroute_all()


def served(lake: Storage) -> Iterator[str]:
    with serving(create_app(Settings(lake=str(lake.root)), lake=lake)) as url:
        yield url[: url.index("/", len("http://")) + 1]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page over simulated data, with the report."""
    lake = with_products(tmp_path_factory.mktemp("page"), fill_from_simulator)
    report.make(lake, datetime.now(UTC).date())
    yield from served(lake)


@pytest.fixture(scope="module")
def of_nasa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page over data said to be NASA's, which drifted, without the report."""
    yield from served(with_products(tmp_path_factory.mktemp("nasa"), lambda lake: fill(lake, "nasa")))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page without a snapshot."""
    yield from served(Storage(str(tmp_path_factory.mktemp("empty") / "lake")))


def test_it_asks_no_other_host_and_reports_no_error(browser: Page, address: str) -> None:
    requested, wrong = list[str](), list[str]()
    browser.on("request", lambda request: requested.append(request.url))
    browser.on("console", lambda message: wrong.append(message.text))
    browser.on("pageerror", lambda error: wrong.append(str(error)))
    browser.goto(address)
    for summary in browser.locator("summary").all():
        summary.click()
    browser.get_by_role("button", name="Local times").click()
    own = {url for url in requested if not url.startswith("data:")}
    assert (own, wrong) == ({address, f"{address}events"}, [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("which", ["address", "of_nasa", "empty"])
def test_axe_finds_nothing(browser: Page, request: pytest.FixtureRequest, which: str, size: Any, scheme: Any) -> None:
    browser.set_viewport_size(size)
    browser.emulate_media(color_scheme=scheme)
    browser.goto(request.getfixturevalue(which))
    for summary in browser.locator("summary").all():
        summary.click()
    found = Axe().run(browser, options={"runOnly": STANDARDS, "resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def test_a_keyboard_reaches_everything_and_shows_where_it_is(browser: Page, address: str) -> None:
    browser.goto(address)
    wanted = browser.locator("a[href], button, summary, [tabindex='0']:visible").all()
    names = [
        one.get_attribute("aria-label") or (one.text_content() or "").strip() for one in wanted if one.is_visible()
    ]
    reached = []
    for _ in names:
        browser.keyboard.press("Tab")
        focused = browser.evaluate(_FOCUSED)
        assert focused["outline"] >= 2, focused
        assert focused["shown"], focused
        reached.append(focused["name"])
    assert reached == names
    assert reached[0] == "Skip to the content"
    assert {"Local times", "The report", "Every path and parameter", "/v1/snapshot"} <= set(reached)


def test_the_first_key_leads_past_the_header(browser: Page, address: str) -> None:
    browser.goto(address)
    browser.keyboard.press("Tab")
    browser.keyboard.press("Enter")
    assert browser.evaluate("document.activeElement.id") == "content"


def test_a_screen_reader_finds_landmarks_headings_and_tables(browser: Page, address: str) -> None:
    browser.goto(address)
    for landmark in ("banner", "main", "contentinfo", "navigation"):
        expect(browser.get_by_role(landmark)).to_have_count(1)
    levels = browser.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= former + 1 for former, later in pairwise(levels))
    expect(browser.get_by_role("img")).to_have_accessible_name(
        f"Near misses of Earth per year. {browser.locator('.finding').inner_text()}"
    )
    expect(browser.get_by_role("note")).to_contain_text("Simulated data.")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_approaches_are_a_table_at_any_width(browser: Page, address: str, size: Any) -> None:
    browser.set_viewport_size(size)
    browser.goto(address)
    table = browser.get_by_role("table", name="The next 10")
    expect(table.get_by_role("row")).to_have_count(11)
    expect(table.get_by_role("columnheader")).to_have_text(
        ["Time (UTC)", "Object", "Miss distance (LD)", "Miss distance (au)", "Velocity (km/s)", "Diameter (m)"]
    )
    expect(table.get_by_role("rowheader")).to_have_count(10)


@pytest.mark.parametrize("which", ["address", "of_nasa", "empty"])
def test_a_narrow_screen_shows_it_without_scrolling_sideways(
    browser: Page, request: pytest.FixtureRequest, which: str
) -> None:
    browser.set_viewport_size(NARROWEST)
    browser.goto(request.getfixturevalue(which))
    for summary in browser.locator("summary").all():
        summary.click()
    assert browser.evaluate("document.documentElement.scrollWidth") == 320


def test_words_beside_the_bars_do_not_shrink(browser: Page, address: str) -> None:
    def heights() -> list[float]:
        browser.goto(address)
        texts = [text.bounding_box() for text in browser.locator(".bars text:visible").all()]
        return sorted({round(box["height"]) for box in texts if box})

    wide = heights()
    browser.set_viewport_size(NARROWEST)
    assert heights() == wide


def test_times_are_local_on_request(browser: Page, address: str) -> None:
    browser.goto(address)
    first = browser.locator("tbody time").first
    utc = first.inner_text()
    button = browser.get_by_role("button", name="Local times")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    zone = browser.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    expect(browser.locator("#time")).to_have_text(f"Time ({zone})")
    expect(first).to_have_text(datetime.fromisoformat(f"{utc}Z").astimezone().strftime("%Y-%m-%d %H:%M"))
    button.click()
    expect(first).to_have_text(utc)


def test_an_example_is_copied_as_a_command(browser: Page, address: str) -> None:
    browser.goto(address)
    browser.get_by_role("button", name="Copy as a curl command: /v1/snapshot").click()
    expect(browser.get_by_text("Copied")).to_be_visible()
    assert browser.evaluate("navigator.clipboard.readText()") == f'curl "{address}v1/snapshot"'


@pytest.mark.parametrize("is_other", [True, False])
def test_another_snapshot_is_offered_and_not_forced(browser: Page, address: str, is_other: bool) -> None:
    browser.goto(address)
    shown = browser.locator("meta[name=snapshot]").get_attribute("content")
    state = {
        "snapshot": {"id": "another" if is_other else shown},
        "runs": {"processing": int(is_other)},
        "pages": {"fresh": 20, "asked": 2100},
    }
    stream = f"event: state\ndata: {msgspec.json.encode({'state': state}).decode()}\n\n"
    browser.route("**/events", lambda route: route.fulfill(content_type="text/event-stream", body=stream))
    browser.goto(address)
    expect(browser.locator("#pipeline dd")).to_have_text(
        f"{'running' if is_other else 'idle'}, 20 of 2,100 pages fresh"
    )
    offered = browser.get_by_role("status").get_by_role("button", name="Load it")
    expect(offered).to_have_count(int(is_other))
    if is_other:
        with browser.expect_navigation():
            offered.click()


def test_it_is_whole_without_its_script(browser: Page, address: str) -> None:
    assert browser.context.browser
    context = browser.context.browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_role("table", name="The next 10").get_by_role("row")).to_have_count(11)
    page.get_by_text("Table (").click()
    expect(page.get_by_role("columnheader", name="Past near misses")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    context.close()


def test_without_a_snapshot_it_says_what_to_run(browser: Page, empty: str) -> None:
    browser.goto(empty)
    expect(browser.get_by_role("heading", name="Nothing to show at the moment")).to_be_visible()
    expect(browser.get_by_text("neo run", exact=True)).to_be_visible()
    expect(browser.get_by_role("link", name="What the API offers")).to_have_attribute("href", "/docs")
