"""The path on which clients push files into the landing zone, whole or not at all. `pipeline.land` takes them in."""

import hashlib
import logging
import mmap
import re
import tempfile
from http import HTTPStatus
from typing import IO, Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from neo_assets.api.access import REFUSED, writers_only
from neo_assets.api.errors import PROBLEM
from neo_assets.api.problems import Problem, refuse
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.land import ENDINGS
from neo_assets.settings import Settings

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
_PIECE = 1 << 20

_NEXT = (
    "The sensor `landing` or `neo land` takes it in; then it is in archive/, or in quarantine/landing/ with the reason."
)


class Landed(BaseModel):
    """A file in the landing zone."""

    name: str
    bytes: int
    sha256: str = Field(description="Digest of its content.")
    next: str = Field(description="What happens with it.")


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Landed, "description": "The same file is waiting there already."},
    400: PROBLEM | {"description": "The name is not allowed, or the body is empty or not whole."},
    409: PROBLEM | {"description": "Another file of this name is waiting."},
    413: PROBLEM | {"description": "The body is too large."},
    503: PROBLEM | {"description": "There is no room for the file now, or the lake cannot be written."},
}
_FILE: dict[str, Any] = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def landing(settings: Settings, lake: Storage) -> APIRouter:
    """The path of the landing zone."""
    router = APIRouter(tags=["landing"])

    @router.put(
        "/v1/landing/{name}",
        status_code=HTTPStatus.CREATED,
        dependencies=[writers_only(settings)],
        openapi_extra={"requestBody": _FILE},
        responses=_RESPONSES | REFUSED,
    )
    async def put(
        request: Request,
        response: Response,
        name: Annotated[
            str,
            Path(
                description=f"A file name that ends in {', '.join(ENDINGS)}, such as page-7.json.",
                max_length=150,
                json_schema_extra={"pattern": rf"^[A-Za-z0-9][A-Za-z0-9._-]*({'|'.join(map(re.escape, ENDINGS))})$"},
            ),
        ],
    ) -> Landed:
        """Put a file into the landing zone: a Browse page as JSON, or single NEOs, one on each line."""
        if not _NAME.fullmatch(name) or not name.lower().endswith(tuple(ENDINGS)):
            raise refuse("name", f"give letters, digits, `.`, `_` and `-`, and an ending of {', '.join(ENDINGS)}")
        try:
            with tempfile.TemporaryFile(prefix="neo-landing-") as aside:
                sha256, size = await _received(request, aside)
                content = pa.py_buffer(mmap.mmap(aside.fileno(), 0, access=mmap.ACCESS_READ))
                is_new = await run_in_threadpool(_put, lake, name, content, sha256)
        except OSError as error:
            logger.error("a file that is pushed cannot be kept in the temporary directory: %s", error)
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "There is no room for the file now.", headers={"Retry-After": "10"}
            ) from None
        if not is_new:
            response.status_code = HTTPStatus.OK
        return Landed(name=name, bytes=size, sha256=sha256, next=_NEXT)

    return router


async def _received(request: Request, aside: IO[bytes]) -> tuple[str, int]:
    """Write a body into a file, in pieces, in a thread, as other requests would wait for the disk.

    Returns:
        Its SHA-256, and its size in bytes.

    Raises:
        Problem: it is empty.
        OSError: it cannot be written.
    """
    digest, size, held = hashlib.sha256(), 0, bytearray()

    def keep() -> None:
        digest.update(held)
        aside.write(held)
        held.clear()

    async for piece in request.stream():
        held += piece
        size += len(piece)
        if len(held) >= _PIECE:
            await run_in_threadpool(keep)
    if not size:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is empty.")
    await run_in_threadpool(keep)
    aside.flush()
    return digest.hexdigest(), size


def _put(lake: Storage, name: str, content: pa.Buffer, sha256: str) -> bool:
    """Write a file into the landing zone.

    Returns:
        Whether it is new there.

    Raises:
        Problem: another file of this name is waiting.
        LakeError: it cannot be written.
    """
    path = layout.landed(name)
    while not lake.create(path, content):
        digest = hashlib.sha256()
        try:
            with lake.open(path) as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except FileNotFoundError:  # it has been taken in since
            continue
        if digest.hexdigest() == sha256:
            return False
        raise Problem(
            HTTPStatus.CONFLICT,
            f"Another file {name} waits in the landing zone: give this one another name, or wait until it is taken in.",
        )
    return True
