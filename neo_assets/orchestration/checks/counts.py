"""Checks that count again, with pyarrow, what the graph counts with SQL. Checks of the totals live in `totals`."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.orchestration.checks.check import Verdict
from neo_assets.orchestration.checks.read import Read
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import CLOSE_APPROACHES, NEAR_MISS_AU, NEAR_MISS_COUNT, YEARLY_APPROACHES

Counts = Counter[tuple[Any, ...]]
"""Number of close approaches by orbiting body, or by year and orbiting body."""


def near_misses_add_up(read: Read, page_set: str) -> Verdict:
    """Near misses counted again from the stored approaches, by orbiting body, equal the table."""
    return _add_up(NEAR_MISS_COUNT, read)


def years_add_up(read: Read, page_set: str) -> Verdict:
    """Approaches counted again from the stored ones, by year and orbiting body, equal the table."""
    return _add_up(YEARLY_APPROACHES, read)


def _add_up(table: Table, read: Read) -> Verdict:
    rows = read(table)
    stored, again = counts_of(rows), count_again(table, read(CLOSE_APPROACHES))
    return stored == again and len(stored) == rows.num_rows, {"stored": stored.total(), "counted again": again.total()}


def count_again(part: Table, close_approaches: pa.Table) -> Counts:
    """The counts that these close approaches give, computed with pyarrow instead of SQL."""
    if part is NEAR_MISS_COUNT:
        near = close_approaches.filter(pc.less(close_approaches["miss_distance_au"], NEAR_MISS_AU))
        return counts_of(near.group_by("orbiting_body").aggregate([([], "count_all")]))
    years = close_approaches.append_column("year", pc.year(close_approaches["close_approach_date"]))
    return counts_of(years.group_by(["year", "orbiting_body"]).aggregate([([], "count_all")]))


def counts_of(rows: pa.Table) -> Counts:
    """The last column summed by all others."""
    counts: Counts = Counter()
    for *key, number in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        counts[tuple(key)] += number
    return counts
