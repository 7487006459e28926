"""Pages from NeoWs over HTTP: budget, retries, errors, redaction. What is in a page, and where it is kept, is not known
here.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar

import httpx
import tenacity

from neo_assets.schema.pages import NASA, SIMULATOR, CatalogueStats, Page
from neo_assets.schema.tables import NEOS_PER_PAGE
from neo_assets.sources.neows.breaker import FIRST_WAIT_S, LONGEST_WAIT_S, TRIPS_AFTER, Breaker, TurnLost
from neo_assets.sources.neows.budget import Budget, Slot
from neo_assets.sources.neows.errors import (
    BadRequest,
    CertificateRejected,
    KeyRejected,
    NeoWsError,
    NotFound,
    RateLimited,
    Refused,
    Unavailable,
    Unreachable,
)
from neo_assets.sources.neows.pages import read_envelope, read_stats
from neo_assets.sources.neows.redact import redact

logger = logging.getLogger(__name__)

T = TypeVar("T")

SIMULATOR_SERVER = "neo-assets-simulator"
"""How the simulator names itself in the `Server` header, so that its data is never taken for real."""

CONCURRENCY = 8
"""Requests under way at once: enough for two a second from a server that takes four seconds to answer."""

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
"""What the gateway says in JSON or HTML (https://developer.nrel.gov/docs/errors); nothing else of an error is repeated,
as it may hold the key."""

_ATTEMPTS = TRIPS_AFTER
_TIMEOUT = httpx.Timeout(60, connect=10)
_PARK_S = 60.0  # a 429 without Retry-After
_LEAST_PARK_S = 1.0
_SAY_FROM_S = 5.0  # a shorter wait is not worth a word
_SAY_AGAIN_S = 60.0
_A_DAY_S = 86_400.0
_STALE_S = 5.0  # a slot that was not used by then is no longer the budget's


class NeoWsClient:
    """One host, its keys and their budget. Use it as an async context manager."""

    def __init__(
        self,
        base_url: str,
        keys: Iterable[str],
        budget: Budget | None,
        *,
        concurrency: int = CONCURRENCY,
        transport: httpx.AsyncBaseTransport | None = None,
        first_wait_s: float = FIRST_WAIT_S,
        breaker: Breaker | None = None,
        rejected: dict[str, KeyRejected] | None = None,
    ) -> None:
        """
        Args:
            base_url: root of the API, without a slash at its end.
            keys: the API keys; they travel in the `X-Api-Key` header and appear nowhere else.
            budget: paces the requests and picks the key; None asks at once, with the first key that is let through.
            concurrency: requests under way at once.
            transport: carries the requests instead of the network.
            first_wait_s: seconds before the first retry; doubled, with jitter, before each further one.
            breaker: knows how the host fared with clients before, and has its own waits; None for a new one.
            rejected: keys that are not let through, of clients before too.
        """
        self._keys = tuple(dict.fromkeys(keys))
        self._budget = budget
        self._concurrency = concurrency
        self._backoff = tenacity.wait_exponential_jitter(
            multiplier=first_wait_s, max=LONGEST_WAIT_S, jitter=first_wait_s
        )
        self._breaker = breaker or Breaker(first_wait_s)
        self._stated_limits: dict[str, int] = {}
        self._rejected = {} if rejected is None else rejected
        self._said_until = 0.0
        self._base_url = base_url
        limits = httpx.Limits(max_connections=concurrency)
        # Redirects are not followed: NeoWs has none, and one could carry the key to another host.
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, limits=limits, transport=transport)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._budget:
            self._budget.close()
        await self._http.__aexit__(kind, error, trace)

    async def fetch_pages(self, numbers: Iterable[int], store: Callable[[Page], None]) -> dict[int, NeoWsError]:
        """Fetch Browse pages, several at once, and hand each over as soon as it is there.

        Args:
            numbers: the pages, by number: `links.next` names other hosts at times, and plain http.
            store: called in a worker thread for each page, for several at once; what it raises ends the whole.

        Returns:
            The pages that could not be had, each with its error. After an error that concerns all pages the rest is not
            asked for, and is among them.
        """
        waiting = list(reversed(list(numbers)))
        failed: dict[int, NeoWsError] = {}

        async def work() -> None:
            while waiting:
                number = waiting.pop()
                try:
                    page = await self.fetch_page(number)
                except NeoWsError as error:
                    failed[number] = error
                    if error.concerns_all:
                        failed.update(dict.fromkeys(waiting, error))
                        waiting.clear()
                else:
                    await asyncio.to_thread(store, page)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(waiting))):
                    group.create_task(work())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return dict(sorted(failed.items()))

    async def fetch_page(self, number: int) -> Page:
        """One Browse page (`/neo/browse?page=number`), after as many attempts as make sense.

        Raises:
            NeoWsError: it could not be had; the class says why.
        """
        # tenacity: well kept, async, and its predicate can ask the error for its verdict. httpx itself retries connects
        # only.
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=self._wait_s,
            retry=tenacity.retry_if_exception(self._may_try_again),
            before_sleep=lambda attempt: _say_why(number, attempt),
            reraise=True,
        )
        return await retrying(self._fetch_page_once, number)

    async def fetch_stats(self) -> CatalogueStats:
        """What NeoWs says of its whole catalogue (`/stats`), asked for once.

        Raises:
            NeoWsError: it could not be had.
        """
        return await self._get("/stats", {}, lambda response: read_stats(response.content, datetime.now(UTC)))

    async def _fetch_page_once(self, number: int) -> Page:
        def read(response: httpx.Response) -> Page:
            body = redact(response.content, self._keys)
            neos, total_elements = read_envelope(body, number)
            return Page(number, body, datetime.now(UTC), _source(response), neos, total_elements)

        return await self._get("/neo/browse", {"page": number, "size": NEOS_PER_PAGE}, read)

    async def _get(self, path: str, params: dict[str, int], read: Callable[[httpx.Response], T]) -> T:
        """What `read` makes of a response of status 200, asked for with the first key that is let through."""
        while True:
            key = ""
            try:
                async with self._breaker.request(f"{path}{params}") as turn:
                    # In this order: a slot that waits for the breaker would be used when it is no longer the budget's.
                    slot = await self._leave_to_ask()
                    key = slot.key
                    try:
                        turn.take()
                    except TurnLost:
                        if self._budget:
                            self._budget.give_back(slot)
                        raise
                    return read(await self._ask(path, params, key))
            except TurnLost:
                continue
            except (RateLimited, KeyRejected) as error:
                if not self._other_key_is_free(key, error):
                    raise

    async def _ask(self, path: str, params: dict[str, int], key: str) -> httpx.Response:
        try:
            response = await self._http.get(self._base_url + path, params=params, headers={"X-Api-Key": key})
        except (httpx.TransportError, httpx.DecodingError) as error:  # a reset may garble a compressed body
            raise _unreachable(self._base_url, error, self._keys) from None
        self._heed(key, response)
        if response.status_code != HTTPStatus.OK:
            raise _verdict(response)
        return response

    async def _leave_to_ask(self) -> Slot:
        """Wait for the budget; returns the slot to ask in, which is now.

        Raises:
            KeyRejected: no key is left.
        """
        while True:
            if not set(self._keys) - set(self._rejected):
                raise next(reversed(self._rejected.values()))
            if self._budget is None:
                return Slot(next(key for key in self._keys if key not in self._rejected), time.time())
            slot = await asyncio.to_thread(self._budget.reserve, without=list(self._rejected))
            wait_s = slot.at - time.time()
            if wait_s > _SAY_FROM_S and slot.at > self._said_until + _SAY_AGAIN_S:
                self._said_until = slot.at
                logger.warning("waiting for the request budget until %s", _clock_time(slot.at))
            if wait_s <= 0:
                return slot
            try:
                await asyncio.sleep(wait_s)
            except asyncio.CancelledError:  # Ctrl-C, or the end of another request
                self._budget.give_back(slot)
                raise
            # While this request waited its key may have been turned away, or the machine have been asleep.
            usable = slot.key not in self._rejected and slot.key not in self._budget.parked()
            if usable and time.time() - slot.at < _STALE_S:
                return slot
            await asyncio.to_thread(self._budget.give_back, slot)

    def _other_key_is_free(self, key: str, error: RateLimited | KeyRejected) -> bool:
        """Leave a key alone that was not let through; says whether to go on with another at once."""
        if isinstance(error, KeyRejected):
            others = len(set(self._keys) - set(self._rejected) - {key})
            if key and key not in self._rejected and others:
                logger.warning("%s; %s", error, "another key goes on" if others == 1 else f"{others} other keys go on")
            if key:  # else there was none left to ask with
                self._rejected.setdefault(key, error)
            return others > 0
        if self._budget is None:
            return False
        wait_s = _PARK_S if error.retry_after_s is None else max(error.retry_after_s, _LEAST_PARK_S)
        until = self._budget.park(key, wait_s)
        logger.warning("%s; this key is left alone until %s", error, _clock_time(until))
        return bool(set(self._keys) - set(self._rejected) - self._budget.parked())

    def _heed(self, key: str, response: httpx.Response) -> None:
        """Heed what the host says of a key's limit.

        What remains of it jitters between NASA's edge nodes, so it is never taken for leave to ask; but nothing left is
        a reason to pause for a moment.
        """
        if self._budget is None:
            return
        limit = response.headers.get("X-RateLimit-Limit", "")
        if limit.isdecimal() and int(limit) and self._stated_limits.get(key) != int(limit):
            self._stated_limits[key] = int(limit)
            self._budget.learn_limit(key, int(limit))
        if response.status_code == HTTPStatus.OK and response.headers.get("X-RateLimit-Remaining") == "0":
            self._budget.park(key, _PARK_S)

    def _may_try_again(self, error: BaseException) -> bool:
        return isinstance(error, NeoWsError) and error.retryable and not self._breaker.tripped

    def _wait_s(self, attempt: tenacity.RetryCallState) -> float:
        """Seconds to wait before the next attempt, where neither the breaker nor the budget makes it wait anyway."""
        error = attempt.outcome.exception() if attempt.outcome else None
        waits_elsewhere = isinstance(error, NeoWsError) and (
            (error.is_outage and self._breaker.is_feeling)
            or (isinstance(error, RateLimited) and self._budget is not None)
        )
        return 0.0 if waits_elsewhere else self._backoff(attempt)


def _source(response: httpx.Response) -> str:
    return SIMULATOR if response.headers.get("Server", "").startswith(SIMULATOR_SERVER) else NASA


def _verdict(response: httpx.Response) -> NeoWsError:
    """The error that a response other than 200 stands for."""
    status = response.status_code
    host = response.url.host
    retry_after_s = _seconds(response.headers.get("Retry-After", ""))
    code = next((code for code in _GATEWAY_CODES if code in response.text), "")
    said = f"{host} answered {status} {code}".strip()
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(f"{said}: over the rate limit", retry_after_s)
    if status == HTTPStatus.FORBIDDEN and not code:
        return Refused(f"{said} without a code of its gateway: something on the way refuses; check the network's proxy")
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED):
        return KeyRejected(
            f"{said}: the API key is not accepted; check NASA_API_KEYS (a key is free at https://api.nasa.gov)"
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(f"{said}: no such page; check NEOWS_BASE_URL")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY):
        return Unavailable(f"{said}: NeoWs is out of order", retry_after_s)
    return BadRequest(f"{said}: the request is not accepted; check NEOWS_BASE_URL")


def _seconds(retry_after: str) -> float | None:
    """Seconds to wait by a Retry-After header, which may name a time (RFC 9110, section 10.2.3); at most a day."""
    if retry_after.isdecimal():
        return min(float(retry_after), _A_DAY_S)
    try:
        wait_s = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait_s, 0.0), _A_DAY_S)


def _unreachable(base_url: str, error: httpx.RequestError, keys: Iterable[str]) -> NeoWsError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message
            return CertificateRejected(f"{base_url}: its TLS certificate is not trusted ({why}); check NEOWS_BASE_URL")
        cause = cause.__cause__ or cause.__context__
    reason = redact(str(error).encode(), keys).decode() or type(error).__name__
    return Unreachable(f"{base_url} cannot be reached ({reason}); check the network and NEOWS_BASE_URL")


def _say_why(page: int, attempt: tenacity.RetryCallState) -> None:
    wait_s = attempt.next_action.sleep if attempt.next_action else 0.0
    if attempt.outcome and wait_s:  # the breaker and the budget speak for themselves
        error, number = attempt.outcome.exception(), attempt.attempt_number
        logger.warning("page %d, attempt %d of %d: %s; again in %.0f s", page, number, _ATTEMPTS, error, wait_s)


def _clock_time(at: float) -> str:
    then = datetime.fromtimestamp(at, UTC)
    return then.strftime("%H:%M:%S UTC" if then.date() == datetime.now(UTC).date() else "%Y-%m-%d %H:%M:%S UTC")
