"""What every request and every answer passes through, whichever path it is for."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette_compress import CompressMiddleware, add_compress_type, remove_compress_type

from neo_assets.api.answers import MEDIA_TYPES
from neo_assets.api.cache import AnswerCache
from neo_assets.api.limits import OnlyText, SmallBodies
from neo_assets.api.rate import RateLimit
from neo_assets.api.seen import HEADER, Meters, Seen, ShowsRoute
from neo_assets.api.snapshots import Snapshots
from neo_assets.settings import Settings

for _media_type in MEDIA_TYPES.values():
    add_compress_type(_media_type)
remove_compress_type("text/event-stream")  # each listener would keep a compressor, of some megabytes

IS_HEAD = "neo_assets.is_head"
"""Set in the scope of a request that is answered as GET but was HEAD, for answers that do not end by themselves."""


def add_middleware(app: FastAPI, settings: Settings, snapshots: Snapshots, meters: Meters) -> None:
    """Add all of it to an application; what is added last is passed first."""
    app.add_middleware(ShowsRoute)
    app.add_middleware(CompressMiddleware, minimum_size=1_000, brotli=False)  # brotli is slower, and gains little
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD"],
        allow_headers=["If-None-Match", HEADER],
        expose_headers=["*"],
    )
    app.add_middleware(_HeadAsGet)
    app.add_middleware(OnlyText)
    app.add_middleware(SmallBodies)
    app.add_middleware(AnswerCache, snapshots=snapshots)  # as they are sent, so a kept one skips everything above
    if settings.api_requests_per_minute:
        app.add_middleware(RateLimit, per_minute=settings.api_requests_per_minute)
    app.add_middleware(Seen, meters=meters)


class _HeadAsGet:
    """Has HEAD answered as GET; the server leaves out the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        as_get = {"method": "GET", IS_HEAD: True} if scope.get("method") == "HEAD" else {}
        await self.app({**scope, **as_get}, receive, send)
