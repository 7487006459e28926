"""Outages met by a client that paces itself: a short one is waited out, a silence that is asked for is kept."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from neo_assets.neows.budget import Budget
from neo_assets.neows.client import NeoWsClient
from neo_assets.neows.errors import NeoWsError
from neo_assets_tests.neows.examples import body, neo

URL = "http://neows.example/neo/rest/v1"
KEY = "Zk3fQ9xP-the_secret-0123456789"


def crawl(ledger: Path, answer: Callable[[float], httpx.Response | None]) -> tuple[list[float], dict[int, NeoWsError]]:
    """Fetch 24 pages at 20 a second; `answer` may give another response than the page. When requests came, and what
    failed.
    """
    came: list[float] = []
    start = time.monotonic()

    def serve(request: httpx.Request) -> httpx.Response:
        at = time.monotonic() - start
        came.append(at)
        return answer(at) or httpx.Response(200, content=body(neo(), number=int(request.url.params["page"])))

    async def fetch() -> dict[int, NeoWsError]:
        budget = Budget(ledger, "neows.example", [KEY], per_hour=10**6, per_second=20)
        async with NeoWsClient(URL, [KEY], budget, transport=httpx.MockTransport(serve), first_wait_s=0.2) as client:
            return await client.fetch_pages(range(24), lambda page: None)

    failed = asyncio.run(fetch())
    return came, failed


def test_a_short_outage_costs_no_page_and_few_requests(tmp_path: Path) -> None:
    came, failed = crawl(tmp_path / "ledger", lambda at: httpx.Response(503) if 0.2 < at < 0.9 else None)
    assert failed == {}
    assert len([at for at in came if 0.2 < at < 0.9]) <= 5


def test_a_silence_that_is_asked_for_is_kept(tmp_path: Path) -> None:
    said: list[float] = []

    def answer(at: float) -> httpx.Response | None:
        if said or at < 0.2:
            return None
        said.append(at)
        return httpx.Response(503, headers={"Retry-After": "1"})

    came, failed = crawl(tmp_path / "ledger", answer)
    assert failed == {}
    assert [at for at in came if said[0] < at < said[0] + 1] == []
