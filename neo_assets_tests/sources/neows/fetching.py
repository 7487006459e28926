"""A client of NeoWs and a server that answers as it is told, without a network. No assertions about the client here."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from neo_assets.schema.pages import Page
from neo_assets.sources.neows import errors
from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.client import NeoWsClient
from neo_assets_tests.sources.neows.examples import body, neo

URL = "http://neows.example/neo/rest/v1"
KEY = "Zk3fQ9xP-the_secret-0123456789"
OTHER_KEY = "Wm7hB2yR-the_other-0123456789"

OVER_LIMIT = "<html><body><h1>OVER_RATE_LIMIT</h1></body></html>"
"""What the gateway says with a 429."""

Handler = Callable[[httpx.Request], Any]


def page_asked(request: httpx.Request) -> int:
    return int(request.url.params["page"])


def whole(request: httpx.Request) -> httpx.Response:
    """The page that is asked for."""
    return httpx.Response(200, content=body(neo(), number=page_asked(request)))


def gateway(status: int, code: str) -> httpx.Response:
    """An error as NASA's gateway puts it."""
    return httpx.Response(status, json={"error": {"code": code, "message": "..."}})


class Server:
    """Answers as told, whole pages by default, and keeps the requests that came."""

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
        """How often each page was asked for."""
        return Counter(map(page_asked, self.requests))


def fetch(
    server: Handler | httpx.AsyncBaseTransport | None,
    numbers: Iterable[int] = (0,),
    *,
    keys: Iterable[str] = (KEY,),
    url: str = URL,
    store: Callable[[Page], None] | None = None,
    budget: Budget | None = None,
    **options: Any,
) -> tuple[dict[int, Page], dict[int, errors.NeoWsError]]:
    """Fetch pages; those that came and those that failed."""
    transport = server if isinstance(server, httpx.AsyncBaseTransport | None) else httpx.MockTransport(server)
    pages: dict[int, Page] = {}

    async def run() -> dict[int, errors.NeoWsError]:
        async with NeoWsClient(url, keys, budget, transport=transport, **{"first_wait_s": 0.001} | options) as client:
            return await client.fetch_pages(numbers, store or (lambda page: pages.update({page.number: page})))

    return pages, asyncio.run(run())


def failure(server: Handler | None, **options: Any) -> errors.NeoWsError:
    pages, failed = fetch(server, **options)
    assert pages == {}
    return failed[0]
