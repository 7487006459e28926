"""Turns a request into rows: what is asked of which table, in which order, from where on. In SQL, values are bound,
never written into it; names of columns are those that the database has. The form of the answer is decided in `answers`;
how rows are found in memory, in `held`.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.api.held import Held
from neo_assets.api.parameters import Condition, Parameters
from neo_assets.api.problems import Problem, refuse
from neo_assets.api.snapshots import Snapshot, as_compared
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


@dataclass(frozen=True)
class Whole:
    """All rows that were asked for, not read yet."""

    sql: str
    count: str
    """SQL that counts them."""
    values: list[Any]
    """What is bound in either."""
    fields: list[str]


class _Wanted:
    """What a request asks for, checked. Raises Problem if a parameter is wrong."""

    def __init__(self, snapshot: Snapshot, resource: Resource, asked: Parameters) -> None:
        self.columns = snapshot.columns[resource.relation]
        _check_texts(snapshot, resource.relation, asked)
        self.fields = _fields(self.columns, asked.fields)
        self.order, self.descending = _order(self.columns, resource, asked.sort)
        self.conditions = [*resource.always, *asked.conditions(functools.partial(ids_of, snapshot))]
        self.where = " AND ".join(map(_sql, self.conditions)) or "true"
        self.values = [value for condition in self.conditions for value in condition.values]
        self.places = [self.order, *(name for name in resource.key if name != self.order)]
        self.sorted = f"ORDER BY {quoted(self.order)} {'DESC' if self.descending else 'ASC'} NULLS LAST" + "".join(
            f", {quoted(name)}" for name in self.places[1:]
        )
        self.count = f"SELECT count(*) AS n FROM {quoted(resource.relation)} WHERE {self.where}"


def whole(snapshot: Snapshot, resource: Resource, asked: Parameters) -> Whole:
    """All rows that a request asks for, whatever its limit.

    Raises:
        Problem: a parameter is wrong.
    """
    wanted = _Wanted(snapshot, resource, asked)
    fields = ", ".join(map(quoted, wanted.fields))
    sql = f"SELECT {fields} FROM {quoted(resource.relation)} WHERE {wanted.where} {wanted.sorted}"
    return Whole(sql, wanted.count, wanted.values, wanted.fields)


def is_quick(snapshot: Snapshot, resource: Resource, asked: Parameters) -> bool:
    """Whether `find` does without the database: then it takes milliseconds, and waits for nothing."""
    return bool(snapshot.held(resource.relation)) and not asked.names_an_object


def find(snapshot: Snapshot, resource: Resource, asked: Parameters) -> Found:
    """The rows that a request asks for: from memory, if they are held there.

    Raises:
        Problem: a parameter is wrong, or the query takes too long.
    """
    wanted = _Wanted(snapshot, resource, asked)
    known = f"{snapshot.tag} {resource} {wanted.conditions} {wanted.order} {wanted.descending}"
    request = hashlib.sha256(known.encode()).hexdigest()[:16]
    after = _read(asked.cursor, request, len(wanted.places)) if asked.cursor else None
    if held := snapshot.held(resource.relation):
        rows, total, last = _in_memory(held, wanted, after, asked.limit)
    else:
        rows, total, last = _in_database(snapshot, resource.relation, wanted, after, asked.limit)
    return Found(rows, total, _written(request, last) if last else None)


_Texts = Sequence[str | None]
"""What a row has in the columns that it is sorted by, as texts."""


def _in_memory(held: Held, wanted: _Wanted, after: _Texts | None, limit: int) -> tuple[pa.Table, int, _Texts | None]:
    """The rows of a page, the number of all, and the place of the last one if more follow."""
    try:
        begin = held.place(wanted.order, after) if after else None
    except ValueError:
        raise _foreign() from None
    total, numbers = held.count_and_first(
        wanted.conditions, wanted.order, descending=wanted.descending, after=begin, most=limit + 1
    )
    rows = held.rows(numbers.slice(0, limit), wanted.fields)
    if len(numbers) <= limit:
        return rows, total, None
    last = held.rows(numbers.slice(limit - 1, 1), wanted.places)
    texts = [column.cast(pa.string())[0].as_py() for column in last.columns]
    return rows, total, [text and text.removesuffix(".000000") for text in texts]  # of times, as DuckDB writes them


def _in_database(
    snapshot: Snapshot, relation: str, wanted: _Wanted, after: _Texts | None, limit: int
) -> tuple[pa.Table, int, _Texts | None]:
    """The rows of a page, the number of all, and the place of the last one if more follow."""
    later, beyond = "true", list[str | None]()
    if after:
        columns, places = wanted.columns, wanted.places
        types = [columns[name]["type"] if name in columns else "BIGINT" for name in places]  # rowid has no description
        later, beyond = _after(places, types, wanted.descending, after)
    shown = [quoted(name) for name in wanted.fields]
    shown += [f"CAST({quoted(name)} AS VARCHAR) AS {quoted(_place(at))}" for at, name in enumerate(wanted.places)]
    sql = (
        f"SELECT {', '.join(shown)} FROM {quoted(relation)} WHERE ({wanted.where}) AND ({later}) "
        f"{wanted.sorted} LIMIT {limit + 1}"
    )
    try:
        rows = snapshot.rows(sql, [*wanted.values, *(value for value in beyond if value is not None)])
    except duckdb.ConversionException:
        raise _foreign() from None
    [total] = snapshot.rows(wanted.count, wanted.values)["n"].to_pylist()
    last = None
    if rows.num_rows > limit:
        rows = rows.slice(0, limit)
        [row] = rows.slice(limit - 1).to_pylist()
        last = [row[_place(at)] for at in range(len(wanted.places))]
    return rows.select(wanted.fields), total, last


def ids_of(snapshot: Snapshot, name: str) -> tuple[str, ...]:
    """The ids of the NEOs that have a text as their id, designation or name, in upper or lower case."""
    found = snapshot.names.filter(pc.equal(snapshot.names["name"], as_compared(pa.scalar(name))))
    return tuple(sorted(set(found["id"].to_pylist())))


def _sql(condition: Condition) -> str:
    """A condition, with a `?` for each of its values."""
    one = f"{quoted(condition.column)} {condition.operator} ?"
    return f"({' OR '.join([one] * len(condition.values)) or 'false'})"


def _fields(columns: Mapping[str, object], asked: str | None) -> list[str]:
    wanted = list(dict.fromkeys(asked.split(","))) if asked else list(columns)
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
            raise refuse(asked.name_of(parameter), f"there is no {value}; there are: {', '.join(known)}")


def _after(places: Sequence[str], types: Sequence[str], descending: bool, at: _Texts) -> tuple[str, list[str | None]]:
    """The condition of rows that come later than a place, and its values. Rows without a value to sort by come last."""
    order, *keys = map(quoted, places)
    first, *others = (f"CAST(? AS {kind})" for kind in types)
    later = f"({', '.join(keys)}) > ({', '.join(others)})" if keys else "false"
    if at[0] is None:
        return f"{order} IS NULL AND {later}", [*at[1:]]
    beyond = f"{order} {'<' if descending else '>'} {first} OR {order} IS NULL"
    return f"{beyond} OR ({order} = {first} AND {later})", [at[0], *at]


def _written(request: str, at: _Texts) -> str:
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
    except ValueError:
        raise _foreign() from None
    if None in at[1:] or of != request or len(at) != places:
        raise _foreign()
    return at


def _foreign() -> Problem:
    detail = "it belongs to another request or to a former snapshot: begin again without it"
    return Problem(HTTPStatus.CONFLICT, "The cursor is not one of this request.", [("cursor", detail)])


def _place(number: int) -> str:
    return f"place {number}"
