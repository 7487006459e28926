"""The retry policy: how often NeoWs is asked again, and after how long. Only the numbers; `gate` acts on them, and
`errors` says which failures are worth another attempt.
"""

import random
from dataclasses import dataclass

_MOST_DOUBLINGS = 30
"""Beyond these the longest wait has long been reached."""


@dataclass(frozen=True)
class RetryPolicy:
    """How patient to be with NeoWs. Times are in seconds."""

    attempts: int = 5
    """Requests for one page before it counts as failed."""

    first_wait_s: float = 1.0
    """Wait after a first failure; it doubles, with jitter, after each further failure in a row."""

    longest_wait_s: float = 60.0
    """Longest wait before jitter, unless the host asks for a longer one (Retry-After)."""

    trips_after: int = 5
    """Failures in a row, on at least two different pages, that make an outage."""

    longest_silence_s: float = 900.0
    """A host that asks for a longer silence than this is out of order for now, and no more requests are sent."""

    key_pause_s: float = 60.0
    """How long a key over its limit is left alone when the host does not say for how long."""

    shortest_key_pause_s: float = 1.0
    """How long it is left alone at least, whatever the host says."""

    connect_timeout_s: float = 10.0
    """Time to open a connection."""

    timeout_s: float = 60.0
    """Time between two pieces of a response."""

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after the given number of failures in a row, at least one."""
        backoff_s = self.first_wait_s * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return min(self.longest_wait_s, backoff_s) + random.uniform(0, self.first_wait_s)


RETRY_POLICY = RetryPolicy()
"""The policy in use."""
