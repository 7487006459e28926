"""The source of pages that the settings select: NASA, another server, or the embedded simulator."""

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from neo_assets.settings import Settings
from neo_assets.sources.neows.errors import PagesMissing
from neo_assets.sources.neows.retry_policy import RETRY_POLICY, RetryPolicy
from neo_assets.sources.neows.source import NeoWs
from neo_assets.sources.simulator.app import create_app
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import Served
from neo_assets_tests.orchestration.assets.graph import at
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows.fetching import QUICK

SIMULATED = settings_of()


@pytest.fixture
def open_neows() -> Iterator[Callable[..., NeoWs]]:
    """A function that makes a NeoWs; the fixture closes it at the end."""
    opened: list[NeoWs] = []

    def open_neows(settings: Settings, policy: RetryPolicy = RETRY_POLICY) -> NeoWs:
        opened.append(NeoWs(settings, policy))
        return opened[-1]

    yield open_neows
    for one in opened:
        one.close()


def numbers(neows: NeoWs, *pages: int) -> list[int]:
    """The numbers of the pages that arrive when these are requested."""
    return sorted(page.number for page in neows.pages(pages))


def processes() -> list[psutil.Process]:
    """The processes of this one that fetch."""
    return [one for one in psutil.Process().children() if "neows.fetcher" in "".join(one.cmdline())]


@pytest.mark.parametrize(
    ("values", "source", "where"),
    [
        ({}, "simulator", "the embedded simulator"),
        ({"nasa_api_keys": "some-key"}, "nasa", "https://api.nasa.gov/neo/rest/v1"),
        ({"nasa_api_keys": "some-key", "base_url": "http://mirror/v1"}, None, "http://mirror/v1"),
    ],
)
def test_where_pages_come_from(values: dict[str, str], source: str | None, where: str) -> None:
    neows = NeoWs(settings_of(**values))
    assert (neows.source, neows.where) == (source, where)


def test_without_a_key_the_embedded_simulator_answers(open_neows: Callable[..., NeoWs]) -> None:
    pages = open_neows(SIMULATED).pages([0, 7])
    assert sorted((page.number, page.source, page.neos) for page in pages) == [
        (0, "simulator", 20),
        (7, "simulator", 20),
    ]


def test_every_simulator_has_the_same_catalogue(open_neows: Callable[..., NeoWs]) -> None:
    one, other = (next(open_neows(SIMULATED).pages([3])) for _ in range(2))
    assert one.body == other.body


def test_requests_to_a_server_use_the_budget(served: Served, open_neows: Callable[..., NeoWs]) -> None:
    settings = at(served)
    assert numbers(open_neows(settings), 0, 1, 2) == sorted(served.pages) == [0, 1, 2]
    assert settings.request_ledger.is_file()


@pytest.mark.slow
def test_the_window_of_a_simulator_is_learned(served: Served, open_neows: Callable[..., NeoWs]) -> None:
    served.app = create_app(Catalogue(neos=200), requests_per_hour=3, hour_s=1)
    assert numbers(open_neows(at(served)), *range(7)) == list(range(7))


def test_pages_that_cannot_be_fetched_are_reported_after_the_others(
    served: Served, open_neows: Callable[..., NeoWs]
) -> None:
    served.answers = {1: Response(status_code=404), 3: Response(status_code=400)}
    came = set()

    def consume() -> None:
        for page in open_neows(at(served)).pages(range(4)):
            came.add(page.number)

    with pytest.raises(
        PagesMissing, match=r"^2 of 4 pages could not be fetched, the others were stored \(pages 1, 3\)"
    ):
        consume()
    assert came == {0, 2}


def test_the_forecast_comes_from_the_budget(served: Served, open_neows: Callable[..., NeoWs]) -> None:
    neows = open_neows(at(served, requests_per_hour=10))
    now = time.time()
    assert now <= neows.forecast(10) < now + 60
    assert now + 3600 < neows.forecast(11) < now + 3700


def test_the_forecast_leaves_out_a_rejected_key(served: Served, open_neows: Callable[..., NeoWs]) -> None:
    served.app = create_app(Catalogue(neos=90), keys=["good"])
    neows = open_neows(at(served, nasa_api_keys="bad,good", requests_per_hour=4))
    assert numbers(neows, 0, 1, 2, 3) == [0, 1, 2, 3]
    assert neows.forecast(1) > time.time() + 3500


def test_the_forecast_for_the_simulator_is_now() -> None:
    assert NeoWs(SIMULATED).forecast(2_100) <= time.time()


def test_no_pages_need_no_requests_and_start_nothing(served: Served) -> None:
    before = len(processes())
    neows = NeoWs(at(served))
    assert numbers(neows) == served.pages == []
    assert len(processes()) == before


def test_an_outage_is_remembered_across_page_sets(served: Served, open_neows: Callable[..., NeoWs]) -> None:
    served.answers = dict.fromkeys(range(4), Response(status_code=503))
    neows = open_neows(at(served), QUICK)
    for page in range(4):
        with pytest.raises(PagesMissing) as caught:
            numbers(neows, page)
        assert caught.value.concerns_all is (page % 2 > 0)
    assert served.pages == [0] * 5 + [1] * 2 + [2] * 5 + [3] * 2, (
        "whoever asks again after an outage finds out if it is over"
    )


# --- one client


def test_one_connection_serves_page_set_after_page_set(served: Served, open_neows: Callable[..., NeoWs]) -> None:
    connections = set()
    app: Any = served.app

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        connections.add(scope["client"])
        await app(scope, receive, send)

    served.app = watched  # type: ignore[assignment]  # it wraps the application
    neows = open_neows(at(served))
    for page in range(4):
        assert numbers(neows, page) == [page]
    assert neows.stats().near_earth_object_count == 90
    assert len(connections) == 1


def test_several_threads_may_consume_at_once(served: Served, open_neows: Callable[..., NeoWs]) -> None:
    neows = open_neows(at(served))
    before = len(processes())
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda first: numbers(neows, *range(first, first + 15)), (0, 20, 40)))
    assert found == [list(range(first, first + 15)) for first in (0, 20, 40)]
    assert len(processes()) == before + 1


def test_it_may_be_used_again_after_closing(served: Served) -> None:
    before = len(processes())
    with NeoWs(at(served)) as neows:
        assert numbers(neows, 0) == [0]
    assert len(processes()) == before
    with neows:
        assert numbers(neows, 1) == [1]


def test_closing_ends_abandoned_iterators(served: Served) -> None:
    with NeoWs(at(served)) as neows:
        pages = neows.pages(range(20))
        next(pages)
    pages.close()
    assert len(served.pages) < 20


def test_garbage_collection_ends_the_process(served: Served) -> None:
    before = len(processes())
    neows = NeoWs(at(served))
    neows.itself = neows  # type: ignore[attr-defined]
    assert numbers(neows, 0) == [0]
    assert len(processes()) == before + 1
    del neows
    gc.collect()
    until = time.monotonic() + 30
    while len(processes()) > before and time.monotonic() < until:
        time.sleep(0.01)
    assert len(processes()) == before


def test_a_process_that_closes_nothing_ends_silently(served: Served) -> None:
    program = f"""
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs
neows = NeoWs(Settings(nasa_api_keys="a-key-for-it", base_url={served.url!r}))
pages = neows.pages(range(20))
print(next(pages).source)
"""
    ended = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "simulator\n", "")


# --- ending early


def test_closing_early_gives_the_slots_back(served: Served, open_neows: Callable[..., NeoWs]) -> None:
    neows = open_neows(at(served, requests_per_hour=1))
    pages = neows.pages(range(10))
    next(pages)
    pages.close()
    assert served.pages == [0]
    assert time.time() + 3500 < neows.forecast(1) < time.time() + 3700


def test_an_interrupt_ends_the_wait_and_gives_the_slots_back(
    served: Served, open_neows: Callable[..., NeoWs], caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt() -> None:
        while "waiting for the request budget until" not in caplog.text:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    neows = open_neows(at(served, requests_per_hour=1))
    assert numbers(neows, 0) == [0]
    pages = neows.pages(range(1, 10))
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        next(pages)
    assert served.pages == [0]
    assert time.time() + 3500 < neows.forecast(1) < time.time() + 3700
    assert list(pages) == []
