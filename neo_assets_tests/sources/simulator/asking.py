"""Requests to the simulator for its tests: in process, or over HTTP with its own server."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from neo_assets.sources.simulator.app import PREFIX, bind, make_server
from neo_assets.sources.simulator.catalogue import Catalogue

SMALL = Catalogue(neos=45)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def get(app: Starlette, *paths: str, key: str | None = "somebody", **options: Any) -> list[httpx.Response]:
    """Request the paths one after another, in a new event loop; returns the responses."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://simulated" + PREFIX) as client:
            if key is not None:
                client.headers["X-Api-Key"] = key
            return [await client.get(path, **options) for path in paths]

    return asyncio.run(ask())


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    listener = bind("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        listener.close()
    assert not thread.is_alive()
