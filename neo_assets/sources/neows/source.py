"""NeoWs as configured by the settings, for callers that are not async: pages, NeoWs's own counts, heartbeats, and what
the request budget allows.

`client` and `gate` fetch the pages; the caller stores them.
"""

import math
import threading
import time
import weakref
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from neo_assets.schema.heartbeat import NOT_ASKED, REFUSED, Heartbeat
from neo_assets.schema.pages import NASA, SIMULATOR, CatalogueStats, Page
from neo_assets.settings import NASA_BASE_URL, Settings
from neo_assets.sources.neows.budget import Budget, Left
from neo_assets.sources.neows.errors import Misconfigured, PagesMissing
from neo_assets.sources.neows.loop_thread import LoopThread
from neo_assets.sources.neows.progress import Progress
from neo_assets.sources.neows.retry_policy import RETRY_POLICY, RetryPolicy

if TYPE_CHECKING:
    from neo_assets.sources.neows.client import NeoWsClient

_EMBEDDED_KEY = "embedded-simulator"

HEARTBEAT_REQUESTS = 2
"""Requests that one heartbeat sends."""

_AT_ONCE_S = 60.0


class NeoWs:
    """The source of Browse pages: NASA's API if a key is set, otherwise the embedded simulator.

    It uses one client, with one set of connections, keys, budget and breaker. The client starts at the first use, and
    ends with `close`, when the object is garbage-collected, or with the process.
    """

    def __init__(self, settings: Settings, policy: RetryPolicy = RETRY_POLICY) -> None:
        """
        Args:
            settings: the base URL, the keys, and the budget.
            policy: the retry policy.
        """
        self.progress = Progress()
        """When a page last arrived or was given up, or a wait ended or will end."""
        self._settings = settings
        self._policy = policy
        self._budget = None if settings.simulated else _budget(settings)  # the simulator needs no budget
        self._lock = threading.Lock()
        self._started: tuple[LoopThread, NeoWsClient] | None = None
        self._requests_before = 0  # by clients that were closed

    @property
    def source(self) -> str | None:
        """`simulator` or `nasa`; None for another server, whose source only a response reveals."""
        if self._settings.simulated:
            return SIMULATOR
        return NASA if self._settings.base_url == NASA_BASE_URL else None

    @property
    def where(self) -> str:
        """The source, for messages."""
        return "the embedded simulator" if self._settings.simulated else self._settings.base_url

    @property
    def requests(self) -> int:
        """Requests sent so far, repeated ones included."""
        started = self._started
        return self._requests_before + (started[1].requests if started else 0)

    def pages(self, numbers: Iterable[int]) -> Generator[Page, None, None]:
        """Fetch Browse pages, and yield each one as soon as it arrives.

        While the caller processes a page, a few more are fetched. Ctrl-C cancels them, and so does closing the
        iterator; use `contextlib.closing` if the loop may end early.

        Raises:
            PagesMissing: after the last page, if some could not be fetched.
            BudgetError: the budget's ledger cannot be used.
        """
        numbers = list(numbers)
        if not numbers:
            return
        try:
            loop, client = self._running()
        except Misconfigured as error:
            raise PagesMissing(dict.fromkeys(numbers, error), len(numbers)) from None
        pages = client.pages(numbers)
        while page := loop.call(anext, pages, None):
            try:
                yield page
            except GeneratorExit:
                if not loop.ended:
                    loop.call(pages.aclose)
                raise

    def stats(self) -> CatalogueStats:
        """Fetch NeoWs's own counts for its whole catalogue.

        Raises:
            NeoWsError: they could not be fetched.
            BudgetError: the budget's ledger cannot be used.
        """
        loop, client = self._running()
        return loop.call(client.fetch_stats)

    def heartbeat(self) -> Heartbeat:
        """Ask NeoWs for page 0 and its own counts, to see whether it is in order: two requests, without retries.

        Nothing is requested if the budget does not allow both at once.

        Raises:
            BudgetError: the budget's ledger cannot be used.
        """
        if self.affordable(HEARTBEAT_REQUESTS, _AT_ONCE_S, _AT_ONCE_S) < HEARTBEAT_REQUESTS:
            later = datetime.fromtimestamp(self.forecast(HEARTBEAT_REQUESTS), UTC)
            why = f"the request budget allows no request before {later:%Y-%m-%d %H:%M} UTC"
            return Heartbeat(datetime.now(UTC), NOT_ASKED, why)
        try:
            loop, client = self._running()
        except Misconfigured as error:
            return Heartbeat(datetime.now(UTC), REFUSED, str(error))
        return loop.call(client.fetch_heartbeat)

    def forecast(self, requests: int) -> float:
        """The earliest time at which the budget allows the last of that many requests (seconds since 1970).

        Raises:
            BudgetError: the budget's ledger cannot be used.
        """
        return self._budget.forecast(requests) if self._budget else time.time()

    def affordable(self, at_most: int, within_s: float, longest_wait_s: float) -> int:
        """How many of that many requests the budget allows soon; takes the arguments of `Budget.affordable`.

        Raises:
            BudgetError: the budget's ledger cannot be used.
        """
        return self._budget.affordable(at_most, within_s, longest_wait_s) if self._budget else at_most

    def per_day(self) -> float:
        """How many requests the limits of all keys allow in a day; infinite without a budget.

        Raises:
            BudgetError: the budget's ledger cannot be used.
        """
        return self._budget.per_day() if self._budget else math.inf

    def left(self) -> list[Left]:
        """What is left of the budget of each key, in the order of the keys; empty without a budget. Nothing is written.

        Raises:
            BudgetError: the budget's ledger cannot be read.
        """
        return self._budget.left() if self._budget else []

    def close(self) -> None:
        """Close the connections and the budget's ledger; the next use reopens them."""
        with self._lock:
            if self._started:
                self._started[0].close()
                self._requests_before += self._started[1].requests
                self._started = None
        if self._budget:
            self._budget.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> "tuple[LoopThread, NeoWsClient]":
        """The event loop and the client, started if necessary."""
        with self._lock:
            if self._started is None:
                client = self._client()
                loop = LoopThread(client, "neows")
                weakref.finalize(self, loop.stop).atexit = False  # at exit, LoopThread ends it
                self._started = loop, client
            return self._started

    def _client(self) -> "NeoWsClient":
        from neo_assets.sources.neows.client import NeoWsClient  # imports httpx, which is slow

        if not self._settings.simulated:
            return NeoWsClient(
                self._settings.base_url,
                self._settings.keys,
                self._budget,
                policy=self._policy,
                progress=self.progress,
            )

        import httpx  # these three are imported here, as only the simulator needs them

        from neo_assets.sources.simulator.app import create_app
        from neo_assets.sources.simulator.catalogue import Catalogue

        transport = httpx.ASGITransport(create_app(Catalogue()))
        return NeoWsClient(
            NASA_BASE_URL, [_EMBEDDED_KEY], None, transport=transport, policy=self._policy, progress=self.progress
        )


def _budget(settings: Settings) -> Budget:
    url = urlsplit(settings.base_url)
    host = f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
    return Budget(
        settings.request_ledger, host, settings.keys, settings.requests_per_hour, settings.requests_per_second
    )
