"""Who may write through the API: whoever has the token, NEO_API_TOKEN. Reading needs none."""

import hmac
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends
from fastapi.params import Depends as Dependency
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from neo_assets.api.errors import PROBLEM
from neo_assets.api.problems import Problem
from neo_assets.settings import Settings

REFUSED: dict[int | str, dict[str, Any]] = {
    401: PROBLEM | {"description": "The token is missing or wrong."},
    403: PROBLEM | {"description": "This server only reads: NEO_API_TOKEN is not set."},
}
"""Responses of a path that needs the token."""

_BEARER = HTTPBearer(auto_error=False, scheme_name="token", description="The value of NEO_API_TOKEN.")


def writers_only(settings: Settings) -> Dependency:
    """What a path depends on that only those with the token may use. It is checked before the body is read."""
    token = settings.api_token.get_secret_value().encode() if settings.api_token else None

    async def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if token is None:
            raise Problem(
                HTTPStatus.FORBIDDEN, "This server only reads: whoever runs it must set NEO_API_TOKEN to allow this."
            )
        if given is None or not hmac.compare_digest(given.credentials.encode(), token):
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "This needs the header `Authorization: Bearer TOKEN`, with the value of NEO_API_TOKEN.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    dependency: Dependency = Depends(check)
    return dependency
