"""What can be read from tables, and the path of each: `query` finds the rows, `answers` writes them. Files of the
products are in `files`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from neo_assets.api.answers import CACHE_HEADERS, KNOWN, MEDIA_TYPES, About, Answer, answer, signature, unless_known
from neo_assets.api.cache import depends_on_nothing_but
from neo_assets.api.errors import PROBLEM, UNAVAILABLE
from neo_assets.api.parameters import (
    ApproachParameters,
    BodyParameters,
    Condition,
    CountParameters,
    NeoParameters,
    Parameters,
    Text,
)
from neo_assets.api.problems import Problem
from neo_assets.api.query import Resource, ids_of, is_quick
from neo_assets.api.resources import APPROACHES, DICTIONARY, NEAR_MISSES, NEOS, UPCOMING, YEARLY, metric_of
from neo_assets.api.snapshots import Snapshots

_FORMS: dict[str, Any] = {media: {} for form, media in MEDIA_TYPES.items() if form != "json"}
_PAGE_HEADERS: dict[str, Any] = {
    "X-Total-Count": {"description": "`total`, in every form.", "required": True, "schema": {"type": "integer"}},
    "Link": {"description": "The next rows, if there are any.", "schema": {"type": "string"}},
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Answer, "content": _FORMS, "headers": CACHE_HEADERS | _PAGE_HEADERS},
    304: KNOWN,
    400: PROBLEM | {"description": "A parameter is wrong."},
    406: PROBLEM | {"description": "No form of the answer is accepted."},
    409: PROBLEM | {"description": "The cursor belongs to another request, or to a former snapshot."},
    503: UNAVAILABLE,
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: PROBLEM | {"description": "There is no such thing."}}


class TableRoute(APIRoute):
    """A path whose parameters are all in one model, which reads them at once. Any other path is left to FastAPI.

    FastAPI, which would take 0.7 ms to read one after another, only describes them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        of = self.dependant
        others = [*of.path_params, *of.header_params, *of.cookie_params, *of.body_params, *of.dependencies]
        asked: list[Any] = [one.field_info.annotation for one in of.query_params]
        if others or len(asked) != 1 or not (isinstance(asked[0], type) and issubclass(asked[0], Parameters)):
            return super().get_route_handler()
        [model] = asked

        async def handle(request: Request) -> Response:
            try:
                parameters = model.model_validate(dict(request.query_params))
            except ValidationError as error:
                raise RequestValidationError(error.errors()) from None
            response: Response = await self.endpoint(request, parameters)
            return response

        return handle


def reading(snapshots: Snapshots) -> APIRouter:
    """The paths that read tables."""
    router = APIRouter(route_class=TableRoute)
    turns = asyncio.Lock()

    async def table(request: Request, resource: Resource, asked: Parameters) -> Response:
        await snapshots.look_if_it_is_time()
        with snapshots.taken_up() as snapshot:
            if not is_quick(snapshot, resource, asked):
                return await run_in_threadpool(answer, request, snapshot, resource, asked)
            # In the event loop, as threads would only wait for the interpreter lock. One answer each time round the
            # loop, so that new connections and kept answers wait for one at most.
            async with turns:
                await asyncio.sleep(0)
                return answer(request, snapshot, resource, asked)

    @router.get("/v1/close-approaches", tags=["tables"], response_model=None, responses=_RESPONSES)
    async def close_approaches(request: Request, asked: Annotated[ApproachParameters, Query()]) -> Response:
        """Close approaches, each beside its NEO: past and predicted, to all orbiting bodies."""
        return await table(request, APPROACHES, asked)

    @router.get("/v1/upcoming", tags=["tables"], response_model=None, responses=_RESPONSES)
    async def upcoming(request: Request, asked: Annotated[Parameters, Query()]) -> Response:
        """Approaches to Earth from today (UTC) to 60 days ahead, the next one first."""
        return await table(request, UPCOMING, asked)

    @router.get("/v1/neos", tags=["tables"], response_model=None, responses=_RESPONSES)
    async def neos(request: Request, asked: Annotated[NeoParameters, Query()]) -> Response:
        """Near-Earth objects with their orbits."""
        return await table(request, NEOS, asked)

    @router.get("/v1/neos/{neo}", tags=["tables"], response_model=None, responses=_RESPONSES | _NOT_FOUND)
    def one_neo(
        request: Request,
        neo: Annotated[
            Text,
            Path(description="Its id, number, provisional designation or name, such as 2099942, 99942 or 2004 MN4."),
        ],
        asked: Annotated[Parameters, Query()],
    ) -> Response:
        """One near-Earth object with its orbit."""
        with snapshots.current() as snapshot:
            ids = ids_of(snapshot, neo)
            if not ids:
                raise Problem(HTTPStatus.NOT_FOUND, "No NEO has this id, designation or name.")
            return answer(request, snapshot, replace(NEOS, always=(Condition("id", "=", ids),)), asked)

    @router.get("/v1/yearly-approaches", tags=["tables"], response_model=None, responses=_RESPONSES)
    async def yearly_approaches(request: Request, asked: Annotated[CountParameters, Query()]) -> Response:
        """Number of close approaches, per year and orbiting body, past and predicted alike."""
        return await table(request, YEARLY, asked)

    @router.get("/v1/near-misses", tags=["tables"], response_model=None, responses=_RESPONSES)
    async def near_misses(request: Request, asked: Annotated[BodyParameters, Query()]) -> Response:
        """Number of approaches within 0.2 au, per orbiting body, past and predicted alike."""
        return await table(request, NEAR_MISSES, asked)

    @router.get("/v1/metrics/{name}", tags=["tables"], response_model=None, responses=_RESPONSES | _NOT_FOUND)
    def metric(
        request: Request,
        name: Annotated[Text, Path(description="A table of totals, such as total_first_observations.")],
        asked: Annotated[Parameters, Query()],
    ) -> Response:
        """The rows of a metric, built in or your own."""
        with snapshots.current() as snapshot:
            if name not in snapshot.totals:
                raise Problem(
                    HTTPStatus.NOT_FOUND, f"There is no such metric; there are: {', '.join(snapshot.totals)}."
                )
            return answer(request, snapshot, metric_of(name), asked)

    @router.get("/v1/dictionary", tags=["about"], response_model=None, responses=_RESPONSES)
    async def dictionary(request: Request, asked: Annotated[Parameters, Query()]) -> Response:
        """What each column of each table means, with its unit and source."""
        return await table(request, DICTIONARY, asked)

    about: dict[int | str, dict[str, Any]] = {
        200: {"model": About, "headers": CACHE_HEADERS},
        304: KNOWN,
        503: UNAVAILABLE,
    }

    @router.get("/v1/snapshot", tags=["about"], response_model=None, responses=about)
    def snapshot(request: Request) -> Response:
        """What the data cover, where they come from, how old they are, and whether they are of one state."""
        with snapshots.current() as current:
            depends_on_nothing_but(current, request)
            body = {"signature": signature(current)} | current.about

            def encoded(headers: dict[str, str]) -> Response:
                return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")

            return unless_known(request, [current.tag], encoded)

    return router
