"""What every request and every answer passes through, whichever path it is for."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from neo_assets.api.seen import Meters, NotesRoute, Seen


def add_middleware(app: FastAPI, meters: Meters) -> None:
    """Add all of it to an application; what is added last is passed first."""
    app.add_middleware(NotesRoute)
    app.add_middleware(GZipMiddleware, minimum_size=1_000)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD"],
        allow_headers=["If-None-Match"],
        expose_headers=["*"],
    )
    app.add_middleware(_HeadAsGet)
    app.add_middleware(Seen, meters=meters)


class _HeadAsGet:
    """Has HEAD answered as GET; the server leaves out the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = {"method": "GET"} if scope.get("method") == "HEAD" else {}
        await self.app({**scope, **method}, receive, send)
