"""Turns a request into SQL: what is asked of which table, in which order, from where on. Values are bound, never
written into it; names of columns are those that the database has. The form of the answer is decided in `answers`.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import msgspec
import pyarrow as pa

from neo_assets.api.parameters import Condition, Parameters
from neo_assets.api.problems import refuse
from neo_assets.api.snapshots import Snapshot
from neo_assets.products.database import quoted


@dataclass(frozen=True)
class Resource:
    """A table or view that can be read."""

    relation: str
    key: tuple[str, ...]
    """Columns that together tell its rows apart; without another order, it is sorted by them."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Fields by the names that JPL's API has for them in `sort`."""
    always: tuple[Condition, ...] = ()
    """Conditions that every request has."""


@dataclass(frozen=True)
class Found:
    """Rows that were asked for."""

    rows: pa.Table
    total: int
    """Number of rows that fulfil the conditions."""
    cursor: str | None
    """Where the next rows begin; None if there are none."""


def find(snapshot: Snapshot, resource: Resource, asked: Parameters) -> Found:
    """The rows that a request asks for.

    Raises:
        Problem: a parameter is wrong, or the query takes too long.
    """
    columns = snapshot.columns[resource.relation]
    _check_texts(snapshot, resource.relation, asked)
    fields = _fields(columns, asked.fields)
    order, descending = _order(columns, resource, asked.sort)
    conditions = [*resource.always, *asked.conditions()]
    where = " AND ".join(sql for sql, _ in conditions) or "true"
    values = [value for _, value in conditions]
    places = [order, *(name for name in resource.key if name != order)]
    request = hashlib.sha256(f"{snapshot.tag} {resource} {conditions} {order} {descending}".encode()).hexdigest()[:16]
    after, beyond = "true", list[str | None]()
    if asked.cursor:
        types = [columns[name]["type"] if name in columns else "BIGINT" for name in places]  # rowid has no description
        after, beyond = _after(places, types, descending, _read(asked.cursor, request, len(places)))
    shown = [quoted(name) for name in fields]
    shown += [f"CAST({quoted(name)} AS VARCHAR) AS {quoted(_place(number))}" for number, name in enumerate(places)]
    sql = (
        f"SELECT {', '.join(shown)} FROM {quoted(resource.relation)} WHERE ({where}) AND ({after}) "
        f"ORDER BY {quoted(order)} {'DESC' if descending else 'ASC'} NULLS LAST"
        + "".join(f", {quoted(name)}" for name in places[1:])
        + f" LIMIT {asked.limit + 1}"
    )
    try:
        rows = snapshot.rows(sql, [*values, *(value for value in beyond if value is not None)])
    except duckdb.ConversionException:
        raise refuse("cursor", "it is not one that an answer gave") from None
    cursor = None
    if rows.num_rows > asked.limit:
        rows = rows.slice(0, asked.limit)
        last = rows.slice(asked.limit - 1).to_pylist()[0]
        cursor = _written(request, [last[_place(number)] for number in range(len(places))])
    [total] = snapshot.rows(f"SELECT count(*) AS n FROM {quoted(resource.relation)} WHERE {where}", values)[
        "n"
    ].to_pylist()
    return Found(rows.select(fields), total, cursor)


def _fields(columns: Mapping[str, object], asked: str | None) -> list[str]:
    wanted = list(dict.fromkeys(name.strip() for name in asked.split(","))) if asked else list(columns)
    if unknown := [name for name in wanted if name not in columns]:
        raise refuse("fields", f"there is no field {unknown[0]}; there are: {', '.join(columns)}")
    return wanted


def _order(columns: Mapping[str, object], resource: Resource, asked: str | None) -> tuple[str, bool]:
    if not asked:
        return resource.key[0], False
    name = asked.removeprefix("-")
    column = resource.names.get(name, name)
    if column not in columns:
        raise refuse("sort", f"there is no field {name}; there are: {', '.join([*resource.names, *columns])}")
    return column, asked.startswith("-")


def _check_texts(snapshot: Snapshot, relation: str, asked: Parameters) -> None:
    """Refuse a text that no row has: most likely it is misspelt, and an empty answer would not say so."""
    for parameter, column in asked.texts.items():
        value = getattr(asked, parameter)
        if value is not None and value not in (known := snapshot.distinct(relation, column)):
            name = type(asked).model_fields[parameter].alias or parameter
            raise refuse(name, f"there is no {value}; there are: {', '.join(known)}")


def _after(
    places: Sequence[str], types: Sequence[str], descending: bool, at: Sequence[str | None]
) -> tuple[str, list[str | None]]:
    """The condition of rows that come later than a place, and its values. Rows without a value to sort by come last."""
    order, *keys = map(quoted, places)
    first, *others = (f"CAST(? AS {kind})" for kind in types)
    later = f"({', '.join(keys)}) > ({', '.join(others)})" if keys else "false"
    if at[0] is None:
        return f"{order} IS NULL AND {later}", [*at[1:]]
    beyond = f"{order} {'<' if descending else '>'} {first} OR {order} IS NULL"
    return f"{beyond} OR ({order} = {first} AND {later})", [at[0], *at]


def _written(request: str, at: Sequence[str | None]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([request, *at])).decode().rstrip("=")


def _read(cursor: str, request: str, places: int) -> list[str | None]:
    """The place that a cursor names.

    Raises:
        Problem: it belongs to another request, or to a former snapshot.
    """
    try:
        of, *at = msgspec.json.decode(
            base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=list[str | None]
        )
    except (ValueError, UnicodeEncodeError):
        raise refuse("cursor", "it is not one that an answer gave") from None
    if None in at[1:]:
        raise refuse("cursor", "it is not one that an answer gave")
    if of != request or len(at) != places:
        raise refuse("cursor", "it belongs to another request or to a former snapshot: begin again without it")
    return at


def _place(number: int) -> str:
    return f"place {number}"
