"""Columns of values from NeoWs's JSON: converts them, and refuses what is missing, or cannot be true. Which values make
up which table is defined in `parse`.
"""

import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_CALENDAR = (1, 9999)
"""The years that Python's dates, and so most programs, can hold."""

_OTHER_TYPE = re.compile(
    r"Column\(/near_earth_objects/\[\]/(?P<field>\S+)\) changed from (?P<right>\w+) to (?P<wrong>\w+)"
)
_OTHER_NUMBER = re.compile(r"Failed to convert JSON to int64, couldn't parse:(?P<value>.*)")


class Unreadable(ValueError):
    """A value in a column cannot be read; the object that it belongs to is not known yet."""


def get(array: pa.StructArray, *path: str) -> pa.Array:
    """A nested field of a struct array; null where any parent is null."""
    return pc.struct_field(array, list(path))


def required(name: str, values: pa.Array) -> pa.Array:
    """These values; refuses null."""
    if values.null_count:
        raise Unreadable(f"{name}: missing")
    return values


def not_blank(texts: pa.Array) -> pa.Array:
    """Texts without white space around them; null where nothing is left."""
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


def cast(name: str, values: pa.Array, to: pa.DataType) -> pa.Array:
    """Values converted to a type; refuses what the type cannot hold, and numbers that are not finite."""
    try:
        converted = pc.cast(values, to)
    except pa.ArrowInvalid as error:
        raise Unreadable(f"{name}: {error}") from None
    return finite(name, converted) if pa.types.is_floating(to) else converted


def finite(name: str, values: pa.Array) -> pa.Array:
    """These numbers; refuses infinity and NaN."""
    if pc.all(pc.is_finite(values)).as_py() is False:
        raise Unreadable(f"{name}: not a finite number")
    return values


def dates(name: str, texts: pa.Array, years: tuple[int, int] = _CALENDAR) -> pa.Array:
    """Dates from texts such as 2029-04-13; refuses dates outside of these years, first and last."""
    days = cast(name, texts, pa.date32())
    year = pc.year(days)
    outside = pc.or_(pc.less(year, years[0]), pc.greater(year, years[1]))
    return refuse(name, days, outside, _not_in(years))


def times(name: str, epochs: pa.Array, years: tuple[int, int]) -> pa.Array:
    """Times (UTC) from milliseconds since 1970; refuses times outside of these years, first and last."""
    first, end = (_milliseconds(year) for year in (years[0], years[1] + 1))
    outside = pc.or_(pc.less(epochs, first), pc.greater_equal(epochs, end))
    return pc.cast(refuse(name, epochs, outside, _not_in(years)), pa.timestamp("ms", "UTC"))


def refuse(name: str, values: pa.Array, wrong: pa.Array, why: str) -> pa.Array:
    """These values, if none is wrong.

    Args:
        name: where they are in the object.
        values: the values.
        wrong: for each of them, whether it is wrong.
        why: what is wrong with it, to follow the value in the error message.

    Raises:
        Unreadable: one is wrong.
    """
    if len(bad := values.filter(wrong)):
        raise Unreadable(f"{name}: {pc.cast(bad[:1], pa.string())[0]} {why}")
    return values


def in_terms_of_fields(reason: str) -> str:
    """The message of pyarrow's JSON reader about one object, without its own terms."""
    if found := _OTHER_TYPE.search(reason):
        field = found["field"].replace("/[]", "").replace("/", ".")
        return f"{field}: {found['wrong']} instead of {found['right']}"
    if found := _OTHER_NUMBER.search(reason):
        return f"{found['value']} is not a whole number that fits into 64 bits"
    return reason


def _milliseconds(year: int) -> int:
    """The start of a year (UTC), in milliseconds since 1970."""
    return round((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1000


def _not_in(years: tuple[int, int]) -> str:
    return f"is not in the years {years[0]} to {years[1]}"
