"""The check of metrics of a page set: what the graph computes with SQL, computed again in another way. Checks of the
totals live in `totals`.
"""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.orchestration.checks.by_hand import BY_HAND
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.orchestration.checks.read import Read
from neo_assets.pipeline.count import add_up, compute
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import Metric


def recount_of(metrics: Metrics, metric: Metric) -> Callable[[Read, str], Verdict]:
    """The check of the table that a metric has for each page set."""

    def recount(read: Read, page_set: str) -> Verdict:
        """The metric computed again from the stored tables, in another way, equals the stored one."""
        assert metric.counts
        stored = read(metric.counts)
        again = recounted(metrics, metric, {table.name: read(table) for table in metric.counts.reads})
        return same(metric, stored, again), figures(metric, {"stored": stored, "counted again": again})

    recount.__name__ = f"recount_of_{metric.name}"
    return recount


def recounted(metrics: Metrics, metric: Metric, stored: Mapping[str, pa.Table], **more: object) -> pa.Table:
    """The metric of some NEOs, computed in another way than the graph does: with pyarrow, if `by_hand` has it.
    Otherwise with the metric's SQL, but from two halves of the NEOs, which also shows that it adds up, or, if it does
    not, from the rows in another order.
    """
    if by_hand := BY_HAND.get(metric.name):
        return by_hand(stored, **more).select(metric.total.schema.names).cast(metric.total.schema)
    if metric.adds_up == "never":
        turned = {
            name: pa.concat_tables([rows.slice(rows.num_rows // 2), rows.slice(0, rows.num_rows // 2)])
            for name, rows in stored.items()
        }
        return compute(metrics, metric, turned, **more)
    first, *_ = stored.values()
    neos = first[first.schema.names[0]].unique()
    half = neos.slice(0, len(neos) // 2)

    def part(rows: pa.Table, is_first: bool) -> pa.Table:
        in_half = pc.is_in(rows[rows.schema.names[0]], half)
        return rows.filter(in_half if is_first else pc.invert(in_half))

    halves = ({name: part(rows, is_first) for name, rows in stored.items()} for is_first in (True, False))
    return add_up(metric, [compute(metrics, metric, one) for one in halves])


def same(metric: Metric, one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables of a metric have the same rows, in whatever order."""
    order = [(name, "ascending") for name in (*metric.grain, *metric.numbers)]
    columns = zip(one.sort_by(order).columns, other.sort_by(order).columns, strict=True)
    return one.num_rows == other.num_rows and all(_equal(*pair) for pair in columns)


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns are equal. Sums of decimals added in another order differ in their last digits."""
    if not pa.types.is_floating(one.type):
        return bool(one.equals(other))
    near = pc.less_equal(pc.abs(pc.subtract(one, other)), pc.multiply(pc.abs(other), 1e-9))
    return bool(one.is_null().equals(other.is_null()) and pc.all(near, min_count=0).as_py())


def figures(metric: Metric, of: Mapping[str, pa.Table]) -> dict[str, int]:
    """The figures of a verdict: the sum of the first number in each of these tables, or how many rows they have."""
    if metric.adds_up == "sum":
        return {name: pc.sum(rows[metric.numbers[0]], min_count=0).as_py() for name, rows in of.items()}
    return {f"rows {name}": rows.num_rows for name, rows in of.items()}
