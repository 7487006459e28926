"""Errors of NeoWs. Each class states whether to retry, whether it concerns all pages, and whether it is an outage.

Only the classification is here; `gate` acts on it. Sources: the gateway's error codes at https://api.nasa.gov and
https://developer.nrel.gov/docs/errors (both run API Umbrella).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from neo_assets.sources.neows.retry_policy import RetryPolicy

_NAMED = 5
"""Maximum number of pages that a message names."""


class NeoWsError(Exception):
    """A request to NeoWs failed; the message is one line that says what failed and why, and contains no key."""

    retryable: ClassVar[bool] = False
    """Whether a retry, now or later, may help. Dagster's step and run retries depend on it too."""

    concerns_all: ClassVar[bool] = False
    """Whether every other page would fail for the same reason."""

    is_outage: ClassVar[bool] = False
    """Whether the error points to an outage of the host: the breaker counts these."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """
        Args:
            message: what failed, and why.
            retry_after_s: seconds to wait before the next request, if the response states them (Retry-After).
        """
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def passes_soon(self, policy: RetryPolicy) -> bool:
        """Whether a retry may help, and the host does not ask for a longer pause before it than the policy allows."""
        return self.retryable and (self.retry_after_s or 0.0) <= policy.longest_silence_s


class KeyRejected(NeoWsError):
    """403 or 401: the key is missing, unknown, disabled or not authorized. Stop using it; other keys continue."""

    concerns_all = True


class Refused(NeoWsError):
    """407, or 403 without a gateway code: a proxy or firewall in between refuses every key. Give up on all pages."""

    concerns_all = True


class NotFound(NeoWsError):
    """404: NeoWs has no such page. Give up."""


class BadRequest(NeoWsError):
    """Any other 4xx, or a redirect: the same request would fail again. Give up."""


class Misconfigured(NeoWsError):
    """A proxy or a file of certificates that the environment names cannot be used. Give up on all pages."""

    concerns_all = True


class CertificateRejected(NeoWsError):
    """The server's TLS certificate is not trusted. Give up on all pages."""

    concerns_all = True


class RateLimited(NeoWsError):
    """429: the key is over its hourly limit, or wrongly reported to be (as on 2023-11-22, nasa/api-docs#210).

    Park the key for as long as Retry-After asks; other keys continue.
    """

    retryable = True
    concerns_all = True


class Unavailable(NeoWsError):
    """5xx, 408, 425: an outage or a maintenance window, often with HTML. Retry with backoff, through the breaker."""

    retryable = True
    is_outage = True


class Unreachable(NeoWsError):
    """No connection, a reset, or a timeout. Retry with backoff, through the breaker."""

    retryable = True
    is_outage = True


class Outage(NeoWsError):
    """The breaker has tripped after repeated failures of the host. Give up on all pages for now."""

    retryable = True
    concerns_all = True


class NotAPage(NeoWsError):
    """A 200 that is not a complete Browse page: empty, HTML, truncated. Retry with backoff, through the breaker."""

    retryable = True
    is_outage = True


class OtherJson(NotAPage):
    """JSON that is not a Browse page, such as a feed or a single NEO."""


class FetcherEnded(NeoWsError):
    """The process that fetches pages has ended: it was killed, or failed. The next use starts another."""

    retryable = True


class WrongPage(NeoWsError):
    """A complete Browse page, but not the one requested. Retry with backoff."""

    retryable = True


def pages_to_ask_again(failed: Mapping[int, NeoWsError], arrived: int, policy: RetryPolicy) -> list[int]:
    """The pages that are worth a second round: those that failed for a reason that may pass.

    There are none if no page arrived, as in an outage, or if an error that concerns all pages will not pass soon.

    Args:
        failed: the pages that failed, with their errors.
        arrived: number of pages that arrived.
        policy: the retry policy, which says how long a pause may be.
    """
    if not arrived or any(error.concerns_all and not error.passes_soon(policy) for error in failed.values()):
        return []
    return sorted(page for page, error in failed.items() if error.retryable)


class PagesMissing(Exception):
    """Some pages could not be fetched; all others were yielded before."""

    def __init__(self, failed: Mapping[int, NeoWsError], asked: int) -> None:
        """
        Args:
            failed: the pages that could not be fetched, with their errors; at least one.
            asked: number of pages requested.
        """
        self.failed, self.asked = failed, asked
        self.errors = list(failed.values())
        kept = ", the others were stored" if asked > len(failed) else ""
        self.summary = f"{len(failed)} of {asked:,} page{'s' if asked > 1 else ''} could not be fetched{kept}"
        pages = ", ".join(map(str, list(failed)[:_NAMED])) + (", ..." if len(failed) > _NAMED else "")
        super().__init__(f"{self.summary} (page{'s' if len(failed) > 1 else ''} {pages}): {self.errors[0]}")

    def __reduce__(self) -> "tuple[type[PagesMissing], tuple[Mapping[int, NeoWsError], int]]":
        """Pickled by what it was made of, not by its message."""
        return type(self), (self.failed, self.asked)

    @classmethod
    def of_all(cls, failures: Sequence["PagesMissing"]) -> "PagesMissing":
        """The pages missing from several page sets, as one error."""
        failed = {page: error for failure in failures for page, error in failure.failed.items()}
        return cls(failed, sum(failure.asked for failure in failures))

    @property
    def concerns_all(self) -> bool:
        """Whether other page sets would fail for the same reason."""
        return any(error.concerns_all for error in self.errors)

    @property
    def retryable(self) -> bool:
        """Whether a later retry may help.

        If one page failed for a permanent reason, its page set stays incomplete, so a retry would gain nothing and
        repeat that request. Within a run, `pages_to_ask_again` picks the pages that are worth a second round.
        """
        return all(error.retryable for error in self.errors)
