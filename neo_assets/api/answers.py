"""The forms of an answer: JSON with its envelope, CSV, NDJSON, Arrow; what caches may do with it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec
import pyarrow as pa
from pydantic import BaseModel, Field, create_model
from starlette.requests import Request
from starlette.responses import Response

from neo_assets.api.cache import depends_on_nothing_but
from neo_assets.api.parameters import Parameters
from neo_assets.api.problems import Problem, refuse
from neo_assets.api.query import Resource, find
from neo_assets.api.snapshots import Snapshot, with_times_as_text
from neo_assets.products.spreadsheet import as_csv
from neo_assets.schema.columns import Column
from neo_assets.schema.products import ONE_SNAPSHOT

API_VERSION = "1"
_VERSION = version("neo_assets")

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
}
_FORMATS = {media: name for name, media in MEDIA_TYPES.items()} | {
    "*/*": "json",
    "application/*": "json",
    "text/*": "csv",
}

_FRESH_S = 60
"""How long a cache may use an answer without asking."""


class Signature(BaseModel):
    """Where the data come from."""

    source: str = Field(description="Source of the data: `nasa` (NeoWs) or `simulator`.")
    is_simulated: bool = Field(description="Whether the objects are made up.")
    version: str = Field(description="Version of this API.")
    snapshot: str = Field(description="The snapshot: a digest of the pages that were read.")
    verdict: str = Field(description="`consistent`, `drifted` or `incomplete`.")
    newest_page_at: str = Field(description="When the newest page arrived (UTC); later approaches are predicted.")


class Answer(BaseModel):
    """Rows of a table. Each is an array with the values of `fields`, in their order."""

    signature: Signature
    count: int = Field(description="Number of rows in this answer.")
    total: int = Field(description="Number of rows that fulfil the conditions.")
    next: str | None = Field(description="Path of the next rows; null after the last.")
    fields: list[str]
    units: dict[str, str] = Field(description="Units of the fields that have one.")
    data: list[list[Any]]


_TYPES: dict[pa.DataType, Any] = {pa.string(): str, pa.bool_(): bool, pa.int64(): int, pa.float64(): float}


def _described(column: Column) -> Any:
    kind = _TYPES.get(column.type, str)  # times are written as text
    return (kind | None if column.nullable else kind), Field(description=column.description)


_ABOUT: dict[str, Any] = {column.name: _described(column) for column in ONE_SNAPSHOT.columns}

About = create_model("About", __doc__="What the data cover.", signature=Signature, **_ABOUT)

CACHE_HEADERS: dict[str, Any] = {
    name: {"description": said, "required": True, "schema": {"type": "string"}}
    for name, said in {
        "ETag": "Tells this answer from others: of another snapshot, day or request.",
        "Cache-Control": "How long a cache may use it without asking.",
        "Vary": "The headers that the answer depends on.",
    }.items()
}
"""What every answer with an ETag has, as the description of the API says it."""

KNOWN: dict[str, Any] = {"description": "The client has this answer already.", "headers": CACHE_HEADERS}
"""The answer to a client that has it, as the description of the API says it."""


def signature(snapshot: Snapshot) -> dict[str, Any]:
    """Where the data of a snapshot come from."""
    about = snapshot.about
    return {
        "source": about["source"],
        "is_simulated": about["is_simulated"],
        "version": API_VERSION,
        "snapshot": about["snapshot_id"],
        "verdict": about["verdict"],
        "newest_page_at": about["newest_page_at"],
    }


def unless_known(request: Request, parts: Sequence[object], make: Callable[[dict[str, str]], Response]) -> Response:
    """An answer with an ETag, or 304 if the client has it already; then it is not made.

    Args:
        request: the request.
        parts: the answer is the same as long as these are.
        make: makes the answer, with these headers.
    """
    digest = hashlib.sha256(" ".join(map(str, (_VERSION, *parts))).encode()).hexdigest()[:24]
    known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
    # Weak, as an answer has the same one whether it is compressed or not.
    headers = {"ETag": f'W/"{digest}"', "Cache-Control": f"public, max-age={_FRESH_S}", "Vary": "Accept"}
    if f'"{digest}"' in known or known == ["*"]:
        vary = {"Vary": "Accept, Accept-Encoding"}  # the compression adds the second one to long answers only
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers | vary)
    return make(headers)


def answer(request: Request, snapshot: Snapshot, resource: Resource, asked: Parameters) -> Response:
    """The rows that a request asks for, in the form that it asks for.

    Raises:
        Problem: a parameter is wrong, no form fits, or the query takes too long.
    """
    names = Counter(name for name, _ in request.query_params.multi_items())
    if twice := [name for name, number in names.items() if number > 1]:
        raise refuse(twice[0], "it is given twice")
    asked.check_ranges()
    form = asked.format or form_of(request.headers.get("Accept", ""))
    wanted = asked.model_dump(exclude={"format"})
    today = datetime.now(UTC).date()  # days such as +60 depend on it, and what comes next
    depends_on_nothing_but(snapshot, request)
    parts = (snapshot.tag, today, resource, wanted, form)
    return unless_known(request, parts, lambda headers: _written(request, snapshot, resource, asked, form, headers))


def _written(
    request: Request, snapshot: Snapshot, resource: Resource, asked: Parameters, form: str, cached: Mapping[str, str]
) -> Response:
    """The rows in a form."""
    found = find(snapshot, resource, asked)
    following = str(request.url.include_query_params(cursor=found.cursor)) if found.cursor else None
    path = following and following[following.index(request.url.path) :]
    headers = {**cached, "X-Total-Count": str(found.total)}
    if path:
        headers["Link"] = f'<{path}>; rel="next"'
    if form == "arrow":
        return Response(_arrow(found.rows, signature(snapshot)), headers=headers, media_type=MEDIA_TYPES[form])
    rows = with_times_as_text(found.rows)
    if form == "csv":
        return Response(as_csv(rows), headers=headers, media_type=MEDIA_TYPES[form])
    if form == "ndjson":
        lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows.to_pylist())
        return Response(lines, headers=headers, media_type=MEDIA_TYPES[form])
    columns = snapshot.columns[resource.relation]
    body = {
        "signature": signature(snapshot),
        "count": rows.num_rows,
        "total": found.total,
        "next": path,
        "fields": rows.column_names,
        "units": {name: columns[name]["unit"] for name in rows.column_names if columns[name]["unit"]},
        "data": list(zip(*(column.to_pylist() for column in rows.columns), strict=True)),
    }
    return Response(msgspec.json.encode(body), headers=headers, media_type=MEDIA_TYPES[form])


def form_of(accept: str) -> str:
    """The form that a header `Accept` prefers; JSON without one.

    Raises:
        Problem: none of them is accepted.
    """
    wanted: list[tuple[float, int, str]] = []
    for one in accept.split(",") if accept.strip() else ["*/*"]:
        media, *options = (part.strip() for part in one.split(";"))
        quality = next((part[2:] for part in options if part.startswith("q=")), "1")
        try:
            wanted.append((-float(quality), len(wanted), media.lower()))
        except ValueError:
            continue
    for rank, _, media in sorted(wanted):
        if media in _FORMATS and rank < 0:
            return _FORMATS[media]
    raise Problem(
        HTTPStatus.NOT_ACCEPTABLE, f"None of the forms is accepted; there are: {', '.join(MEDIA_TYPES.values())}."
    )


def _arrow(rows: pa.Table, about: Mapping[str, Any]) -> bytes:
    """The rows as an Arrow IPC stream; its schema's metadata say where they come from."""
    sink = pa.BufferOutputStream()
    marked = rows.replace_schema_metadata({name: str(value) for name, value in about.items()})
    with pa.ipc.new_stream(sink, marked.schema) as stream:
        stream.write_table(marked)
    return bytes(sink.getvalue())
