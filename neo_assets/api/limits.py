"""What every request must keep to, before anything reads it: a URL that stands for text, and a body that is not large.
The limits of connections are in `server`, those of parameters in `parameters`.
"""

import re
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neo_assets.api.errors import problem_response
from neo_assets.api.problems import Problem

_FILES = "/v1/landing/"
LARGEST_FILE = 64 << 20
LARGEST_BODY = 64 << 10
_TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
_NO_PATH = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class OnlyText:
    """Refuses URLs that do not stand for text: bytes that are not UTF-8, control characters."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or (
            _is_text(scope["query_string"]) and _is_text(scope.get("raw_path", b""), _NO_PATH)
        ):
            await self.app(scope, receive, send)
        else:
            detail = "The URL is not percent-encoded UTF-8, or has control characters."
            await problem_response(Problem(HTTPStatus.BAD_REQUEST, detail))(scope, receive, send)


def _is_text(part: bytes, never: re.Pattern[str] | None = None) -> bool:
    """Whether a part of a URL stands for text, without what it may never have."""
    if b"%" not in part:
        return part.isascii()
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        return False
    return part.isascii() and not (never and never.search(text))


class SmallBodies:
    """Refuses bodies that are larger than any request needs, or than a file may be where files are put."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        left = LARGEST_FILE if scope["path"].startswith(_FILES) else LARGEST_BODY
        detail = f"The body may have {left:,} bytes at most."
        stated = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(stated) > left:
            await problem_response(Problem(_TOO_LARGE, detail))(scope, receive, send)
            return
        has_begun = False

        async def receive_little() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left >= 0:
                return message
            if has_begun:  # its status is sent, so all that is left is to end it, as if the client had gone
                return {"type": "http.disconnect"}
            raise HTTPException(_TOO_LARGE, detail)

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        await self.app(scope, receive_little, send_noting)
