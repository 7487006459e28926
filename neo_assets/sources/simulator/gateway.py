"""A simulation of the api.nasa.gov gateway in front of NeoWs: checks keys, limits their requests, sets the headers.

`app` and `faults` answer the requests that pass.
"""

import math
import uuid
from base64 import b64decode
from binascii import Error as BadBase64
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SERVER_NAME = "neo-assets-simulator"
"""Value of the `Server` header, which distinguishes simulated data from real data."""
DEMO_KEY = "DEMO_KEY"

HOUR_S = 3_600.0
DEMO_LIMITS = ((1, 30), (24, 50))
"""DEMO_KEY's limits as pairs of rolling hours and requests (https://api.nasa.gov/assets/html/authentication.html)."""

KEY_MESSAGES = {
    "API_KEY_MISSING": "No api_key was supplied. Get one at https://api.nasa.gov:443",
    "API_KEY_INVALID": "An invalid api_key was supplied. Get one at https://api.nasa.gov:443",
    "API_KEY_DISABLED": "The api_key supplied has been disabled. Contact us at https://api.nasa.gov:443/contact/",
    "API_KEY_UNAUTHORIZED": "The api_key supplied is not authorized to access the given service.",
    "API_KEY_UNVERIFIED": "The api_key supplied has not been verified yet. Please check your e-mail.",
}
"""Messages for refused keys, by error code (https://developer.nrel.gov/docs/errors, which also runs API Umbrella)."""

_OVER_RATE_LIMIT = (
    "<html><body><h1>OVER_RATE_LIMIT</h1><p>You have exceeded your rate limit. Try again later or contact us at "
    "https://api.nasa.gov:443/contact/ for assistance</p></body></html>"
)
_FIXED_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Age": "0",
    "Server": SERVER_NAME,
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
    "Vary": "Accept-Encoding",
    "Via": f"http/1.1 api-umbrella ({SERVER_NAME})",
    "X-Cache": "MISS",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",
}


class Gateway:
    """ASGI middleware; it stores the caller's key in the request's state as `api_key`."""

    def __init__(
        self,
        app: ASGIApp,
        keys: Collection[str] | None,
        requests_per_hour: int | None,
        hour_s: float,
        clock: Callable[[], float],
    ) -> None:
        """Takes the arguments of `app.create_app`."""
        self.app = app
        self.keys = keys
        self.requests_per_hour = requests_per_hour
        self.hour_s = hour_s
        self.clock = clock
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on. Adds headers, but does not replace any."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        key = _api_key(HTTPConnection(scope))
        scope["app"].state.requests[key] += 1
        headers = _FIXED_HEADERS | {"X-Vcap-Request-Id": str(uuid.uuid4())}
        app: ASGIApp = self.app
        if not key:
            app = refused("API_KEY_MISSING")
        elif self.keys is not None and key not in self.keys and key != DEMO_KEY:
            app = refused("API_KEY_INVALID")
        elif self.requests_per_hour is not None:
            limit, remaining, wait_s = self._admit(key, self.requests_per_hour)
            headers |= {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining)}
            if self.hour_s != HOUR_S:  # NASA states no window, so only one that is not an hour needs it
                headers["RateLimit-Policy"] = f'"hour";q={limit};w={math.ceil(self.hour_s)}'
            if wait_s:
                app = over_rate_limit(wait_s)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                for name, value in headers.items():
                    own.setdefault(name, value)
            await send(message)

        scope.setdefault("state", {})["api_key"] = key
        await app(scope, receive, send_with_headers)

    def _admit(self, key: str, requests_per_hour: int) -> tuple[int, int, int]:
        """Hourly limit, requests left, and seconds to wait (0 admits the request). Refused requests do not count."""
        in_hours = DEMO_LIMITS if key == DEMO_KEY else ((1, requests_per_hour),)
        limits = [(hours * self.hour_s, allowed) for hours, allowed in in_hours]
        now = self.clock()
        times = self.times[key]
        del times[: bisect_right(times, now - limits[-1][0])]
        left = [allowed - len(times) + bisect_right(times, now - period) for period, allowed in limits]
        if min(left) > 0:
            times.append(now)
            return limits[0][1], min(left) - 1, 0
        free_at = (times[-allowed] + period for (period, allowed), rest in zip(limits, left, strict=True) if rest <= 0)
        return limits[0][1], 0, math.ceil(max(free_at) - now)


def refused(code: str) -> Response:
    """403: the key is refused, with a code from `KEY_MESSAGES`."""
    return JSONResponse({"error": {"code": code, "message": KEY_MESSAGES[code]}}, 403)


def over_rate_limit(retry_after_s: int) -> Response:
    """429, in HTML like the real one."""
    headers = {"Retry-After": str(retry_after_s), "X-RateLimit-Remaining": "0"}
    return HTMLResponse(_OVER_RATE_LIMIT, 429, headers)


def _api_key(connection: HTTPConnection) -> str:
    """The caller's key from the header, the query or the basic-auth user, in this order; "" if there is none.

    Source: https://api.data.gov/docs/developer-manual/.
    """
    key = connection.headers.get("X-Api-Key") or connection.query_params.get("api_key")
    scheme, _, credentials = connection.headers.get("Authorization", "").partition(" ")
    if not key and scheme.lower() == "basic":
        with suppress(BadBase64, UnicodeDecodeError):
            key = b64decode(credentials).decode().partition(":")[0]
    return key or ""
