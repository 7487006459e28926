"""The ASGI application: answers as NeoWs behind api.nasa.gov does, with its keys, hourly limit, headers and errors.

What it serves is a `Catalogue`; how it goes wrong is no part of it. `serve` runs it over HTTP.
"""

import math
import socket
import sys
import time
import uuid
from base64 import b64decode
from binascii import Error as BadBase64
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from http import HTTPStatus
from typing import cast
from urllib.parse import quote

import pyarrow as pa
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neo_assets.simulator.catalogue import PAGE_SIZE, Catalogue, to_json
from neo_assets.simulator.traits import TODAY
from neo_assets.simulator.wire import API_KEY

SERVER_NAME = "neo-assets-simulator"
"""Value of the `Server` header, by which a client can tell simulated data from real."""
PREFIX = "/neo/rest/v1"
"""Root of the API's paths."""
DEMO_KEY = "DEMO_KEY"

HOUR, DAY = 3_600.0, 86_400.0
DEMO_LIMITS = ((HOUR, 30), (DAY, 50))
"""Requests that DEMO_KEY has per rolling hour and day (https://api.nasa.gov/assets/html/authentication.html)."""

_KEY_MESSAGES = {
    "API_KEY_MISSING": "No api_key was supplied. Get one at https://api.nasa.gov:443",
    "API_KEY_INVALID": "An invalid api_key was supplied. Get one at https://api.nasa.gov:443",
}
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


def create_app(
    catalogue: Catalogue,
    *,
    keys: Collection[str] | None = None,
    requests_per_hour: int | None = None,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """A NeoWs that serves the catalogue under `PREFIX`.

    `keys` are the API keys it knows, None for any; DEMO_KEY always works. `requests_per_hour` is what each key has in
    a rolling hour (DEMO_KEY has `DEMO_LIMITS`); None means no limit for anyone, and no rate headers. `clock` gives
    seconds. ValueError where the limit is less than 1.

    `app.state.catalogue` is read at every request, so another can be put in its place at any moment;
    `app.state.requests` counts the requests of each key, whatever the answer was ("" without a key).
    """
    if requests_per_hour is not None and requests_per_hour < 1:
        raise ValueError(f"requests_per_hour must be at least 1, not {requests_per_hour}")
    app = Starlette(
        routes=[
            Mount(
                PREFIX,
                routes=[
                    Route("/neo/browse", _browse),
                    Route("/neo/{spk_id}", _lookup),
                    Route("/stats", _stats),
                ],
            )
        ],
        middleware=[Middleware(_Gateway, keys=keys, requests_per_hour=requests_per_hour, clock=clock)],
        exception_handlers={HTTPException: _error},
    )
    app.state.catalogue = catalogue
    app.state.requests = Counter[str]()
    app.state.rendered = _Rendered(catalogue)
    return app


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, on any free port for port 0; OSError, with a plain message, where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # where it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def make_server(app: ASGIApp) -> uvicorn.Server:
    """The server that `serve` runs; `should_exit` ends it, for who runs it in a thread."""
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off"))


def serve(app: ASGIApp, host: str, port: int, *, announce: Callable[[str], None] = print) -> None:
    """Serve until interrupted; `announce` is given the base URL once the port is taken. OSError as of `bind`."""
    with bind(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        announce(f"http://{name}:{listener.getsockname()[1]}{PREFIX}")
        with suppress(KeyboardInterrupt):
            make_server(app).run(sockets=[listener])


class _Gateway:
    """What stands before NeoWs: knows the keys, counts and limits their requests, and sets the headers."""

    def __init__(
        self, app: ASGIApp, keys: Collection[str] | None, requests_per_hour: int | None, clock: Callable[[], float]
    ) -> None:
        self.app = app
        self.keys = keys
        self.requests_per_hour = requests_per_hour
        self.clock = clock
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        key = _api_key(HTTPConnection(scope))
        scope["app"].state.requests[key] += 1
        headers = _FIXED_HEADERS | {"X-Vcap-Request-Id": str(uuid.uuid4())}
        app: ASGIApp = self.app
        if not key:
            app = _key_error("API_KEY_MISSING")
        elif self.keys is not None and key not in self.keys and key != DEMO_KEY:
            app = _key_error("API_KEY_INVALID")
        elif self.requests_per_hour is not None:
            limit, remaining, wait = self._admit(key, self.requests_per_hour)
            headers |= {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining)}
            if wait:
                app = HTMLResponse(_OVER_RATE_LIMIT, status_code=429, headers={"Retry-After": str(wait)})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        scope.setdefault("state", {})["api_key"] = key
        await app(scope, receive, send_with_headers)

    def _admit(self, key: str, requests_per_hour: int) -> tuple[int, int, int]:
        """Hourly limit, requests left, and seconds to wait: 0 lets the request pass. A refused one is not counted."""
        limits = DEMO_LIMITS if key == DEMO_KEY else ((HOUR, requests_per_hour),)
        now = self.clock()
        times = self.times[key]
        del times[: bisect_right(times, now - limits[-1][0])]
        left = [allowed - len(times) + bisect_right(times, now - period) for period, allowed in limits]
        if min(left) > 0:
            times.append(now)
            return limits[0][1], min(left) - 1, 0
        free_at = (times[-allowed] + period for (period, allowed), rest in zip(limits, left, strict=True) if rest <= 0)
        return limits[0][1], 0, math.ceil(max(free_at) - now)


def _api_key(connection: HTTPConnection) -> str:
    """The caller's key from header, query or basic user, in this order; "" where there is none.

    Source: https://api.data.gov/docs/developer-manual/.
    """
    key = connection.headers.get("X-Api-Key") or connection.query_params.get("api_key")
    scheme, _, credentials = connection.headers.get("Authorization", "").partition(" ")
    if not key and scheme.lower() == "basic":
        with suppress(BadBase64, UnicodeDecodeError):
            key = b64decode(credentials).decode().partition(":")[0]
    return key or ""


class _Rendered:
    """The pages of one catalogue as they were made, compressed: about 90 MB for the whole default catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.pages: dict[tuple[int, int], tuple[bytes, int]] = {}

    async def page(self, number: int, size: int) -> bytes:
        if (number, size) in self.pages:
            compressed, length = self.pages[number, size]
            return cast("bytes", pa.decompress(compressed, length, codec="zstd", asbytes=True))
        body = await run_in_threadpool(lambda: to_json(self.catalogue.page(number, size)))
        self.pages[number, size] = pa.compress(body, codec="zstd", asbytes=True), len(body)
        return body


async def _browse(request: Request) -> Response:
    number = _whole_number(request, "page", 0)
    size = _whole_number(request, "size", PAGE_SIZE)
    if not 1 <= size <= PAGE_SIZE:
        raise HTTPException(400, f"size must be from 1 to {PAGE_SIZE}")
    state = request.app.state
    if state.rendered.catalogue != state.catalogue:
        state.rendered = _Rendered(state.catalogue)
    return _answer(request, await state.rendered.page(number, size))


async def _lookup(request: Request) -> Response:
    try:
        neo = request.app.state.catalogue.neo_by_id(request.path_params["spk_id"])
    except KeyError:
        raise HTTPException(404, "no such near-Earth object") from None
    return _answer(request, to_json(neo))


async def _stats(request: Request) -> Response:
    catalogue = request.app.state.catalogue
    stats = {
        "near_earth_object_count": catalogue.near_earth_object_count,
        "close_approach_count": await run_in_threadpool(lambda: catalogue.close_approach_count),
        "last_updated": TODAY.isoformat(),
        "source": f"{SERVER_NAME}: invented objects",
        "nasa_jpl_url": "https://ssd.jpl.nasa.gov/",
    }
    return _answer(request, to_json(stats))


def _whole_number(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise HTTPException(400, f"{name} must be a whole number from 0 up")
    return int(value)


def _answer(request: Request, body: bytes) -> Response:
    """The body with the caller's key in its links, escaped for a URL, which JSON needs no escapes for."""
    key = quote(request.state.api_key, safe="").encode()
    return Response(body.replace(API_KEY.encode(), key), media_type="application/json")


async def _error(request: Request, error: Exception) -> Response:
    """NeoWs's own errors, unlike the gateway's."""
    assert isinstance(error, HTTPException)
    name = HTTPStatus(error.status_code).name
    document = {"code": error.status_code, "http_error": name, "error_message": error.detail}
    return Response(to_json(document), error.status_code, media_type="application/json")


def _key_error(code: str) -> Response:
    document = {"error": {"code": code, "message": _KEY_MESSAGES[code]}}
    return Response(to_json(document), 403, media_type="application/json")
