"""Bodies of requests that write: read piece by piece, up to a limit. What they hold is decided by their paths."""

from collections.abc import AsyncIterator
from http import HTTPStatus

from starlette.requests import Request

from neo_assets.api.problems import Problem


async def pieces(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body of a request, as it arrives.

    Args:
        request: the request.
        most: the largest size allowed, in bytes.

    Raises:
        Problem: it is larger.
        ClientDisconnect: the connection ends before the body does.
    """
    too_large = Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may have {most:,} bytes at most.")
    stated = request.headers.get("Content-Length", "")
    if stated.isdecimal() and int(stated) > most:
        raise too_large
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise too_large
        yield piece
