"""What ends a request with an error: its status, what is wrong, and the way out. How the answer says it is decided in
`errors`.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any


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


def wrong_parameters(errors: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The wrong parameters that pydantic found, and what is wrong with each."""
    return [(str(one["loc"][-1])[:100] if one["loc"] else "body", _said(one)) for one in errors]


_ALLOWED = {
    "bool_parsing": "true or false",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "string_too_short": "a text that is not empty",
}
"""What to give instead, by pydantic's name of an error whose own text does not say it."""


def _said(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such parameter; /docs lists them"
    if allowed := _ALLOWED.get(error["type"]):
        return f"give {allowed}"
    return str(error["msg"]).removeprefix("Value error, ")
