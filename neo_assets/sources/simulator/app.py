"""The ASGI application: serves a catalogue like NeoWs, behind the gateway; `serve` runs it over HTTP.

`catalogue` computes the pages, `gateway` handles keys, limits and headers, and `faults` makes requests fail.
"""

import asyncio
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import cast
from urllib.parse import quote

import pyarrow as pa
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from neo_assets.sources.simulator.catalogue import PAGE_SIZE, Catalogue, to_json
from neo_assets.sources.simulator.faults import TRANSPORT, FaultyNeoWs
from neo_assets.sources.simulator.gateway import HOUR_S, SERVER_NAME, Gateway
from neo_assets.sources.simulator.profile import Fault, PlannedDrift
from neo_assets.sources.simulator.traits import TODAY
from neo_assets.sources.simulator.wire import API_KEY

PREFIX = "/neo/rest/v1"
"""Root of the API's paths."""


def create_app(
    catalogue: Catalogue,
    *,
    keys: Collection[str] | None = None,
    requests_per_hour: int | None = None,
    hour_s: float = HOUR_S,
    faults: Sequence[Fault] = (),
    drifts: Sequence[PlannedDrift] = (),
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """A NeoWs that serves the catalogue under `PREFIX`.

    `app.state.catalogue` is read at every request, so it can be replaced at any time. `app.state.requests` counts the
    requests per key, whatever the response ("" if there is no key). `app.state.injected` counts the requests struck by
    each kind of fault.

    Args:
        catalogue: the catalogue to start with.
        keys: the API keys accepted; None accepts any. DEMO_KEY always works.
        requests_per_hour: requests allowed per key in a rolling hour (DEMO_KEY has `DEMO_LIMITS`); None means no limit
            and no rate headers.
        hour_s: length of the rolling hour in seconds.
        faults: strike requests that pass the keys and limits. The catalogue's seed decides which requests are struck by
            a fault with a share.
        drifts: change the catalogue at requests that pass the keys and limits.
        clock: returns seconds.

    Raises:
        ValueError: the limit is less than 1.
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
        middleware=[
            Middleware(Gateway, keys=keys, requests_per_hour=requests_per_hour, hour_s=hour_s, clock=clock),
            Middleware(FaultyNeoWs, faults=faults, drifts=drifts, seed=catalogue.seed, clock=clock),
        ],
        exception_handlers={HTTPException: _error},
    )
    app.state.catalogue = catalogue
    app.state.requests = Counter[str]()
    app.state.injected = Counter[str]()
    app.state.rendered = _Rendered(catalogue)
    return app


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks any free port.

    Raises:
        OSError: the port cannot be used; the message names it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # on Windows this option lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def make_server(app: ASGIApp) -> uvicorn.Server:
    """The server that `serve` runs. To end one that runs in a thread, set `should_exit`."""
    config = uvicorn.Config(app, http=_Protocol, log_level="warning", server_header=False, lifespan="off")
    return uvicorn.Server(config)


def serve(app: ASGIApp, host: str, port: int, *, announce: Callable[[str], None] = print) -> None:
    """Serve until interrupted. Calls `announce` with the base URL once it listens. Raises like `bind`."""
    with bind(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        announce(f"http://{name}:{listener.getsockname()[1]}{PREFIX}")
        with suppress(KeyboardInterrupt):
            make_server(app).run(sockets=[listener])


class _Protocol(H11Protocol):
    """Gives the application access to its connection, which ASGI hides, so that faults can break it.

    A server that ends does not wait for clients.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = self.app_state | {TRANSPORT: transport}

    def shutdown(self) -> None:
        super().shutdown()
        self.transport.close()


class _Rendered:
    """A cache of one catalogue's rendered pages, compressed: about 90 MB for the whole default catalogue."""

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
        raise HTTPException(404, "there is no such near-Earth object") from None
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
    """A response with the caller's key in its links, URL-escaped, so that it needs no JSON escapes."""
    key = quote(request.state.api_key, safe="").encode()
    return Response(body.replace(API_KEY.encode(), key), media_type="application/json")


async def _error(request: Request, error: Exception) -> Response:
    """An error in NeoWs's own format, which differs from the gateway's."""
    assert isinstance(error, HTTPException)
    name = HTTPStatus(error.status_code).name
    document = {"code": error.status_code, "http_error": name, "error_message": error.detail}
    return Response(to_json(document), error.status_code, media_type="application/json")
