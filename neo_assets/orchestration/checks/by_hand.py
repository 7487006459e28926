"""Metrics computed with pyarrow instead of their SQL, for checks that compare the two. A metric that is not here is
computed again from its SQL, which takes longer; see `counts`.
"""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.schema.facts import NEAR_MISS_AU

Stored = Mapping[str, pa.Table]
"""The tables that a metric reads, by name."""


def _near_misses(stored: Stored) -> pa.Table:
    approaches = stored["close_approaches"]
    near = approaches.filter(pc.less(approaches["miss_distance_au"], NEAR_MISS_AU))
    return _counted(near, ["orbiting_body"], "near_misses")


def _years(stored: Stored) -> pa.Table:
    approaches = stored["close_approaches"]
    years = approaches.append_column("year", pc.year(approaches["close_approach_date"]))
    return _counted(years, ["year", "orbiting_body"], "approaches")


def _counted(rows: pa.Table, by: Sequence[str], number: str) -> pa.Table:
    return rows.group_by(by).aggregate([([], "count_all")]).rename_columns({"count_all": number})


BY_HAND: Mapping[str, Callable[[Stored], pa.Table]] = {
    "near_miss_count": _near_misses,
    "yearly_approaches": _years,
}
"""What computes each metric of one page set; columns in any order."""
