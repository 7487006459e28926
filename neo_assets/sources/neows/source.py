"""What the assets are given: NeoWs as the settings say. (The lake's resource is a `lake.storage.Storage`.)"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from neo_assets.schema.pages import NASA, SIMULATOR, CatalogueStats, Page
from neo_assets.settings import NASA_BASE_URL, Settings
from neo_assets.sources.neows.breaker import Breaker
from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.errors import KeyRejected, NeoWsError, PagesMissing

if TYPE_CHECKING:
    import httpx

    from neo_assets.sources.neows.client import NeoWsClient

_EMBEDDED_KEY = "embedded-simulator"

T = TypeVar("T")


class NeoWs:
    """The source of Browse pages: NASA's API where a key is set, the embedded simulator where none is."""

    def __init__(self, settings: Settings, on_page: Callable[[Page], None] = lambda page: None) -> None:
        """`on_page` is told of every page that was fetched and stored."""
        self._settings = settings
        self._on_page = on_page
        # How the host fares, and which keys it turns away, is known from one page set to the next.
        self._breaker = Breaker()
        self._rejected: dict[str, KeyRejected] = {}

    @property
    def source(self) -> str | None:
        """`simulator` or `nasa`; None where only the first response can tell, as another server was set."""
        if self._settings.simulated:
            return SIMULATOR
        return NASA if self._settings.base_url == NASA_BASE_URL else None

    @property
    def where(self) -> str:
        """The source in words, for people."""
        return "the embedded simulator" if self._settings.simulated else self._settings.base_url

    def fetch(self, numbers: Iterable[int], store: Callable[[Page], None]) -> None:
        """Fetch pages and hand each to `store`, called from several threads.

        Raises:
            PagesMissing: some could not be had; the others were stored.
        """
        numbers = list(numbers)
        if not numbers:
            return

        def keep(page: Page) -> None:
            store(page)
            self._on_page(page)

        failed = _run(self._fetch, numbers, keep)
        if failed:
            raise PagesMissing(failed, len(numbers))

    def stats(self) -> CatalogueStats:
        """What NeoWs says of its whole catalogue.

        Raises:
            NeoWsError: it could not be had.
        """
        return _run(self._stats)

    def forecast(self, requests: int) -> float:
        """When the last of so many requests could be sent by the budget, at the earliest (seconds since 1970)."""
        if self._settings.simulated:
            return time.time()
        with contextlib.closing(self._budget()) as budget:
            return budget.forecast(requests)

    async def _stats(self) -> CatalogueStats:
        async with self._client() as client:
            return await client.fetch_stats()

    async def _fetch(self, numbers: list[int], store: Callable[[Page], None]) -> dict[int, NeoWsError]:
        async with self._client() as client:
            return await client.fetch_pages(numbers, store)

    def _client(self) -> "NeoWsClient":
        from neo_assets.sources.neows.client import NeoWsClient  # and httpx with it, which takes a while to import

        settings = self._settings
        if self._breaker.tripped:  # whoever asks again after an outage means to see whether it is over
            self._breaker = Breaker()
        if settings.simulated:  # no network and nobody to be polite to, so no budget
            return NeoWsClient(NASA_BASE_URL, [_EMBEDDED_KEY], None, transport=self._embedded)
        return NeoWsClient(
            settings.base_url, settings.keys, self._budget(), breaker=self._breaker, rejected=self._rejected
        )

    def _budget(self) -> Budget:
        settings = self._settings
        url = urlsplit(settings.base_url)
        host = f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
        return Budget(
            settings.request_ledger, host, settings.keys, settings.requests_per_hour, settings.requests_per_second
        )

    @cached_property
    def _embedded(self) -> "httpx.AsyncBaseTransport":
        import httpx  # these three only where they are needed: a process that talks to NASA has no use for a simulator

        from neo_assets.sources.simulator.app import create_app
        from neo_assets.sources.simulator.catalogue import Catalogue

        return httpx.ASGITransport(create_app(Catalogue()))


def _run(function: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """Await a function in a thread of its own.

    Ctrl-C is met here then, and what is under way is cancelled. Within an event loop it might strike a callback, which
    swallows it, or leave a task without the wake-up that it waits for.
    """
    from anyio.from_thread import start_blocking_portal  # not above, as httpx

    with start_blocking_portal() as portal:
        return portal.call(function, *arguments)
