"""Pages from NeoWs over HTTP: sends requests, classifies responses, redacts keys.

`gate` decides when a request may be sent; `pages` decides whether a body is a page.
"""

import asyncio
import functools
import logging
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import CookieJar
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from neo_assets.schema.facts import NEOS_PER_PAGE
from neo_assets.schema.heartbeat import OUT_OF_ORDER, OVER_LIMIT, REFUSED, Heartbeat
from neo_assets.schema.pages import NASA, SIMULATOR, CatalogueStats, Page
from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.errors import (
    BadRequest,
    KeyRejected,
    NeoWsError,
    NotAPage,
    NotFound,
    PagesMissing,
    RateLimited,
    Refused,
    Unavailable,
    pages_to_ask_again,
)
from neo_assets.sources.neows.gate import Gate
from neo_assets.sources.neows.network import (
    CONNECTION_ERRORS,
    Proxy,
    certificates_for,
    connection_error,
    proxy_to,
    refused_by,
)
from neo_assets.sources.neows.pages import read_envelope, read_stats, unpack
from neo_assets.sources.neows.progress import Progress
from neo_assets.sources.neows.redact import redact
from neo_assets.sources.neows.retry_policy import RETRY_POLICY, RetryPolicy

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ROUNDS = 2
"""How often a page that fails for a reason that may pass is asked for, each time with all its attempts."""

SIMULATOR_SERVER = "neo-assets-simulator"
"""The simulator's name in the `Server` header, so that its data is never mistaken for NASA's."""

CONCURRENCY = 8
"""Pages requested at the same time: enough for two per second from a server that takes four seconds to respond."""

_GATEWAY_CODES = (
    "API_KEY_MISSING",
    "API_KEY_INVALID",
    "API_KEY_DISABLED",
    "API_KEY_UNAUTHORIZED",
    "API_KEY_UNVERIFIED",
    "HTTPS_REQUIRED",
    "OVER_RATE_LIMIT",
    "NOT_FOUND",
)
"""The gateway's error codes, in JSON or HTML (https://developer.nrel.gov/docs/errors).

Messages repeat nothing else of an error response, as it may contain the key.
"""

_COUNT = re.compile("0*[1-9][0-9]{0,17}")
"""A stated limit that makes sense, which fits into 64 bits; any other is ignored."""

_POLICY = re.compile(r"\b([0-9]{1,18}) *; *w=([0-9]{1,18})\b")
"""Requests allowed and the length of their window in seconds: `"hour";q=1000;w=3600`, or the older `1000;w=3600`."""

_A_DAY_S = 86_400.0


class _NoCookies(CookieJar):
    """Keeps no cookies, and does not even read them: NeoWs needs none, and an odd one would break later requests."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Do nothing."""


class NeoWsClient:
    """A client for one host, with its keys. Use it as an async context manager."""

    def __init__(
        self,
        base_url: str,
        keys: Iterable[str],
        budget: Budget | None,
        *,
        concurrency: int = CONCURRENCY,
        transport: httpx.AsyncBaseTransport | None = None,
        policy: RetryPolicy = RETRY_POLICY,
        progress: Progress | None = None,
    ) -> None:
        """
        Args:
            base_url: root of the API, without a trailing slash.
            keys: the API keys; they are sent in the `X-Api-Key` header and appear nowhere else.
            budget: paces the requests and picks the key; None sends at once, with the first key not rejected. The
                caller closes it.
            concurrency: maximum number of pages requested or waiting for the consumer.
            transport: replaces the network.
            policy: the retry policy.
            progress: where waits, and pages that arrive or are given up, are noted.

        Raises:
            Misconfigured: the environment names a proxy or a file of certificates that cannot be used.
        """
        self.requests = 0
        """Requests sent so far, repeated ones included."""
        self._keys = tuple(dict.fromkeys(keys))
        self._progress = progress or Progress()
        self._gate = Gate(self._keys, budget, policy, self._progress)
        self._policy = policy
        self._concurrency = concurrency
        self._stated_limits: dict[str, tuple[int | None, float | None]] = {}
        self._base_url = base_url
        self._proxy = None if transport else proxy_to(base_url)
        # Redirects are not followed: NeoWs sends none, and one could leak the key to another host.
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(policy.timeout_s, connect=policy.connect_timeout_s),
            limits=httpx.Limits(max_keepalive_connections=concurrency),  # exceeded only if page sets run concurrently
            transport=transport,
            proxy=self._proxy.server if self._proxy else None,
            verify=True if transport else certificates_for(base_url),
            headers={"Accept-Encoding": "gzip"},  # what `unpack` undoes
            cookies=_NoCookies(),
            trust_env=False,  # `network` reads the environment
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def pages(self, numbers: Iterable[int]) -> AsyncGenerator[Page, None]:
        """Fetch Browse pages concurrently, and yield each one as soon as it arrives.

        At most `concurrency` pages are being fetched or wait for the consumer. Closing the iterator cancels the
        requests in progress. Pages that failed for a reason that may pass are asked for once more, after all others.

        Args:
            numbers: page numbers. `links.next` is not followed, as it sometimes names another host, and plain http.

        Raises:
            PagesMissing: after the last page, if some could not be fetched. An error that concerns all pages ends the
                round: it cancels the pages still missing.
            BudgetError: the budget's ledger cannot be used.
        """
        waiting = deque(numbers)
        asked = len(waiting)
        failed: dict[int, NeoWsError] = {}
        rounds = 1
        running: dict[asyncio.Task[Page], int] = {}
        arrived = asyncio.Queue[asyncio.Task[Page]]()

        def start_more() -> None:
            while waiting and len(running) < self._concurrency:
                number = waiting.popleft()
                task = asyncio.create_task(self.fetch_page(number))
                task.add_done_callback(arrived.put_nowait)
                running[task] = number

        self._gate.reopen()
        try:
            start_more()
            while running:
                task = await arrived.get()
                self._progress.done()  # even if the page failed: it is not asked for without end
                number = running.pop(task)
                page = None
                try:
                    page = task.result()
                except asyncio.CancelledError:
                    pass  # by the error of another page
                except NeoWsError as error:
                    failed[number] = error
                    if error.concerns_all:  # so all others fail too, except those that have already arrived
                        failed.update(dict.fromkeys([*waiting, *running.values()], error))
                        waiting.clear()
                        for other in running:
                            other.cancel()
                start_more()
                if page:
                    failed.pop(number, None)
                    yield page
                if running or rounds == _ROUNDS:
                    continue
                if again := pages_to_ask_again(failed, asked - len(failed), self._policy):
                    rounds += 1
                    logger.warning("asking again for %d page%s", len(again), "s" if len(again) > 1 else "")
                    waiting.extend(again)
                    self._gate.start_again()
                    start_more()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if failed:
            raise PagesMissing(dict(sorted(failed.items())), asked)

    async def fetch_page(self, number: int) -> Page:
        """Fetch one Browse page (`/neo/browse?page=number`), with retries.

        Raises:
            NeoWsError: it could not be fetched; the class tells why.
            BudgetError: the budget's ledger cannot be used.
        """
        return await self._gate.ask(f"page {number}", functools.partial(self._page, number), self._policy.attempts)

    async def fetch_stats(self) -> CatalogueStats:
        """Fetch NeoWs's own counts for its whole catalogue (`/stats`), without retries, and not after an outage.

        Raises:
            NeoWsError: they could not be fetched.
            BudgetError: the budget's ledger cannot be used.
        """
        return await self._gate.ask("/stats", self._stats)

    async def fetch_heartbeat(self) -> Heartbeat:
        """Fetch page 0 and `/stats`, without retries, and measure how long each takes from its sending.

        After an error, which the result describes, nothing more is requested.

        Raises:
            BudgetError: the budget's ledger cannot be used.
        """

        async def timed(what: str, send: Callable[[str], Awaitable[T]]) -> tuple[T, float]:
            async def send_timed(key: str) -> tuple[T, float]:
                sent_at = time.monotonic()
                return await send(key), time.monotonic() - sent_at

            return await self._gate.ask(what, send_timed)

        self._gate.reopen()
        at, found = datetime.now(UTC), dict[str, Any]()
        try:
            page, found["page_seconds"] = await timed("page 0", functools.partial(self._page, 0))
            found |= {"source": page.source, "total_elements": page.total_elements}
            stats, found["stats_seconds"] = await timed("/stats", self._stats)
            found["near_earth_object_count"] = stats.near_earth_object_count
            found["close_approach_count"] = stats.close_approach_count
        except NeoWsError as error:
            over_limit = isinstance(error, RateLimited)  # also when NeoWs is in order
            status = OVER_LIMIT if over_limit else OUT_OF_ORDER if error.retryable else REFUSED
            found |= {"status": status, "detail": str(error)}
        return Heartbeat(at, **found)

    async def _page(self, number: int, key: str) -> Page:
        response, body = await self._get("/neo/browse", {"page": number, "size": NEOS_PER_PAGE}, key)
        body = redact(unpack(body), self._keys)
        neos, total_elements = read_envelope(body, number)
        return Page(number, body, datetime.now(UTC), _source(response), neos, total_elements)

    async def _stats(self, key: str) -> CatalogueStats:
        _, body = await self._get("/stats", {}, key)
        return read_stats(unpack(body), datetime.now(UTC))

    async def _get(self, path: str, params: dict[str, int], key: str) -> tuple[httpx.Response, bytes]:
        """Send a GET and return its response and the body as sent, which httpx would unpack only in part.

        Raises:
            NeoWsError: there was no response, or its status is not 200.
        """
        try:
            url = self._base_url + path
            self.requests += 1
            async with (
                asyncio.timeout(self._policy.longest_answer_s),
                self._http.stream("GET", url, params=params, headers={"X-Api-Key": key}) as response,
            ):
                body = b"".join([part async for part in response.aiter_raw()])
        except CONNECTION_ERRORS as error:
            reason = redact(str(error).encode(), self._keys).decode() or type(error).__name__
            raise connection_error(self._base_url, self._proxy, error, reason) from None
        except TimeoutError as error:
            reason = f"no whole answer within {self._policy.longest_answer_s:g} s"
            raise connection_error(self._base_url, self._proxy, error, reason) from None
        self._apply_rate_headers(key, response)
        if response.status_code != HTTPStatus.OK:
            raise _status_error(response, body, self._proxy)
        return response, body

    def _apply_rate_headers(self, key: str, response: httpx.Response) -> None:
        """Adopt the limit that the host states for a key, and pause the key when no requests remain.

        X-RateLimit-Remaining differs between NASA's edge nodes, so a positive value never permits a request.
        """
        if response.status_code not in (HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS):
            return
        stated = allowed, window_s = _stated_limit(response.headers)
        if self._stated_limits.get(key) != stated:
            self._stated_limits[key] = stated
            self._gate.learn_limit(key, allowed, window_s)
        if response.status_code == HTTPStatus.OK and response.headers.get("X-RateLimit-Remaining") == "0":
            self._gate.pause(key, window_s)


def _stated_limit(headers: httpx.Headers) -> tuple[int | None, float | None]:
    """The requests allowed, and the length of their window in seconds; each None if it is not stated.

    NASA states the requests in an hour (X-RateLimit-Limit). RateLimit-Policy adds the window where it is another one
    (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/).
    """
    limit = headers.get("X-RateLimit-Limit", "")
    if not _COUNT.fullmatch(limit):
        return None, None
    windows = {
        int(allowed): int(window_s) for allowed, window_s in _POLICY.findall(headers.get("RateLimit-Policy", ""))
    }
    window_s = windows.get(int(limit))
    return int(limit), min(float(window_s), _A_DAY_S) if window_s else None


def _source(response: httpx.Response) -> str:
    return SIMULATOR if response.headers.get("Server", "").startswith(SIMULATOR_SERVER) else NASA


def _status_error(response: httpx.Response, body: bytes, proxy: Proxy | None) -> NeoWsError:
    """The error for a response whose status is not 200."""
    status = response.status_code
    host = response.url.host
    retry_after_s = _seconds(response.headers.get("Retry-After", ""))
    with suppress(NotAPage):  # the status says enough
        body = unpack(body)
    code = next((code for code in _GATEWAY_CODES if code.encode() in body), "")
    answer = f"{host} answered {status} {code}".strip()
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(f"{answer}: over the rate limit", retry_after_s)
    if status == HTTPStatus.FORBIDDEN and not code:
        between = proxy or "the network's proxy"
        return Refused(f"{answer} without a gateway code, so it comes from something in between; check {between}")
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return refused_by(proxy, f"{status} {HTTPStatus(status).phrase}")
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
        return KeyRejected(
            f"{answer}: the API key is not accepted; check NASA_API_KEYS (a key is free at https://api.nasa.gov)"
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(f"{answer}: there is no such page; check NEOWS_BASE_URL")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY):
        return Unavailable(f"{answer}: NeoWs is unavailable", retry_after_s)
    return BadRequest(f"{answer}: the request is not accepted; check NEOWS_BASE_URL")


def _seconds(retry_after: str) -> float | None:
    """The wait that a Retry-After header asks for, at most a day. It may be a date (RFC 9110, section 10.2.3)."""
    if retry_after.isdecimal():
        return min(float(retry_after), _A_DAY_S)
    try:
        wait_s = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _A_DAY_S)
