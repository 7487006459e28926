"""Faults of a simulated NeoWs: ASGI middleware that disturbs requests behind the gateway, and applies due drifts.

`profile` defines the kinds of faults and drifts, and when they occur.
"""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from urllib.parse import urlencode

import httpx
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neo_assets.sources.simulator.catalogue import to_json
from neo_assets.sources.simulator.gateway import over_rate_limit, refused
from neo_assets.sources.simulator.profile import Fault, PlannedDrift

TRANSPORT = "transport"
"""Key in the request's state for its connection, an `asyncio.Transport`, which faults can break."""

_ERRORS = {
    "500": "Internal Server Error",
    "502": "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
    "504": "upstream request timeout",
}
_HEROKU = (
    "<!DOCTYPE html><html><head><title>Application Error</title></head><body><h1>Application error</h1><p>An error "
    "occurred in the application and your page could not be served.</p></body></html>"
)
_MAINTENANCE = "<!DOCTYPE html><html><head><title>NASA</title></head><body><h1>Down for maintenance</h1></body></html>"


class FaultyNeoWs:
    """ASGI middleware that injects faults; `app.state.injected` counts the requests struck by each kind.

    Over HTTP, with the server of `app.make_server`, connections really break, and a timeout lasts until the client
    hangs up. In process (`httpx.ASGITransport`) there is no connection, so the client immediately receives the
    `httpx.TransportError` that a broken connection would have caused.
    """

    def __init__(
        self,
        app: ASGIApp,
        faults: Sequence[Fault],
        drifts: Sequence[PlannedDrift],
        seed: int,
        clock: Callable[[], float],
    ) -> None:
        """Takes the arguments of `app.create_app`; `seed` decides which requests a fault with a share strikes."""
        self.app = app
        self.faults = faults
        self.drifts = list(drifts)
        self.seed = seed
        self.clock = clock
        self.first_at: float | None = None
        self.requests = 0
        self.attempts = Counter[tuple[str, int | None]]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: apply all `slow` faults that strike it, then only the first other fault."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.requests += 1
        injected: Counter[str] = scope["app"].state.injected
        self._drift(scope)
        other: Fault | None = None
        for fault, rng in self._striking(scope):
            if fault.kind == "slow":
                injected["slow"] += 1
                await asyncio.sleep(_latency_s(fault, rng))
            elif other is None:
                other, dice = fault, rng
        if other is None:
            await self.app(scope, receive, send)
        else:
            injected[other.kind] += 1
            await _do(other, dice, self.app, scope, receive, send)

    def _drift(self, scope: Scope) -> None:
        now = self.clock()
        self.first_at = now if self.first_at is None else self.first_at
        state = scope["app"].state
        for drift in [drift for drift in self.drifts if drift.is_due(self.requests, now - self.first_at)]:
            self.drifts.remove(drift)
            state.catalogue = drift.drifted(state.catalogue)

    def _striking(self, scope: Scope) -> list[tuple[Fault, Random]]:
        """The faults that strike this request, each with a random generator for its details.

        The generator depends only on the page and the attempt, so a run is reproducible in any order of requests.
        """
        request = Request(scope)
        path, page = request.url.path, _page(request)
        self.attempts[path, page] += 1
        attempt = self.attempts[path, page]
        striking = []
        for place, fault in enumerate(self.faults):
            rng = Random(f"{self.seed}/{place}/{fault.kind}/{path}/{page}/{attempt}")
            struck = rng.random() < fault.share
            fits = page is not None or fault.kind not in ("wrong-page", "garbage-record")
            if struck and fits and fault.concerns(self.requests, page, attempt, request.state.api_key):
                striking.append((fault, rng))
        return striking


def _page(request: Request) -> int | None:
    """The Browse page requested; None for any other resource."""
    number = request.query_params.get("page", "0")
    browses = request.url.path.endswith("/neo/browse")
    return int(number) if browses and number.isascii() and number.isdigit() and len(number) <= 12 else None


def _latency_s(fault: Fault, rng: Random) -> float:
    least, _, most = (fault.value or "").removesuffix("ms").partition("-")
    return rng.uniform(int(least), int(most or least)) / 1000


async def _do(fault: Fault, rng: Random, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request as the fault requires, or not at all."""
    value = fault.value or ""
    answer: ASGIApp | None = None
    match fault.kind:
        case "rate-limit":
            answer = over_rate_limit(int(value))
        case "forbidden":
            answer = refused(value)
        case "not-found":
            await app({**scope, "path": "/"}, receive, send)  # a path that NeoWs does not have
        case "error":
            answer = PlainTextResponse(_ERRORS[value], int(value))
        case "outage":
            answer = HTMLResponse(_HEROKU, 503, headers={"Via": "1.1 heroku-router"})
        case "html":
            answer = HTMLResponse(_MAINTENANCE)
        case "empty":
            answer = Response(b"", media_type="application/json")
        case "wrong-page":
            request = Request(scope)
            query = {**request.query_params, "page": (_page(request) or 0) + 1}
            await app({**scope, "query_string": urlencode(query).encode()}, receive, send)
        case "truncated":
            start, body = await _answered(app, scope, receive)
            answer = Response(body[: _somewhere(body, rng)], start["status"], media_type="application/json")
        case "garbage-record":
            start, body = await _answered(app, scope, receive)
            answer = Response(_with_garbage(body, rng), start["status"], media_type="application/json")
        case "cut":
            start, body = await _answered(app, scope, receive)
            await send(start)
            await send({"type": "http.response.body", "body": body[: _somewhere(body, rng)], "more_body": True})
            await _hang_up(scope, receive, httpx.RemoteProtocolError("peer closed connection without sending all"))
        case "reset":
            await _hang_up(scope, receive, httpx.ReadError("Connection reset by peer"), reset=True)
        case _:
            await _keep_waiting(scope, receive)
    if answer:
        await answer(scope, receive, send)


async def _answered(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """Capture the application's answer: its start message and its body."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


def _somewhere(body: bytes, rng: Random) -> int:
    """A random position inside a body at which to cut it."""
    return rng.randrange(1, max(2, len(body)))


def _with_garbage(body: bytes, rng: Random) -> bytes:
    """The page with an unreadable value in one of its objects, if there is one."""
    page = json.loads(body)
    if neos := page.get("near_earth_objects"):
        rng.choice(neos)["orbital_data"]["observations_used"] = "many"
    return to_json(page)


async def _hang_up(scope: Scope, receive: Receive, error: httpx.TransportError, *, reset: bool = False) -> None:
    """Close the connection after the data sent so far, or reset it immediately; in process, raise the error."""
    transport: asyncio.Transport | None = scope["state"].get(TRANSPORT)
    if transport is None:
        raise error
    if reset:
        no_lingering = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
        transport.abort()
    else:
        transport.close()
    await _disconnected(receive)


async def _keep_waiting(scope: Scope, receive: Receive) -> None:
    """Never answer; in process, where no client would hang up, raise a timeout immediately."""
    if TRANSPORT not in scope["state"]:
        raise httpx.ReadTimeout("no answer in time")
    await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
