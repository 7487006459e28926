"""The totals of a lake as one object, which `neo run` and `neo totals` print. Computing them lives in `count`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.owner import source_of
from neo_assets.lake.storage import LakeDamaged, LakeError, LakeLacks, Storage
from neo_assets.pipeline.consistency import Extent, Finding, Snapshot, gravest
from neo_assets.pipeline.count import Origins, covered
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import TOTAL_NEAR_MISSES, TOTAL_YEARLY_APPROACHES
from neo_assets.schema.tables import SNAPSHOT

EARTH = "Earth"


@dataclass(frozen=True)
class Totals:
    """The totals of a lake, each NEO counted once. A near miss is closer than 0.2 au; 0.2 itself is not one."""

    source: str
    lake: str
    pages: int
    catalogue_pages: int
    """Number of pages in the whole catalogue, according to the page fetched last."""
    page_sets: int
    page_sets_expected: int
    neos: int
    near_misses: int
    near_misses_earth: int
    approaches: int
    approaches_earth: int
    years: int
    first_year: int | None
    last_year: int | None
    verdict: str
    """`consistent`, `drifted` or `incomplete`: whether the lake holds a single state of the catalogue."""
    reasons: list[str]
    up_to_date: bool
    """Whether computing them now would give the same totals and the same snapshot."""


def read_totals(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> Totals:
    """Read the totals stored in the lake, and the snapshot that they belong to. Nothing is computed again.

    Args:
        lake: the lake.
        metrics: the metrics of the lake.
        page_sets: the page sets that the settings ask for.

    Raises:
        LakeError: there are no totals yet, or the stored ones are not of one state of the lake.
    """
    near = tables.read_table(lake, TOTAL_NEAR_MISSES)
    yearly = tables.read_table(lake, TOTAL_YEARLY_APPROACHES)
    snapshot = tables.read_table(lake, SNAPSHOT)
    if not tables.fact(snapshot, "extent") or len({tables.fact(one, "state") for one in (near, yearly, snapshot)}) > 1:
        raise LakeError(
            f"the totals and the snapshot in {lake.root} are not of the same state of the lake: run `neo run`, "
            "which computes them together"
        )
    extent = Extent(**json.loads(tables.fact(snapshot, "extent")))
    years = pc.min_max(yearly["year"])
    counted = covered(lake, metrics.of_table[TOTAL_YEARLY_APPROACHES.name], page_sets)
    up_to_date = bool(counted) and not are_stale(lake, metrics, page_sets)
    findings = [Finding(**row) for row in snapshot.to_pylist() if row["reason"]]
    for total, rows in ((TOTAL_NEAR_MISSES, near), (TOTAL_YEARLY_APPROACHES, yearly)):
        if missing := int(tables.fact(rows, "page_sets_missing")):
            findings.append(Finding("incomplete", f"page sets missing from {total.name}", missing))
    return Totals(
        source=source_of(lake) or "unknown",
        lake=lake.root,
        **vars(extent),
        near_misses=_sum(near, "near_misses"),
        near_misses_earth=_sum(_earth(near), "near_misses"),
        approaches=_sum(yearly, "approaches"),
        approaches_earth=_sum(_earth(yearly), "approaches"),
        years=pc.count_distinct(yearly["year"]).as_py(),
        first_year=years["min"].as_py(),
        last_year=years["max"].as_py(),
        verdict=gravest(findings) if up_to_date else "incomplete",
        reasons=[
            *([] if up_to_date else ["totals are out of date"]),
            *(f"{finding.reason}: {finding.count}" for finding in findings),
        ],
        up_to_date=up_to_date,
    )


def are_stale(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> bool:
    """Whether a total or the snapshot is missing, damaged, or not what would be computed now.

    False while no page set has counts.
    """
    keys = {metric.name: covered(lake, metric, page_sets) for metric in metrics.adding_up}
    if not any(keys.values()):
        return False
    try:
        stored = {table.name: tables.read_table(lake, table) for table in (*metrics.totals, SNAPSHOT)}
    except (LakeLacks, LakeDamaged):
        return True
    now = Origins(lake)
    for metric in metrics.adding_up:
        of_metric = keys[metric.name]
        if of_metric and tables.made_from(stored[metric.total.name]) != now.of(metric, of_metric):
            return True
    snapshot, found = stored[SNAPSHOT.name], Snapshot(lake, metrics, page_sets).table()
    states = {tables.fact(one, "state") for one in (*stored.values(), found)}
    return (
        len(states) > 1
        or tables.fact(snapshot, "extent") != tables.fact(found, "extent")
        or snapshot.to_pylist() != found.to_pylist()
    )


def _earth(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows["orbiting_body"], EARTH))


def _sum(rows: pa.Table, column: str) -> int:
    return pc.sum(rows[column]).as_py() or 0
