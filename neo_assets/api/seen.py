"""What is seen of each request, whichever path it is for: its id, its line in the log, how long its answer takes. Of
what a client sends, only the method and the path are logged: no query, header or body.
"""

import functools
import logging
import re
import secrets
import time
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Gauge, Histogram, disable_created_metrics
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neo_assets.logs import begin_request, having

logger = logging.getLogger(__name__)

HEADER = "X-Request-ID"

_HEADER = HEADER.lower().encode()
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_INNERMOST = "neo_assets.innermost_scope"
_LONGEST_PATH = 200
_MOST_ROUTES = 10_000
"""Paths whose route is remembered."""

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Meters:
    """The measurements of requests, of this process or, where workers share them, of all of them."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.in_progress = Gauge(
            "neo_api_requests_in_progress",
            "Requests that are being answered.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._durations = Histogram(
            "neo_api_request_duration_seconds",
            "Time from the arrival of a request to the start of its answer, in seconds.",
            ["route", "status"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._of = functools.cache(self._durations.labels)
        self._routes: dict[str, str] = {}

    def took(self, seconds: float, path: str, route: str | None, status: int) -> None:
        """Note an answer.

        Args:
            seconds: how long it took until it began.
            path: the path that was asked for.
            route: the template of that path, such as `/v1/neos/{neo}`; None if there is none, or if it was answered
                before its route was found, as from the cache.
            status: the status of the answer.
        """
        if route is None:
            route = self._routes.get(path, "other")
        elif len(path) <= _LONGEST_PATH:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            self._routes[path] = route
        self._of(route, str(status)).observe(seconds)


class Seen:
    """Gives each request its id, logs it at its end, and measures it. It must be passed before anything else."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self.app = app
        self.meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and what answers it back."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _given(scope) or secrets.token_hex(16)
        begin_request(request_id)
        innermost: list[Scope] = []
        status: int | None = None

        def answered(with_status: int) -> None:
            nonlocal status
            status = with_status
            route = innermost[0].get("route") if innermost else None
            self.meters.took(time.perf_counter() - began, scope["path"], getattr(route, "path", None), status)

        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                headers = [*message.get("headers", ()), (_HEADER, request_id.encode())]
                message = {**message, "headers": headers}
                answered(message.get("status", HTTPStatus.SWITCHING_PROTOCOLS))
            await send(message)

        try:
            with self.meters.in_progress.track_inprogress():
                await self.app({**scope, _INNERMOST: innermost}, receive, sending)
        except Exception:
            if status is None:
                answered(HTTPStatus.INTERNAL_SERVER_ERROR)
            raise
        finally:
            if logger.isEnabledFor(logging.INFO):
                _log(scope, status, time.perf_counter() - began)


class ShowsRoute:
    """Shows `Seen` which route a request takes, as what is in between may copy the scope. It must be passed last."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with a scope that `Seen` has as well: the router notes the route there."""
        scope.get(_INNERMOST, []).append(scope)
        await self.app(scope, receive, send)


def _given(scope: Scope) -> str | None:
    """The id that the client sent, if there is one and it is sane."""
    given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
    return given.decode() if _SANE.fullmatch(given) else None


def _log(scope: Scope, status: int | None, seconds: float) -> None:
    method, path = scope.get("method", "WEBSOCKET"), scope["path"][:_LONGEST_PATH]
    fields = having(method=method, path=path, status=status, duration_ms=round(seconds * 1e3, 1))
    logger.info("%s %s %s", method, path, status or "was not answered", extra=fields)
