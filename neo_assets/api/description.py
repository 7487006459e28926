"""How the API describes itself (OpenAPI, `/openapi.json`): beside what each path says of itself, the values that the
snapshot allows. What the parameters mean is in `parameters`.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from neo_assets.api.errors import MEDIA_TYPE, ProblemDetails
from neo_assets.api.parameters import ApproachParameters
from neo_assets.api.problems import Problem
from neo_assets.api.query import Resource
from neo_assets.api.snapshots import Snapshot, Snapshots


def describe(app: FastAPI, snapshots: Snapshots, tables: Mapping[str, Resource], *, is_limited: bool) -> None:
    """Have an application describe itself by its snapshot.

    Args:
        app: the application.
        snapshots: what it reads.
        tables: what is read at each path.
        is_limited: whether clients may ask only so often.
    """
    in_general = app.openapi
    anywhere = _ANYWHERE | (_TOO_OFTEN if is_limited else {})

    def by_the_snapshot(request: Request) -> Response:
        whole = copy.deepcopy(in_general())
        for _, operation in _operations(whole):
            operation["responses"].pop("422", None)  # FastAPI's status of wrong parameters; ours is 400
            for status, said in anywhere.items():
                operation["responses"].setdefault(status, {"description": said, "content": _PROBLEM})
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_null(parameter["schema"])
        try:
            with snapshots.current() as snapshot:
                for path, operation in _operations(whole):
                    if path in tables:
                        _allow(operation["parameters"], snapshot, tables[path])
        except Problem:
            pass  # without a snapshot, nobody knows the values
        return JSONResponse(whole)

    # FastAPI's own route would wait for the lake where all requests wait for it.
    [place] = [number for number, route in enumerate(app.routes) if getattr(route, "path", "") == app.openapi_url]
    app.router.routes[place] = Route(str(app.openapi_url), by_the_snapshot, include_in_schema=False)


_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}}}
_ANYWHERE = {
    "400": "The URL or a parameter is wrong.",
    "408": "The request does not come in time.",
    "413": "The body is too large.",
    "414": "The URL is too long.",
    "431": "The headers are too long.",
}
"""What any path may answer, before or instead of its own answer."""

_TOO_OFTEN = {"429": "This address has asked too often; Retry-After says how long to wait."}


def _operations(whole: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation, with its path."""
    for path, methods in whole["paths"].items():
        for operation in methods.values():
            yield path, operation


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that can be left out, but cannot be null: a URL has no null."""
    kept = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    if not kept:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return rest | (kept[0] if len(kept) == 1 else {"anyOf": kept})


def _allow(parameters: list[dict[str, Any]], snapshot: Snapshot, resource: Resource) -> None:
    """Say which values the parameters that name something may have."""
    columns = [*snapshot.columns[resource.relation]]
    known = {name: snapshot.distinct(resource.relation, column) for name, column in _TEXTS.items() if column in columns}
    known["sort"] = [sign + name for name in [*resource.names, *columns] for sign in ("", "-")]
    one = "|".join(map(re.escape, columns))
    for parameter in parameters:
        if parameter["name"] == "fields":
            parameter["schema"]["pattern"] = f"^({one})(,({one}))*$"
        elif parameter["name"] in known:
            parameter["schema"] = {
                name: value for name, value in parameter["schema"].items() if name in ("title", "description")
            } | {"type": "string", "enum": known[parameter["name"]]}


_TEXTS = {ApproachParameters.name_of(field): column for field, column in ApproachParameters.texts.items()}
"""The column that has the values of a parameter."""
