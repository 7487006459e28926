"""The paths on which clients order reports, ask how far they are, and fetch them. What may be ordered is decided in
`orders`; the server only keeps the requests, and `orchestration.requests` has them worked off.
"""

import logging
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any, Literal

import pyarrow as pa
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse

from neo_assets.api.access import REFUSED, writers_only
from neo_assets.api.answers import unless_known
from neo_assets.api.errors import PROBLEM, UNAVAILABLE
from neo_assets.api.middleware import IS_HEAD
from neo_assets.api.orders import FORMATS, Ordered, checked, read_order
from neo_assets.api.parameters import Text
from neo_assets.api.problems import Problem
from neo_assets.api.reports import opened
from neo_assets.api.snapshots import Snapshots
from neo_assets.lake.storage import Storage
from neo_assets.products.requests import Request, Requests, Status
from neo_assets.settings import Settings

logger = logging.getLogger(__name__)

_PIECE = 1 << 20
_JOB_ID = re.compile(r"[0-9a-f]{32}")


JobId = Annotated[Text, Path(description="The `job_id` of the request.")]


class Record(BaseModel):
    """How far a request is."""

    job_id: str
    status: Literal["queued", "processing", "success", "failed", "downloaded"]
    retries: int = Field(ge=0, le=1, description="How often it was worked off anew.")
    created_at: str = Field(description="When it was made (UTC).")
    report_file_path: str | None = Field(description="Path of the report in the lake; null until there is one.")
    files_to_process: int = Field(description="Number of files that are still to be made for it.")


_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: UNAVAILABLE}
_WRONG: dict[int | str, dict[str, Any]] = {400: PROBLEM | {"description": "The order is wrong."}}
_REPORT: dict[int | str, dict[str, Any]] = {
    200: {"content": {media: {} for media in FORMATS.values()}},
    304: {"description": "The client has this report already."},
    409: PROBLEM | {"description": "The report is not there yet, it could not be made, or it is lost."},
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: PROBLEM | {"description": "There is no such request."}}
_LARGE: dict[int | str, dict[str, Any]] = {413: PROBLEM | {"description": "The body is too large."}}
_ORDER: dict[str, Any] = {"required": True, "content": {"application/json": {"schema": Ordered.model_json_schema()}}}


async def _body(request: HttpRequest) -> bytes:
    return await request.body()


def requests_for_reports(settings: Settings, lake: Storage, requests: Requests, snapshots: Snapshots) -> APIRouter:
    """The paths of requests."""
    router = APIRouter(tags=["requests"])

    def known(job_id: str) -> Request:
        found = requests.get(job_id) if _JOB_ID.fullmatch(job_id) else None
        if not found:
            raise Problem(HTTPStatus.NOT_FOUND, "There is no such request.")
        return found

    def failed(reason: str | None) -> Problem:
        return Problem(HTTPStatus.CONFLICT, f"There is no report: {reason}. Order it again.")

    @router.post(
        "/v1/requests",
        status_code=HTTPStatus.ACCEPTED,
        dependencies=[writers_only(settings)],
        openapi_extra={"requestBody": _ORDER},
        responses=_WRONG | _LARGE | _UNAVAILABLE | REFUSED,
    )
    def order(response: Response, body: Annotated[bytes, Depends(_body)]) -> Record:
        """Order all rows of a table as a file. The same order within a snapshot is the same request."""
        ordered = read_order(body)
        with snapshots.current() as snapshot:
            wanted = checked(snapshot, ordered)
        request = requests.order(wanted)  # which may have to wait, and the snapshot should not
        response.headers["Location"] = f"/v1/requests/{request.job_id}"
        response.headers["Cache-Control"] = "no-store"
        return Record(**request.record())

    @router.get("/v1/requests/{job_id}", responses=_UNAVAILABLE | _UNKNOWN)
    def one_request(response: Response, job_id: JobId) -> Record:
        """How far a request is."""
        response.headers["Cache-Control"] = "no-store"
        return Record(**known(job_id).record())

    @router.get(
        "/v1/requests/{job_id}/report",
        response_class=Response,
        responses=_REPORT | _UNAVAILABLE | _UNKNOWN,
    )
    def report(request: HttpRequest, job_id: JobId) -> Response:
        """The report of a request, once that has succeeded."""
        found = known(job_id)
        if found.status == Status.FAILED:
            raise failed(found.reason)
        if found.status in (Status.QUEUED, Status.PROCESSING):
            raise Problem(
                HTTPStatus.CONFLICT,
                f"The report is not there yet: the request is {found.status}.",
                headers={"Retry-After": "10"},
            )
        return unless_known(request, [found.sha256], lambda headers: sent(request, found, headers))

    def sent(request: HttpRequest, found: Request, headers: dict[str, str]) -> Response:
        try:
            file = opened(requests, lake, found)
        except FileNotFoundError:
            logger.warning("the report of request %s is lost", found.job_id)
            requests.lost(found, reason := "it is lost")
            raise failed(reason) from None
        name = f'attachment; filename="{found.job_id}.{found.order.format}"'
        headers |= {"Content-Length": str(found.bytes), "Content-Disposition": name}
        media_type = FORMATS[found.order.format]
        if request.scope.get(IS_HEAD):
            file.close()
            return Response(headers=headers, media_type=media_type)
        # A client that has gone by now has nothing read, and so nothing closed.
        closing = BackgroundTask(file.close)
        return StreamingResponse(_pieces(file), headers=headers, media_type=media_type, background=closing)

    return router


def _pieces(file: pa.NativeFile) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
