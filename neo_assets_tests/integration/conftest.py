"""Directories, servers and long-running commands that several end-to-end tests share. One process runs several modules:
slow commands are started with the first and examined by the last, so that waiting costs no time.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from neo_assets.sources.simulator.app import PREFIX, create_app
from neo_assets.sources.simulator.catalogue import to_json
from neo_assets_tests.conftest import HEAD_START
from neo_assets_tests.integration.harness import (
    KEY,
    PATIENCE_S,
    SIX_PAGES,
    Place,
    Started,
    free_port,
    nobody_at,
    place,
    serving,
)
from neo_assets_tests.pipeline.by_hand import METRICS

ASSETS = ["raw_pages", "neo_records", "orbits", "close_approaches", *(table.name for table in METRICS.counts)]
PAGE_SETS = ["00000-00001", "00002-00003", "00004-00005"]
SLOW = ("dagster_dev", "doomed_runs")

_LAUNCH_BACKFILL = """
mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""


@pytest.fixture(scope="module", autouse=True)
def head_start(request: pytest.FixtureRequest) -> None:
    """Start slow commands at once, if a selected test needs them."""
    if request.path.name not in HEAD_START:
        return
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in SLOW:
        if name in wanted:
            request.getfixturevalue(name)


@pytest.fixture
def here(tmp_path: Path) -> Place:
    """An empty directory with the checkout's `dagster.yaml`."""
    return place(tmp_path / "here", "dagster.yaml")


class DagsterDev:
    """A running `dagster dev` (webserver, daemon, code server) on a free port."""

    backfill_id: Future[str]
    """In the fixture `dagster_dev`: the backfill of all page sets, launched as soon as it answered."""

    def __init__(self, at: Place) -> None:
        self.place = at
        self._start()

    def _start(self) -> None:
        port = free_port()
        self.server = self.place.start("dagster", "dev", "-h", "127.0.0.1", "-p", port)
        self.url = f"http://127.0.0.1:{port}"

    def wait(self) -> None:
        """Wait until it answers."""
        deadline, starts = time.monotonic() + PATIENCE_S, 1
        while time.monotonic() < deadline:
            assert self.server.process.poll() is None, "dagster dev ended"
            # If another process took the port, the webserver reports it and ends, but the rest keeps running.
            if starts < 3 and "address already in use" in Path(self.server.err.name).read_text():
                self.server.interrupt()  # which leaves no trace
                self._start()
                starts += 1
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/server_info").status_code == 200:
                    return
            time.sleep(0.25)
        raise AssertionError("dagster dev does not answer")

    def ask(self, query: str, **variables: Any) -> Any:
        """Send a GraphQL query, as the UI does."""
        answer = httpx.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=PATIENCE_S
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def launch(self, page_sets: list[str]) -> str:
        """Launch a backfill of all assets of these page sets as soon as it answers. Returns its id."""
        self.wait()
        assets = [{"path": [name]} for name in ASSETS]
        launched = self.ask(
            _LAUNCH_BACKFILL, p={"assetSelection": assets, "partitionNames": page_sets, "fromFailure": False}
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])


@pytest.fixture(scope="session")
def dagster_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    """`dagster dev` over three page sets of the embedded simulator, all of them launched as a backfill."""
    dev = DagsterDev(place(tmp_path_factory.mktemp("dev") / "here", "dagster.yaml", "workspace.yaml", NEO_PAGES=6))

    with ThreadPoolExecutor(1) as pool:
        dev.backfill_id = pool.submit(dev.launch, PAGE_SETS)
        yield dev
        dev.server.kill()


@pytest.fixture(scope="session")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A directory in which `neo run` gathered a page over HTTP and computed everything. Do not change it."""
    at = place(tmp_path_factory.mktemp("gathered") / "here", "dagster.yaml", NEO_PAGES=1, NEO_PAGES_PER_SET=1)
    with serving(create_app(SIX_PAGES)) as url:
        ended = at.neo("run", NEOWS_BASE_URL=url, NASA_API_KEYS=KEY)
    assert ended.code == 0, ended.err
    return at


def _wrong_answers() -> dict[str, Response]:
    whole = to_json(SIX_PAGES.page(0))
    return {
        "html": HTMLResponse("<html><body><h1>Scheduled maintenance</h1></body></html>"),
        "truncated": Response(whole[: len(whole) // 2], media_type="application/json"),
        "wrong page": Response(to_json(SIX_PAGES.page(1)), media_type="application/json"),
        "empty": Response(b"", media_type="application/json"),
        "outage": HTMLResponse(f"<html><body>503 for api_key={KEY}</body></html>", status_code=503),
    }


@pytest.fixture(scope="session")
def doomed_runs(
    gathered: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Place, Started]]]:
    """`neo run` on a good lake against each kind of server that is not NeoWs; all run at once."""
    answers = _wrong_answers()

    async def no_neows(scope: Scope, receive: Receive, send: Send) -> None:
        case = Request(scope).url.path.split("/")[1].replace("-", " ")
        await answers[case](scope, receive, send)

    tmp = tmp_path_factory.mktemp("doomed")
    settings = gathered.settings | {"NEO_RAW_MAX_AGE_HOURS": 0, "NASA_API_KEYS": KEY}
    with serving(no_neows) as url, nobody_at() as nobody:
        urls = {case: url.replace(PREFIX, f"/{case.replace(' ', '-')}{PREFIX}") for case in answers}
        runs = {}
        for case, base_url in (urls | {"unreachable": f"http://{nobody}{PREFIX}"}).items():
            shutil.copytree(gathered.path, tmp / case / "here")
            at = Place(tmp / case / "here", settings | {"NEOWS_BASE_URL": base_url})
            runs[case] = at, at.start("neo", "run")
        yield runs
        for _, run in runs.values():
            run.kill()
