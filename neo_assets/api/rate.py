"""How many requests a client may make: a bucket of tokens for each, in this process."""

import ipaddress
import math
import time
from collections import OrderedDict
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from neo_assets.api.errors import problem_response
from neo_assets.api.problems import Problem

_FULL_AFTER_S = 60.0
"""A bucket that is left alone for so long is full, and forgotten."""

_MOST_CLIENTS = 50_000
_OF_OPERATORS = ("/health/live", "/health/ready", "/metrics")
_READ_ANYWHERE = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}
"""CORSMiddleware is passed after this, so scripts of other sites could not read why."""

_BITS_OF_NETWORK = 64
"""Who has one IPv6 address has all those that begin with the same bits."""


class Limiter:
    """Buckets that hold a minute's requests, and fill up again evenly."""

    def __init__(self, per_minute: int) -> None:
        self._most, self._per_s = float(per_minute), per_minute / _FULL_AFTER_S
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str, now: float) -> float:
        """Take a token of a client; 0 if there was one, else the seconds until there is one.

        Args:
            client: the client.
            now: seconds of a clock that never goes back.
        """
        tokens, since = self._buckets.pop(client, (self._most, now))
        tokens = min(self._most, tokens + (now - since) * self._per_s)
        has_one = tokens >= 1
        self._buckets[client] = (tokens - has_one, now)
        self._forget(now)
        return 0.0 if has_one else (1 - tokens) / self._per_s

    def _forget(self, now: float) -> None:
        """Forget the clients that have been idle for longest: those with full buckets, and those that are too many."""
        while self._buckets:
            client, (_, since) = next(iter(self._buckets.items()))
            if now - since < _FULL_AFTER_S and len(self._buckets) <= _MOST_CLIENTS:
                return
            del self._buckets[client]

    def __len__(self) -> int:
        return len(self._buckets)


class RateLimit:
    """Answers 429 to clients that ask more often than they may. What watches the API may ask as often as it likes."""

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self.app = app
        self._limiter = Limiter(per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429."""
        if scope["type"] == "http" and scope["method"] != "OPTIONS" and scope["path"] not in _OF_OPERATORS:
            wait_s = self._limiter.wait_s(client_of(scope), time.monotonic())
            if wait_s:
                problem = Problem(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    "This address has asked too often: wait as long as Retry-After says.",
                    headers=_READ_ANYWHERE | {"Retry-After": str(math.ceil(wait_s))},
                )
                await problem_response(problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def client_of(scope: Scope) -> str:
    """Whose request it is: an IPv4 address, or the network of an IPv6 address."""
    host, _ = scope.get("client") or ("", 0)
    if ":" not in host:
        return str(host)
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return str(host)
    return str(address.ipv4_mapped or ipaddress.IPv6Network((address.packed[:8] + bytes(8), _BITS_OF_NETWORK)))
