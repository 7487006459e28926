"""What can be wrong with a request, as the API says it (RFC 9457, `application/problem+json`). No answer holds a path
on this machine, a key or SQL.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

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


class Problem(Exception):
    """Ends a request with an error."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            status: the status of the answer.
            detail: what is wrong, and the way out.
            errors: each wrong parameter, and what is wrong with it.
            headers: further headers of the answer.
        """
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers


def refuse(parameter: str, detail: str) -> Problem:
    """The problem that one parameter is wrong."""
    return Problem(HTTPStatus.BAD_REQUEST, "A parameter is wrong; `errors` says which.", [(parameter, detail)])


async def answer_problem(request: Request, problem: Exception) -> Response:
    """The answer to a request that ended with a problem."""
    assert isinstance(problem, Problem)
    return _response(problem.status, problem.detail, problem.errors, problem.headers)


async def answer_invalid(request: Request, error: Exception) -> Response:
    """The answer to a request whose parameters are not valid."""
    assert isinstance(error, RequestValidationError)
    wrong = [(str(one["loc"][-1])[:100], _said(one)) for one in error.errors()]
    return _response(HTTPStatus.BAD_REQUEST, "Parameters are wrong; `errors` says which.", wrong)


async def answer_http(request: Request, error: Exception) -> Response:
    """The answer to a request for what is not here."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = "There is no such resource; /docs lists them." if status == HTTPStatus.NOT_FOUND else str(error.detail)
    return _response(status, detail, (), error.headers)


async def answer_unexpected(request: Request, error: Exception) -> Response:
    """The answer if the API itself is wrong; the log has the reason."""
    return _response(HTTPStatus.INTERNAL_SERVER_ERROR, "This is an error of the API; its log has the reason.")


def _said(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such parameter; /docs lists them"
    return str(error["msg"]).removeprefix("Value error, ")


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
