"""The circuit breaker: tracks failures of a host, and decides whether to send freely, probe, or stop.

It only records failures and times. `errors` decides which failures point to an outage; `gate` does the waiting.
"""

import logging
import time
from collections import Counter

from neo_assets.sources.neows.errors import NeoWsError, Outage
from neo_assets.sources.neows.retry_policy import RetryPolicy

logger = logging.getLogger(__name__)


class Breaker:
    """The state of one host, judged by its responses."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.reset()

    def reset(self) -> None:
        """Forget every failure."""
        self._failures = 0
        self._failed = Counter[str]()
        self._silence_requested = False
        self._gave_up = False
        self._last_error: NeoWsError | None = None
        self._last_failure_at = self._resume_at = 0.0

    def reopen(self) -> None:
        """Count failures from zero, as pages are asked for again.

        The next request is a probe, after the pause that is due; a pause too long to wait for is forgotten.
        """
        if self._gave_up:
            self.reset()
        elif self._failures:
            self._failures = 0
            self._failed.clear()
            self._silence_requested = True

    @property
    def probing(self) -> bool:
        """Whether requests go out one at a time, each after a pause.

        After a single failure, only that page is retried, unless the host asks for a pause (Retry-After).
        """
        return self._failures > 1 or self._silence_requested

    @property
    def tripped(self) -> bool:
        """Whether there is an outage, during which no requests are sent.

        One bad page is not an outage, however often it fails, not even if another page fails once.
        """
        elsewhere = self._failures - max(self._failed.values(), default=0)
        return self._gave_up or (self._failures >= self._policy.trips_after and elsewhere > 1)

    @property
    def silence_s(self) -> float:
        """Seconds until the next probe may go out."""
        return max(0.0, self._resume_at - time.monotonic()) if self.probing else 0.0

    def note_answer(self, sent_at: float) -> None:
        """Record a response that shows that the host is up, even if it refuses the request.

        Args:
            sent_at: when the request was sent (`time.monotonic`). A request that was in flight at the last failure is
                no evidence, and is ignored.
        """
        if sent_at >= self._last_failure_at:
            self.reset()

    def note_failure(self, what: str, error: NeoWsError, sent_at: float) -> None:
        """Record a failure that points to an outage.

        Args:
            what: the page or resource requested.
            error: the failure.
            sent_at: when the request was sent (`time.monotonic`). Requests in flight when an outage begins count as one
                failure.
        """
        if sent_at < self._last_failure_at:
            return
        self._failures += 1
        self._failed[what] += 1
        self._silence_requested |= bool(error.retry_after_s)
        self._last_error = error
        self._last_failure_at = time.monotonic()
        wait_s = max(self._policy.wait_s(self._failures), error.retry_after_s or 0.0)
        self._gave_up |= wait_s > self._policy.longest_silence_s
        self._resume_at = self._last_failure_at + wait_s
        if self.probing and not self.tripped:
            logger.warning("%s: %s; failure %d in a row, next request in %.0f s", what, error, self._failures, wait_s)

    def refuse_if_tripped(self) -> None:
        """Do nothing unless there is an outage.

        Raises:
            Outage: there is an outage.
        """
        if self.tripped:
            why = "it asks for a long pause" if self._gave_up else f"{self._failures} attempts in a row failed"
            raise Outage(
                f"{self._last_error}; {why}, so no more requests are sent for now: run the same command again later; "
                "the pages stored so far are kept",
                self._last_error.retry_after_s if self._last_error else None,
            )
