"""What can go wrong with NeoWs, as a small tree of errors that carry their own verdict. `gate` acts on it.

Sources: the gateway's error codes at https://api.nasa.gov and https://developer.nrel.gov/docs/errors (the same API
Umbrella).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

_NAMED = 5
"""The most pages that a message names."""


class NeoWsError(Exception):
    """NeoWs did not give what was asked for; the message is one line that says what and why, free of keys."""

    retryable: ClassVar[bool] = False
    """Whether asking again, now or later, may help. Dagster's step and run retries follow it too."""

    concerns_all: ClassVar[bool] = False
    """Whether every other page would fail in the same way."""

    is_outage: ClassVar[bool] = False
    """Whether the error points to an outage of the host: the breaker counts these."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """`retry_after_s`: seconds to wait before asking again, where the response says so (Retry-After)."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KeyRejected(NeoWsError):
    """403 (or 401): the key is missing, unknown, disabled or not allowed. Do without it; other keys carry on."""

    concerns_all = True


class Refused(NeoWsError):
    """403 without a code of the gateway: a proxy or firewall on the way refuses, whatever the key. Give up on all
    pages.
    """

    concerns_all = True


class NotFound(NeoWsError):
    """404: NeoWs has no such page. Give up."""


class BadRequest(NeoWsError):
    """Another 4xx, or a redirect: asking again in the same way would not help. Give up."""


class CertificateRejected(NeoWsError):
    """The server's TLS certificate cannot be trusted. Give up on all pages."""

    concerns_all = True


class RateLimited(NeoWsError):
    """429: over the hourly budget, or so NeoWs says; false ones occur (2023-11-22, nasa/api-docs#210).

    Leave the key alone for as long as Retry-After says; other keys carry on meanwhile.
    """

    retryable = True
    concerns_all = True


class Unavailable(NeoWsError):
    """5xx, 408, 425: an outage or a maintenance window, often with HTML. Retry with backoff, through the breaker."""

    retryable = True
    is_outage = True


class Unreachable(NeoWsError):
    """No connection, a reset, or no answer in time. Retry with backoff, through the breaker."""

    retryable = True
    is_outage = True


class Outage(NeoWsError):
    """The breaker has tripped: the host failed several times in a row. Give up on all pages for now."""

    retryable = True
    concerns_all = True


class NotAPage(NeoWsError):
    """A 200 that is not a whole Browse page: empty, HTML, cut short. Retry with backoff, through the breaker."""

    retryable = True
    is_outage = True


class WrongPage(NeoWsError):
    """A whole Browse page, but not the one asked for. Retry with backoff."""

    retryable = True


class PagesMissing(Exception):
    """Some pages could not be fetched; the others were handed over before."""

    def __init__(self, failed: Mapping[int, NeoWsError], asked: int) -> None:
        """
        Args:
            failed: the pages that could not be fetched, with their errors; at least one.
            asked: how many pages were asked for.
        """
        self.failed, self.asked = failed, asked
        self.errors = list(failed.values())
        kept = ", the others were stored" if asked > len(failed) else ""
        self.summary = f"{len(failed)} of {asked:,} page{'s' if asked > 1 else ''} could not be fetched{kept}"
        pages = ", ".join(map(str, list(failed)[:_NAMED])) + (", ..." if len(failed) > _NAMED else "")
        super().__init__(f"{self.summary} (page {pages}): {self.errors[0]}")

    @classmethod
    def of_all(cls, failures: Sequence["PagesMissing"]) -> "PagesMissing":
        """The pages missing from several sets, as one error."""
        failed = {page: error for failure in failures for page, error in failure.failed.items()}
        return cls(failed, sum(failure.asked for failure in failures))

    @property
    def concerns_all(self) -> bool:
        """Whether other page sets would fail in the same way."""
        return any(error.concerns_all for error in self.errors)

    @property
    def retryable(self) -> bool:
        """Whether a later attempt may help."""
        return any(error.retryable for error in self.errors)
