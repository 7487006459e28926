"""Metrics of one page set; totals over all page sets, and metrics of the whole catalogue, with each NEO counted once.
The SQL lives in `metrics`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeDamaged, LakeError, LakeLacks, Storage
from neo_assets.pipeline.catalogue import Catalogue, origin_of_superseded, page_sets_read, state_of_lake
from neo_assets.pipeline.metrics.contract import EngineError, Files, Relation
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import NEWEST_PAGE_AT, Metric
from neo_assets.pipeline.origins import origin_of_count, origin_of_total
from neo_assets.pipeline.text import one_line
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import NEO_SIGHTINGS


def count(metrics: Metrics, table: Table, stored: Mapping[str, pa.Table]) -> pa.Table:
    """Compute a metric of one page set, such as `near_miss_count`.

    Args:
        metrics: the metrics of the lake.
        table: the metric's table of counts.
        stored: the tables that it reads, by name.
    """
    rows = compute(metrics, metrics.of_table[table.name], stored)
    return tables.with_origin(rows, origin_of_count(table, [tables.made_from(stored[one.name]) for one in table.reads]))


def compute(metrics: Metrics, metric: Metric, stored: Mapping[str, Relation], **more: object) -> pa.Table:
    """Run a metric's SQL over some NEOs.

    Args:
        metrics: the metrics of the lake.
        metric: the metric.
        stored: the tables that it reads, by name.
        more: parameters besides those in the header.

    Raises:
        EngineError: the engine refuses the SQL or does not answer, or the rows are not those that the header describes.
    """
    relations = {name: stored[name].select(columns) for name, columns in metric.reads.items()}
    try:
        rows = metrics.run(metric.sql, relations, {**metric.parameters, **more})
    except EngineError as error:
        raise type(error)(f"{metric.name}.sql: {error}") from error
    try:
        return _in_order(metric, rows)
    except (pa.ArrowException, ValueError) as error:
        raise EngineError(f"{metric.name}.sql gives other rows than its header says: {one_line(str(error))}") from error


def add_up(metric: Metric, parts: Iterable[pa.Table]) -> pa.Table:
    """The metric of several sets of NEOs together, from its rows of each, if none is in two of them."""
    rows = pa.concat_tables([part.replace_schema_metadata() for part in parts])
    if metric.adds_up == "least":
        rows = rows.sort_by([(name, "ascending") for name in (*metric.numbers, *metric.grain)])
    how = "sum" if metric.adds_up == "sum" else "first"
    whole_rows = pc.ScalarAggregateOptions(skip_nulls=metric.adds_up == "sum")  # a null is part of the row that is kept
    wanted = [(name, how, whole_rows) for name in metric.numbers]
    grouped = rows.group_by(metric.grain, use_threads=False).aggregate(wanted)
    named = grouped.rename_columns({f"{name}_{how}": name for name in metric.numbers})
    return _in_order(metric, named.select(metric.total.schema.names))


def _in_order(metric: Metric, rows: pa.Table) -> pa.Table:
    """The rows with the types of the metric's columns, in the order of its grain: engines differ in both."""
    return rows.cast(metric.total.schema).sort_by([(name, "ascending") for name in metric.grain])


def covered(lake: Storage, metric: Metric, page_sets: Sequence[str]) -> list[str]:
    """Those of the page sets, and of the landed objects, that a total covers: those that have its counts."""
    seen = page_sets_read(lake, page_sets)
    return tables.stored_page_sets(lake, metric.counts, seen) if metric.counts else seen


class Origins:
    """The origins that totals would have if they were computed now. Those of each table are read once."""

    def __init__(self, lake: Storage) -> None:
        """`lake`: the lake."""
        self._combined = cache(partial(tables.combined_origin, lake))

    def of(self, metric: Metric, covered: Sequence[str]) -> str:
        """The origin of a total over these page sets.

        Raises:
            LakeUnreachable: the lake does not answer.
        """
        parts, keys = [metric.counts] if metric.counts else metric.total.reads, tuple(covered)
        # Files of counts are read whole, to detect damage; of large tables, which page sets check, only the footers.
        origins = [self._combined(table, keys, bool(metric.counts)) for table in parts]
        return _origin(metric, covered, origins, self._combined(NEO_SIGHTINGS, keys))


def total(metrics: Metrics, lake: Storage, metric: Metric, page_sets: Sequence[str]) -> pa.Table:
    """Compute a total that page sets add up to, over those that are stored, counting each NEO once, by the copy fetched
    last.

    Raises:
        LakeError: none of them is stored, or a table cannot be read.
    """
    keys = covered(lake, metric, page_sets)
    if not keys:
        raise LakeError(
            f"no totals to compute: {lake.root} has no {metric.name} for any page set yet; "
            "run `neo run`, or materialize the page sets first"
        )
    rows = total_over(metrics, lake, metric, keys)
    seen, state = state_of_lake(lake, page_sets)
    missing = len(set(seen).difference(keys))
    return tables.with_origin(rows, tables.made_from(rows), state=state, page_sets_missing=str(missing))


def total_over(metrics: Metrics, lake: Storage, metric: Metric, page_sets: Sequence[str]) -> pa.Table:
    """Compute a total over exactly these page sets. Raises `LakeError` if a table cannot be read.

    Only the counts are read, and other tables only of page sets with superseded copies.
    """
    assert metric.counts
    catalogue = Catalogue(lake, metrics, page_sets)
    counts = tables.read_page_sets(lake, metric.counts, page_sets)
    again = catalogue.with_superseded
    others = counts.filter(pc.invert(pc.is_in(counts["page_set"], pa.array(again, pa.string()))))
    stored = {one.name: catalogue.relation(one, metric.reads[one.name], again) for one in metric.total.reads}
    rows = add_up(metric, [others.drop_columns("page_set"), compute(metrics, metric, stored)])
    sightings = tables.made_from(catalogue.sightings)
    return tables.with_origin(rows, _origin(metric, page_sets, [tables.made_from(counts)], sightings))


def over_catalogue(
    metrics: Metrics, lake: Storage, each: Sequence[Metric], page_sets: Sequence[str]
) -> Iterator[pa.Table]:
    """Compute metrics over the whole catalogue, one after the other. Each table that they need is read once.

    Args:
        metrics: the metrics of the lake.
        lake: the lake.
        each: those of them to compute.
        page_sets: the page sets that the settings ask for; those that are stored are covered.

    Raises:
        LakeError: none of them is stored, or a table cannot be read.
    """
    seen, state = state_of_lake(lake, page_sets)
    if not seen:
        raise LakeError(f"the lake {lake.root} holds no NEOs yet: run `neo run`, or materialize page sets first")
    catalogue = Catalogue(lake, metrics, seen)
    read = {table.name: table for metric in each for table in metric.total.reads}
    columns = {name: dict.fromkeys(one for metric in each for one in metric.reads.get(name, ())) for name in read}
    stored = {name: catalogue.relation(table, list(columns[name])) for name, table in read.items()}
    sightings = tables.made_from(catalogue.sightings)
    for metric in each:
        rows = compute(metrics, metric, stored, **of_snapshot(metric, catalogue))
        parts = [_made_from(stored[table.name]) for table in metric.total.reads]
        origin = _origin(metric, seen, parts, sightings)
        yield tables.with_origin(rows, origin, state=state, page_sets_missing="0")


def bring_up_to_date(metrics: Metrics, lake: Storage, page_sets: Sequence[str]) -> list[str]:
    """Compute and store those metrics of the whole catalogue that are missing, damaged or stale.

    Returns:
        The names of the tables that were written.

    Raises:
        LakeError: no page set is stored, or a table cannot be read or written.
    """
    keys, now = page_sets_read(lake, page_sets), Origins(lake)
    stale = [one for one in metrics.over_catalogue if _origin_stored(lake, one.total) != now.of(one, keys)]
    for metric, rows in zip(stale, over_catalogue(metrics, lake, stale, page_sets) if stale else (), strict=True):
        tables.write_table(lake, metric.total, rows)
    return [metric.total.name for metric in stale]


def _made_from(rows: Relation) -> str:
    """The origin of what a metric reads."""
    return rows.stored.made_from if isinstance(rows, Files) else tables.made_from(rows)


def _origin_stored(lake: Storage, total: Table) -> str:
    """The origin of a stored total; empty if it is missing or damaged."""
    try:
        return tables.made_from(tables.read_table(lake, total))
    except (LakeLacks, LakeDamaged):
        return ""


def of_snapshot(metric: Metric, catalogue: Catalogue) -> dict[str, datetime]:
    """The parameter of a metric that needs the time of the snapshot."""
    if not metric.of_a_snapshot:
        return {}
    _, newest = catalogue.arrived
    return {NEWEST_PAGE_AT: newest or datetime.min.replace(tzinfo=UTC)}


def _origin(metric: Metric, covered: Sequence[str], parts: Sequence[str], sightings: str) -> str:
    return origin_of_total(metric.total, covered, parts, origin_of_superseded(sightings))
