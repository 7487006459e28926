"""The retry policy: how often requests are retried, and after how long.

Only the numbers are here. `gate` acts on them; `errors` defines which failures are retryable.
"""

import random
from dataclasses import dataclass

_MOST_DOUBLINGS = 30
"""Caps the exponent; the longest wait is reached well before."""


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts, waits and timeouts for requests to NeoWs. Times are in seconds."""

    attempts: int = 5
    """Maximum number of attempts for one page."""

    first_wait_s: float = 1.0
    """Wait after the first failure. It doubles, plus jitter, after each further failure in a row."""

    longest_wait_s: float = 60.0
    """Maximum wait before jitter, unless the host asks for more (Retry-After)."""

    trips_after: int = 5
    """Number of failures in a row that are treated as an outage, unless all, or all but one, are of the same page."""

    longest_silence_s: float = 900.0
    """If the host asks for a longer pause than this, treat it as an outage."""

    key_pause_s: float = 60.0
    """How long to park a key over its limit if the host does not say."""

    shortest_key_pause_s: float = 1.0
    """Minimum time to park a key over its limit, even if the host asks for less."""

    connect_timeout_s: float = 10.0
    """Maximum time to open a connection."""

    timeout_s: float = 60.0
    """Maximum time between two pieces of a response."""

    longest_answer_s: float = 120.0
    """Maximum time for a whole request: a response that trickles would otherwise never end. Five attempts fit into the
    15 minutes in which a run must make progress (NEO_MAX_IDLE_MINUTES).
    """

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row (at least one)."""
        backoff_s = self.first_wait_s * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return min(self.longest_wait_s, backoff_s) + random.uniform(0, self.first_wait_s)


RETRY_POLICY = RetryPolicy()
"""The policy in use."""
