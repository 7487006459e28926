"""What can go wrong with NeoWs, as a small tree that carries its own verdict. What is done about it is decided by the
client.

Sources: the gateway's error codes at https://api.nasa.gov and https://developer.nrel.gov/docs/errors (the same API
Umbrella).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

_NAMED = 5
"""Pages that a message names at most."""


class NeoWsError(Exception):
    """NeoWs did not give what was asked; the message is one line that says what and why, free of keys."""

    retryable: ClassVar[bool] = False
    """Whether asking again, now or later, may help. Dagster's step and run retries go by this too."""

    concerns_all: ClassVar[bool] = False
    """Whether every other page will fail in the same way, so that going on is no use."""

    is_outage: ClassVar[bool] = False
    """Whether the host itself is out of order: the breaker counts these."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """`retry_after_s`: seconds to wait before asking again, where the response says so (Retry-After)."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KeyRejected(NeoWsError):
    """403 (or 401): the key is missing, unknown, disabled or not allowed. Give up with it; other keys go on."""

    concerns_all = True


class Refused(NeoWsError):
    """403 without a code of the gateway: a proxy or firewall on the way refuses, whatever the key. Give up, with all
    pages.
    """

    concerns_all = True


class NotFound(NeoWsError):
    """404: NeoWs has no such page. Give up."""


class BadRequest(NeoWsError):
    """Another 4xx, or a redirect: asking in the same way again is no use. Give up."""


class CertificateRejected(NeoWsError):
    """The server's TLS certificate cannot be trusted. Give up, with all pages."""

    concerns_all = True


class RateLimited(NeoWsError):
    """429: over the hourly budget, or so NeoWs says; false ones occur (2023-11-22, nasa/api-docs#210).

    Wait as long as Retry-After says; other keys go on meanwhile.
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
    """The breaker has tripped: the host was out of order several times in a row. Give up for now, with all pages."""

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
    """Some pages of a set could not be had; those that could are kept."""

    def __init__(self, failed: Mapping[int, NeoWsError], asked: int) -> None:
        """`failed`: the pages with their errors; `asked`: how many were asked for."""
        self.failed, self.asked = failed, asked
        self.errors = list(failed.values())
        kept = ", the others were stored" if asked > len(failed) else ""
        self.summary = f"{len(failed)} of {asked:,} page{'s' if asked > 1 else ''} could not be had{kept}"
        pages = ", ".join(map(str, list(failed)[:_NAMED])) + (", ..." if len(failed) > _NAMED else "")
        super().__init__(f"{self.summary} (page {pages}): {self.errors[0]}")

    @classmethod
    def of_all(cls, failures: Sequence["PagesMissing"]) -> "PagesMissing":
        """Those of several sets as one."""
        failed = {page: error for failure in failures for page, error in failure.failed.items()}
        return cls(failed, sum(failure.asked for failure in failures))

    @property
    def concerns_all(self) -> bool:
        """Whether other page sets will fail in the same way."""
        return any(error.concerns_all for error in self.errors)

    @property
    def retryable(self) -> bool:
        """Whether a later attempt may help."""
        return any(error.retryable for error in self.errors)
