"""A client of NeoWs and a scripted server, without a network. No assertions about the client."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Any

import httpx

from neo_assets.schema.pages import Page
from neo_assets.sources.neows import errors
from neo_assets.sources.neows.budget import Budget, Slot
from neo_assets.sources.neows.client import NeoWsClient
from neo_assets.sources.neows.retry_policy import RetryPolicy
from neo_assets_tests.sources.neows.examples import body, neo

URL = "http://neows.example/neo/rest/v1"
KEY = "Zk3fQ9xP-the_secret-0123456789"
OTHER_KEY = "Wm7hB2yR-the_other-0123456789"

OVER_LIMIT = "<html><body><h1>OVER_RATE_LIMIT</h1></body></html>"
"""The gateway's body of a 429."""

QUICK = RetryPolicy(first_wait_s=0.001)
"""The retry policy with waits so short that tests can fail often."""


Handler = Callable[[httpx.Request], Any]


def page_asked(request: httpx.Request) -> int:
    return int(request.url.params["page"])


def whole(request: httpx.Request) -> httpx.Response:
    """The number of the page requested."""
    return httpx.Response(200, content=body(neo(), number=page_asked(request)))


def gateway(status: int, code: str) -> httpx.Response:
    """An error response of NASA's gateway."""
    return httpx.Response(status, json={"error": {"code": code, "message": "..."}})


class Server:
    """A scripted server; it answers with complete pages by default, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception | Handler, then: Handler = whole) -> None:
        self.answers = list(answers)
        self.then = then
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else self.then
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    @property
    def asked(self) -> Counter[int]:
        """How often each page was requested."""
        return Counter(map(page_asked, self.requests))


class NotedBudget(Budget):
    """A budget that notes its slots and pauses. Unlike the arrival of requests, these do not depend on the machine's
    speed.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.given_out: list[Slot] = []
        self.given_back: list[Slot] = []
        self.pauses_s: list[float] = []

    def reserve(self, without: Collection[str] = ()) -> Slot:
        self.given_out.append(slot := super().reserve(without))
        return slot

    def give_back(self, slot: Slot) -> None:
        self.given_back.append(slot)
        super().give_back(slot)

    def park(self, key: str, seconds: float) -> float:
        self.pauses_s.append(seconds)
        return super().park(key, seconds)

    def times(self) -> list[float]:
        return sorted(slot.at for slot in self.given_out)


class Scripted(httpx.MockTransport):
    """A transport to a scripted server. Like a real one, it hands out bodies in pieces, as they were sent."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Pieces(answer.stream))


class Pieces(httpx.AsyncByteStream):
    """A body that is not read yet."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.body:
            yield piece


def client_of(
    server: Handler | httpx.AsyncBaseTransport | None,
    keys: Iterable[str] = (KEY,),
    budget: Budget | None = None,
    url: str = URL,
    **options: Any,
) -> NeoWsClient:
    """A client of a server; without a server, of the network."""
    transport = server if isinstance(server, httpx.AsyncBaseTransport | None) else Scripted(server)
    return NeoWsClient(url, keys, budget, transport=transport, **{"policy": QUICK} | options)


def fetch(
    server: Handler | httpx.AsyncBaseTransport | None, numbers: Iterable[int] = (0,), **options: Any
) -> tuple[dict[int, Page], dict[int, errors.NeoWsError]]:
    """Fetch pages; returns those that arrived and those that failed. Takes the options of `client_of`."""
    pages: dict[int, Page] = {}

    async def run() -> dict[int, errors.NeoWsError]:
        async with client_of(server, **options) as client:
            try:
                async for page in client.pages(numbers):
                    assert page.number not in pages
                    pages[page.number] = page
            except errors.PagesMissing as missing:
                return dict(missing.failed)
        return {}

    return pages, asyncio.run(run())


def failure(server: Handler | None, **options: Any) -> errors.NeoWsError:
    pages, failed = fetch(server, **options)
    assert pages == {}
    return failed[0]
