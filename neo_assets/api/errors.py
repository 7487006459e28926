"""How the API answers a request that is wrong, or that it cannot answer (RFC 9457, `application/problem+json`). No
answer holds a path on this machine, a key or SQL.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from neo_assets.api.problems import Problem, wrong_parameters
from neo_assets.api.seen import HEADER
from neo_assets.lake.storage import LakeError
from neo_assets.logs import current_request_id
from neo_assets.products.requests_database import RequestsUnusable

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Wrong(BaseModel):
    """What is wrong with one parameter."""

    parameter: str
    detail: str


class ProblemDetails(BaseModel):
    """A problem, as RFC 9457 describes one."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Wrong] = []


PROBLEM: dict[str, Any] = {"model": ProblemDetails, "content": {MEDIA_TYPE: {}}}
"""A response of a path, as the description of the API has it."""

UNAVAILABLE = PROBLEM | {"description": "There is no snapshot yet, or the query takes too long."}


def answer_errors(app: FastAPI) -> None:
    """Have every error of an application answered as a problem."""
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(LakeError, _answer_unusable)
    app.add_exception_handler(RequestsUnusable, _answer_unusable)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_unexpected)


async def _answer_problem(request: Request, problem: Exception) -> Response:
    """The answer to a request that ended with a problem."""
    assert isinstance(problem, Problem)
    return problem_response(problem)


def problem_response(problem: Problem) -> Response:
    """The answer that tells a problem."""
    return _response(problem.status, problem.detail, problem.errors, problem.headers)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """The answer to a request whose parameters are not valid."""
    assert isinstance(error, RequestValidationError)
    wrong = wrong_parameters(error.errors())
    return _response(HTTPStatus.BAD_REQUEST, "Parameters are wrong; `errors` says which.", wrong)


async def _answer_http(request: Request, error: Exception) -> Response:
    """The answer to a request for what is not here."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = "There is no such resource; /docs lists them." if status == HTTPStatus.NOT_FOUND else str(error.detail)
    return _response(status, detail, (), error.headers)


async def _answer_unusable(request: Request, error: Exception) -> Response:
    """The answer if the lake or the database of requests cannot be used; the log has the reason."""
    logger.error("%s", error)
    return _response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "What this needs cannot be read or written now; the log of the API has the reason.",
        headers={"Retry-After": "10"},
    )


async def _answer_nobody(request: Request, error: Exception) -> Response:
    """The answer to a client that has gone before its request was whole."""
    return _response(HTTPStatus.BAD_REQUEST, "The body of the request is not whole.")


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    """The answer if the API itself is wrong; the log has the reason. No middleware passes it, so it has its id here."""
    headers = {HEADER: current_request_id() or ""}
    detail = "This is an error of the API; its log has the reason."
    return _response(HTTPStatus.INTERNAL_SERVER_ERROR, detail, headers=headers)


def _response(
    status: HTTPStatus,
    detail: str,
    errors: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    details = ProblemDetails(
        title=status.phrase,
        status=status,
        detail=detail,
        errors=[Wrong(parameter=parameter, detail=said) for parameter, said in errors],
    )
    body = msgspec.json.encode(details.model_dump())
    return Response(body, status, {"Cache-Control": "no-store"} | dict(headers or {}), MEDIA_TYPE)
