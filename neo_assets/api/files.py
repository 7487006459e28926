"""Files of the products that are served as they are stored: the calendar and the report. Tables are in `reading`."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neo_assets.api.answers import CACHE_HEADERS, KNOWN, unless_known
from neo_assets.api.errors import UNAVAILABLE
from neo_assets.api.problems import Problem
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.products import calendar, report


def files(lake: Storage) -> APIRouter:
    """The paths of files."""
    router = APIRouter()

    def product(request: Request, name: str, media_type: str, made_by: str) -> Response:
        path = layout.product(name)
        try:
            version = lake.versions([path])[path]
            while True:
                answer = unless_known(
                    request,
                    [version],
                    lambda headers: Response(lake.read(path).to_pybytes(), headers=headers, media_type=media_type),
                )
                now = lake.versions([path])[path]
                if now == version:
                    return answer
                version = now  # it was replaced meanwhile, and an ETag must be that of what is read
        except (KeyError, FileNotFoundError):
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{name} has not been made yet: {made_by}.") from None

    @router.get("/feeds/upcoming.ics", tags=["files"], response_class=Response, responses=_responses("text/calendar"))
    def calendar_feed(request: Request) -> Response:
        """A calendar of the approaches to Earth within 0.05 au in the next 365 days."""
        return product(request, calendar.CALENDAR, "text/calendar; charset=utf-8", "run `dg launch --assets upcoming`")

    @router.get("/report", tags=["files"], response_class=Response, responses=_responses("text/html"))
    def report_page(request: Request) -> Response:
        """The catalogue on one page, with charts."""
        return product(request, report.PAGE, "text/html; charset=utf-8", "run `neo report`")

    return router


def _responses(media_type: str) -> dict[int | str, dict[str, Any]]:
    found = {"content": {media_type: {"schema": {"type": "string"}}}, "headers": CACHE_HEADERS}
    return {200: found, 304: KNOWN, 503: UNAVAILABLE}
