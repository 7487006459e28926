"""The circuit breaker: while a host is out of order one request at a time feels for it, ever more rarely, and then
none.

What counts as an outage is decided in `errors`; pacing a host that is well is the business of `budget`.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator

from neo_assets.sources.neows.errors import NeoWsError, Outage

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Seconds of silence after a first failure, and at most."""

TRIPS_AFTER = 5
"""Failures in a row after which nothing more is asked."""

_LONGEST_PAUSE_S = 900.0

logger = logging.getLogger(__name__)


class TurnLost(Exception):
    """The host got out of order while a request waited to go out: it has to wait its turn again."""


class Turn:
    """Leave for one request to go out, as long as the host is well or this is the one that feels for it."""

    def __init__(self, breaker: "Breaker", feels: bool) -> None:
        self._breaker, self._feels = breaker, feels
        self.sent_at = time.monotonic()

    def take(self) -> None:
        """The request goes out now.

        Raises:
            TurnLost: the host got out of order meanwhile; nothing is to be sent.
        """
        if self._breaker.is_feeling and not self._feels:
            raise TurnLost
        self.sent_at = time.monotonic()


class Breaker:
    """Shared by all requests to one host, of one client or of several that follow one another."""

    def __init__(
        self, first_wait_s: float = FIRST_WAIT_S, longest_wait_s: float = LONGEST_WAIT_S, trips_after: int = TRIPS_AFTER
    ) -> None:
        """
        Args:
            first_wait_s: seconds of silence after a failure; doubled, with jitter, after each further one in a row.
            longest_wait_s: longest silence, but for one that the host asks for itself (Retry-After).
            trips_after: failures in a row after which nothing more is asked.
        """
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._trips_after = trips_after
        self._failures = 0
        self._gave_up = False
        self._silence_was_asked_for = False
        self._failed_at: set[str] = set()
        self._last_failure_at = 0.0
        self._resume_at = 0.0
        self._last_error: NeoWsError | None = None
        self._feeler = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_feeling(self) -> bool:
        """Whether requests go one at a time, each after a silence.

        A single failure is left to whom it struck, unless the host asks for silence (Retry-After).
        """
        return self._failures > 1 or self._silence_was_asked_for

    @property
    def tripped(self) -> bool:
        """Whether nothing more is asked."""
        return self._gave_up or (self._failures >= self._trips_after and len(self._failed_at) > 1)

    @contextlib.asynccontextmanager
    async def request(self, what: str) -> AsyncIterator[Turn]:
        """Around each request: waits its turn while the host is out of order, and takes note of how it went.

        What it gives is to be taken when the request goes out, where something else had to be waited for meanwhile.

        Args:
            what: what is asked for; the failures of a single thing are no outage of the host.

        Raises:
            Outage: the host has been out of order for too long.
        """
        async with contextlib.AsyncExitStack() as stack:
            feels = self.is_feeling
            if feels:
                await stack.enter_async_context(self._feeler_here())
                self._refuse_if_tripped()
                await asyncio.sleep(max(0.0, self._resume_at - time.monotonic()))
            turn = Turn(self, feels)
            try:
                yield turn
            except NeoWsError as error:
                if not error.is_outage:
                    self._all_is_well()
                elif turn.sent_at >= self._last_failure_at:  # else it was under way when the outage was noticed
                    self._failed_at.add(what)
                    self._note(error)
                    self._refuse_if_tripped()
                raise
            self._all_is_well()

    def _feeler_here(self) -> asyncio.Lock:
        """The lock of the event loop that runs: it belongs to one, and each client may have its own."""
        if self._loop is not (running := asyncio.get_running_loop()):
            self._loop, self._feeler = running, asyncio.Lock()
        return self._feeler

    def _all_is_well(self) -> None:
        self._failures = 0
        self._silence_was_asked_for = False
        self._failed_at.clear()

    def _note(self, error: NeoWsError) -> None:
        self._failures += 1
        self._silence_was_asked_for |= bool(error.retry_after_s)
        self._last_error = error
        self._last_failure_at = time.monotonic()
        backoff_s = min(self._longest_wait_s, self._first_wait_s * 2 ** (self._failures - 1))
        wait_s = max(backoff_s + random.uniform(0, self._first_wait_s), error.retry_after_s or 0.0)
        if wait_s > _LONGEST_PAUSE_S:  # it says itself that it will be out of order for long
            self._gave_up = True
        self._resume_at = self._last_failure_at + wait_s
        if self.is_feeling and not self.tripped:
            logger.warning("%s; failure %d in a row, nothing is asked for %.0f s", error, self._failures, wait_s)

    def _refuse_if_tripped(self) -> None:
        if self.tripped:
            raise Outage(
                f"{self._last_error}; {self._failures} attempts in a row failed, so nothing more is asked for "
                "now: run the same command again later, what was stored is kept"
            )
