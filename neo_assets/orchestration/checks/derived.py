"""The check that every table has, derived from `schema`: exact columns and types, no nulls where a value is required,
unique keys, possible values. Rules about what particular columns mean live in `identities`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.orchestration.checks.check import Verdict
from neo_assets.orchestration.checks.read import Read
from neo_assets.schema.columns import Column, Table


def rows_fit_the_schema_of(
    *tables: Table, reader: Callable[[Any], Read] = lambda read: read
) -> Callable[[Any, object], Verdict]:
    """The check of an asset that writes these tables. `reader` makes a `Read` of what the asset's checks are given."""

    def rows_fit_the_schema(given: Any, _: object) -> Verdict:
        """Columns and types are the schema's, required values are there, keys are unique, values are possible."""
        read = reader(given)
        return _judged({table: read.as_stored(table) for table in tables})

    return rows_fit_the_schema


def _judged(stored: Mapping[Table, pa.Table]) -> Verdict:
    """The verdict on the rows of some tables, with the rules that they break."""
    wrong = {rule: found for table, rows in stored.items() for rule, found in broken_rules(table, rows).items()}
    return not wrong, wrong or {f"rows of {table.name}": rows.num_rows for table, rows in stored.items()}


def broken_rules(table: Table, rows: pa.Table) -> dict[str, Any]:
    """The rules of the schema that these rows break, each with what differs or the number of rows; empty if none."""
    if difference := table.difference(rows):
        return {f"{table.name}: schema": difference}
    wrong = {f"{table.name}.{column.name} {rule}": n for column in table.columns for rule, n in _of(column, rows)}
    if table.key and (repeated := rows.num_rows - rows.group_by(list(table.key)).aggregate([]).num_rows):
        wrong[f"{table.name}: {', '.join(table.key)} repeated"] = repeated
    return wrong


def _of(column: Column, rows: pa.Table) -> list[tuple[str, int]]:
    """The rules of a column that these rows break, each with the number of rows."""
    values = rows[column.name]
    found = []
    if values.null_count and not column.nullable:
        found.append(("is null", values.null_count))
    if pa.types.is_floating(column.type):
        found.append(("is not finite", count(pc.invert(pc.is_finite(values)))))
    if column.choices:
        known = pc.or_(pc.is_in(values, pa.array(column.choices)), pc.is_null(values))
        found.append((f"is none of {', '.join(column.choices)}", count(pc.invert(known))))
    for bound, is_outside, words in (
        (column.minimum, pc.less, "is below"),
        (column.maximum, pc.greater, "is above"),
        (column.above, pc.less_equal, "is not above"),
    ):
        if bound is not None:
            found.append((f"{words} {bound}", count(is_outside(values, pa.scalar(bound, column.type)))))
    return [(rule, number) for rule, number in found if number]


def count(mask: pa.ChunkedArray) -> int:
    """Number of rows for which this is true."""
    return int(pc.sum(mask, min_count=0).as_py())
