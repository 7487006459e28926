"""What a client may order as a report: a table with the parameters of its path, checked as the path itself checks them.
Keeping orders is in `products.requests`, making reports in `reports`.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neo_assets.api.answers import MEDIA_TYPES
from neo_assets.api.parameters import Parameters, Text, to_day
from neo_assets.api.problems import Problem, refuse, wrong_parameters
from neo_assets.api.query import Resource, whole
from neo_assets.api.resources import TABLES, UPCOMING, metric_of
from neo_assets.api.snapshots import Snapshot
from neo_assets.products.requests import Order

FORMATS = MEDIA_TYPES | {"parquet": "application/vnd.apache.parquet"}
"""The forms of a report, and their media types."""

_METRICS = "metrics/"
_OF_ANSWERS = ("limit", "cursor", "format")
"""Parameters that answers have, and reports have not: a report has all rows."""

Value = Annotated[str, Field(max_length=1_000)] | bool | int | float


class Ordered(BaseModel):
    """The body of an order."""

    model_config = ConfigDict(extra="forbid")

    table: Text = Field(
        description=f"What follows `/v1/` in the path of a table: {', '.join(TABLES)}, or `{_METRICS}` and its name.",
        examples=["close-approaches", "metrics/total_first_observations"],
    )
    parameters: dict[str, Value] = Field(
        {},
        max_length=50,
        description="The parameters of that path, but for `limit`, `cursor` and `format`: a report has all rows.",
        examples=[{"body": "Earth", "dist-max": "1LD", "sort": "dist"}],
    )
    format: Literal["json", "csv", "ndjson", "arrow", "parquet"] = Field("csv", description="The form of the report.")


def read_order(body: bytes) -> Ordered:
    """The order in the body of a request.

    Raises:
        Problem: it is none.
    """
    try:
        return Ordered.model_validate_json(body)
    except ValidationError as error:
        errors: list[dict[str, Any]] = [dict(one) for one in error.errors()]
        # A value that is none of the types that a parameter may have gets an error for each type.
        values = {one["loc"][1]: "give one text, number, true or false" for one in errors if len(one["loc"]) > 2}
        wrong = [*wrong_parameters(one for one in errors if len(one["loc"]) <= 2), *values.items()]
        raise Problem(HTTPStatus.BAD_REQUEST, "The order is wrong; `errors` says how.", wrong) from None


def checked(snapshot: Snapshot, ordered: Ordered) -> Order:
    """An order as it is kept. Days that depend on today are those of today.

    Raises:
        Problem: there is no such table, or a parameter is wrong.
    """
    given = {name: _as_text(value) for name, value in ordered.parameters.items()}
    resource, asked = selection(snapshot, ordered.table, given)
    for name, field in type(asked).model_fields.items():
        if name.startswith("date_") and (day := getattr(asked, name)) is not None:
            given[field.alias or name] = to_day(day).isoformat()
    query = whole(snapshot, resource, asked)
    today = datetime.now(UTC).date() if resource is UPCOMING else None  # the table itself depends on it
    known = [snapshot.about["snapshot_id"], query.sql, *query.values, ordered.format, today]
    digest = hashlib.sha256(msgspec.json.encode([str(one) for one in known])).hexdigest()
    return Order(ordered.table, dict(sorted(given.items())), ordered.format, digest)


def selection(snapshot: Snapshot, table: str, parameters: Mapping[str, str]) -> tuple[Resource, Parameters]:
    """The table and the rows that an order asks for.

    Raises:
        Problem: there is no such table, or a parameter is wrong.
    """
    name = table.removeprefix(_METRICS)
    kind: type[Parameters] = Parameters
    if table in TABLES:
        resource, kind = TABLES[table]
    elif table.startswith(_METRICS) and name in snapshot.totals:
        resource = metric_of(name)
    else:
        every = [*TABLES, *(_METRICS + one for one in snapshot.totals)]
        raise refuse("table", f"there is no such table; there are: {', '.join(every)}")
    if of_answers := [one for one in _OF_ANSWERS if one in parameters]:
        raise refuse(of_answers[0], "a report has all rows in one file; `format` stands beside `parameters`")
    try:
        asked: Any = kind.model_validate(parameters)
    except ValidationError as error:
        wrong = wrong_parameters(map(dict, error.errors()))
        raise Problem(HTTPStatus.BAD_REQUEST, "Parameters are wrong; `errors` says which.", wrong) from None
    asked.check_ranges()
    return resource, asked


def _as_text(value: Value) -> str:
    """A parameter as a URL has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{Decimal(str(value)):f}"
