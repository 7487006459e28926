"""Dagster's UI, as a person uses it: a headless Chromium clicks through a real `dagster dev`. The tests look for what a
person reads.
"""

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
from dagster._core.instance import InstanceRef
from dagster._core.test_utils import freeze_time

from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.integration.conftest import ASSETS, DagsterDev
from neo_assets_tests.integration.harness import PATIENCE_S, Place, counted, environment, place
from neo_assets_tests.orchestration.checks.corrupting import Corrupted, first_row
from neo_assets_tests.test_definitions import GROUPS

try:
    from playwright.sync_api import Locator, Page, TimeoutError, expect, sync_playwright
except ModuleNotFoundError:
    pytest.skip("needs Playwright: make setup-dev", allow_module_level=True)

SHOWN_IN_FULL = 6
"""Assets in a group whose graph fits into the window; of larger ones, the boxes lose their details and long names."""

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
IN_CHROMIUM = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on PATH; on Debian: apt-get install chromium"),
]
"""The marks of tests in a browser."""

pytestmark = IN_CHROMIUM

# No sandbox, which needs privileges that containers lack; no shared memory, of which they have little; no requests of
# Chromium's own, and no names to look up.
SWITCHES = [
    *("--no-sandbox", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

PAGE_SETS = ["00000-00000", "00001-00001", "00002-00002"]
FIRST = PAGE_SETS[0]
NEOS = 20 * len(PAGE_SETS)
TOTAL = "/assets/total_near_misses"


@dataclass
class Ui:
    """The UI in a browser, and where its Dagster runs."""

    place: Place
    url: str
    page: Page
    requested: list[str] = field(default_factory=list)
    """The addresses that the browser has asked for."""
    run: str = ""
    """The address of the run of one page set."""
    backfill: str = ""
    """The address of the backfill of all page sets."""

    def open(self, address: str) -> Page:
        """Show a page. It shows what is true now, while an open page may be some seconds behind."""
        self.page.goto(self.url + address)
        return self.page

    def open_until(self, address: str, shown: Locator) -> None:
        """Show a page, and load it again from time to time, until it shows something."""
        deadline, wait_s = time.monotonic() + PATIENCE_S, 5.0
        while True:
            self.open(address)
            with contextlib.suppress(TimeoutError):
                return shown.wait_for(timeout=1000 * wait_s)
            assert time.monotonic() < deadline, f"{address} never showed {shown}"
            wait_s *= 1.5  # a busy machine takes longer to show anything

    def launched(self) -> str:
        """The address of what was launched just now, to which the UI shows a link."""
        link = self.page.get_by_role("link", name="View", exact=True)
        address = link.get_attribute("href")
        assert address
        return address

    def succeeds(self, run: str) -> None:
        """Wait until the page of a run says that it succeeded."""
        self.open(run)
        expect(self.page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first).to_have_text("Success")


def materialized_days_ago(at: Place, asset: str, days: float) -> None:
    """Leave a materialization of so long ago in Dagster's history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(at.path)
        ref = InstanceRef.from_dir(str(at.path))
        with dg.DagsterInstance.from_ref(ref) as instance, freeze_time(time.time() - days * 86400):
            instance.report_runless_asset_event(dg.AssetMaterialization(asset))


@contextlib.contextmanager
def browser_page(home: Path) -> Iterator[Page]:
    """A page of a browser with a home directory of its own."""
    with sync_playwright() as playwright:
        env = dict[str, str | float | bool](environment(home))
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES, env=env)
        page = chromium.new_page(viewport={"width": 3000, "height": 2000})
        page.set_default_timeout(1000 * PATIENCE_S)
        expect.set_options(timeout=1000 * PATIENCE_S)
        yield page
        chromium.close()


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """The UI of a fresh lake, in which one page set, then all, have been launched; a total is overdue."""
    tmp = tmp_path_factory.mktemp("ui")
    at = place(tmp / "here", "dagster.yaml", "workspace.yaml", NEO_PAGES=len(PAGE_SETS), NEO_PAGES_PER_SET=1)
    at.settings["FRESHNESS_DAEMON_INTERVAL_SECONDS"] = 1
    materialized_days_ago(at, "total_near_misses", 8)
    dev = DagsterDev(at)
    try:
        with browser_page(tmp / "browser") as page:
            dev.wait()
            ui = Ui(at, dev.url, page)
            page.context.on("request", lambda request: ui.requested.append(request.url))
            page.on("websocket", lambda socket: ui.requested.append(socket.url))
            totals_do_not_follow(ui)
            # At once, as the daemon looks for backfills only every 30 s; meanwhile, it runs the page set.
            ui.backfill = materialize(ui)
            ui.run = materialize(ui, FIRST)
            yield ui
    finally:
        dev.server.kill()


def totals_do_not_follow(ui: Ui) -> None:
    """Turn off the sensor that would compute the totals before the tests do."""
    row = ui.open("/automation").locator("[data-index]", has_text="totals_follow_page_sets")
    box, switch = row.get_by_role("checkbox").nth(0), row.get_by_role("checkbox").nth(1)
    expect(switch).to_be_checked()  # it appears later than the box that selects the row
    row.locator("label").nth(1).click()
    expect(switch).not_to_be_checked()
    expect(box).not_to_be_checked()


def materialize(ui: Ui, page_set: str | None = None) -> str:
    """Launch the job `page_set` for a page set, or for all. Returns the address of the run, or of the backfill."""
    page = ui.open("/locations/neo_assets/jobs/page_set")
    page.get_by_role("button", name="Materialize all…").click()
    dialog = page.get_by_role("dialog").filter(has_text=f"Launch runs to materialize {len(ASSETS)} assets").first
    if page_set:
        dialog.get_by_text("Select a partition or create one").click()
        page.get_by_role("menuitem", name=page_set).click()
        page.keyboard.press("Escape")
        dialog.get_by_role("button", name="Launch 1 run").click()
    else:
        dialog.get_by_role("button", name="All", exact=True).click()
        dialog.get_by_role("button", name="Launch backfill").click()
    return ui.launched()


@pytest.fixture(scope="module")
def backfilled(ui: Ui) -> Ui:
    """The UI once it shows that all runs of the backfill have ended."""
    ui.open_until(ui.backfill, ui.page.get_by_text("100% completed"))
    return ui


def test_the_graph_opens_with_its_groups_and_these_show_their_assets(ui: Ui) -> None:
    page = ui.open("/")
    page.get_by_role("navigation").get_by_text("Lineage", exact=True).click()
    boxes = page.locator("svg foreignObject")
    for group in GROUPS:
        expect(boxes.filter(has=page.get_by_text(group, exact=True))).to_be_visible()
    for group, assets in GROUPS.items():
        ui.open(f"/locations/neo_assets/asset-groups/{group}/lineage")
        expect(boxes.nth(len(assets) - 1)).to_be_attached()
        for asset in assets if len(assets) <= SHOWN_IN_FULL else ():
            expect(boxes.filter(has=page.get_by_text(asset, exact=True)).get_by_text("Latest event")).to_be_visible()


def test_a_total_that_was_not_made_for_long_is_shown_as_overdue(ui: Ui) -> None:
    ui.open_until(TOTAL, ui.page.get_by_text("Failed", exact=True).first)
    expect(ui.page.get_by_text("Last materialized 8 days ago")).to_be_visible()


def test_a_page_set_is_materialized_and_shows_its_first_ten_rows(ui: Ui) -> None:
    ui.succeeds(ui.run)
    page = ui.open("/assets/neo_records?view=partitions")
    page.get_by_title(FIRST, exact=True).click()
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name="dagster/row_count 20", exact=True)).to_be_visible()
    preview = page.locator("table table")
    expect(preview.get_by_role("row")).to_have_count(1 + 10)
    first = Catalogue().neo(0)
    expect(preview.get_by_role("row").nth(1)).to_contain_text(first["id"])
    expect(preview.get_by_role("row").nth(1)).to_contain_text(first["name"])


def test_every_page_set_of_the_backfill_is_materialized(backfilled: Ui) -> None:
    page = backfilled.open(backfilled.backfill)
    cells = page.get_by_role("row", name="page_set_partition_set").get_by_role("cell")
    expect(cells).to_have_text([re.compile("100% completed"), "3", "0", "3", "0"])  # wanted, in progress, done, failed
    backfilled.open("/assets/near_miss_count?view=partitions")
    expect(page.get_by_text("Materialized (3)")).to_be_visible()


def test_a_total_that_is_made_is_fresh_and_has_a_chart(backfilled: Ui) -> None:
    ui = backfilled
    page = ui.open(TOTAL)
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="Confirm").click()  # as nothing has landed, `landed_objects` was never made
    ui.succeeds(ui.launched())
    ui.open_until(TOTAL, page.get_by_text("Passing").first)
    to_earth = counted(Catalogue(), NEOS)["near_misses_earth"]
    expect(page.locator("table table").get_by_role("row", name=f"Earth {to_earth}", exact=True)).to_be_visible()
    page.get_by_text("[Show Markdown]").click()
    chart = page.get_by_role("dialog").get_by_role("img", name="Near misses per orbiting body")
    expect(chart).to_have_attribute("alt", re.compile(f"; most in Earth: {to_earth:,}$"))
    expect(chart).to_have_js_property("naturalWidth", 640)


def test_a_check_of_damaged_data_is_shown_as_failed(backfilled: Ui) -> None:
    ui = backfilled
    Corrupted(ui.place.storage).change(NEAR_MISS_COUNT, first_row(near_misses=1), FIRST)
    checks = "/assets/near_miss_count?view=checks"
    page = ui.open(checks)
    page.get_by_role("button", name="Execute all").click()
    ui.succeeds(ui.launched())
    ui.open(checks)
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(1)
    expect(page.get_by_text("Failed", exact=True)).to_have_count(2)  # in the list, and beside it
    expect(page.get_by_text(FIRST, exact=True)).to_be_visible()
    right = counted(Catalogue(), NEOS // len(PAGE_SETS))
    expect(page.get_by_role("row", name=f"counted again {right['near_misses']}", exact=True)).to_be_visible()
    stored = right["near_misses"] - right["near_misses_earth"] + 1
    expect(page.get_by_role("row", name=f"stored {stored}", exact=True)).to_be_visible()
    ui.open("/locations/neo_assets/asset-groups/gold/lineage")
    expect(page.locator("svg foreignObject", has_text="near_miss_count").get_by_text("1 / 2 Passed")).to_be_visible()


def test_the_backfill_succeeds(backfilled: Ui) -> None:
    """The daemon notices up to 30 s after the last run, so this test comes late."""
    status_and_heading = backfilled.page.get_by_text("Succeeded", exact=True)
    backfilled.open_until(backfilled.backfill, status_and_heading.nth(1))


def test_nothing_is_requested_from_another_host_and_no_telemetry_is_kept(ui: Ui) -> None:
    ui.open("/")
    assert '"telemetryEnabled": false' in ui.page.content()
    hosts = {urlsplit(url).netloc for url in ui.requested} - {""}  # what is part of a page has none
    assert hosts == {urlsplit(ui.url).netloc}
    kept = [*ui.place.path.glob(".tmp_dagster_home*/**/*"), *ui.place.path.parent.glob("home/**/*")]
    assert [file for file in kept if file.is_file()] == []
