"""NeoWs as configured by the settings, for callers that are not async: pages, NeoWs's own counts, heartbeats, and what
the request budget allows.

A process of its own fetches the pages (`fetcher_process`), with `client` and `gate`; the caller stores them.
"""

import math
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from neo_assets.schema.heartbeat import NOT_ASKED, REFUSED, Heartbeat
from neo_assets.schema.pages import NASA, SIMULATOR, CatalogueStats, Page
from neo_assets.settings import NASA_BASE_URL, Settings
from neo_assets.sources.neows.budget import Left
from neo_assets.sources.neows.errors import FetcherEnded, Misconfigured, PagesMissing
from neo_assets.sources.neows.fetcher_process import FetcherProcess
from neo_assets.sources.neows.messages import Host
from neo_assets.sources.neows.progress import Progress
from neo_assets.sources.neows.retry_policy import RETRY_POLICY, RetryPolicy

HEARTBEAT_REQUESTS = 2
"""Requests that one heartbeat sends."""

_AHEAD = 32
"""Pages of the next page set that may wait to be asked for, while up to 8 more are being fetched. Together they take
15 MB of the process that fetches, and are lost if a run is killed.
"""

_AT_ONCE_S = 60.0


class _Ahead(NamedTuple):
    """A call for pages that has begun before anyone asked for them."""

    numbers: list[int]
    process: FetcherProcess
    pages: Generator[Page, None, None]


class NeoWs:
    """The source of Browse pages: NASA's API if a key is set, otherwise the embedded simulator.

    It uses one client, with one set of connections, keys, budget and breaker, in a process of its own. That starts at
    the first use, and ends with `close`, when the object is garbage-collected, or with this process. If it is killed,
    the next use starts another.
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
        self._host = host_of(settings, policy)
        self._budget = self._host.budget()
        self._lock = threading.Lock()
        self._started: FetcherProcess | None = None
        self._requests_before = 0  # by processes that have ended
        self._expected: list[int] = []
        self._ahead: _Ahead | None = None

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
        """Requests sent so far, repeated ones included; the last ones of a cancelled call count with the next call."""
        started = self._started
        return self._requests_before + (started.requests if started else 0)

    def start(self) -> None:
        """Start the client's process now, so that it is ready at the first use."""
        self._running()

    def pages(self, numbers: Iterable[int]) -> Generator[Page, None, None]:
        """Fetch Browse pages, and yield each one as soon as it arrives.

        While the caller processes a page, a few more are fetched. Ctrl-C cancels them, and so does closing the
        iterator; use `contextlib.closing` if the loop may end early.

        Raises:
            PagesMissing: after the last page, if some could not be fetched.
            BudgetError: the budget's ledger cannot be used.
        """
        numbers = list(numbers)
        missing = dict.fromkeys(numbers)
        expected, self._expected = self._expected, []
        begun = self._begun_ahead(numbers)
        if numbers:
            try:
                with closing(begun or self._running().call("pages", numbers)) as pages:
                    for page in pages:
                        del missing[page.number]
                        yield page
            except (Misconfigured, FetcherEnded) as error:
                raise PagesMissing(dict.fromkeys(missing, error), len(numbers)) from None
        if expected and expected != numbers:
            process = self._running()
            self._ahead = _Ahead(expected, process, process.call("pages", expected, ahead=_AHEAD - 1))

    def expect(self, numbers: Iterable[int]) -> None:
        """Say which pages will be asked for after the next call of `pages`.

        Once that has yielded its last page, some of them are fetched ahead, while the caller computes. They are dropped
        if `pages` is then called for others.
        """
        self._expected = list(numbers)

    def _begun_ahead(self, numbers: list[int]) -> Generator[Page, None, None] | None:
        """The call that was begun ahead for these pages, if there is one. If it was begun for others, it ends."""
        ahead, self._ahead = self._ahead, None
        if ahead and ahead.numbers == numbers and not ahead.process.ended:
            return ahead.pages
        if ahead:
            ahead.pages.close()
        return None

    def stats(self) -> CatalogueStats:
        """Fetch NeoWs's own counts for its whole catalogue.

        Raises:
            NeoWsError: they could not be fetched.
            BudgetError: the budget's ledger cannot be used.
        """
        stats: CatalogueStats = self._ask("fetch_stats")
        return stats

    def heartbeat(self) -> Heartbeat:
        """Ask NeoWs for page 0 and its own counts, to see whether it is in order: two requests, without retries.

        Nothing is requested if the budget does not allow both at once.

        Raises:
            FetcherEnded: the process that asks has ended.
            BudgetError: the budget's ledger cannot be used.
        """
        if self.affordable(HEARTBEAT_REQUESTS, _AT_ONCE_S, _AT_ONCE_S) < HEARTBEAT_REQUESTS:
            later = datetime.fromtimestamp(self.forecast(HEARTBEAT_REQUESTS), UTC)
            why = f"the request budget allows no request before {later:%Y-%m-%d %H:%M} UTC"
            return Heartbeat(datetime.now(UTC), NOT_ASKED, why)
        try:
            heartbeat: Heartbeat = self._ask("fetch_heartbeat")
        except Misconfigured as error:
            return Heartbeat(datetime.now(UTC), REFUSED, str(error))
        return heartbeat

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
        self._expected = []
        self._begun_ahead([])  # ends the call that was begun ahead
        with self._lock:
            if self._started:
                self._requests_before += self._started.requests
                self._started.close()
                self._started = None
        if self._budget:
            self._budget.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> FetcherProcess:
        """The client's process, started if necessary."""
        with self._lock:
            if self._started and self._started.ended:
                self._requests_before += self._started.requests
                self._started = None
            if self._started is None:
                self._started = FetcherProcess(self._host, self.progress)
            return self._started

    def _ask(self, method: str) -> Any:
        """The one answer of a method of the client."""
        with closing(self._running().call(method)) as answers:
            return next(answers)


def host_of(settings: Settings, policy: RetryPolicy) -> Host:
    """What the process that fetches needs to know of the settings."""
    url = urlsplit(settings.base_url)
    return Host(
        settings.base_url,
        settings.keys,
        None if settings.simulated else settings.request_ledger,
        f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}",
        settings.requests_per_hour,
        settings.requests_per_second,
        policy,
    )
