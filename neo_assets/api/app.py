"""The API as an ASGI application: its paths, and what each of them reads. The tables are read in `query`, the answers
written in `answers`.
"""

import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from neo_assets.api import problems
from neo_assets.api.answers import MEDIA_TYPES, Answer, answer, signature, unless_known
from neo_assets.api.parameters import (
    IS_NAMED,
    ApproachParameters,
    BodyParameters,
    CountParameters,
    NeoParameters,
    Parameters,
)
from neo_assets.api.problems import Problem, ProblemDetails
from neo_assets.api.query import Resource
from neo_assets.api.snapshots import Snapshots
from neo_assets.lake import layout
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.products import calendar, report
from neo_assets.settings import Settings

_NAMES = {
    "date": "close_approach_at",
    "dist": "miss_distance_au",
    "v-rel": "relative_velocity_km_s",
    "h": "absolute_magnitude_h",
    "object": "name",
}

_APPROACHES = Resource("approaches", ("close_approach_at", "neo_id", "orbiting_body"), _NAMES)
_UPCOMING = Resource("upcoming_approaches", ("close_approach_at", "neo_id"), _NAMES)
_NEOS = Resource("neos_with_size", ("id",), {"h": "absolute_magnitude_h", "object": "name"})
_YEARLY = Resource("total_yearly_approaches", ("year", "orbiting_body"))
_NEAR_MISSES = Resource("total_near_misses", ("orbiting_body",))
_DICTIONARY = Resource("dictionary", ("table_name", "column_name"))

_FORMS: dict[str, Any] = {media: {} for form, media in MEDIA_TYPES.items() if form != "json"}
_PROBLEM: dict[str, Any] = {"model": ProblemDetails, "content": {problems.MEDIA_TYPE: {}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Answer, "content": _FORMS},
    304: {"description": "The client has this answer already."},
    400: _PROBLEM | {"description": "A parameter is wrong."},
    406: _PROBLEM | {"description": "No form of the answer is accepted."},
    503: _PROBLEM | {"description": "There is no snapshot yet, or the query takes too long."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: _PROBLEM | {"description": "There is no such thing."}}

_ABOUT = """Near-Earth objects of NASA's NeoWs: their close approaches, orbits and counts, as the lake's products hold
them.

An answer is of one snapshot, never of two. Times are UTC; each distance and velocity has its unit in its name. An
answer has at most 1,000 rows: `total` says how many there are, and `next` where to go on."""


def create_app(lake: Storage) -> FastAPI:
    """The API over the products of a lake."""
    snapshots = Snapshots(lake)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        snapshots.close()

    app = FastAPIOffline(
        title="neo_assets",
        summary="Near-Earth objects and their close approaches.",
        description=_ABOUT,
        version=version("neo_assets"),
        lifespan=lifespan,
        redoc_url=None,
        exception_handlers={
            Problem: problems.answer_problem,
            RequestValidationError: problems.answer_invalid,
            HTTPException: problems.answer_http,
            Exception: problems.answer_unexpected,
        },
    )
    app.add_middleware(GZipMiddleware, minimum_size=1_000)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD"],
        allow_headers=["If-None-Match"],
        expose_headers=["*"],
    )
    app.add_middleware(_HeadAsGet)

    def table(request: Request, resource: Resource, asked: Parameters) -> Response:
        with snapshots.current() as snapshot:
            return answer(request, snapshot, resource, asked)

    @app.get("/v1/close-approaches", tags=["tables"], response_model=None, responses=_RESPONSES)
    def close_approaches(request: Request, asked: Annotated[ApproachParameters, Query()]) -> Response:
        """Close approaches, each beside its NEO: past and predicted, to all orbiting bodies."""
        return table(request, _APPROACHES, asked)

    @app.get("/v1/upcoming", tags=["tables"], response_model=None, responses=_RESPONSES)
    def upcoming(request: Request, asked: Annotated[Parameters, Query()]) -> Response:
        """Approaches to Earth from today (UTC) to 60 days ahead, the next one first."""
        return table(request, _UPCOMING, asked)

    @app.get("/v1/neos", tags=["tables"], response_model=None, responses=_RESPONSES)
    def neos(request: Request, asked: Annotated[NeoParameters, Query()]) -> Response:
        """Near-Earth objects with their orbits."""
        return table(request, _NEOS, asked)

    @app.get("/v1/neos/{neo}", tags=["tables"], response_model=None, responses=_RESPONSES | _NOT_FOUND)
    def one_neo(
        request: Request,
        neo: Annotated[str, Path(description="Its id, designation or name, such as 2099942 or 99942.", max_length=100)],
        asked: Annotated[Parameters, Query()],
    ) -> Response:
        """One near-Earth object with its orbit."""
        one = Resource(_NEOS.relation, _NEOS.key, always=((IS_NAMED, neo),))
        with snapshots.current() as snapshot:
            if not snapshot.rows(f"SELECT id FROM neos WHERE {IS_NAMED} LIMIT 1", [neo]).num_rows:
                raise Problem(HTTPStatus.NOT_FOUND, "No NEO has this id, designation or name.")
            return answer(request, snapshot, one, asked)

    @app.get("/v1/yearly-approaches", tags=["tables"], response_model=None, responses=_RESPONSES)
    def yearly_approaches(request: Request, asked: Annotated[CountParameters, Query()]) -> Response:
        """Number of close approaches, per year and orbiting body, past and predicted alike."""
        return table(request, _YEARLY, asked)

    @app.get("/v1/near-misses", tags=["tables"], response_model=None, responses=_RESPONSES)
    def near_misses(request: Request, asked: Annotated[BodyParameters, Query()]) -> Response:
        """Number of approaches within 0.2 au, per orbiting body, past and predicted alike."""
        return table(request, _NEAR_MISSES, asked)

    @app.get("/v1/metrics/{name}", tags=["tables"], response_model=None, responses=_RESPONSES | _NOT_FOUND)
    def metric(
        request: Request,
        name: Annotated[str, Path(description="A table of totals, such as total_first_observations.", max_length=100)],
        asked: Annotated[Parameters, Query()],
    ) -> Response:
        """The rows of a metric, built in or your own."""
        with snapshots.current() as snapshot:
            if name not in snapshot.totals:
                raise Problem(
                    HTTPStatus.NOT_FOUND, f"There is no such metric; there are: {', '.join(snapshot.totals)}."
                )
            return answer(request, snapshot, Resource(name, ("rowid",)), asked)

    @app.get("/v1/dictionary", tags=["about"], response_model=None, responses=_RESPONSES)
    def dictionary(request: Request, asked: Annotated[Parameters, Query()]) -> Response:
        """What each column of each table means, with its unit and source."""
        return table(request, _DICTIONARY, asked)

    @app.get(
        "/v1/snapshot", tags=["about"], response_model=None, responses={304: _RESPONSES[304], 503: _RESPONSES[503]}
    )
    def snapshot(request: Request) -> Response:
        """What the data cover, where they come from, how old they are, and whether they are of one state."""
        with snapshots.current() as current:
            body = {"signature": signature(current)} | current.about

            def encoded(headers: dict[str, str]) -> Response:
                return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")

            return unless_known(request, [current.tag], encoded)

    def product(request: Request, name: str, media_type: str, made_by: str) -> Response:
        path = layout.product(name)

        def read(headers: dict[str, str]) -> Response:
            return Response(lake.read(path).to_pybytes(), headers=headers, media_type=media_type)

        try:
            return unless_known(request, [lake.versions([path])[path]], read)
        except (KeyError, FileNotFoundError, LakeError):
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{name} has not been made yet: {made_by}.") from None

    @app.get("/feeds/upcoming.ics", tags=["files"], response_class=Response, responses={503: _RESPONSES[503]})
    def calendar_feed(request: Request) -> Response:
        """A calendar of the approaches to Earth within 0.05 au in the next 365 days."""
        return product(request, calendar.CALENDAR, "text/calendar; charset=utf-8", "materialize `upcoming`")

    @app.get("/report", tags=["files"], response_class=Response, responses={503: _RESPONSES[503]})
    def report_page(request: Request) -> Response:
        """The catalogue on one page, with charts."""
        return product(request, report.PAGE, "text/html; charset=utf-8", "run `neo report`")

    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"], responses={503: _RESPONSES[503]})
    def ready() -> dict[str, str]:
        """Whether there is a snapshot to read."""
        with snapshots.current() as current:
            return {"status": "ready", "snapshot": current.about["snapshot_id"]}

    describe = app.openapi

    def described() -> dict[str, Any]:
        """The description, without the error that FastAPI would send where ours is a 400."""
        whole = describe()
        for path in whole["paths"].values():
            path["get"]["responses"].pop("422", None)
        return whole

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's way to change it
    return app


def from_settings() -> FastAPI:
    """The API over the lake of the settings, for servers that start it by its name."""
    return create_app(Storage(Settings.load().lake))


class _HeadAsGet:
    """Has HEAD answered as GET; the server leaves out the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = {"method": "GET"} if scope.get("method") == "HEAD" else {}
        await self.app({**scope, **method}, receive, send)
