"""Outages met by a client that paces itself: a short one is waited out, a silence that is asked for is kept."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from neo_assets.neows.budget import Budget
from neo_assets.neows.client import CONCURRENCY, NeoWsClient
from neo_assets.neows.errors import NeoWsError
from neo_assets_tests.neows.examples import body, neo

URL = "http://neows.example/neo/rest/v1"
KEY = "Zk3fQ9xP-the_secret-0123456789"


Answer = Callable[[int, float], httpx.Response | None]
"""What is said to a request, by its number and the time that it comes, in the place of the page."""


def crawl(ledger: Path, answer: Answer) -> tuple[list[float], dict[int, NeoWsError]]:
    """Fetch 24 pages at 20 a second. When requests came, and what failed."""
    came: list[float] = []

    def serve(request: httpx.Request) -> httpx.Response:
        came.append(at := time.monotonic())
        number = int(request.url.params["page"])
        return answer(len(came), at) or httpx.Response(200, content=body(neo(), number=number))

    async def fetch() -> dict[int, NeoWsError]:
        budget = Budget(ledger, "neows.example", [KEY], per_hour=10**6, per_second=20)
        async with NeoWsClient(URL, [KEY], budget, transport=httpx.MockTransport(serve), first_wait_s=0.2) as client:
            return await client.fetch_pages(range(24), lambda page: None)

    failed = asyncio.run(fetch())
    return came, failed


@dataclass
class Outage:
    """Begins with the fifth request and lasts for a second, in which a client that does not notice asks 20 times."""

    begun: float = 0.0
    struck: int = 0

    def strikes(self, number: int, at: float) -> bool:
        if number == 5:
            self.begun = at
        strikes = number >= 5 and at < self.begun + 1
        self.struck += strikes
        return strikes


# On a busy machine all requests that may be under way at once come before the first answer is noticed.
FEW = CONCURRENCY + 3


def test_a_short_outage_costs_no_page_and_few_requests(tmp_path: Path) -> None:
    outage = Outage()
    came, failed = crawl(tmp_path / "ledger", lambda *one: httpx.Response(503) if outage.strikes(*one) else None)
    assert failed == {}
    assert 1 <= outage.struck <= FEW
    assert len(came) == 24 + outage.struck


def test_a_silence_that_is_asked_for_is_kept(tmp_path: Path) -> None:
    outage = Outage()

    def answer(number: int, at: float) -> httpx.Response | None:
        return httpx.Response(503, headers={"Retry-After": "2"}) if outage.strikes(number, at) else None

    came, failed = crawl(tmp_path / "ledger", answer)
    assert failed == {}
    assert len([at for at in came if outage.begun <= at < outage.begun + 2]) <= CONCURRENCY
    assert len(came) == 24 + outage.struck
