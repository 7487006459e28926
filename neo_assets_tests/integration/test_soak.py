"""Everything at once: a catalogue that changes, an API that fails in every way, runs that are killed; in the end,
correct totals. Then several processes that share a budget over a short hour, which they may never exceed.

Single faults are tested in `sources/neows`, healing in `pipeline/test_consistency.py`.
"""

import asyncio
import itertools
import json
import math
import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neo_assets.sources.neows import gate
from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.client import NeoWsClient
from neo_assets.sources.neows.errors import PagesMissing
from neo_assets.sources.neows.retry_policy import RetryPolicy
from neo_assets.sources.simulator.profile import FAULTS
from neo_assets_tests.integration.harness import PATIENCE_S, Ended, Place, Started, counted, place, unpacked
from neo_assets_tests.integration.watched import Watched, watched
from neo_assets_tests.sources.simulator.asking import served

pytestmark = pytest.mark.slow

KEYS = [f"Soak-Key-{name}_0123456789-abcdefghijklmnopqrstuvwxyz" for name in ("One", "Two", "Three")]
DISABLED = "Disabled-Key_0123456789-abcdefghijklmnopqrstuvwxyz"

PAGES = 400
PER_HOUR = 500
AT_ONCE = 12
"""Pages in flight, or being stored, in one run, which a kill may lose."""

# Most failures make the whole crawl pause for a second or two, so each kind occurs a few times only; a timeout
# takes a minute, so it affects a run that will be killed.
EVERY_FAULT = (
    "timeout@page=33x1",
    "garbage-record@page=5x1",
    "html@page=60x1",
    "empty@page=130x1",
    "not-found@page=210x1",
    "cut@page=260x1",
    "truncated@page=290x1",
    "reset@page=330x1",
    "error=504@page=370x1",
    "outage@250-253",
    f"forbidden@key={DISABLED}",
    "rate-limit=1@2%",
    "wrong-page@2%",
    "error@0.3%",
    "truncated@0.3%",
    "reset@0.3%",
    "slow=1-20ms@20%",
)
DRIFTS = ("insert=3@80", "number=5%@110", "grow=4@140", "reorder@150")


def reached(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Wait until a condition holds. Returns whether it did in time."""
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


# --- everything at once


def pages_stored(at: Place) -> dict[int, bytes]:
    """Read every stored page."""
    bodies = {int(file.name[5:10]): unpacked(file) for file in at.lake.glob("bronze/raw_pages/page-*")}
    assert all(json.loads(body)["page"]["number"] == number for number, body in bodies.items())
    return bodies


def kill(run: Started, api: Watched, requests: int, pause_s: float) -> None:
    """Kill a run with SIGKILL some time after a number of requests."""
    enough = min(len(api.came) + requests, api.most_answers)
    reached(lambda: len(api.came) >= enough or run.process.poll() is not None)
    time.sleep(pause_s)
    assert run.process.poll() is None, f"the run was over before it could be killed: {run.wait().err}"
    run.kill()


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Watched, Ended]:
    """A directory in which `neo run --heal` was killed several times and then finished; its NeoWs; the last run."""
    api = watched(7_990, EVERY_FAULT, DRIFTS, requests_per_hour=PER_HOUR)
    at = place(
        tmp_path_factory.mktemp("soak") / "here",
        "dagster.yaml",
        NASA_API_KEYS=",".join([*KEYS, DISABLED]),
        NEO_PAGES=PAGES,
        NEO_PAGES_PER_SET=100,
        NEO_REQUESTS_PER_HOUR=PER_HOUR,
        NEO_REQUESTS_PER_SECOND=1_000,
    )
    dice = random.Random(3)
    with served(api) as url:
        at.settings["NEOWS_BASE_URL"] = url
        api.most_answers = PAGES - 1
        for kills in (1, 2, 3):
            kill(at.start("neo", "run", "--heal"), api, dice.randrange(30, 95), dice.uniform(0, 0.5))
            assert api.good_answers - len(pages_stored(at)) <= AT_ONCE * kills
        api.most_answers = math.inf
        for _ in range(4):
            ended = at.neo("run", "--heal", timeout_s=2 * PATIENCE_S)
            if ended.code == 0:
                break
    return at, api, ended


Soaked = tuple[Place, Watched, Ended]


def test_the_totals_agree_with_the_catalogue(soaked: Soaked) -> None:
    at, api, ended = soaked
    assert ended.code == 0, ended.err
    catalogue = api.app.state.catalogue
    totals = json.loads(at.neo("totals", "--json").out)
    assert totals.items() >= counted(catalogue, catalogue.near_earth_object_count).items()
    assert (totals["verdict"], totals["reasons"], totals["up_to_date"]) == ("consistent", [], True)


def test_every_page_is_stored_once_and_whole(soaked: Soaked) -> None:
    at, _, _ = soaked
    assert sorted(pages_stored(at)) == list(range(PAGES))
    indices = [pq.read_table(file)["page"].to_pylist() for file in at.lake.glob("**/raw_page_index/**/*.parquet")]
    assert sorted(itertools.chain(*indices)) == list(range(PAGES))
    for file in at.lake.rglob("*.parquet"):
        pq.read_table(file)


def test_everything_that_can_go_wrong_did(soaked: Soaked) -> None:
    _, api, _ = soaked
    assert set(api.injected) == set(FAULTS)
    assert api.app.state.catalogue.near_earth_object_count == 7_997


def test_no_key_exceeded_its_limit(soaked: Soaked) -> None:
    _, api, _ = soaked
    assert api.refused == 0
    assert 0 < api.most_within(3_600) <= PER_HOUR


def test_no_file_holds_a_key(soaked: Soaked) -> None:
    at, _, _ = soaked
    everything = [file for file in at.path.parent.rglob("*") if file.is_file()]
    assert len(everything) > PAGES
    assert [file for file in everything if any(key.encode() in unpacked(file) for key in [*KEYS, DISABLED])] == []


def test_no_partial_file_is_left(soaked: Soaked) -> None:
    at, _, _ = soaked
    assert [file for file in at.lake.rglob("*") if file.name.endswith(".tmp")] == []


# --- several processes, a short hour

HOUR_S = 3.0
LEEWAY_S = 4.0
"""How much longer the clients assume the hour to be. For a real hour, it is ten seconds."""
STALE_S = 1.0
"""How late a request may be sent, instead of five seconds. The rest of the leeway allows for its way."""
REQUESTS_PER_HOUR = 40
CRAWLED = 40
"""Number of pages that each process fetches."""


def crawl(url: str, ledger: Path, first: int) -> None:
    """Fetch pages until all have arrived. Runs in a process of its own."""
    gate._STALE_S = STALE_S
    budget = Budget(ledger, "simulated", KEYS[:2], REQUESTS_PER_HOUR, per_second=100, hour_s=HOUR_S + LEEWAY_S)

    async def fetch() -> None:
        waiting = list(range(first, first + CRAWLED))
        while waiting:
            async with NeoWsClient(url, KEYS[:2], budget, policy=RetryPolicy(first_wait_s=0.02)) as neows:
                try:
                    async for page in neows.pages(list(waiting)):
                        waiting.remove(page.number)
                except PagesMissing:
                    pass  # requested again

    asyncio.run(fetch())


def test_processes_that_share_a_ledger_never_exceed_the_budget(tmp_path: Path) -> None:
    faults = ("slow=1-30ms", "rate-limit=1@1%", "error@3%", "empty@3%", "cut@2%", "reset@2%", "wrong-page@3%")
    # The server allows one more, because a client does not use a key with no requests left for a minute.
    api = watched(2_000, faults, requests_per_hour=REQUESTS_PER_HOUR + 1, hour_s=HOUR_S)
    spawn = multiprocessing.get_context("spawn")

    def start(url: str, first: int) -> multiprocessing.process.BaseProcess:
        process = spawn.Process(target=crawl, args=(url, tmp_path / "ledger.sqlite", first))
        process.start()
        return process

    with served(api) as url:
        api.most_answers = CRAWLED - 1
        crawls = [start(url, first) for first in (0, 20, 40)]
        assert reached(lambda: len(api.came) >= CRAWLED)
        crawls[0].kill()
        api.most_answers = math.inf
        crawls.append(start(url, 0))
        for process in crawls:
            process.join(PATIENCE_S)
    assert [process.exitcode for process in crawls] == [-9, 0, 0, 0]
    assert api.refused == 0
    # A killed process takes its unused slots with it.
    assert api.most_within(HOUR_S + LEEWAY_S) >= REQUESTS_PER_HOUR - AT_ONCE
    assert api.most_within(HOUR_S) <= REQUESTS_PER_HOUR
    assert set(api.injected) == {fault.partition("=")[0].partition("@")[0] for fault in faults}
