"""The API as an ASGI application, the only place that assembles it: each group of paths is a module, and what all
requests pass through comes from `middleware`.
"""

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from neo_assets.api.description import describe
from neo_assets.api.errors import answer_errors
from neo_assets.api.files import files
from neo_assets.api.health import health
from neo_assets.api.landing import landing
from neo_assets.api.middleware import add_middleware
from neo_assets.api.page import page
from neo_assets.api.reading import reading
from neo_assets.api.requests import requests_for_reports
from neo_assets.api.resources import APPROACHES, NEOS, TABLES, YEARLY
from neo_assets.api.seen import Meters
from neo_assets.api.snapshots import Snapshots
from neo_assets.api.state import RunsUnderWay, StateReader
from neo_assets.api.stats import stats
from neo_assets.api.status import Listeners, status
from neo_assets.api.telemetry import telemetry
from neo_assets.lake.storage import Storage
from neo_assets.products.requests import Requests
from neo_assets.settings import Settings

_ABOUT = """Near-Earth objects of NASA's NeoWs: their close approaches, orbits and counts, as the lake's products hold
them.

An answer is of one snapshot, never of two. Times are UTC; each distance and velocity has its unit in its name. An
answer has at most 1,000 rows: `total` says how many there are, and `next` where to go on."""

_PATIENCE_S = 2.0
"""How long the database of requests may let a client wait, in seconds: it waits in a thread that others need."""


def create_app(settings: Settings, *, lake: Storage | None = None, runs: RunsUnderWay | None = None) -> FastAPI:
    """The API over the products of a lake.

    Args:
        settings: the settings.
        lake: the lake; the one of the settings without it.
        runs: knows the runs under way; without it, the lake's audit tells them.
    """
    lake = lake or Storage(settings.lake)
    snapshots = Snapshots(lake, in_memory=(APPROACHES.relation, APPROACHES.key))
    requests = Requests.of(settings, lake, _PATIENCE_S)
    state = StateReader(settings, lake, snapshots, requests, runs)
    meters, listeners = Meters(), Listeners(state)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with listeners.leaving_when_asked_to_stop():
            yield
        snapshots.close()
        requests.close()

    app = FastAPIOffline(
        title="neo_assets",
        summary="Near-Earth objects and their close approaches.",
        description=_ABOUT,
        version=version("neo_assets"),
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # its target would be made of what the client says its host is
    )
    answer_errors(app)
    add_middleware(app, settings, snapshots, meters)
    app.include_router(reading(snapshots))
    app.include_router(stats(snapshots))
    app.include_router(files(lake))
    app.include_router(requests_for_reports(settings, lake, requests, snapshots))
    app.include_router(landing(settings, lake))
    app.include_router(health(snapshots))
    app.include_router(telemetry(state, snapshots, meters))
    app.include_router(status(listeners))
    app.include_router(page(snapshots, lake))

    tables = {f"/v1/{name}": table for name, (table, _) in TABLES.items()}
    tables |= {"/v1/neos/{neo}": NEOS, "/stats": YEARLY}
    describe(app, snapshots, tables, is_limited=bool(settings.api_requests_per_minute))
    return app
